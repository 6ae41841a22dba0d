/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <syslog.h>

#include "base/str.h"
#include "kiln/outcome.h"
#include "kiln/tail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A status line of the guest, or its console: whatever they say, what comes of it is one printable line and valid JSON. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        EndFacts f = { .vmm = "ember", .stop_signal = 15, .stop_signal_sent = true, .vmm_code = 1, .console = "" };
        char error[STATUS_LINE_ERROR_MAX], console[TAIL_TEXT_MAX];
        _cleanup_free_ char *json = NULL;
        static Tail tail;
        Outcome o;

        tail = (Tail) {};
        for (size_t i = 0; i < size; i += 100)
                tail_add(&tail, data + i, MIN(size - i, (size_t) 100));
        tail_text(&tail, console);
        f.console = console;
        f.exited = status_line_parse((const char *) data, size, &f.status, error) >= 0 && f.status.state == GUEST_EXITED;
        outcome_decide(&f, &o);
        if (o.exit_code < 0 || o.exit_code > 255 || isempty(o.message) || strpbrk(o.message, "\n\r\033"))
                abort();
        if (outcome_format(&o, 1, &json) < 0)
                abort();
        return 0;
}
