/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "init/luks-header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The beginning of a volume of 64 MiB, of which zeros follow. What is found good has no place where it could not be. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const LuksExpected expected = { "0e5b6c2f-9d0d-4f8e-8d4e-0f6f3a1f2b3c", "aes-xts-plain64", 64 };
        char begin[LUKS_HEADER_BEGIN] = "", error[LUKS_HEADER_ERROR_MAX] = "";
        _cleanup_free_ char *both = NULL;
        uint64_t header_size;
        LuksLayout l;
        int r;

        memcpy(begin, data, MIN(size, sizeof(begin)));
        r = luks_header_size(begin, &header_size, error);
        if (r >= 0) {
                both = calloc(2, (size_t) header_size);
                if (!both)
                        abort();
                memcpy(both, data, MIN(size, 2 * (size_t) header_size));
                r = luks_header_check(both, header_size, MIB(64), &expected, &l, error);
        }
        if (r < 0 ? !error[0] || memchr(error, 0, sizeof(error)) == NULL
                  : l.header_size != header_size || l.keyslots_end <= 2 * header_size || l.keyslots_end > l.data_offset || l.data_offset >= MIB(64))
                abort();
        return 0;
}
