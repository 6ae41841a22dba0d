/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The lines that init says on the status connection (base/wire.h). */

#include <sys/types.h>

#include "base/macros.h"

typedef struct ExitStatus {
        int exit_code;
        int signal;                     /* 0: none */
        bool oom_killed;
        const char *message;            /* of any bytes; cut to WIRE_MESSAGE_MAX, and so that the line keeps to WIRE_STATUS_LINE_MAX */
        uint64_t stdout_bytes, stderr_bytes;
} ExitStatus;

/* Lines with their newline, the caller's to free(); NULL: no memory. */
char *status_format_booted(void);
char *status_format_started(pid_t pid);
char *status_format_exited(const ExitStatus *s);
