/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The thin pool of LVM that volumes and root file systems may be in (lvmthin(7)): VolumeGroup= and ThinPool= of inferno.conf.
 *
 *      inferno.vol.<volume>                    the disk of a volume
 *      inferno.snap.<volume>_.<snapshot>       a snapshot of it
 *      inferno.new.<volume>                    what is to become the volume's disk; holder of its lock only
 *      inferno.old.<volume>                    what was it
 *
 * All of them are active as long as the pool is. lvm(8) changes them; what every start asks, the kernel's device mapper answers. In their names
 * "+" stands for the "-" of ours, which would
 * count twice in the length of a device's name, and "-" for "_", which is part of names that LVM keeps to itself. *ret_error is a sentence for
 * people. */

#include <sys/types.h>

#include "base/macros.h"
#include "thin/thin-usage.h"

typedef struct ThinPool {
        char *group, *name;
        unsigned warn, limit;           /* per cent in use */
} ThinPool;

/* What inferno.conf says, whether it is there or not. -EOPNOTSUPP: another tree than this machine's is worked on. */
int thin_pool_load(ThinPool *ret, char **ret_error);
void thin_pool_done(ThinPool *p);
#define _cleanup_thin_pool_ _cleanup_(thin_pool_done)

/* -ENODEV: the pool is not there, or not active. */
int thin_pool_get_usage(const ThinPool *p, ThinUsage *ret, char **ret_error);

/* Says whether something may be begun that will take room: -ENOSPC where the pool is, or is about to be, full; -EIO, -EUCLEAN where it is
 * broken. Logs a warning where it comes close to that.
 * `what` ends the sentence that refuses: "volume 'data' is not made". */
int thin_pool_check_room(const ThinPool *p, const char *what, char **ret_error);

/* "inferno.<kind>.<name>", or "inferno.<kind>.<name>_.<snapshot>". NULL: no memory. */
char *thin_lv_name(const char *kind, const char *name, const char *snapshot);
#define THIN_VOLUME "vol"
#define THIN_SNAPSHOT "snap"
#define THIN_NEW "new"
#define THIN_OLD "old"

/* THIN_DEVICES_DIR "<group>-<lv>", what follows the directory being device mapper's own name. */
#define THIN_DEVICES_DIR "/dev/mapper/"
char *thin_device_path(const ThinPool *p, const char *lv);

/* The block device; -ENOENT, -ENODEV: the pool is not there, either. */
int thin_open(const ThinPool *p, const char *lv, int flags, uint64_t *ret_size, char **ret_error);
/* A node of the same device in another directory, for one VM. */
int thin_put_node(int fd, int dir_fd, const char *name, bool read_only, uid_t uid);

/* 1: it is there, and active now. 0: it is not. */
int thin_exists(const ThinPool *p, const char *lv, char **ret_error);

/* Bytes of the pool that it takes, what it shares with others included. -ENODEV: it is not there. */
int thin_get_mapped(const ThinPool *p, const char *lv, uint64_t *ret);

/* -EEXIST */
int thin_check_free(const ThinPool *p, const char *lv, char **ret_error);

int thin_make(const ThinPool *p, const char *lv, uint64_t size, char **ret_error);                              /* -EEXIST */
int thin_copy(const ThinPool *p, const char *from, const char *to, char **ret_error);                           /* -EEXIST */
int thin_grow(const ThinPool *p, const char *lv, uint64_t size, char **ret_error);                              /* as large already is fine */
int thin_rename(const ThinPool *p, const char *from, const char *to, char **ret_error);
int thin_remove(const ThinPool *p, const char *lv, char **ret_error);                                           /* absent is fine */
/* The disk of a volume, what was and is to become it, and all snapshots. */
int thin_remove_volume(const ThinPool *p, const char *volume, char **ret_error);

/* Runs "lvm COMMAND ARGUMENT…", the arguments ended by NULL, without the disks of guests being read for what is LVM's. Returns 0 with what it
 * printed in *ret_output (may be NULL), or
 * -EIO with its reason in a sentence that begins with `what`; -ENOSPC where that is room; -ENOPKG: there is no LVM. */
int thin_lvm(const char *what, char **ret_output, char **ret_error, ...) __attribute__((sentinel));
