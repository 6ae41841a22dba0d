/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Why the workload could not be started, for the host and its administrator. */

#include "base/exit-codes.h"
#include "base/macros.h"
#include "base/wire.h"

typedef struct Failure {
        int exit_code;                          /* EXIT_SETUP_FAILED, EXIT_CANNOT_EXEC, EXIT_COMMAND_NOT_FOUND */
        char message[WIRE_MESSAGE_MAX + 1];     /* one sentence */
} Failure;

/* Sets a failure of the set-up; `error` is a positive or negative errno that %m prints. Returns -abs(error). */
int failure_set(Failure *f, int error, const char *format, ...) _printf_(3, 4);
