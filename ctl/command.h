/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What a command of infernoctl is.
 *
 * To add one: a file command-NAME.c with `const Command command_NAME = {…}`, its name in meson.build and in the list of commands.c, its section
 * in man/infernoctl.1. Help, completion and the check of the command line come from the table; test-ctl compares it with the man page.
 *
 * run() gets the words behind the command's name, already counted and checked as the flags say. What the options of the table hold are static
 * variables of the command's file, set before run() is called; their defaults are initialisers. */

#include "base/exit-codes.h"
#include "base/macros.h"

typedef struct Ctl Ctl;                 /* ctl/ctl.h */

/* Beside EXIT_OK, EXIT_FAILED and EXIT_USAGE, which these programs have in common. exec, wait and start end with the guest's own. */
enum {
        CTL_NOT_RUNNING = 3,            /* as systemctl has it */
        CTL_NO_SUCH_VM = 4,
};

/* What completion offers for a word; also what is checked of it. */
typedef enum CtlWord {
        CTL_WORD_ANY,
        CTL_WORD_VM,                    /* a name of a VM, checked for its form (not whether there is one) */
        CTL_WORD_FILE,
        CTL_WORD_DIRECTORY,
        CTL_WORD_IMAGE,
        CTL_WORD_VOLUME,
        CTL_WORD_SIGNAL,
        CTL_WORD_SHELL,                 /* that there is completion for */
        CTL_WORD_CHOICE,                /* CtlOption.choices */
} CtlWord;

typedef enum CtlOptionKind {
        CTL_OPTION_FLAG,                /* bool * */
        CTL_OPTION_STRING,              /* const char **, borrowed from argv; the last one counts */
        CTL_OPTION_LIST,                /* char ***: a Strv of copies, in order */
        CTL_OPTION_UINT,                /* unsigned * */
        CTL_OPTION_SIZE,                /* uint64_t *, bytes: parse_size() */
        CTL_OPTION_USEC,                /* uint64_t *, parse_usec() */
        CTL_OPTION_SIGNAL,              /* int * */
} CtlOptionKind;

typedef struct CtlOption {
        const char *name;               /* "timeout": typed as --timeout=VALUE or --timeout VALUE */
        char letter;                    /* 't': -t VALUE, -tVALUE; flags may be clustered, "-it"; 0: none */
        CtlOptionKind kind;
        void *target;
        const char *argument;           /* what --help calls the value, "SECONDS"; NULL for flags */
        const char *help;               /* one line for --help */
        CtlWord word;
        const char *const *choices;     /* CTL_WORD_CHOICE: the only values, NULL-terminated */
} CtlOption;

typedef enum CommandFlags {
        COMMAND_ROOT = 1 << 0,          /* refused where the caller is not root */
        COMMAND_FORMAT = 1 << 1,        /* has --format=table|json */
        COMMAND_REST = 1 << 2,          /* options end at the second word: what follows is somebody else's command line (exec, ssh) */
} CommandFlags;

typedef enum CommandGroup {
        GROUP_VMS,
        GROUP_DEFINITIONS,
        GROUP_GUESTS,
        GROUP_STORAGE,
        GROUP_HOST,
        _GROUP_MAX,
} CommandGroup;

#define COMMAND_ANY_NUMBER UINT32_MAX

typedef struct Command {
        const char *name;               /* "list"; of a group of commands with the word before it: "volume ls" */
        const char *aliases;            /* "ls ps", or NULL */
        CommandGroup group;
        const char *synopsis;           /* what follows the name: "NAME [-- COMMAND…]"; "" */
        const char *summary;            /* one line, begins with a capital, ends without a dot */
        const char *details;            /* more lines for --help; NULL */
        unsigned min_args, max_args;
        CtlWord first, rest;            /* what its words are: the first one, all others */
        CommandFlags flags;
        const CtlOption *options;       /* ends with an entry without name; NULL: none but the common ones */
        /* Returns an exit code, or a negative errno whose message has been logged: EXIT_FAILED. */
        int (*run)(Ctl *c, char **args, size_t n_args);
} Command;

/* All of them, in the order of --help; NULL-terminated. */
extern const Command *const commands[];

/* The options that every command has: --help, --version, --quiet, and those with COMMAND_FORMAT --format. */
extern const CtlOption common_options[];
/* The common options that this command has one after the other, i from 0; NULL behind the last. `command` may be NULL: without a command. */
const CtlOption *common_option(const Command *command, size_t i);

/* The command that words[0] and words[1], or words[0] alone, name; *ret_n is how many. NULL: none. */
const Command *command_find(char *const *words, size_t n_words, size_t *ret_n);
/* Is it the first word of commands with two, "volume"? */
bool command_is_group(const char *word);
