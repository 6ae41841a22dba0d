/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* initramfs/base-<key>.cpio.zst: a tree of lib/bundle as an archive for the kernel, compressed once for all VMs that bring the same along. */

#include "base/macros.h"

#define SEGMENT_PREFIX "base-"
#define SEGMENT_SUFFIX ".cpio.zst"

/* Mapped. */
typedef struct Segment {
        void *data;
        size_t size;                    /* a multiple of four, so that another archive may follow */
} Segment;

void segment_done(Segment *s);

/* The archive of a tree that bundle_ensure() gave, with its key; made in dir_fd, which is LAYOUT_INITRAMFS_DIR, where it is not there. The same
 * tree gives the same bytes. */
int segment_ensure(int dir_fd, int tree_fd, const char *key, Segment *ret);
