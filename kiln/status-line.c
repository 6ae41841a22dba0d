/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "json/json.h"
#include "kiln/status-line.h"

_Static_assert((int) STATUS_LINE_ERROR_MAX >= (int) JSON_ERROR_MAX, "the reason may be JSON's");

static int read_state(const JsonField *f, json_t *v, void *target, char *error) {
        static const char *const states[] = {
                [GUEST_BOOTED] = WIRE_STATE_BOOTED,
                [GUEST_STARTED] = WIRE_STATE_STARTED,
                [GUEST_EXITED] = WIRE_STATE_EXITED,
        };
        const char *s = json_string_value(v);

        for (size_t i = 0; s && i < ELEMENTSOF(states); i++)
                if (streq(s, states[i])) {
                        *(GuestState *) target = (GuestState) i;
                        return 0;
                }
        return json_field_error(error, "no known state");
}

/* People and the status text of the unit get to see it: nothing that moves a cursor, one line. */
static int read_message(const JsonField *f, json_t *v, void *target, char *error) {
        const char *s = json_string_value(v);
        char *m = target;
        size_t n;

        if (!s)
                return json_field_error(error, "not a string");
        n = strlen(s);
        if (n > WIRE_MESSAGE_MAX)       /* better a short reason than no exit code: cut, between characters */
                for (n = WIRE_MESSAGE_MAX; n > 0 && ((unsigned char) s[n] & 0xc0) == 0x80; n--)
                        ;
        for (size_t i = 0; i < n; i++)
                m[i] = s[i] == '\n' || s[i] == '\t' ? ' ' : (unsigned char) s[i] < ' ' || s[i] == 0x7f ? '?' : s[i];
        m[n] = 0;
        while (n > 0 && m[n - 1] == ' ')
                m[--n] = 0;
        return 0;
}

static const JsonField status_fields[] = {
        { "state", read_state, offsetof(StatusLine, state), JSON_MANDATORY },
        { "pid", json_read_uint, offsetof(StatusLine, pid), 0 },
        { "exit_code", json_read_uint, offsetof(StatusLine, exit_code), 0 },
        { "signal", json_read_uint, offsetof(StatusLine, signal), 0 },
        { "oom_killed", json_read_bool, offsetof(StatusLine, oom_killed), 0 },
        { "stdout_bytes", json_read_uint64, offsetof(StatusLine, stdout_bytes), 0 },
        { "stderr_bytes", json_read_uint64, offsetof(StatusLine, stderr_bytes), 0 },
        { "message", read_message, offsetof(StatusLine, message), 0 },
        {},
};

int status_line_parse(const char *line, size_t n, StatusLine *ret, char *error) {
        _cleanup_json_ json_t *j = NULL;
        StatusLine s = { .exit_code = UINT32_MAX, .stdout_bytes = UINT64_MAX, .stderr_bytes = UINT64_MAX };
        int r;

        r = json_parse(line, n, WIRE_STATUS_LINE_MAX, &j, error);
        if (r == -EFBIG)
                return -EBADMSG;
        if (r < 0)
                return r;
        r = json_read_object(j, status_fields, 0, &s, error);
        if (r < 0)
                return r;
        if (s.state == GUEST_EXITED && s.exit_code > 255)
                return json_field_error(error, "\"exit_code\" is missing or above 255");
        if (s.signal > 64)
                return json_field_error(error, "\"signal\": no signal number");
        *ret = s;
        return 0;
}
