/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A program run in a guest by its init (base/exec-frame.h), or a copy of files in place of one, connected with our own streams. What the guest says is bounded and
 * checked; how long a program runs, and how much it prints, is its own affair, and the caller can always end it. */

#include "base/macros.h"

typedef struct GuestExec {
        char *const *argv;
        char *const *env;               /* NAME=VALUE; may be NULL */
        const char *cwd, *user;         /* NULL: the workload's */
        bool input;                     /* with our standard input */
        bool terminal;                  /* on a terminal; standard input is one then, and is raw while the program runs and `input` is set */
        int in_fd, out_fd, err_fd;      /* out_fd negative: there is no output, and a guest that sends some does not speak as it should */
        uint64_t timeout_usec;          /* for the guest to begin */
        bool signals_end;               /* signals end the session, where they are passed on otherwise */
        uint64_t idle_usec;             /* for it to say anything, while it alone is waited for; 0: no limit */
        void (*say)(void *userdata, const char *line);  /* gets its standard error by lines, fit for a terminal, in place of err_fd; NULL: err_fd */
        void *userdata;
} GuestExec;

/* Runs it to its end and returns its exit code; 126, 127 with a sentence in *ret_error where it cannot be executed; 128 + n where signal n has
 * ended it, or us. Negative, with a sentence: as of guest_call(); -ECONNRESET: the guest has gone before it said how the program ended; -ECANCELED: the user has given up. */
int guest_exec(const char *vm, const GuestExec *e, char **ret_error);

/* The same of a request of the API whose body is made already, and which is answered as that of a program is; argv, env, cwd and user do not count. Of a connection that
 * was made and then failed, other than by -EBADMSG, *ret_error is left NULL; -ETIMEDOUT then is that of idle_usec. */
int guest_session(const char *vm, const char *target, const char *body, const GuestExec *e, char **ret_error);
