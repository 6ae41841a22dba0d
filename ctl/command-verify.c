/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "ctl/ctl.h"

enum { FILE_MAX = 2 * 1024 * 1024 };    /* what is read of a file; of a definition that is too long this is enough to say so */

static const TableColumn columns[] = {
        { "NAME", "name", TABLE_TEXT },
        { "GOOD", "good", TABLE_TEXT },
        { "PROBLEM", "problem", TABLE_TEXT },
        {},
};

typedef struct Verify {
        Table *table;
        bool log;
        size_t n_good, n_wrong;
} Verify;

/* The lines of one definition, which begin with file:line. */
static void add_result(Verify *v, const char *name, int r, const DefinitionErrors *errors) {
        if (r >= 0)
                v->n_good++;
        else {
                v->n_wrong++;
                if (v->log)
                        (void) definition_errors_log(errors, r);
        }
        if (r >= 0) {
                table_add_text(v->table, name);
                table_add_bool(v->table, true);
                table_add_none(v->table);
        }
        for (size_t i = 0; r < 0 && i < errors->n_lines; i++) {
                table_add_text(v->table, name);
                table_add_bool(v->table, false);
                table_add_text(v->table, errors->lines[i]);
        }
}

/* Other errors than those of the definition are the machine's. */
static int check_errno(const char *name, int r) {
        return r >= 0 || r == -EINVAL || r == -ENOENT || r == -ERFKILL ? 0 : log_error_errno(r, "Cannot read the definition '%s': %m", name);
}

static int verify_all(Ctl *c, Verify *v) {
        _cleanup_(definition_set_freep) DefinitionSet *set = NULL;
        _cleanup_definition_errors_ DefinitionErrors names = {};
        int r;

        r = definition_set_new(&set, &names);
        if (r < 0)
                return log_error_errno(r, "Cannot list the definitions: %m");
        if (names.n_lines > 0)
                add_result(v, NULL, -EINVAL, &names);
        for (size_t i = 0; i < definition_set_size(set); i++) {
                _cleanup_definition_errors_ DefinitionErrors errors = {};
                _cleanup_(definition_freep) Definition *d = NULL;

                r = definition_set_load(set, i, &c->site, &d, &errors);
                if (r == -ERFKILL)
                        continue;       /* masked on purpose */
                if (check_errno(definition_set_name(set, i), r) < 0)
                        return r;
                add_result(v, definition_set_name(set, i), r, &errors);
        }
        return 0;
}

/* A file, wherever it lies, as if it were in /etc/inferno/vms with the drop-ins that there are for its name; or the name of a VM. */
static int verify_one(Ctl *c, Verify *v, const char *word) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_free_ char *text = NULL, *name = NULL;
        _cleanup_(definition_freep) Definition *d = NULL;
        const char *slash = strrchr(word, '/');
        size_t n;
        int r;

        if (!slash && !endswith(word, ".vm"))
                r = definition_load(word, &c->site, &d, &errors);
        else {
                name = strdup(slash ? slash + 1 : word);
                if (!name)
                        return log_oom();
                if (!endswith(name, ".vm")) {
                        log_error("verify: '%s' is not named like a definition, NAME.vm.", word);
                        v->n_wrong++;
                        return 0;
                }
                name[strlen(name) - strlen(".vm")] = 0;
                r = read_file_at(AT_FDCWD, word, FILE_MAX, &text, &n);
                if (r < 0) {
                        log_error_errno(r, "verify: cannot read '%s': %m", word);
                        v->n_wrong++;
                        return 0;
                }
                r = definition_load_text(name, word, text, n, &c->site, &d, &errors);
        }
        if (check_errno(word, r) < 0)
                return r;
        add_result(v, name ?: word, r, &errors);
        return 0;
}

/* For people the problems go where errors go. */
static int print(Ctl *c, const Verify *v) {
        if (c->format == CTL_JSON)
                return ctl_print_json(table_to_json(v->table));
        if (c->quiet)
                return 0;
        if (v->n_wrong == 0)
                printf("%zu definition%s, all good.\n", v->n_good, v->n_good == 1 ? "" : "s");
        else
                printf("%zu of %zu definitions %s wrong.\n", v->n_wrong, v->n_good + v->n_wrong, v->n_wrong == 1 ? "is" : "are");
        return ctl_flush();
}

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_(table_freep) Table *table = NULL;
        Verify v = {};
        int r;

        r = ctl_need_site(c);
        if (r != 0)
                return r;
        if (table_new(columns, &table) < 0)
                return log_oom();
        v.table = table;
        v.log = c->format == CTL_TABLE;
        r = n_args == 0 ? verify_all(c, &v) : 0;
        for (size_t i = 0; r >= 0 && i < n_args; i++)
                r = verify_one(c, &v, args[i]);
        if (r >= 0)
                r = print(c, &v);
        if (r < 0)
                return r;
        return v.n_wrong > 0 ? EXIT_FAILED : 0;
}

const Command command_verify = {
        .name = "verify",
        .group = GROUP_DEFINITIONS,
        .synopsis = "[FILE|NAME]…",
        .summary = "Check definitions, all of them or these",
        .details = "Each problem is a line that begins with file:line. Exit code 1 where there is one.",
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_FILE,
        .rest = CTL_WORD_FILE,
        .flags = COMMAND_FORMAT,
        .run = run,
};
