/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Data volumes: disks of guests that outlive them.
 *
 *      volumes/<name>.img                  the disk, a sparse file; the VM's while it is attached for writing, root's otherwise
 *      volumes/<name>@<snapshot>.img       a copy of it
 *      volumes/.new-<name>                 one that is being made; holder of the volume's lock only
 *
 * or thin volumes of LVM: thin/thin.h has their names.
 *
 * The row in the database says what should be there. A volume is made, removed, grown and copied only while no VM has it, under its lock
 * (layout_volume_lock()). The file system is never mounted on the host. *ret_error is a sentence for people. */

#include "definition/definition.h"
#include "store/store.h"

typedef struct VolumeSpec {
        const char *name;
        const char *label;              /* NULL: none */
        uint64_t size;                  /* VOLUME_SIZE_MIN to VOLUME_SIZE_MAX, whole MiB */
        const char *backend;            /* "file", "lvm-thin"; NULL: the former */
        bool encrypted;                 /* LUKS2; VOLUME_SIZE_MIN_ENCRYPTED is the least then, and its file system is made by the first guest */
        const char *key_file;           /* the key to be; NULL: a random one, kept as a credential of systemd */
} VolumeSpec;

/* Makes the volume with an empty file system, durably. -EEXIST: it, or a file of its name, is there. May be killed anywhere: what is half made is
 * never used, and the next call begins anew. */
int volume_create(Store *s, const VolumeSpec *spec, char **ret_error);
/* -EBUSY: attached; -ENOTEMPTY: it has snapshots. */
int volume_remove(Store *s, const char *name, char **ret_error);
/* Makes it larger; the guest's file system follows at the next start. -EBUSY, -EINVAL: smaller. */
int volume_resize(Store *s, const char *name, uint64_t size, char **ret_error);

/* Gives an encrypted volume one more key, or another one, from a file or (NULL; replace only) at random. The present one is that in old_key_file, or
 * (NULL) that which is kept on this host; so is a random one from then on. -EBUSY. */
int volume_change_key(Store *s, const char *name, const char *old_key_file, const char *new_key_file, bool replace, char **ret_error);
/* Copies the LUKS2 header to a new file. */
int volume_backup_header(Store *s, const char *name, const char *target, char **ret_error);

/* All of them want the volume to be attached to no VM: -EBUSY. */
int volume_snapshot(Store *s, const char *name, const char *snapshot, char **ret_error);        /* -EEXIST */
int volume_restore(Store *s, const char *name, const char *snapshot, char **ret_error);         /* also the size of then */
int volume_remove_snapshot(Store *s, const char *name, const char *snapshot, char **ret_error);

/* Attaches all volumes of a definition to its VM, which is in the database and does not run, and nothing else to it; makes missing ones that
 * have size=; hands the keys of encrypted ones over to its kiln, which runs as uid. -EBUSY: another VM has one; one that has died and been cleaned up by nobody loses it. Where it fails, what has been attached by then
 * stays so until volume_detach_all(). */
int volume_attach_all(Store *s, const Definition *d, uid_t uid, char **ret_error);
int volume_detach_all(Store *s, const char *vm, char **ret_error);

/* Puts the files of attached volumes into a clean jail as JAIL_VOLUMES/<name>, for the VM's uid. -ENOENT: one is not attached. */
int volume_link_all(Store *s, const Definition *d, uid_t uid, int root_fd, char **ret_error);

/* The bytes that it takes; -ENOENT, -ENODEV: its disk is not there. */
int volume_get_usage(const StoreVolume *v, uint64_t *ret);
/* The file or block device, whether it is there or not. */
int volume_get_path(const StoreVolume *v, char **ret, char **ret_error);
