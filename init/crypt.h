/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Opens encrypted volumes, by the cryptsetup of the initramfs. */

#include "init/failure.h"
#include "runspec/runspec.h"

/* Checks the header, asks the host for the key, opens the volume, and makes a file system in one that nobody has written to. *ret_device is the
 * caller's to free(): "/dev/mapper/<name>". While the initramfs is the root directory, with /dev, /proc and /sys. Fails before anything is
 * written where the header is not the one that the volume was made with. */
int crypt_open(const RunVolume *v, unsigned key_port, char **ret_device, Failure *failure);
