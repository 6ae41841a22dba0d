/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <net/if.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "ctl/guest.h"
#include "ctl/unit.h"
#include "json/json.h"
#include "layout/layout.h"
#include "version/pin.h"
#include "version/version.h"
#include "volume/volume.h"

enum { EXIT_STATUS_MAX = 64 * 1024 };

/* All is gathered as one document, which --format=json prints, and the other form is made from. Each part is asked for by itself: what cannot be had is
 * null, and why is said on standard error, where it is not just that the VM does not run. */
typedef struct Status {
        Ctl *c;
        const char *vm;
        BusUnit unit;
        Definition *definition;         /* NULL: none, or wrong */
        char *published;                /* for people; NULL: not known */
        json_t *doc;
        int code;                       /* of what went wrong */
} Status;

static void status_done(Status *s) {
        bus_unit_done(&s->unit);
        definition_free(s->definition);
        free(s->published);
        json_decref(s->doc);
}

static json_t *text(const char *s) {
        return isempty(s) ? json_null() : json_string_lossy(s, strlen(s));
}

/* 0 and what is above INT64_MAX are systemd's "never" and "not known". */
static json_t *number(uint64_t n) {
        return n <= INT64_MAX ? json_integer((json_int_t) n) : json_null();
}

static json_t *moment(uint64_t usec) {
        return usec == 0 ? json_null() : number(usec);
}

static void set(json_t *o, const char *key, json_t *value_consume) {
        (void) json_object_set_new(o, key, value_consume ?: json_null());
}

/* Makes the object that a part of the document is. */
static json_t *part(Status *s, const char *key) {
        json_t *o = json_object();

        set(s->doc, key, o);
        return o;
}

static void note(Status *s, int r) {
        if (r != 0)
                s->code = EXIT_FAILED;
}

static void add_definition(Status *s) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        json_t *o;
        int r;

        r = definition_load(s->vm, &s->c->site, &s->definition, &errors);
        if (r < 0) {
                (void) definition_errors_log(&errors, r);
                note(s, r);
                return;
        }
        o = part(s, "definition");
        set(o, "path", text(s->definition->path));
        set(o, "image", text(s->definition->image));
        set(o, "vcpus", json_real(s->definition->vcpu_millis / 1000.0));
        set(o, "memory", number(s->definition->memory));
        set(o, "tenant", text(s->definition->tenant));
}

static void add_unit(Status *s) {
        json_t *o = part(s, "unit");
        const BusUnit *u = &s->unit;
        _cleanup_free_ char *name = layout_unit_name(s->vm);

        set(o, "name", text(name));
        set(o, "state", text(u->active_state));
        set(o, "sub_state", text(u->sub_state));
        set(o, "file_state", text(u->file_state));
        set(o, "result", text(u->result));
        set(o, "status", text(u->status_text));
        set(o, "main_pid", u->main_pid > 0 ? number(u->main_pid) : json_null());
        set(o, "restarts", number(u->n_restarts));
        set(o, "slice", text(u->slice));
        set(o, "invocation_id", text(u->invocation_id));
        set(o, "active_since", moment(u->active_enter_usec));
        set(o, "inactive_since", moment(u->inactive_enter_usec));
        set(o, "needs_daemon_reload", json_boolean(u->need_daemon_reload));
}

static void add_resources(Status *s) {
        json_t *o = part(s, "resources");

        set(o, "memory", number(s->unit.memory_current));
        set(o, "cpu_usec", s->unit.cpu_usage_nsec == UINT64_MAX ? json_null() : number(s->unit.cpu_usage_nsec / NSEC_PER_USEC));
        set(o, "tasks", number(s->unit.tasks_current));
}

/* Asked now, not remembered. */
static void add_guest(Status *s) {
        _cleanup_free_ char *error = NULL;
        json_t *guest, *metrics;
        int r;

        r = guest_call(s->vm, "GET", "/v1/status", NULL, GUEST_TIMEOUT_USEC, &guest, &error);
        if (r >= 0) {
                set(s->doc, "guest", guest);
                r = guest_call(s->vm, "GET", "/v1/metrics", NULL, GUEST_TIMEOUT_USEC, &metrics, &error);
                if (r >= 0)
                        set(guest, "metrics", metrics);
        }
        if (r < 0)
                note(s, ctl_log_sentence(r, error));
}

/* Those that lead to the VM now. Without its TAP none does, whatever a power cut has left in the database. */
static void add_published(Status *s, json_t *network, bool interface_is_there) {
        _cleanup_free_ PublishedPort *ports = NULL;
        size_t n = 0;
        int r;

        r = interface_is_there ? store_ports_list(s->c->store, s->vm, &ports, &n) : 0;
        if (r < 0)
                note(s, ctl_log_sentence(r, store_error(s->c->store)));
        set(network, "published", ctl_published_to_json(ports, n));
        s->published = published_ports_to_string(ports, n);
}

