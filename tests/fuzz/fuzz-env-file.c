/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "runspec/env-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is taken is NAME=VALUE, each name once. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_strv_ char **env = NULL;
        unsigned line = 0;

        if (env_file_parse((const char *) data, size, &env, &line) < 0 && line == 0)
                abort();
        STRV_FOREACH(e, env) {
                size_t n = strcspn(*e, "=");

                if (n == 0 || !(*e)[n])
                        abort();
                STRV_FOREACH(f, e + 1)
                        if (strncmp(*e, *f, n + 1) == 0)
                                abort();
        }
        return 0;
}
