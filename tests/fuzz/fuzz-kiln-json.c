/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "kilnconfig/kiln-config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken can be written, and what was written reads back as the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(kiln_config_freep) KilnConfig *c = NULL, *d = NULL;
        _cleanup_free_ char *a = NULL, *b = NULL;
        char error[JSON_ERROR_MAX];

        if (kiln_config_parse(data, size, &c, error) < 0)
                return 0;
        if (kiln_config_format(c, &a, error) < 0 || kiln_config_parse(a, strlen(a), &d, error) < 0 ||
            kiln_config_format(d, &b, error) < 0 || !streq(a, b))
                abort();
        return 0;
}