static void add_network(Status *s) {
        _cleanup_free_ char *tap = NULL;
        NetAddress address;
        unsigned index;
        json_t *o;
        int r;

        r = store_network_get(s->c->store, s->vm, &index);
        if (r == -ENOENT)
                return;
        if (r < 0) {
                note(s, ctl_log_sentence(r, store_error(s->c->store)));
                return;
        }
        tap = layout_tap_name(index);
        if (net_range_address(&s->c->range, index, &address) < 0 || !tap)
                return;
        o = part(s, "network");
        set(o, "address", text(address.guest_string));
        set(o, "gateway", text(address.host_string));
        set(o, "mac", text(address.mac_string));
        set(o, "interface", text(tap));
        set(o, "interface_is_there", json_boolean(if_nametoindex(tap) > 0));
        add_published(s, o, if_nametoindex(tap) > 0);
}

static void add_version(Status *s) {
        _cleanup_free_ StoreVersion *versions = NULL;
        char current[ULID_STRING_SIZE], pin[ULID_STRING_SIZE];
        size_t n;
        int r;

        if (version_get_current(s->vm, current) < 0)
                return;
        r = store_version_list(s->c->store, s->vm, &versions, &n);
        if (r < 0) {
                note(s, ctl_log_sentence(r, store_error(s->c->store)));
                return;
        }
        for (size_t i = 0; i < n; i++)
                if (streq(versions[i].ulid, current)) {
                        json_t *o = part(s, "version");

                        set(o, "id", text(current));
                        set(o, "created", moment(versions[i].created_usec));
                        set(o, "image_digest", text(versions[i].image_digest));
                        set(o, "pinned", s->definition && version_pin_get(s->vm, s->definition->files, pin) > 0 ? text(pin) : json_null());
                        set(o, "kept", number(n));
                }
}

static void add_volumes(Status *s) {
        json_t *list = json_array();

        set(s->doc, "volumes", list);
        for (size_t i = 0; s->definition && i < s->definition->n_volumes; i++) {
                const VolumeUse *use = s->definition->volumes + i;
                _cleanup_store_volume_ StoreVolume v = {};
                StoreAttachment *attachments = NULL;
                size_t n = 0;
                json_t *o = json_object();
                uint64_t usage;
                int r;

                (void) json_array_append_new(list, o);
                set(o, "name", text(use->name));
                set(o, "mount_point", text(use->mount_point));
                set(o, "read_only", json_boolean(use->read_only));
                set(o, "encrypted", json_boolean(use->encrypted));
                r = store_volume_get(s->c->store, use->name, &v);
                if (r >= 0)
                        r = store_volume_attachments(s->c->store, use->name, s->vm, &attachments, &n);
                if (r < 0 && r != -ENOENT)
                        note(s, ctl_log_sentence(r, store_error(s->c->store)));
                set(o, "size", v.name ? number(v.size) : json_null());
                set(o, "used", v.name && volume_get_usage(&v, &usage) >= 0 ? number(usage) : json_null());
                set(o, "attached", json_boolean(n > 0));
                store_attachments_free(attachments, n);
        }
}

/* kiln's words in the jail, which a VMM that was broken into could have replaced: bounded, and of known keys only. */
static void add_last_exit(Status *s) {
        typedef struct LastExit {
                int64_t exit_code, signal;
                bool oom_killed;
                char *message, *reason;
                uint64_t finished_usec;
        } LastExit;
        static const JsonField fields[] = {
                { "exit_code", json_read_int64, offsetof(LastExit, exit_code), JSON_MANDATORY },
                { "signal", json_read_int64, offsetof(LastExit, signal), 0 },
                { "oom_killed", json_read_bool, offsetof(LastExit, oom_killed), 0 },
                { "message", json_read_string, offsetof(LastExit, message), 0 },
                { "reason", json_read_string, offsetof(LastExit, reason), 0 },
                { "finished_usec", json_read_uint64, offsetof(LastExit, finished_usec), 0 },
                {},
        };
        _cleanup_close_ int root_fd = -EBADF, fd = -EBADF;
        char current[ULID_STRING_SIZE], error[JSON_ERROR_MAX], buffer[EXIT_STATUS_MAX];
        _cleanup_json_ json_t *j = NULL;
        LastExit e = {};
        ssize_t n;
        json_t *o;

        if (version_get_current(s->vm, current) < 0)
                return;
        root_fd = version_open_root(current);
        if (root_fd >= 0)
                fd = open_beneath(root_fd, JAIL_EXIT_STATUS, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
        n = fd >= 0 ? read_full(fd, buffer, sizeof(buffer)) : -1;
        if (n < 0)
                return;
        if (json_parse(buffer, (size_t) n, sizeof(buffer), &j, error) >= 0 && json_read_object(j, fields, 0, &e, error) >= 0) {
                o = part(s, "last_exit");
                set(o, "exit_code", json_integer(e.exit_code));
                set(o, "signal", json_integer(e.signal));
                set(o, "oom_killed", json_boolean(e.oom_killed));
                set(o, "reason", text(e.reason));
                set(o, "message", text(e.message));
                set(o, "finished", moment(e.finished_usec));
        }
        free(e.message);
        free(e.reason);
}

/* For people, from the same document. */

static void line(StrBuf *b, const char *title, const char *format, ...) _printf_(3, 4);
static void line(StrBuf *b, const char *title, const char *format, ...) {
        _cleanup_free_ char *raw = NULL, *fit = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&raw, format, ap) < 0)
                raw = NULL;
        va_end(ap);
        fit = raw ? text_escape(raw) : NULL;
        if (fit)
                strbuf_addf(b, "%13s %s\n", title, fit);
        else
                b->failed = true;
}

