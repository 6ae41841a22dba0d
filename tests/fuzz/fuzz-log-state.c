/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "combinedlog/log-state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken is written as it was read, and its lines, whatever is in them, end as lines do. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_log_state_ LogState s = {}, again = {};
        _cleanup_free_ char *first = NULL, *second = NULL;
        _cleanup_strbuf_ StrBuf out = {};
        size_t n, m;
        int r;

        r = log_state_parse((const char *) data, size, &s);
        if (r < 0) {
                if (r != -EBADMSG)
                        abort();
                return 0;
        }
        if (log_state_format(&s, &first, &n) < 0 || log_state_parse(first, n, &again) < 0 || log_state_format(&again, &second, &m) < 0 || n != m ||
            memcmp(first, second, n) != 0)
                abort();
        while (s.lines.n > 0) {
                _cleanup_free_ char *vm = strdup(s.lines.lines[0].vm);

                if (!vm)
                        abort();
                log_lines_end(&s.lines, vm, &out);
        }
        if (out.size > 0 && (out.data[out.size - 1] != '\n' || memchr(out.data, 0, out.size)))
                abort();
        return 0;
}
