/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The command line that all helpers share: "inferno-xyz [OPTIONS…] VERB [NAME]", with --help, --version and --root=DIR. What
 * follows "--" is no option. */

#include "base/macros.h"

/* Returns a negative errno whose message has been logged (it becomes the exit code), or an exit code. */
typedef int (*HelperRun)(const char *argument);

typedef struct HelperVerb {
        const char *name;               /* "prepare" */
        const char *argument;           /* the one word that must follow; in brackets: may; NULL: none. "VM" must be a valid name of a VM */
        HelperRun run;                  /* the argument, or NULL */
        int (*run_words)(char **words); /* instead of run, where `argument` ends with "…": all words that follow, one at least */
} HelperVerb;

typedef struct HelperOption {
        const char *name;               /* "--keep" */
        int (*set)(const char *value);  /* of "--keep=VALUE"; negative: VALUE is not valid */
        int (*flag)(void);              /* of "--keep" alone; one of the two is NULL */
} HelperOption;

/* Tables end with an entry without name; options may be NULL. `usage` is what --help prints after "Usage: ". The value is main()'s. */
int helper_main(int argc, char **argv, const char *usage, const HelperVerb *verbs, const HelperOption *options);
