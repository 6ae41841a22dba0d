/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* SHA-256 (FIPS 180-4) of small things: the digests of inputs that name what was built from them. libnettle is for the blobs of images;
 * a helper that hashes a few kilobytes need not load it. */

#include "base/macros.h"

enum {
        SHA256_SIZE = 32,
        SHA256_HEX_SIZE = 2 * SHA256_SIZE + 1,  /* with NUL */
};

typedef struct Sha256 {
        uint32_t state[8];
        uint64_t n_bytes;
        uint8_t block[64];
} Sha256;

void sha256_init(Sha256 *h);
void sha256_update(Sha256 *h, const void *data, size_t n);
/* The bytes of the string and its NUL, so that neighbours cannot run together. */
void sha256_update_string(Sha256 *h, const char *s);
void sha256_finish(Sha256 *h, uint8_t ret[static SHA256_SIZE]);
/* The same as lower-case hex with NUL. */
void sha256_finish_hex(Sha256 *h, char ret[static SHA256_HEX_SIZE]);