static const char *get_text(const json_t *o, const char *key) {
        return json_string_value(json_object_get(o, key)) ?: "-";
}

static uint64_t get_number(const json_t *o, const char *key) {
        return (uint64_t) json_integer_value(json_object_get(o, key));
}

static bool has(const json_t *o, const char *key) {
        return json_is_integer(json_object_get(o, key));
}

static void print_state(StrBuf *b, const json_t *unit, bool active) {
        const char *key = active ? "active_since" : "inactive_since";
        _cleanup_free_ char *since = has(unit, key) ? format_time(get_number(unit, key)) : NULL, *ago = NULL;
        struct timespec now;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        if (since && (uint64_t) now.tv_sec * USEC_PER_SEC > get_number(unit, key))
                ago = format_duration((uint64_t) now.tv_sec * USEC_PER_SEC - get_number(unit, key));
        if (since)
                line(b, "State:", "%s (%s) since %s%s%s", get_text(unit, "state"), get_text(unit, "sub_state"), since, ago ? "; for " : "", ago ?: "");
        else
                line(b, "State:", "%s (%s)", get_text(unit, "state"), get_text(unit, "sub_state"));
}

static void print_guest(StrBuf *b, const json_t *guest, bool active) {
        _cleanup_free_ char *uptime = NULL;

        if (!guest) {
                if (active)
                        line(b, "Guest:", "does not answer");
                return;
        }
        uptime = format_duration(get_number(guest, "uptime_usec"));
        line(b, "Guest:", "%s, workload is process %llu, up %s, %llu out-of-memory kills", get_text(guest, "state"),
             (unsigned long long) get_number(guest, "pid"), uptime ?: "", (unsigned long long) get_number(guest, "oom_kills"));
}

/* What it says of itself; the cgroup of its VMM says what that costs here. */
static void print_metrics(StrBuf *b, const json_t *o) {
        const json_t *memory = json_object_get(o, "memory"), *root = json_object_get(json_object_get(o, "disk"), "root");
        _cleanup_free_ char *used = NULL, *limit = NULL, *size = NULL, *left = NULL;

        if (has(memory, "current")) {
                used = format_bytes(get_number(memory, "current"));
                limit = has(memory, "limit") ? format_bytes(get_number(memory, "limit")) : NULL;
                line(b, "In the guest:", "the workload's memory is %s%s%s, tasks are %llu", used ?: "", limit ? " of " : "", limit ?: "",
                     (unsigned long long) get_number(o, "tasks"));
        }
        if (has(root, "size")) {
                size = format_bytes(get_number(root, "size"));
                left = format_bytes(get_number(root, "free"));
                line(b, "", "%s of %s are free on /", left ?: "", size ?: "");
        }
}

static void print_resources(StrBuf *b, const json_t *o) {
        if (has(o, "memory")) {
                _cleanup_free_ char *bytes = format_bytes(get_number(o, "memory"));

                line(b, "Memory:", "%s", bytes ?: "");
        }
        if (has(o, "cpu_usec")) {
                _cleanup_free_ char *time = format_duration(get_number(o, "cpu_usec"));

                line(b, "CPU:", "%s", time ?: "");
        }
        if (has(o, "tasks"))
                line(b, "Tasks:", "%llu", (unsigned long long) get_number(o, "tasks"));
}

