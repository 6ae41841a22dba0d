/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Entries of directories. */

#include <dirent.h>

#include "base/macros.h"

DEFINE_TRIVIAL_CLEANUP_FUNC(DIR *, closedir)
#define _cleanup_closedir_ _cleanup_(closedirp)

/* Opens a directory below dir_fd to read its entries; "." is dir_fd itself, from its beginning. `flags` are more ones for openat(2),
 * such as O_NOFOLLOW. *ret is the caller's to closedir(). */
int dir_open_at(int dir_fd, const char *path, int flags, DIR **ret);

/* The same of a descriptor that is taken over, also in failure. */
int dir_from_fd(int fd_consume, DIR **ret);

/* The next entry but "." and "..", good until the next call. 1, 0 at the end, or a negative errno. Entries may be removed meanwhile. */
int dir_next(DIR *d, struct dirent **ret);

/* Calls f for each name in a directory, which may remove it, and ends at its first error. */
typedef int (*DirNameFunc)(int dir_fd, const char *name, void *userdata);
int dir_for_each(int dir_fd, DirNameFunc f, void *userdata);
