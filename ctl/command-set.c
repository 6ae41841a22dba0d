/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "ctl/definition-file.h"
#include "ctl/definition-text.h"

static int wrong_word(const char *word) {
        log_error("set: \"%.100s\" is no assignment: KEY=VALUE, KEY+=VALUE, KEY= or SECTION.KEY=VALUE.", word);
        return EXIT_USAGE;
}

/* One assignment of the command line, applied to *text. 0 or an exit code. */
static int apply(const char *word, char **text) {
        _cleanup_free_ char *left = NULL, *changed = NULL;
        const char *equals = strchr(word, '='), *section = "VM", *key;
        DefinitionChange change = DEFINITION_REPLACE;
        char *dot;

        if (!equals || equals == word)
                return wrong_word(word);
        left = strndup(word, (size_t) (equals - word));
        if (!left)
                return log_oom();
        if (endswith(left, "+")) {
                change = DEFINITION_APPEND;
                left[strlen(left) - 1] = 0;
        }
        key = left;
        dot = strchr(left, '.');
        if (dot) {
                *dot = 0;
                section = left;
                key = dot + 1;
        }
        if (!*key || !*section || strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != strlen(key) || strpbrk(section, "[]\n") ||
            !definition_value_is_valid(equals + 1) || !definition_value_is_valid(section))
                return wrong_word(word);
        if (definition_text_set(*text, section, key, equals + 1, change, &changed) < 0)
                return log_oom();
        free(*text);
        *text = TAKE_PTR(changed);
        return 0;
}

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_close_ int lock_fd = -EBADF;
        const char *vm = args[0];
        int r;

        r = ctl_check_vm(c, vm);
        if (r != 0)
                return r;
        lock_fd = definition_file_lock(vm);
        if (lock_fd < 0)
                return lock_fd;
        r = definition_file_read(vm, &path, &text);
        for (size_t i = 1; r == 0 && i < n_args; i++)
                r = apply(args[i], &text);
        if (r == 0)
                r = definition_file_check(c, vm, text, &d);
        if (r == 0)
                r = definition_file_write(vm, text, false);
        if (r != 0)
                return r;
        lock_fd = safe_close(lock_fd);
        return definition_file_changed(c, d);
}

const Command command_set = {
        .name = "set",
        .group = GROUP_DEFINITIONS,
        .synopsis = "NAME KEY=VALUE…",
        .summary = "Change keys of a definition",
        .details = "KEY=VALUE stands in place of all lines of that key, KEY+=VALUE adds a line, KEY= removes them. Keys of other sections than [VM] have\n"
                   "that before them: Service.Restart=always.",
        .min_args = 2,
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_VM,
        .flags = COMMAND_ROOT,
        .run = run,
};
