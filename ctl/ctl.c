/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sentence.h"
#include "base/str.h"
#include "ctl/bus.h"
#include "ctl/ctl.h"
#include "ctl/options.h"
#include "json/json.h"
#include "layout/layout.h"

int ctl_log_sentence(int r, const char *text) {
        if (text || r == -ENOMEM)
                log_error("%s", text ?: "Out of memory.");
        else
                log_error_errno(r, "Failed: %m.%s%s", *errno_remedy(r) ? " " : "", errno_remedy(r));
        return r;
}

static int fail(int r, const char *text) {
        (void) ctl_log_sentence(r, text);
        return EXIT_FAILED;
}

static void ctl_done(Ctl *c) {
        sd_bus_flush_close_unref(c->bus);
        store_free(c->store);
        site_config_done(&c->site);
}

int ctl_need_site(Ctl *c) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        int r;

        if (c->have_site)
                return 0;
        r = site_config_load(&c->site, &errors);
        if (r < 0) {
                if (errors.n_lines > 0)
                        (void) definition_errors_log(&errors, r);
                else
                        log_error_errno(r, "Cannot read inferno.conf: %m");
                return EXIT_FAILED;
        }
        if (net_range_parse(c->site.network, &c->range) < 0) {
                log_error("Network=%s of inferno.conf is no network for guests: it must be like 172.16.0.0/12, with a prefix from 8 to 30.",
                          c->site.network);
                site_config_done(&c->site);
                return EXIT_FAILED;
        }
        c->have_site = true;
        return 0;
}

int ctl_need_store(Ctl *c) {
        _cleanup_free_ char *error = NULL;
        int r;

        if (c->store)
                return 0;
        r = store_open(&c->store, &error);
        return r < 0 ? fail(r, error) : 0;
}

int ctl_want_store(Ctl *c) {
        _cleanup_free_ char *path = layout_path(LAYOUT_DATABASE);

        if (!path)
                return fail(-ENOMEM, NULL);
        return access(path, R_OK | W_OK) < 0 && (errno == ENOENT || errno == EACCES) ? 0 : ctl_need_store(c);
}

int ctl_need_bus(Ctl *c) {
        _cleanup_free_ char *error = NULL;
        int r;

        if (c->bus)
                return 0;
        r = bus_open(&c->bus, &error);
        return r < 0 ? fail(r, error) : 0;
}

int ctl_load_definition(Ctl *c, const char *vm, Definition **ret) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        int r;

        r = ctl_need_site(c);
        if (r != 0)
                return r;
        r = definition_load(vm, &c->site, ret, &errors);
        if (r >= 0)
                return 0;
        if (errors.n_lines > 0)
                (void) definition_errors_log(&errors, r);
        else
                log_error_errno(r, "Cannot read the definition of VM '%s': %m", vm);
        return r == -ENOENT || r == -ERFKILL ? CTL_NO_SUCH_VM : EXIT_FAILED;
}

/* The definition alone, without a word. A wrong one is one, too. */
static bool has_definition(Ctl *c, const char *vm) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_freep) Definition *d = NULL;
        int r;

        r = definition_load(vm, &c->site, &d, &errors);
        return r != -ENOENT && r != -ERFKILL;
}

static int check_unit(Ctl *c, const char *vm, bool want_active) {
        _cleanup_free_ char *error = NULL;
        int r;

        r = ctl_need_site(c);
        if (r == 0)
                r = ctl_need_bus(c);
        if (r != 0)
                return r;
        r = bus_vm_is_active(c->bus, vm, &error);
        if (r != 0)
                return r < 0 ? fail(r, error) : 0;
        if (!has_definition(c, vm)) {
                log_error("There is no VM '%s': no definition '%s.vm' is in /etc/inferno/vms or the other folders, see inferno.vm(5).", vm, vm);
                return CTL_NO_SUCH_VM;
        }
        if (want_active) {
                log_error("VM '%s' does not run.", vm);
                return CTL_NOT_RUNNING;
        }
        return 0;
}

int ctl_check_vm(Ctl *c, const char *vm) {
        int r;

        r = ctl_need_site(c);
        if (r != 0)
                return r;
        return has_definition(c, vm) ? 0 : check_unit(c, vm, false);
}

int ctl_check_running(Ctl *c, const char *vm) {
        return check_unit(c, vm, true);
}

json_t *ctl_published_to_json(const PublishedPort *ports, size_t n) {
        json_t *a = json_array();

        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *address = published_port_address(ports + i);

                if (!address || json_array_append_new(a, json_pack("{s:s, s:i, s:i, s:s}", "address", address, "host_port", (int) ports[i].host_port,
                                                                   "guest_port", (int) ports[i].guest_port, "protocol",
                                                                   published_port_protocol(ports + i))) < 0) {
                        json_decref(a);
                        return NULL;
                }
        }
        return a;
}

int ctl_flush(void) {
        if (fflush(stdout) != 0 || ferror(stdout))
                return log_error_errno(errno > 0 ? errno : EIO, "Cannot write to standard output: %m");
        return 0;
}

int ctl_print_json(json_t *j_consume) {
        int r = j_consume ? json_dumpf(j_consume, stdout, JSON_INDENT(2)) : 0;

        if (!j_consume)
                return log_oom();
        json_decref(j_consume);
        if (r >= 0)
                putchar('\n');
        return r < 0 ? log_error_errno(errno > 0 ? errno : EIO, "Cannot write to standard output: %m") : ctl_flush();
}

/* A name per line, for scripts and completion. */
static int print_names(const Table *t) {
        _cleanup_json_ json_t *rows = table_to_json(t);
        const char *key;
        json_t *row, *value;
        size_t i;

        if (!rows)
                return log_oom();
        json_array_foreach(rows, i, row) {
                json_object_foreach(row, key, value) {
                        _cleanup_free_ char *text = text_escape(json_string_value(value) ?: "");

                        if (!text)
                                return log_oom();
                        puts(text);
                        break;
                }
        }
        return ctl_flush();
}

int ctl_print_table(const Ctl *c, const Table *t) {
        _cleanup_free_ char *text = NULL;

        if (c->format == CTL_JSON)
                return ctl_print_json(table_to_json(t));
        if (c->quiet)
                return print_names(t);
        if (table_format(t, terminal_width(), &text) < 0)
                return log_oom();
        fputs(text, stdout);
        return ctl_flush();
}

int ctl_main(int argc, char **argv) {
        _cleanup_command_line_ CommandLine l = {};
        _cleanup_(ctl_done) Ctl c = {};
        _cleanup_free_ char *error = NULL;
        int r;

        log_setup(argv[0], LOG_TARGET_STDERR);
        (void) setlocale(LC_CTYPE, "C.UTF-8");
        (void) umask(0022);

        r = command_line_parse(argc, argv, &l, &error);
        if (r < 0) {
                (void) ctl_log_sentence(r, error);
                return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
        }
        if (l.help) {
                help_print(stdout, &l);
                return ctl_flush() < 0 ? EXIT_FAILED : 0;
        }
        if (l.version) {
                puts("inferno " INFERNO_VERSION);
                return ctl_flush() < 0 ? EXIT_FAILED : 0;
        }
        if (l.command->flags & COMMAND_ROOT && geteuid() != 0) {
                log_error("'infernoctl %s' is for root: try it with sudo.", l.command->name);
                return EXIT_FAILED;
        }
        c.command = l.command;
        c.format = streq_ptr(l.format, "json") ? CTL_JSON : CTL_TABLE;
        c.quiet = l.quiet;
        r = l.command->run(&c, l.args, l.n_args);
        return r < 0 ? EXIT_FAILED : r;
}
