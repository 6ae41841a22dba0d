/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Opens encrypted volumes, by the cryptsetup of the initramfs. */

#include "init/failure.h"
#include "runspec/runspec.h"

/* Where the kernel is told to close them. */
#define CRYPT_MAPPER_PATH "/dev/mapper/control"

/* Checks the header, asks the host for the key, and opens the volume. *ret_device is the caller's to free(): "/dev/mapper/<name>"; *ret_blank is whether
 * nobody has written to it yet, which shows on the device and no more in the mapping. While the initramfs is the root directory, with /dev, /proc and /sys.
 * Nothing is written. */
int crypt_open(const RunVolume *v, unsigned key_port, char **ret_device, bool *ret_blank, Failure *failure);
/* Has the kernel forget it, with its key. -EBUSY: something has it open. */
int crypt_close(int mapper_fd, const char *name);
