/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "runspec/runspec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken can be written, and what was written reads back as the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(run_spec_freep) RunSpec *s = NULL, *t = NULL;
        _cleanup_free_ char *a = NULL, *b = NULL;
        char error[JSON_ERROR_MAX];

        if (run_spec_parse(data, size, &s, error) < 0)
                return 0;
        if (run_spec_format(s, &a, error) < 0 || run_spec_parse(a, strlen(a), &t, error) < 0 ||
            run_spec_format(t, &b, error) < 0 || !streq(a, b))
                abort();
        return 0;
}
