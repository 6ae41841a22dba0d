/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "ctl/ask.h"
#include "ctl/definition-file.h"
#include "ctl/program.h"
#include "definition/words.h"

enum { TEXT_MAX = 1024 * 1024 };

/* $EDITOR may have options of its own. */
static int run_editor(const char *path) {
        const char *line = getenv("SYSTEMD_EDITOR") ?: getenv("VISUAL") ?: getenv("EDITOR") ?: "editor", *reason;
        _cleanup_strv_ char **words = NULL;
        int r;

        r = words_split(line, &words, &reason);
        if (r < 0 || !words[0]) {
                log_error("$EDITOR is \"%.100s\", which is no command.", line);
                return EXIT_FAILED;
        }
        r = strv_extend(&words, path);
        if (r < 0)
                return log_oom();
        r = program_run((const char *const *) words);
        if (r > 0)
                log_error("The editor '%s' has failed: nothing is changed.", words[0]);
        return r < 0 ? r : r > 0 ? EXIT_FAILED : 0;
}

/* Until it is right, or the user gives up. 0 with the new text, or an exit code. */
static int edit(Ctl *c, const char *vm, const char *path, char **ret, Definition **ret_definition) {
        for (;;) {
                _cleanup_free_ char *text = NULL;
                size_t n;
                int r;

                r = run_editor(path);
                if (r != 0)
                        return r;
                r = read_file_at(AT_FDCWD, path, TEXT_MAX, &text, &n);
                if (r < 0)
                        return log_error_errno(r, "Cannot read '%s': %m", path);
                r = definition_file_check(c, vm, text, ret_definition);
                if (r == 0) {
                        *ret = TAKE_PTR(text);
                        return 0;
                }
                if (!ask("Edit again?", true)) {
                        log_error("The definition of VM '%s' is not changed.", vm);
                        return EXIT_FAILED;
                }
        }
}

static int publish(const char *vm, const char *old_path, const char *old, const char *text) {
        _cleanup_free_ char *now_path = NULL, *now = NULL;
        _cleanup_close_ int lock_fd = -EBADF;
        int r;

        lock_fd = definition_file_lock(vm);
        if (lock_fd < 0)
                return lock_fd;
        r = definition_file_read(vm, &now_path, &now);
        if (r != 0)
                return r;
        if (!streq(now_path, old_path) || !streq(now, old)) {
                log_error("The definition of VM '%s' has been changed by somebody else meanwhile: nothing is written.", vm);
                return EXIT_FAILED;
        }
        return definition_file_write(vm, text, false);
}

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *path = NULL, *old = NULL, *text = NULL, *copy = NULL;
        _cleanup_(definition_freep) Definition *d = NULL;
        char dir[] = "/tmp/infernoctl-XXXXXX";
        int r;

        r = definition_file_read(args[0], &path, &old);
        if (r != 0)
                return r;
        if (!mkdtemp(dir))
                return log_error_errno(errno, "Cannot make a directory in /tmp: %m");
        copy = strjoin(dir, "/", args[0], ".vm");
        r = copy ? write_file_atomic_at(AT_FDCWD, copy, old, strlen(old), 0600, 0) : -ENOMEM;
        if (r < 0)
                log_error_errno(r, "Cannot write '%s': %m", copy ?: dir);
        else
                r = edit(c, args[0], copy, &text, &d);
        (void) remove_tree_at(AT_FDCWD, dir);
        if (r != 0)
                return r;
        if (streq(text, old)) {
                if (!c->quiet)
                        log_info("Nothing is changed.");
                return 0;
        }
        r = publish(args[0], path, old, text);
        return r != 0 ? r : definition_file_changed(c, d);
}

const Command command_edit = {
        .name = "edit",
        .group = GROUP_DEFINITIONS,
        .synopsis = "NAME",
        .summary = "Edit the definition of a VM, which is checked before it counts",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_VM,
        .flags = COMMAND_ROOT,
        .run = run,
};
