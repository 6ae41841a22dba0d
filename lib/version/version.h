/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Versions of a VM's jail: built whole or not at all, never changed afterwards, checked before they are used again.
 *
 *      vms/kiln/<ULID>/root/       the jail. Its top directory belongs to the VM's uid once the jailer has been there, so a guest that broke
 *                                  out of its VMM may have put anything into it; but what belongs to the version is root's.
 *      vms/kiln/<ULID>/manifest    the VM's name and what of root/ belongs to the version; out of the VM's reach
 *      vms/<vm>/current            symlink to ../kiln/<ULID>
 *      vms/<vm>/.new/              a version that is being built; holder of the VM's lock only
 *      vms/<vm>/.next              symlink to it while it has its name, but not yet its row
 *
 * All functions but version_running(), version_get_*(), version_is_intact() and version_enumerate() want the caller to hold vm_lock(). */

#include <sys/types.h>

#include "base/macros.h"
#include "base/ulid.h"
#include "store/store.h"

/* A file at the top of the jail. */
typedef struct VersionFile {
        const char *name;               /* JAIL_… */
        const char *source;             /* to be linked, absolute and with layout_root(); must never be written to again */
        const char *content;            /* or the text itself; one of the two is NULL */
} VersionFile;

typedef struct VersionSpec {
        const char *vm;
        const char *ulid;
        const char *digest;             /* of all inputs, hex */
        const char *image_digest;
        int tree_fd;                    /* of bundle_ensure(): all of it goes into the jail */
        const VersionFile *files;
        size_t n_files;
} VersionSpec;

/* Where version_remove_beginnings() has left nothing: builds it, makes it durable, gives it its name, and then its row in the database. *ret_error names the file that failed. */
int version_build(Store *store, const VersionSpec *spec, char **ret_error);

/* Removes what a builder that was killed has left: at most one version, half made, or whole without a row. */
int version_remove_beginnings(Store *store, const char *vm);

/* 1: the version is there and every entry that belongs to it is the one that was put there. 0: not so. */
int version_is_intact(const char *vm, const char *ulid);

/* Bytes on the disk of what belongs to the version; what it shares with other versions and with the store counts in each of them. */
int version_get_size(const char *ulid, uint64_t *ret);

/* The directory of a jail, O_RDONLY; -ENOENT. */
int version_open_root(const char *ulid);

/* 1: a process runs in the jail, *ret_pid (may be NULL) is kiln's. 0: none does. */
int version_running(const char *ulid, pid_t *ret_pid);

typedef enum VersionCleanFlags {
        VERSION_KEEP_EXIT_STATUS = 1 << 0,
} VersionCleanFlags;

/* Gives the jail back to root and removes from it all that does not belong to the version: what jailer, kiln, VMM or an intruder left; then
 * makes the places for BindPaths=. Goes on after an error, and returns the first. A version that is not there is fine. */
int version_clean(const char *ulid, VersionCleanFlags flags);

/* Removes the empty files and directories which systemd makes for BindPaths= when a unit of any instance is started, unless a VM has that name. */
int version_remove_bind_targets(const char *instance);

/* -ENOENT: none. Whatever else is at that place counts as none, too. */
int version_get_current(const char *vm, char ret[static ULID_STRING_SIZE]);
int version_set_current(const char *vm, const char *ulid);
/* Removes what stands in its place and is no symlink: directories that systemd has made for BindPaths= before there was a version. */
int version_clear_current(const char *vm);
/* The VM that a version was built for, whether the database knows it or not; -ENOENT. */
int version_get_vm(const char *ulid, char **ret);
/* The ULIDs of all versions on the disk, sorted; also of such that are not in the database. */
int version_enumerate(char ***ret);

/* Row first, then the tree: what has no row is never used again. */
int version_remove(Store *store, const char *ulid);