static void print_volume(StrBuf *b, const json_t *v) {
        _cleanup_free_ char *size = has(v, "size") ? format_bytes(get_number(v, "size")) : strdup("not there yet"),
                            *used = has(v, "used") ? format_bytes(get_number(v, "used")) : NULL;

        line(b, "Volume:", "%s at %s, %s%s%s%s%s%s", get_text(v, "name"), get_text(v, "mount_point"), size ?: "", used ? ", uses " : "", used ?: "",
             json_is_true(json_object_get(v, "encrypted")) ? ", encrypted" : "", json_is_true(json_object_get(v, "read_only")) ? ", read-only" : "",
             json_is_true(json_object_get(v, "attached")) ? ", attached" : "");
}

static int print_text(const Status *s) {
        const json_t *d = json_object_get(s->doc, "definition"), *u = json_object_get(s->doc, "unit"), *n = json_object_get(s->doc, "network"),
                     *version = json_object_get(s->doc, "version"), *e = json_object_get(s->doc, "last_exit"), *v;
        bool active = bus_unit_is_active(&s->unit);
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_free_ char *all = NULL;
        size_t i;

        line(&b, "Name:", "%s", s->vm);
        if (d) {
                _cleanup_free_ char *memory = format_bytes(get_number(d, "memory"));

                line(&b, "Definition:", "%s", get_text(d, "path"));
                line(&b, "Image:", "%s", get_text(d, "image"));
                line(&b, "Size:", "%g processors, %s", json_real_value(json_object_get(d, "vcpus")), memory ?: "");
        }
        print_state(&b, u, active);
        if (!streq(get_text(u, "status"), "-"))
                line(&b, "Status:", "%s", get_text(u, "status"));
        if (has(u, "main_pid"))
                line(&b, "Main PID:", "%llu", (unsigned long long) get_number(u, "main_pid"));
        if (get_number(u, "restarts") > 0)
                line(&b, "Restarts:", "%llu", (unsigned long long) get_number(u, "restarts"));
        print_guest(&b, json_object_get(s->doc, "guest"), active);
        print_metrics(&b, json_object_get(json_object_get(s->doc, "guest"), "metrics"));
        if (n)
                line(&b, "Address:", "%s (%s%s)", get_text(n, "address"), get_text(n, "interface"),
                     json_is_true(json_object_get(n, "interface_is_there")) ? "" : ", not there now");
        if (!isempty(s->published))
                line(&b, "Published:", "%s", s->published);
        print_resources(&b, json_object_get(s->doc, "resources"));
        json_array_foreach(json_object_get(s->doc, "volumes"), i, v)
                print_volume(&b, v);
        if (version) {
                _cleanup_free_ char *created = format_time(get_number(version, "created"));

                line(&b, "Version:", "%s of %s", get_text(version, "id"), created ?: "");
                line(&b, "Image digest:", "%s", get_text(version, "image_digest"));
                if (!streq(get_text(version, "pinned"), "-"))
                        line(&b, "Rolled back:", "starts with version %s, see infernoctl rollback", get_text(version, "pinned"));
        }
        if (e) {
                _cleanup_free_ char *finished = format_time(get_number(e, "finished"));

                line(&b, "Last exit:", "%lld (%s) at %s: %s", (long long) json_integer_value(json_object_get(e, "exit_code")), get_text(e, "reason"),
                     finished ?: "", get_text(e, "message"));
        }
        if (s->unit.need_daemon_reload)
                line(&b, "Note:", "the unit has changed on the disk since systemd has read it");
        if (strbuf_finish(&b, &all, NULL) < 0)
                return log_oom();
        fputs(all, stdout);
        return ctl_flush();
}

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_(status_done) Status s = { .c = c, .vm = args[0] };
        int r;

        r = unit_get(c, s.vm, &s.unit);
        if (r != 0)
                return r;
        s.doc = json_object();
        set(s.doc, "name", text(s.vm));
        add_definition(&s);
        add_unit(&s);
        if (streq(s.unit.active_state, "active") || streq(s.unit.active_state, "deactivating"))
                add_guest(&s);
        add_resources(&s);
        r = ctl_want_store(c);
        note(&s, r);
        if (c->store) {
                add_network(&s);
                add_version(&s);
                add_volumes(&s);
        }
        add_last_exit(&s);
        if (!s.doc)
                return log_oom();
        r = c->format == CTL_JSON ? ctl_print_json(json_incref(s.doc)) : print_text(&s);
        if (r < 0)
                return r;
        return s.code != 0 ? s.code : bus_unit_is_active(&s.unit) ? 0 : CTL_NOT_RUNNING;
}

const Command command_status = {
        .name = "status",
        .group = GROUP_VMS,
        .synopsis = "NAME",
        .summary = "Show how a VM is: asked for now, from systemd and from its guest",
        .details = "Exit code 0 where it runs, 3 where it does not, 4 where there is none, 1 where something could not be found out.",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_VM,
        .flags = COMMAND_FORMAT | COMMAND_ROOT,
        .run = run,
};
