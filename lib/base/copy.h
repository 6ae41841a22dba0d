/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Copies of files and trees that cost as little as the file system lets them. */

#include <sys/types.h>

#include "base/macros.h"

/* Makes the empty file dst_fd have the content of src_fd: shares its blocks (ioctl_ficlone(2)) where that can be done, otherwise copies what is
 * not a hole. */
int clone_data(int src_fd, int dst_fd);

/* A new file dst with the content of src, the mode, and the caller as owner; -EEXIST. Not yet durable. */
int clone_file_at(int src_dir_fd, const char *src, int dst_dir_fd, const char *dst, mode_t mode);

/* The same as a hard link; as a clone of that mode where there can be no link (another file system, too many links). */
int link_or_clone_at(int src_dir_fd, const char *src, int dst_dir_fd, const char *dst, mode_t mode);

/* Makes the content of a directory appear in another: directories (0755, one that is there is taken) and symlinks anew, regular files
 * by link_or_clone_at(). Anything else is -EBADF; -EEXIST where a file's name is taken. */
int link_tree(int src_dir_fd, int dst_dir_fd);

/* fsync(2) of a tree: its directories, and the files that have this one name, for the content of a link is as durable as its origin. */
int sync_tree(int dir_fd);
