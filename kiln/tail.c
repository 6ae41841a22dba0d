/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "kiln/tail.h"

void tail_add(Tail *t, const void *data, size_t n) {
        const char *d = data;

        if (n > TAIL_BYTES) {
                d += n - TAIL_BYTES;
                n = TAIL_BYTES;
        }
        t->size = MIN(t->size + n, (size_t) TAIL_BYTES);
        while (n > 0) {
                size_t k = MIN(n, TAIL_BYTES - t->end);

                memcpy(t->ring + t->end, d, k);
                t->end = (t->end + k) % TAIL_BYTES;
                d += k;
                n -= k;
        }
}

void tail_text(const Tail *t, char ret[TAIL_TEXT_MAX]) {
        size_t begin = (t->end + TAIL_BYTES - t->size) % TAIL_BYTES, n = 0, lines = 0;
        bool whole = t->size < TAIL_BYTES;

        for (size_t i = 0; i < t->size; i++) {
                char c = t->ring[(begin + i) % TAIL_BYTES];

                if (c == '\n') {
                        if (whole && n > 0 && ret[n - 1] != '\n')
                                ret[n++] = c;
                        whole = true;
                } else if (whole && c != '\r')
                        ret[n++] = (unsigned char) c < ' ' || c == 0x7f ? '?' : c;
        }
        if (n > 0 && ret[n - 1] == '\n')
                n--;
        ret[n] = 0;

        for (size_t i = n; i > 0; i--)
                if (ret[i - 1] == '\n' && ++lines == TAIL_LINES) {
                        memmove(ret, ret + i, n - i + 1);
                        break;
                }
}
