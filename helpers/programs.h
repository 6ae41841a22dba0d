/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* initramfs/programs-<key>.squashfs: a tree of lib/bundle as a disk of guests, one file for all VMs that bring the same along. */

#include "base/macros.h"

#define PROGRAMS_PREFIX "programs-"
#define PROGRAMS_SUFFIX ".squashfs"

/* The name of the file of a tree that bundle_ensure() gave, with its key; made in dir_fd, which is LAYOUT_INITRAMFS_DIR, where it is not there as a
 * whole. It has its name when its content is on the disk. */
int programs_ensure(int dir_fd, int tree_fd, const char *key, char **ret_name);
