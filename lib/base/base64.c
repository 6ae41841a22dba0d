/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>
#include <sys/types.h>

#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t n, char *ret) {
        const uint8_t *d = data;

        for (size_t i = 0; i < n; i += 3) {
                uint32_t v = (uint32_t) d[i] << 16 | (i + 1 < n ? (uint32_t) d[i + 1] << 8 : 0) | (i + 2 < n ? d[i + 2] : 0);

                *ret++ = digits[v >> 18];
                *ret++ = digits[v >> 12 & 63];
                *ret++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
                *ret++ = i + 2 < n ? digits[v & 63] : '=';
        }
}

ssize_t base64_decode(const char *text, size_t n, void *ret, size_t max) {
        uint8_t *out = ret;
        size_t k = 0;

        if (n % 4 != 0)
                return -EINVAL;
        for (size_t i = 0; i < n; i += 4) {
                size_t bytes = i + 4 < n || text[i + 3] != '=' ? 3 : text[i + 2] != '=' ? 2 : 1;
                uint32_t v = 0;

                for (size_t j = 0; j < 4; j++) {
                        const char *digit = j <= bytes && text[i + j] ? strchr(digits, text[i + j]) : NULL;

                        if (j <= bytes && !digit)
                                return -EINVAL;
                        v = v << 6 | (digit ? (uint32_t) (digit - digits) : 0);
                }
                if (bytes < 3 && (v & ((UINT32_C(1) << 8 * (3 - bytes)) - 1)) != 0)
                        return -EINVAL;         /* bits that nobody would see */
                if (bytes > max - k)
                        return -ENOBUFS;
                for (size_t j = 0; j < bytes; j++)
                        out[k++] = (uint8_t) (v >> (16 - 8 * j));
        }
        return (ssize_t) k;
}
