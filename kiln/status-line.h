/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The lines of the guest's status connection, see base/wire.h. */

#include "base/macros.h"
#include "base/wire.h"

typedef enum GuestState {
        GUEST_BOOTED,
        GUEST_STARTED,
        GUEST_EXITED,
} GuestState;

typedef struct StatusLine {
        GuestState state;
        unsigned pid;                   /* of GUEST_STARTED */
        unsigned exit_code;             /* these of GUEST_EXITED: 0 to 255 */
        unsigned signal;                /* 0: none, else 1 to 64 */
        bool oom_killed;
        uint64_t stdout_bytes, stderr_bytes;    /* UINT64_MAX: not said */
        char message[WIRE_MESSAGE_MAX + 1];     /* printable, on one line */
} StatusLine;

enum { STATUS_LINE_ERROR_MAX = 256 };

/* Reads one line without its newline. -EBADMSG with the reason (STATUS_LINE_ERROR_MAX bytes) where it is none of wire.h's. */
int status_line_parse(const char *line, size_t n, StatusLine *ret, char *error);
