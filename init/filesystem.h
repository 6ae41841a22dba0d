/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The file system of a volume, before it is mounted: made where there is nothing, checked where it was found to be wrong, refused where it is anything
 * else than ext4. What is refused stays as it is. While the initramfs is the root directory. */

#include "init/failure.h"
#include "runspec/runspec.h"

/* Whether nobody has ever written where a file system would be, `at` bytes into an open device of so many. */
int filesystem_is_blank(int device_fd, uint64_t at, uint64_t device_size);
/* Whether one was being made there when the guest was cut off, so that what is there is nobody's; and the mark that says so. */
int filesystem_was_begun(int device_fd, uint64_t device_size, const RunVolume *v);
int filesystem_set_begun(int device_fd, uint64_t device_size, const RunVolume *v, bool begun);
/* `device` is what is to be mounted: the volume's own or its mapping. With `blank` what it reads as does not count. */
int filesystem_prepare(const RunVolume *v, const char *device, bool blank, Failure *failure);
