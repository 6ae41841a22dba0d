/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Another program, run to its end: no shell, no terminal, nothing on its standard input. */

#include "base/macros.h"

enum { SPAWN_TEXT_MAX = 64 * 1024 };    /* of what it prints; the rest is dropped */

/* argv[0] is the path; its environment is PATH, LANG=C.UTF-8 and what `envp` (may be NULL) adds. Returns its exit code, 128 + n where signal n
 * has ended it, or a negative errno where it could not be run (-ENOENT: it is not there). What it printed on standard output and on standard
 * error is the caller's to free(), never NULL; either pointer may be NULL. */
int spawn_run(const char *const argv[], const char *const envp[], char **ret_output, char **ret_errors);

/* The last line of what a program said, which most put their reason into; changes the text. */
const char *spawn_last_line(char *text);
