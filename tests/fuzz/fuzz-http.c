/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte chooses the direction and how the rest is cut into pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(http_parser_freep) HttpParser *p = NULL;
        size_t step, used;
        int r = 0;

        if (size < 1 || http_parser_new(data[0] & 1 ? HTTP_REQUEST : HTTP_RESPONSE, 1024, 1024, &p) < 0)
                return 0;
        step = (data[0] >> 1) + 1;
        for (size_t i = 1; i < size && r == 0; i += step)
                r = http_parser_feed(p, data + i, MIN(step, size - i), &used);
        if (r == 0)
                r = http_parser_eof(p);
        if (r == HTTP_PARSER_DONE) {
                size_t n;

                (void) http_keep_alive(p);
                if (http_body(p, &n)[n] != 0)
                        abort();
        }
        return 0;
}
