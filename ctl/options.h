/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The command line, by the table of commands. */

#include "ctl/ctl.h"

/* What was asked for. */
typedef struct CommandLine {
        const Command *command;         /* NULL with help: the overview */
        char **args;                    /* the words behind it, borrowed from argv; the array is owned */
        size_t n_args;
        bool help, version;
        bool quiet;
        const char *format;             /* NULL: not given */
        const char *group;              /* with help: "volume" */
} CommandLine;

void command_line_done(CommandLine *l);
#define _cleanup_command_line_ _cleanup_(command_line_done)

/* Sets also the targets of the command's options. -EINVAL: wrong, *ret_error is a sentence. */
int command_line_parse(int argc, char **argv, CommandLine *ret, char **ret_error);

/* An option of the command, or of all, by its name of n bytes, or by its letter (name is NULL), if it has a value; else NULL. */
const CtlOption *command_option_with_value(const Command *command, const char *name, size_t n, char letter);

/* What --help prints. */
void help_print(FILE *f, const CommandLine *l);
