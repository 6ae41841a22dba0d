/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The content of an image file (squashfs, as lib/image writes it) as an ext4 that guests can write to, by libsquashfs and libext2fs: from one
 * file into another, without any path of the
 * image reaching a system call of the host, and without a mount. */

#include "base/macros.h"

/* How large the file system has to be for the image, with some room of its own; bytes, whole MiB. */
int rootfs_size(const char *image, uint64_t *ret, char **ret_error);

/* Fills `device`, a file or a block device of that size or larger, durably. -EOPNOTSUPP: the image has what ext4 cannot hold. */
int rootfs_write(const char *image, const char *device, char **ret_error);
