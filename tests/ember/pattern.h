/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* An endless stream of bytes that both ends can make for themselves: word i of stream `seed`. */

#include <stdint.h>
#include <string.h>

static inline uint64_t pattern_word(uint64_t seed, uint64_t i) {
        uint64_t z = (seed << 40) + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        return z ^ z >> 27;
}

/* Bytes [offset, offset + n) of the stream. */
static inline void pattern_fill(char *buf, uint64_t seed, uint64_t offset, size_t n) {
        while (n > 0) {
                uint64_t word = pattern_word(seed, offset / 8);
                size_t skip = offset % 8, k = 8 - skip < n ? 8 - skip : n;

                memcpy(buf, (const char *) &word + skip, k);
                buf += k;
                offset += k;
                n -= k;
        }
}

static inline int pattern_matches(const char *buf, uint64_t seed, uint64_t offset, size_t n) {
        while (n > 0) {
                uint64_t word = pattern_word(seed, offset / 8);
                size_t skip = offset % 8, k = 8 - skip < n ? 8 - skip : n;

                if (memcmp(buf, (const char *) &word + skip, k) != 0)
                        return 0;
                buf += k;
                offset += k;
                n -= k;
        }
        return 1;
}
