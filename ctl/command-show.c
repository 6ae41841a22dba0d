/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "json/json.h"

enum { FILE_MAX = 1024 * 1024 };

static json_t *text(const char *s) {
        return s ? json_string_lossy(s, strlen(s)) : json_null();
}

/* NULL: the image's own. */
static json_t *list(char *const *v) {
        json_t *a = v ? json_array() : json_null();

        STRV_FOREACH(s, v)
                (void) json_array_append_new(a, text(*s));
        return a;
}

static json_t *volumes(const Definition *d) {
        json_t *a = json_array();

        for (size_t i = 0; i < d->n_volumes; i++) {
                const VolumeUse *v = d->volumes + i;

                (void) json_array_append_new(a, json_pack("{s:o, s:o, s:o, s:I, s:b, s:b}", "name", text(v->name), "mount_point", text(v->mount_point),
                                                          "options", text(v->options), "size", (json_int_t) v->size, "read_only", (int) v->read_only,
                                                          "encrypted", (int) v->encrypted));
        }
        return a;
}

static json_t *pass_through(const Definition *d) {
        json_t *a = json_array();

        for (size_t i = 0; i < d->n_pass; i++)
                (void) json_array_append_new(a, json_pack("{s:s, s:o, s:o}", "section", d->pass[i].section, "key", text(d->pass[i].key), "value",
                                                          text(d->pass[i].value)));
        return a;
}

/* What holds in the end, defaults of inferno.conf included. */
static json_t *to_json(const Definition *d) {
        static const char *const pulls[] = { [PULL_MISSING] = "missing", [PULL_ALWAYS] = "always", [PULL_NEVER] = "never" };
        static const char *const vmms[] = { [VMM_AUTO] = "auto", [VMM_FIRECRACKER] = "firecracker", [VMM_EMBER] = "ember" };

        return json_pack("{s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:s, s:I, s:s, "
                         "s:o, s:o}",
                         "name", text(d->name), "path", text(d->path), "files", list(d->files), "image", text(d->image), "pull", pulls[d->pull],
                         "entrypoint", list(d->entrypoint), "command", list(d->command), "environment", list(d->environment), "environment_files",
                         list(d->environment_files), "user", text(d->user), "working_directory", text(d->working_directory), "hostname",
                         text(d->hostname), "vcpus", d->vcpu_millis / 1000.0, "memory", (json_int_t) d->memory, "kernel", text(d->kernel),
                         "kernel_args", list(d->kernel_args), "bundle", list(d->bundle), "dns", list(d->dns), "add_hosts", list(d->add_hosts),
                         "ssh_keys", list(d->ssh_keys), "published", ctl_published_to_json(d->published, d->n_published), "volumes", volumes(d),
                         "stop_signal", d->stop_signal > 0 ? text(signal_to_string(d->stop_signal)) : json_null(),
                         "stop_timeout_usec", (json_int_t) d->stop_timeout_usec, "root", d->root == ROOT_PERSISTENT ? "persistent" : "ephemeral",
                         "root_size", (json_int_t) d->root_size, "vmm", vmms[d->vmm], "tenant", text(d->tenant), "units", pass_through(d));
}

/* Each file under its name, as systemctl cat has it. */
static int print_files(char *const *files) {
        STRV_FOREACH(file, files) {
                _cleanup_free_ char *content = NULL;
                size_t n;
                int r;

                r = read_file_at(AT_FDCWD, *file, FILE_MAX, &content, &n);
                if (r < 0)
                        return log_error_errno(r, "Cannot read '%s': %m", *file);
                printf("%s# %s\n", file == files ? "" : "\n", *file);
                (void) fwrite(content, 1, n, stdout);
                if (n > 0 && content[n - 1] != '\n')
                        putchar('\n');
        }
        return ctl_flush();
}

/* A wrong definition can be shown, too, since that is how one finds out. */
static int load(Ctl *c, const char *vm, Definition **ret, Definition **ret_wrong, DefinitionErrors *errors) {
        _cleanup_(definition_set_freep) DefinitionSet *set = NULL;
        _cleanup_definition_errors_ DefinitionErrors names = {};
        int r;

        r = definition_set_new(&set, &names);
        if (r < 0)
                return r;
        for (size_t i = 0; i < definition_set_size(set); i++)
                if (streq(definition_set_name(set, i), vm))
                        return definition_set_load_full(set, i, &c->site, ret, ret_wrong, errors);
        return definition_load(vm, &c->site, ret, errors);
}

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_(definition_freep) Definition *d = NULL, *wrong = NULL;
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        int r, loaded;

        r = ctl_need_site(c);
        if (r != 0)
                return r;
        loaded = load(c, args[0], &d, &wrong, &errors);
        if (loaded < 0 && errors.n_lines > 0)
                (void) definition_errors_log(&errors, loaded);
        else if (loaded < 0)
                log_error_errno(loaded, "Cannot read the definition of VM '%s': %m", args[0]);
        if (loaded == -ENOENT || loaded == -ERFKILL)
                return CTL_NO_SUCH_VM;
        r = 0;
        if (c->format == CTL_JSON && d)
                r = ctl_print_json(to_json(d));
        else if (c->format == CTL_TABLE && (d || wrong))
                r = print_files(d ? d->files : wrong->files);
        return r < 0 ? r : loaded < 0 ? EXIT_FAILED : 0;
}

const Command command_show = {
        .name = "show",
        .aliases = "cat",
        .group = GROUP_DEFINITIONS,
        .synopsis = "NAME",
        .summary = "Show the definition of a VM",
        .details = "The files that it is in, or as JSON what holds in the end.",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_VM,
        .flags = COMMAND_FORMAT,
        .run = run,
};
