/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "json/json.h"
#include "layout/layout.h"

static json_t *text(const char *s) {
        return s ? json_string_lossy(s, strlen(s)) : json_null();
}

static json_t *collect(const Ctl *c) {
        static const char *const pulls[] = { [PULL_MISSING] = "missing", [PULL_ALWAYS] = "always", [PULL_NEVER] = "never" };
        static const char *const vmms[] = { [VMM_AUTO] = "auto", [VMM_FIRECRACKER] = "firecracker", [VMM_EMBER] = "ember" };
        const SiteConfig *s = &c->site;

        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:s, s:s, s:o, s:f, s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I}",
                         "INFERNO_VERSION", INFERNO_VERSION, "DEFINITIONS", layout_definition_dirs[0], "STATE", LAYOUT_STATE_DIR, "DATABASE",
                         LAYOUT_DATABASE, "RUN", LAYOUT_RUN_DIR, "HELPERS", LAYOUT_LIBEXEC_DIR, "KERNEL", text(s->kernel), "FIRECRACKER",
                         text(s->firecracker), "JAILER", text(s->jailer), "VMM", vmms[s->vmm], "PULL", pulls[s->pull], "NETWORK", text(s->network),
                         "VCPUS", s->vcpu_millis / 1000.0, "MEMORY", (json_int_t) s->memory, "ROOT_SIZE", (json_int_t) s->root_size,
                         "STOP_TIMEOUT_USEC", (json_int_t) s->stop_timeout_usec, "AUTH_FILE", text(s->auth_file), "LOCK", text(LAYOUT_LOCK_DIR),
                         "UID_FIRST", (json_int_t) s->uid_base, "UID_LAST", (json_int_t) s->uid_base + s->uid_count - 1, "IMAGE_SIZE_MAX",
                         (json_int_t) s->image_size_max, "IMAGE_ENTRIES_MAX", (json_int_t) s->image_entries_max, "VMM_OVERHEAD_FIRECRACKER",
                         (json_int_t) s->vmm_overhead_firecracker, "VMM_OVERHEAD_EMBER", (json_int_t) s->vmm_overhead_ember);
}

/* NAME=VALUE, as EnvironmentFile= and a shell read it. */
static int print_lines(json_t *j) {
        const char *name;
        json_t *value;

        json_object_foreach(j, name, value) {
                if (json_is_string(value)) {
                        const char *s = json_string_value(value);

                        printf("%s=", name);
                        if (s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@%+-")]) {
                                putchar('\'');
                                for (; *s; s++)
                                        if (*s == '\'')
                                                fputs("'\\''", stdout);
                                        else
                                                putchar(*s);
                                putchar('\'');
                        } else
                                fputs(s, stdout);
                        putchar('\n');
                } else if (json_is_integer(value))
                        printf("%s=%lld\n", name, (long long) json_integer_value(value));
                else if (json_is_real(value))
                        printf("%s=%g\n", name, json_real_value(value));
                else
                        printf("%s=\n", name);
        }
        return ctl_flush();
}

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = ctl_need_site(c);
        if (r != 0)
                return r;
        j = collect(c);
        if (!j)
                return log_oom();
        return c->format == CTL_JSON ? ctl_print_json(json_incref(j)) : print_lines(j);
}

const Command command_env_print = {
        .name = "env print",
        .group = GROUP_HOST,
        .synopsis = "",
        .summary = "Print where things are, and the defaults of inferno.conf",
        .flags = COMMAND_FORMAT,
        .run = run,
};
