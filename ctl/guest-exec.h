/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A program run in a guest by its init (base/exec-frame.h), connected with our own streams. What the guest says is bounded and checked; how long
 * a program runs, and how much it prints, is its own affair, and the caller can always end it. */

#include "base/macros.h"

typedef struct GuestExec {
        char *const *argv;
        char *const *env;               /* NAME=VALUE; may be NULL */
        const char *cwd, *user;         /* NULL: the workload's */
        bool input;                     /* with our standard input */
        bool terminal;                  /* on a terminal; standard input is one then, and is raw while the program runs and `input` is set */
        int in_fd, out_fd, err_fd;
        uint64_t timeout_usec;          /* for the guest to begin */
} GuestExec;

/* Runs it to its end and returns its exit code; 126, 127 with a sentence in *ret_error where it cannot be executed; 128 + n where signal n has
 * ended it, or us. Negative, with a sentence: as of guest_call(); -ECONNRESET: the guest has gone before it said how the program ended; -ECANCELED: the user has given up. */
int guest_exec(const char *vm, const GuestExec *e, char **ret_error);
