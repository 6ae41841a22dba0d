/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>
#include <string.h>

#include "base/sha256.h"

static const uint32_t round_constants[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate_right(uint32_t x, unsigned n) {
        return (x >> n) | (x << (32 - n));
}

static void add_block(Sha256 *h, const uint8_t *block) {
        uint32_t w[64], s[8];

        for (size_t i = 0; i < 16; i++) {
                uint32_t v;

                memcpy(&v, block + 4 * i, sizeof(v));
                w[i] = be32toh(v);
        }
        for (size_t i = 16; i < 64; i++)
                w[i] = w[i - 16] + w[i - 7] +
                       (rotate_right(w[i - 15], 7) ^ rotate_right(w[i - 15], 18) ^ (w[i - 15] >> 3)) +
                       (rotate_right(w[i - 2], 17) ^ rotate_right(w[i - 2], 19) ^ (w[i - 2] >> 10));

        memcpy(s, h->state, sizeof(s));
        for (size_t i = 0; i < 64; i++) {
                uint32_t t1 = s[7] + (rotate_right(s[4], 6) ^ rotate_right(s[4], 11) ^ rotate_right(s[4], 25)) +
                              ((s[4] & s[5]) ^ (~s[4] & s[6])) + round_constants[i] + w[i];
                uint32_t t2 = (rotate_right(s[0], 2) ^ rotate_right(s[0], 13) ^ rotate_right(s[0], 22)) +
                              ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

                memmove(s + 1, s, 7 * sizeof(s[0]));
                s[4] += t1;
                s[0] = t1 + t2;
        }
        for (size_t i = 0; i < 8; i++)
                h->state[i] += s[i];
}

void sha256_init(Sha256 *h) {
        *h = (Sha256) {
                .state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 },
        };
}

void sha256_update(Sha256 *h, const void *data, size_t n) {
        const uint8_t *d = data;

        while (n > 0) {
                size_t have = h->n_bytes % sizeof(h->block), k = MIN(n, sizeof(h->block) - have);

                memcpy(h->block + have, d, k);
                h->n_bytes += k;
                d += k;
                n -= k;
                if (have + k == sizeof(h->block))
                        add_block(h, h->block);
        }
}

void sha256_update_string(Sha256 *h, const char *s) {
        sha256_update(h, s, strlen(s) + 1);
}

void sha256_finish(Sha256 *h, uint8_t ret[static SHA256_SIZE]) {
        static const uint8_t padding[64] = { 0x80 };
        uint64_t bits = htobe64(h->n_bytes * 8);

        /* 0x80, zeros up to 8 bytes before the end of a block, then the length. */
        sha256_update(h, padding, 1 + (sizeof(h->block) * 2 - 1 - sizeof(bits) - h->n_bytes % sizeof(h->block)) % sizeof(h->block));
        sha256_update(h, &bits, sizeof(bits));
        for (size_t i = 0; i < 8; i++) {
                uint32_t v = htobe32(h->state[i]);

                memcpy(ret + 4 * i, &v, sizeof(v));
        }
}

void sha256_finish_hex(Sha256 *h, char ret[static SHA256_HEX_SIZE]) {
        static const char digits[] = "0123456789abcdef";
        uint8_t digest[SHA256_SIZE];

        sha256_finish(h, digest);
        for (size_t i = 0; i < SHA256_SIZE; i++) {
                ret[2 * i] = digits[digest[i] >> 4];
                ret[2 * i + 1] = digits[digest[i] & 15];
        }
        ret[SHA256_HEX_SIZE - 1] = 0;
}
