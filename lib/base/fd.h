/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* File descriptors: closing, whole reads and writes, atomic replacement, durable names. Everything is O_CLOEXEC. */

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/macros.h"

/* Closes fd (negative: nothing), keeps errno. Always returns -EBADF, to be assigned. */
int safe_close(int fd);

static inline void closep(int *fd) {
        safe_close(*fd);
}
#define _cleanup_close_ _cleanup_(closep)

/* Read up to n bytes until EOF; returns the count. */
ssize_t read_full(int fd, void *buf, size_t n);
/* Write all n bytes to a blocking descriptor, or fail. */
int write_full(int fd, const void *buf, size_t n);

/* The whole of a regular file (or of a proc-like one) of at most `max` bytes, with a NUL behind it that is not counted.
 * -EFBIG above max, -EISDIR/-EBADF where it is no file. *ret is the caller's to free(). `size` may be NULL. */
int read_file_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_size);

typedef enum WriteFileFlags {
        WRITE_FILE_SYNC = 1 << 0,       /* fsync the content before the name appears, and the directory after it */
        WRITE_FILE_LOCKED = 1 << 1,     /* a lock of the caller's keeps all other writers of this path away */
} WriteFileFlags;

/* Replaces `path` (below dir_fd) as a whole: temporary name in the same directory, mode, rename. A reader sees the old
 * content or the new one. What a killed writer leaves is `.#NAME.XXXXXX`; of a locked one it is `.#NAME`, and the next writer's. */
int write_file_atomic_at(int dir_fd, const char *path, const void *buf, size_t n, mode_t mode, WriteFileFlags flags);
/* The same of content in pieces, with one writev(2) where the system takes them all. The pieces are changed. */
int writev_file_atomic_at(int dir_fd, const char *path, struct iovec *iov, size_t n_iov, mode_t mode, WriteFileFlags flags);

/* symlink(2) that replaces what is at `path`, atomically; with WRITE_FILE_LOCKED or without. */
int symlink_atomic_at(const char *target, int dir_fd, const char *path, WriteFileFlags flags);

/* Removes what a killed writer with WRITE_FILE_LOCKED has left; holder of that lock. */
int remove_temporary_at(int dir_fd, const char *path);

/* Makes all missing directories of `path` (the last component included) below dir_fd with `mode`, which the umask does not touch. */
int mkdir_parents_at(int dir_fd, const char *path, mode_t mode);
/* The same for the directory that will hold `path`. */
int mkdir_parent_of_at(int dir_fd, const char *path, mode_t mode);

/* Opens a path that outsiders had a say in: openat2(2) with RESOLVE_NO_SYMLINKS|RESOLVE_BENEATH|RESOLVE_NO_MAGICLINKS. */
int open_beneath(int dir_fd, const char *path, int flags, mode_t mode);
/* The same where root_fd is the root that absolute paths and symlinks begin at, and that ".." does not lead out of (RESOLVE_IN_ROOT). */
int open_in_root(int root_fd, const char *path, int flags);

/* Removes a file or a whole tree, never following a symlink nor leaving the file system. A missing one is fine. */
int remove_tree_at(int dir_fd, const char *path);

/* fsync(2) of the directory that holds `path`. */
int fsync_parent_at(int dir_fd, const char *path);

/* Opens (makes) a lock file and takes an exclusive flock(2) on it, waiting. Returns the descriptor; closing it unlocks. */
int lock_file_at(int dir_fd, const char *path);

int set_nonblock(int fd, bool nonblock);
