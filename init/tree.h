/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The image's tree as foreign ground: every look-up stays below root_fd whatever symlinks the image has (openat2(2), RESOLVE_IN_ROOT),
 * and nothing but plain files and directories is opened. Nothing of the image runs yet, so nobody can move things meanwhile. */

#include <sys/types.h>

#include "base/macros.h"

/* A directory of the image by absolute path, following the image's symlinks; missing components are made, owned by root. O_PATH. */
int tree_open_directory(int root_fd, const char *path, mode_t mode);

/* A directory right below the root for a mount: what is no directory there, a symlink included, is replaced by one. O_PATH. */
int tree_open_mount_point(int root_fd, const char *name, mode_t mode);

/* Whether a directory holds nothing. */
int tree_directory_is_empty(int dir_fd);

/* Puts a file into the image, with its directories: one that exists gets the new content, anything else in its place but a directory
 * (a symlink above all) is replaced. The umask is to be 0. */
int tree_write_file(int root_fd, const char *path, mode_t mode, const void *data, size_t n);

/* Reads a regular file of at most max bytes, following the image's symlinks. -ENOENT, -EFBIG, -EISDIR, -EBADF as of read_file_at(). */
int tree_read_file(int root_fd, const char *path, size_t max, char **ret, size_t *ret_size);
