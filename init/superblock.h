/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What a volume holds, by its first bytes, which anybody may have written: before the kernel or a program is told to do anything with it. ext4 as
 * in the kernel's Documentation/filesystems/ext4/super.rst. */

#include "base/macros.h"

/* Enough to know all that is known. */
enum { SUPERBLOCK_BYTES = 128 * 1024 };

typedef struct Superblock {
        bool ext4;
        const char *other;              /* what it is instead; NULL: nothing that is known */
        bool is_new;                    /* was never mounted for writing */
        uint64_t size;                  /* bytes that the file system takes; 0: its superblock makes no sense */
        bool needs_check;               /* was found to be wrong, or has no journal and was not unmounted */
        bool needs_replay;              /* has a journal that was not written back, which mounting does */
} Superblock;

/* Of the first n bytes. */
void superblock_parse(const void *data, size_t n, Superblock *ret);
