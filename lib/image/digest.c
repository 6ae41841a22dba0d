/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "base/sha256.h"
#include "base/str.h"
#include "image/digest.h"

bool digest_is_valid(const char *s) {
        return startswith(s, "sha256:") && strlen(s) == DIGEST_SIZE - 1 &&
               strspn(s + DIGEST_PREFIX, "0123456789abcdef") == DIGEST_SIZE - 1 - DIGEST_PREFIX;
}

void digest_of(const void *data, size_t n, char ret[static DIGEST_SIZE]) {
        Sha256 h;

        memcpy(ret, "sha256:", DIGEST_PREFIX);
        sha256_init(&h);
        sha256_update(&h, data, n);
        sha256_finish_hex(&h, ret + DIGEST_PREFIX);
}

void digest_format(const uint8_t *bytes, char ret[static DIGEST_SIZE]) {
        static const char hex[] = "0123456789abcdef";
        char *p = ret + DIGEST_PREFIX;

        memcpy(ret, "sha256:", DIGEST_PREFIX);
        for (size_t i = 0; i < 32; i++) {
                *p++ = hex[bytes[i] >> 4];
                *p++ = hex[bytes[i] & 15];
        }
        *p = 0;
}
