/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Completion of command lines in shells. What may stand where only infernoctl knows, from the table of commands: a shell's script asks it each time,
 * "infernoctl completion words -- WORD…", and presents the answer. */

#include "ctl/command.h"

/* "bash", "zsh", "fish"; NULL for others. */
const char *completion_script(const char *shell);

/* The names that there are of VMs, volumes or images: an owned Strv in *ret, NULL for none. */
typedef int (*CompletionNames)(CtlWord word, char ***ret, void *userdata);

/* What may stand for the last one of the words behind "infernoctl", which may be begun, or empty: one candidate a line, for all of the word, with a TAB
 * and a description behind it where there is one; ends with "=" where a value is to follow at once. Or the line ":files" or ":directories", for which the shell knows
 * better, where what is before "=" in an option is not part of the name. */
int completion_words(char *const *words, size_t n, CompletionNames names, void *userdata, char **ret);
