/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "ssh/public-key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is taken is a line of printable ASCII that is taken as the same again, each key once; whatever is not has a reason and, but for the
 * whole, a line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_strv_ char **keys = NULL;
        const char *reason = NULL;
        unsigned line = UINT32_MAX;
        size_t n;

        if (ssh_public_keys_parse((const char *) data, size, &keys, &line, &reason) < 0 && (!reason || line == UINT32_MAX))
                abort();
        n = strv_length(keys);
        if (n > SSH_KEYS_MAX)
                abort();
        STRV_FOREACH(k, keys) {
                _cleanup_free_ char *again = NULL;

                for (const char *c = *k; *c; c++)
                        if (*c < ' ' || *c > '~')
                                abort();
                if (ssh_public_key_parse(*k, strlen(*k), &again, &reason) < 0 || !streq(*k, again))
                        abort();
                if (ssh_public_key_add(&keys, *k) < 0 || strv_length(keys) != n)
                        abort();
        }
        return 0;
}
