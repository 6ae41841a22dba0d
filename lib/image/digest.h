/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Digests as image-spec's descriptor.md has them, of the one algorithm that registries use: "sha256:<64 lower-case hex digits>". */

#include "base/macros.h"

enum {
        DIGEST_PREFIX = 7,
        DIGEST_SIZE = DIGEST_PREFIX + 64 + 1,   /* with NUL */
};

/* Nothing but the above: what passes is safe as a file name. */
bool digest_is_valid(const char *s);
/* The hex digits of a valid digest. */
static inline const char *digest_hex(const char *digest) {
        return digest + DIGEST_PREFIX;
}
/* Of something small. */
void digest_of(const void *data, size_t n, char ret[static DIGEST_SIZE]);
/* From the 32 bytes. */
void digest_format(const uint8_t *bytes, char ret[static DIGEST_SIZE]);
