/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "base/wire.h"
#include "init/status.h"
#include "json/json.h"

char *status_format_booted(void) {
        return strdup("{\"state\":\"" WIRE_STATE_BOOTED "\"}\n");
}

char *status_format_started(pid_t pid) {
        return strf("{\"pid\":%d,\"state\":\"" WIRE_STATE_STARTED "\"}\n", (int) pid);
}

static char *format_exited(const ExitStatus *s, size_t n_message) {
        _cleanup_json_ json_t *j = json_object();

        if (json_object_set_new(j, "state", json_string(WIRE_STATE_EXITED)) < 0 ||
            json_object_set_new(j, "exit_code", json_integer(s->exit_code)) < 0 ||
            json_object_set_new(j, "signal", json_integer(s->signal)) < 0 ||
            json_object_set_new(j, "oom_killed", json_boolean(s->oom_killed)) < 0 ||
            json_object_set_new(j, "message", json_string_lossy(s->message, n_message)) < 0 ||
            json_object_set_new(j, "stdout_bytes", json_integer((json_int_t) s->stdout_bytes)) < 0 ||
            json_object_set_new(j, "stderr_bytes", json_integer((json_int_t) s->stderr_bytes)) < 0)
                return NULL;
        return json_format(j);
}

char *status_format_exited(const ExitStatus *s) {
        size_t n = MIN(strlen(s->message), (size_t) WIRE_MESSAGE_MAX);

        /* Control characters grow sixfold when they are escaped. */
        for (;; n /= 2) {
                _cleanup_free_ char *line = format_exited(s, n);

                if (!line || strlen(line) <= WIRE_STATUS_LINE_MAX)
                        return TAKE_PTR(line);
        }
}
