/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>
#include <sys/stat.h>

#include "base/exit-codes.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "helpers/program.h"
#include "layout/layout.h"

static int wrong_usage(const char *what, const char *word) {
        log_error("%s '%s'. See --help.", what, word);
        return -EXIT_USAGE;
}

/* What is below it is made where it is missing, but not itself: it is a slip of the fingers then. */
static int set_root(const char *value) {
        struct stat st;

        if (layout_set_root(value) < 0)
                return wrong_usage("--root= takes an absolute path, not", value);
        if (stat(value, &st) < 0 || !S_ISDIR(st.st_mode)) {
                log_error("There is no directory '%s' for --root=.", value);
                return -EXIT_NOT_FOUND;
        }
        return 1;
}

/* 1: go on. 0: all is done. Negative: an exit code, what was wrong has been said. */
static int parse_option(const char *arg, const char *usage, const HelperOption *options) {
        const char *value;

        if (streq(arg, "--help") || streq(arg, "-h")) {
                printf("Usage: %s", usage);
                return 0;
        }
        if (streq(arg, "--version")) {
                puts("inferno " INFERNO_VERSION);
                return 0;
        }
        value = startswith(arg, "--root=");
        if (value)
                return set_root(value);
        for (const HelperOption *o = options; o && o->name; o++) {
                const char *rest = startswith(arg, o->name);

                if (rest && *rest == 0 && o->flag)
                        return o->flag() < 0 ? wrong_usage("Cannot take option", arg) : 1;
                if (rest && *rest == '=' && o->set)
                        return o->set(rest + 1) < 0 ? wrong_usage("Not a valid value:", arg) : 1;
        }
        return wrong_usage("Unknown option", arg);
}

static bool is_vm(const char *argument) {
        return streq(argument, "VM") || streq(argument, "[VM]");
}

int helper_main(int argc, char **argv, const char *usage, const HelperVerb *verbs, const HelperOption *options) {
        _cleanup_free_ char **words = calloc((size_t) argc + 1, sizeof(char *));
        bool options_end = false;
        int n_words = 0, r;

        log_setup(argv[0], LOG_TARGET_STDERR);
        (void) umask(0022);
        if (!words)
                return exit_code_from_errno(log_oom());

        for (int i = 1; i < argc; i++) {
                if (!options_end && streq(argv[i], "--"))
                        options_end = true;
                else if (!options_end && argv[i][0] == '-') {
                        r = parse_option(argv[i], usage, options);
                        if (r <= 0)
                                return -r;
                } else
                        words[n_words++] = argv[i];
        }
        if (n_words == 0) {
                log_error("What is to be done? See --help.");
                return EXIT_USAGE;
        }
        for (const HelperVerb *v = verbs; v->name; v++) {
                const char *argument = n_words > 1 ? words[1] : NULL;
                int n_most = v->run_words ? n_words : v->argument ? 2 : 1;

                if (!streq(v->name, words[0]))
                        continue;
                if (n_words > n_most)
                        return -wrong_usage("Too many words:", words[n_most]);
                if (!argument && v->argument && v->argument[0] != '[') {
                        log_error("'%s' needs one more word: %s. See --help.", v->name, v->argument);
                        return EXIT_USAGE;
                }
                if (argument && is_vm(v->argument) && !vm_name_is_valid(argument)) {
                        log_error("\"%.100s\" is no name of a VM: " VM_NAME_WANTED ".", argument);
                        return EXIT_USAGE;
                }
                r = v->run_words ? v->run_words(words + 1) : v->run(argument);
                return r < 0 ? exit_code_from_errno(r) : r;
        }
        return -wrong_usage("Unknown verb", words[0]);
}
