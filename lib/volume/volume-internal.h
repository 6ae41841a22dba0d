/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the parts of lib/volume share: rows, locks, and the back ends, which are where the disks of volumes and snapshots are.
 *
 * A back end has two halves. Every start and stop wants the first one, and links no more; `snapshot` is NULL for the volume itself. The second
 * changes what there is, with the volume held by its caller. */

#include "volume/volume.h"

typedef struct VolumeBackend {
        const char *name;               /* in the row, and after backend= */
        /* For programs and people. */
        int (*get_path)(const char *volume, const char *snapshot, char **ret, char **ret_error);
        /* The disk, found to be at least as large as it should be: a larger one is what a killed volume_resize() has left. -ENOENT, -EUCLEAN:
         * it has been cut. */
        int (*open)(const char *volume, const char *snapshot, uint64_t size, int flags, char **ret_error);
        /* Makes it the VM's, as <volume> in a directory of its jail. Errors that the caller cannot tell in its own words have a sentence. */
        int (*put)(const char *volume, bool read_only, uid_t uid, uint64_t size, int volumes_fd, char **ret_error);
        /* What put() has changed outside of the jail, of a VM that had it for writing. A disk that is gone is fine. */
        int (*take_back)(const char *volume);
} VolumeBackend;

extern const VolumeBackend volume_backend_file, volume_backend_thin;

typedef struct VolumeMaker {
        const VolumeBackend *backend;
        /* Refuses what would take room where there is none; thin_pool_check_room() has `what`. */
        int (*check_room)(const char *what, char **ret_error);
        /* -EEXIST: there is a disk of that name. */
        int (*check_free)(const char *volume, char **ret_error);
        /* A new, empty disk: begin() gives the path by which it is filled, finish() makes it durable and the volume's. */
        int (*begin)(const char *volume, uint64_t size, char **ret_path, char **ret_error);
        int (*finish)(const char *volume, char **ret_error);
        /* All of a volume that has no snapshots any more: also what calls that were killed have left of any. Absent is fine. */
        int (*remove)(const char *volume, char **ret_error);
        int (*remove_snapshot)(const char *volume, const char *snapshot, char **ret_error);
        int (*grow)(const char *volume, uint64_t present, uint64_t size, char **ret_error);
        int (*snapshot)(const char *volume, const char *snapshot, uint64_t size, char **ret_error);
        /* Puts the snapshot in the place of the volume, at once or not at all; header_fd, where there is one, has the LUKS2 header for it. */
        int (*restore)(const char *volume, const char *snapshot, uint64_t size, int header_fd, char **ret_error);
        /* Ends a restore() that was killed. NULL: there is nothing to do. */
        int (*settle)(const char *volume, char **ret_error);
        /* Bytes that it takes. */
        int (*get_usage)(const char *volume, uint64_t *ret);
} VolumeMaker;

extern const VolumeMaker volume_maker_file, volume_maker_thin;

int volume_fail_store(Store *s, int r, char **ret_error);
int volume_lock(const char *volume, char **ret_error);
/* The row of a volume that is whole. */
int volume_get(Store *s, const char *name, StoreVolume *ret, char **ret_error);
/* -ENOENT: its making, or removal, was interrupted. */
int volume_check_ready(const StoreVolume *v, char **ret_error);
/* Copies LUKS_HEADER_BYTES. */
int volume_copy_header(int src_fd, int dst_fd);

/* Of the file back end. */
char *volume_file_name(const char *volume, const char *snapshot);
int volume_open_dir(char **ret_error);
