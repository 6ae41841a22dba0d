/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The thin pool that inferno-storage makes and activates: on a disk that has nothing on it, or on a file by a loop device.
 *
 *      storage/begun           the disk's path, while the volume group and the pool are being made
 *      storage/ready           the same, from then on
 *      storage/disk.img        where it is a file: all of its room taken, so that the pool never finds less than it was promised
 *
 * *ret_error is a sentence for people. */

#include "base/macros.h"

/* The least that a volume group, and a pool worth the name, fit into. */
#define STORAGE_SIZE_MIN MIB(256)

/* Makes it, or goes on where a call that was killed has ended; there already is fine. `disk` NULL: in a file of loop_size bytes. -EEXIST: there
 * is another one.
 * -ENOTEMPTY: there is something on the disk. *ret_new says whether there was something to do. */
int storage_init(const char *disk, uint64_t loop_size, bool *ret_new, char **ret_error);

/* After a boot. Nothing to activate is fine. */
int storage_activate(char **ret_error);
int storage_deactivate(char **ret_error);

/* What stands in `ready`; -ENOENT. */
int storage_get_disk(char **ret);

/* Says in words and numbers how the pool is. */
int storage_status(bool json, char **ret_text, char **ret_error);
