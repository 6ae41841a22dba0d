/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>
#include <string.h>

#include "init/superblock.h"

enum {
        EXT4_AT = 1024,
        EXT4_MAGIC = 0xef53,
        EXT4_LOG_BLOCK_SIZE_MAX = 6,    /* blocks of 64 KiB */
        STATE_UNMOUNTED = 1,
        STATE_ERRORS = 2,
        INCOMPAT_REPLAY = 4,
        INCOMPAT_64BIT = 0x80,
};

static uint16_t u16_at(const char *p) {
        uint16_t v;

        memcpy(&v, p, sizeof(v));
        return le16toh(v);
}

static uint32_t u32_at(const char *p) {
        uint32_t v;

        memcpy(&v, p, sizeof(v));
        return le32toh(v);
}

/* For people who have attached the wrong volume: of what they may have, not of all there is. */
static const char *find_other(const char *data, size_t n) {
        static const struct {
                size_t at;
                const char *magic, *name;
        } known[] = {
                { 0, "XFSB", "an xfs file system" },
                { 0, "LUKS\xba\xbe", "a LUKS header" },
                { 0, "hsqs", "a squashfs file system" },
                { 0x1fe, "\x55\xaa", "a partition table, or a boot sector" },
                { 0x218, "LVM2 001", "a physical volume of LVM" },
                { 0xff6, "SWAPSPACE2", "swap space" },
                { 0x10040, "_BHRfS_M", "a btrfs file system" },
        };

        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                size_t k = strlen(known[i].magic);

                if (known[i].at + k <= n && memcmp(data + known[i].at, known[i].magic, k) == 0)
                        return known[i].name;
        }
        return NULL;
}

void superblock_parse(const void *data, size_t n, Superblock *ret) {
        const char *s = (const char *) data + EXT4_AT;
        uint32_t shift, incompatible;
        uint64_t blocks;
        uint16_t state;

        *ret = (Superblock) {};
        if (n < EXT4_AT + 1024 || u16_at(s + 0x38) != EXT4_MAGIC) {
                ret->other = find_other(data, n);
                return;
        }
        ret->ext4 = true;
        incompatible = u32_at(s + 0x60);
        state = u16_at(s + 0x3a);
        ret->needs_check = !(state & STATE_UNMOUNTED) || (state & STATE_ERRORS);
        ret->needs_replay = incompatible & INCOMPAT_REPLAY;
        ret->is_new = u32_at(s + 0x2c) == 0 && u16_at(s + 0x34) == 0;
        shift = u32_at(s + 0x18);
        blocks = u32_at(s + 0x4) | (incompatible & INCOMPAT_64BIT ? (uint64_t) u32_at(s + 0x150) << 32 : 0);
        if (shift <= EXT4_LOG_BLOCK_SIZE_MAX && blocks <= UINT64_MAX >> (10 + shift))
                ret->size = blocks << (10 + shift);
}
