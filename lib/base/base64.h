/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* RFC 4648, section 4: with padding, without line breaks. For keys, so nothing is left of them in memory of this. */

#include <sys/types.h>

#include "base/macros.h"

#define BASE64_SIZE(n) (((n) + 2) / 3 * 4)

/* Writes BASE64_SIZE(n) characters and no NUL. */
void base64_encode(const void *data, size_t n, char *ret);
/* Decodes n characters into at most `max` bytes. Returns how many; -EINVAL: no base64, -ENOBUFS: more than that. */
ssize_t base64_decode(const char *text, size_t n, void *ret, size_t max);
