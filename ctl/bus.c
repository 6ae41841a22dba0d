/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <time.h>

#include "base/exit-codes.h"
#include "base/sentence.h"
#include "base/str.h"
#include "ctl/bus.h"
#include "layout/layout.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define MANAGER SYSTEMD, SYSTEMD_PATH, SYSTEMD ".Manager"
#define UNIT_PREFIX "inferno@"
#define UNIT_SUFFIX ".service"

/* What systemd or the bus says against a call; the common reasons with their remedy. */
static int bus_failure(char **ret_error, int r, const sd_bus_error *error, const char *what) {
        if (r == -ETIMEDOUT || sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) || sd_bus_error_has_name(error, SD_BUS_ERROR_TIMEOUT))
                return sentence(ret_error, -ETIMEDOUT, "%s: systemd has not answered within %d s: see 'systemctl status'.", what,
                                (int) (BUS_TIMEOUT_USEC / USEC_PER_SEC));
        if (sd_bus_error_has_name(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED) || sd_bus_error_has_name(error, SD_BUS_ERROR_ACCESS_DENIED))
                return sentence(ret_error, -EACCES, "%s: not permitted, try it with sudo.", what);
        return sentence(ret_error, r, "%s: %s.", what, error && error->message ? error->message : strerrordesc_np(-r));
}

int bus_open(sd_bus **ret, char **ret_error) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_open_system(&bus);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(bus, BUS_TIMEOUT_USEC);
        if (r < 0)
                return sentence(ret_error, r, "Cannot reach the system bus: %s. Does systemd run here, and dbus.socket?", strerrordesc_np(-r));
        *ret = TAKE_PTR(bus);
        return 0;
}

int bus_get_systemd_version(sd_bus *bus, char **ret, char **ret_error) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_get_property_string(bus, MANAGER, "Version", &error, ret);
        return r < 0 ? bus_failure(ret_error, r, &error, "Cannot ask systemd for its version") : 0;
}

void bus_unit_done(BusUnit *u) {
        char *const strings[] = { u->load_state, u->active_state, u->sub_state, u->file_state, u->result, u->status_text, u->slice, u->control_group,
                                  u->description, u->invocation_id };

        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                free(strings[i]);
        strv_free(u->environment);
        *u = (BusUnit) {};
}

typedef struct Property {
        const char *name, *type;
        size_t offset;
} Property;

#define PROPERTY(name, type, member) { name, type, offsetof(BusUnit, member) }

static const Property properties[] = {
        PROPERTY("LoadState", "s", load_state),
        PROPERTY("ActiveState", "s", active_state),
        PROPERTY("SubState", "s", sub_state),
        PROPERTY("UnitFileState", "s", file_state),
        PROPERTY("Description", "s", description),
        PROPERTY("InvocationID", "ay", invocation_id),
        PROPERTY("ActiveEnterTimestamp", "t", active_enter_usec),
        PROPERTY("ActiveExitTimestamp", "t", active_exit_usec),
        PROPERTY("InactiveEnterTimestamp", "t", inactive_enter_usec),
        PROPERTY("InactiveExitTimestamp", "t", inactive_exit_usec),
        PROPERTY("ExecMainExitTimestamp", "t", main_exit_usec),
        PROPERTY("Environment", "as", environment),
        PROPERTY("NeedDaemonReload", "b", need_daemon_reload),
        PROPERTY("Result", "s", result),
        PROPERTY("StatusText", "s", status_text),
        PROPERTY("Slice", "s", slice),
        PROPERTY("ControlGroup", "s", control_group),
        PROPERTY("MemoryCurrent", "t", memory_current),
        PROPERTY("CPUUsageNSec", "t", cpu_usage_nsec),
        PROPERTY("TasksCurrent", "t", tasks_current),
        PROPERTY("MainPID", "u", main_pid),
        PROPERTY("NRestarts", "u", n_restarts),
        PROPERTY("ExecMainCode", "i", main_code),
        PROPERTY("ExecMainStatus", "i", main_status),
};

static int read_id(sd_bus_message *m, char **ret) {
        const uint8_t *bytes;
        const void *data;
        size_t n;
        char *hex;
        int r;

        r = sd_bus_message_read_array(m, 'y', &data, &n);
        if (r < 0)
                return r;
        hex = calloc(1, 2 * n + 1);
        if (!hex)
                return -ENOMEM;
        bytes = data;
        for (size_t i = 0; i < n; i++)
                sprintf(hex + 2 * i, "%02x", bytes[i]);
        free(*ret);
        *ret = hex;
        return 0;
}

static int read_property(sd_bus_message *m, const Property *p, BusUnit *u) {
        void *target = (char *) u + p->offset;
        const char *s;
        int r, b;

        r = sd_bus_message_enter_container(m, 'v', p->type);
        if (r < 0)
                return r;
        switch (p->type[0]) {
        case 's':
                r = sd_bus_message_read(m, "s", &s);
                if (r >= 0)
                        r = free_and_strdup(target, s);
                break;
        case 'a':
                if (p->type[1] == 'y')
                        r = read_id(m, target);
                else {
                        char ***v = target;

                        *v = strv_free(*v);
                        r = sd_bus_message_read_strv(m, v);
                }
                break;
        case 'b':
                r = sd_bus_message_read(m, "b", &b);
                if (r >= 0)
                        *(bool *) target = b;
                break;
        default:
                r = sd_bus_message_read_basic(m, p->type[0], target);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* An a{sv} of which we want some. */
static int read_properties(sd_bus_message *m, BusUnit *u) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const Property *p = properties;
                const char *name;

                r = sd_bus_message_read(m, "s", &name);
                if (r < 0)
                        return r;
                while (p < properties + ELEMENTSOF(properties) && !streq(p->name, name))
                        p++;
                r = p < properties + ELEMENTSOF(properties) ? read_property(m, p, u) : sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int unit_path(const char *vm, char **ret) {
        _cleanup_free_ char *unit = layout_unit_name(vm);

        return unit ? sd_bus_path_encode(SYSTEMD_PATH "/unit", unit, ret) : -ENOMEM;
}

static int fill_empty(BusUnit *u) {
        for (size_t i = 0; i < ELEMENTSOF(properties); i++) {
                char **s = (char **) ((char *) u + properties[i].offset);

                if (!streq(properties[i].type, "s") && !streq(properties[i].type, "ay"))
                        continue;
                if (!*s)
                        *s = strdup("");
                if (!*s)
                        return -ENOMEM;
        }
        return 0;
}

int bus_get_unit(sd_bus *bus, const char *vm, BusUnit *ret, char **ret_error) {
        static const char *const interfaces[] = { SYSTEMD ".Unit", SYSTEMD ".Service" };
        _cleanup_bus_unit_ BusUnit u = { .memory_current = UINT64_MAX, .cpu_usage_nsec = UINT64_MAX, .tasks_current = UINT64_MAX };
        _cleanup_free_ char *path = NULL;
        int r;

        r = unit_path(vm, &path);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(interfaces); i++) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
                _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

                r = sd_bus_call_method(bus, SYSTEMD, path, "org.freedesktop.DBus.Properties", "GetAll", &error, &reply, "s", interfaces[i]);
                if (r < 0) {
                        _cleanup_free_ char *what = strf("Cannot ask systemd about VM '%s'", vm);

                        return what ? bus_failure(ret_error, r, &error, what) : -ENOMEM;
                }
                r = read_properties(reply, &u);
                if (r < 0)
                        return sentence(ret_error, r, "systemd's answer about VM '%s' is not understood: %s.", vm, strerrordesc_np(-r));
        }
        r = fill_empty(&u);
        if (r < 0)
                return r;
        *ret = u;
        u = (BusUnit) {};
        return 0;
}

/* One property of what all kinds of units have in common. */
static int get_unit_string(sd_bus *bus, const char *unit, const char *property, char **ret, char **ret_error) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *path = NULL, *what = strf("Cannot ask systemd about '%s'", unit);
        int r;

        if (!what)
                return -ENOMEM;
        r = sd_bus_path_encode(SYSTEMD_PATH "/unit", unit, &path);
        if (r >= 0)
                r = sd_bus_get_property_string(bus, SYSTEMD, path, SYSTEMD ".Unit", property, &error, ret);
        return r < 0 ? bus_failure(ret_error, r, &error, what) : 0;
}

int bus_get_active_state(sd_bus *bus, const char *unit, char **ret, char **ret_error) {
        return get_unit_string(bus, unit, "ActiveState", ret, ret_error);
}

int bus_get_file_state(sd_bus *bus, const char *unit, char **ret, char **ret_error) {
        return get_unit_string(bus, unit, "UnitFileState", ret, ret_error);
}

static bool is_active(const char *state) {
        return !streq(state, "inactive") && !streq(state, "failed");
}

int bus_vm_is_active(sd_bus *bus, const char *vm, char **ret_error) {
        _cleanup_free_ char *unit = layout_unit_name(vm), *state = NULL;
        int r;

        r = unit ? bus_get_active_state(bus, unit, &state, ret_error) : -ENOMEM;
        return r < 0 ? r : is_active(state);
}

int bus_get_usage(sd_bus *bus, const char *vm, BusUsage *ret, char **ret_error) {
        static const struct {
                const char *interface, *name;
                size_t offset;
        } wanted[] = {
                { SYSTEMD ".Service", "MemoryCurrent", offsetof(BusUsage, memory) },
                { SYSTEMD ".Service", "CPUUsageNSec", offsetof(BusUsage, cpu_nsec) },
                { SYSTEMD ".Service", "TasksCurrent", offsetof(BusUsage, tasks) },
                { SYSTEMD ".Unit", "ActiveEnterTimestamp", offsetof(BusUsage, active_enter_usec) },
        };
        _cleanup_free_ char *path = NULL, *what = strf("Cannot ask systemd about VM '%s'", vm);
        BusUsage u = {};
        int r;

        if (!what)
                return -ENOMEM;
        r = unit_path(vm, &path);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(wanted); i++) {
                _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

                r = sd_bus_get_property_trivial(bus, SYSTEMD, path, wanted[i].interface, wanted[i].name, &error, 't', (char *) &u + wanted[i].offset);
                if (r < 0)
                        return bus_failure(ret_error, r, &error, what);
        }
        if (r >= 0)
                *ret = u;
        return r;
}

bool bus_unit_is_active(const BusUnit *u) {
        return is_active(u->active_state);
}

/* Where a step before it has failed, what systemd says of the main process is still that of the run before. */
int bus_unit_exit_code(const BusUnit *u) {
        if (u->main_exit_usec < u->inactive_exit_usec)
                return streq(u->result, "success") ? 0 : EXIT_FAILED;
        if (u->main_code == CLD_EXITED && u->main_status != 0)
                return u->main_status & 0xff;
        if (u->main_code == CLD_KILLED || u->main_code == CLD_DUMPED)
                return EXIT_SIGNAL_BASE + u->main_status;
        return streq(u->result, "success") ? 0 : EXIT_FAILED;
}

static int compare_summaries(const void *a, const void *b) {
        return strcmp(((const BusUnitSummary *) a)->vm, ((const BusUnitSummary *) b)->vm);
}

static void summary_done(BusUnitSummary *u) {
        free(u->vm);
        free(u->load_state);
        free(u->active_state);
        free(u->sub_state);
}

void bus_unit_summaries_free(BusUnitSummary *u, size_t n) {
        for (size_t i = 0; i < n; i++)
                summary_done(u + i);
        free(u);
}

static int read_summaries(sd_bus_message *m, BusUnitSummary **units, size_t *n) {
        const char *id, *load, *active, *sub;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(ssssssouso)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "(ssssssouso)", &id, NULL, &load, &active, &sub, NULL, NULL, NULL, NULL, NULL)) > 0) {
                const char *instance = startswith(id, UNIT_PREFIX);
                BusUnitSummary *u, one = {};

                if (!instance || !endswith(instance, UNIT_SUFFIX))
                        continue;
                one.vm = strndup(instance, strlen(instance) - strlen(UNIT_SUFFIX));
                one.load_state = strdup(load);
                one.active_state = strdup(active);
                one.sub_state = strdup(sub);
                u = one.vm && one.load_state && one.active_state && one.sub_state ? GREEDY_APPEND(*units, *n) : NULL;
                if (!u) {
                        summary_done(&one);
                        return -ENOMEM;
                }
                *u = one;
                ++*n;
        }
        return r;
}

int bus_list_units(sd_bus *bus, BusUnitSummary **ret, size_t *ret_n, char **ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        BusUnitSummary *units = NULL;
        size_t n = 0;
        int r;

        r = sd_bus_call_method(bus, MANAGER, "ListUnitsByPatterns", &error, &reply, "asas", 0, 1, UNIT_PREFIX "*" UNIT_SUFFIX);
        if (r < 0)
                return bus_failure(ret_error, r, &error, "Cannot ask systemd for its units");
        r = read_summaries(reply, &units, &n);
        if (r < 0) {
                bus_unit_summaries_free(units, n);
                return sentence(ret_error, r, "systemd's list of units is not understood: %s.", strerrordesc_np(-r));
        }
        if (n > 0)
                qsort(units, n, sizeof(*units), compare_summaries);
        *ret = units;
        *ret_n = n;
        return 0;
}

/* A method of the manager whose first argument is the unit, and whose answer has nothing for us. */
static int call_about_unit(sd_bus *bus, const char *method, const char *vm, char **ret_error) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *unit = layout_unit_name(vm), *what = strf("%s of VM '%s' by systemd", method, vm);
        int r;

        if (!unit || !what)
                return -ENOMEM;
        r = sd_bus_call_method(bus, MANAGER, method, &error, NULL, "s", unit);
        return r < 0 ? bus_failure(ret_error, r, &error, what) : 0;
}

int bus_ref_unit(sd_bus *bus, const char *vm, char **ret_error) {
        return call_about_unit(bus, "RefUnit", vm, ret_error);
}

int bus_reset_failed(sd_bus *bus, const char *vm, char **ret_error) {
        return call_about_unit(bus, "ResetFailedUnit", vm, ret_error);
}

int bus_kill_unit(sd_bus *bus, const char *vm, const char *who, int signo, char **ret_error) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *unit = layout_unit_name(vm), *what = strf("Cannot send a signal to the processes of VM '%s'", vm);
        int r;

        if (!unit || !what)
                return -ENOMEM;
        r = sd_bus_call_method(bus, MANAGER, "KillUnit", &error, NULL, "ssi", unit, who, (int32_t) signo);
        return r < 0 ? bus_failure(ret_error, r, &error, what) : 0;
}

int bus_subscribe(sd_bus *bus, char **ret_error) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_call_method(bus, MANAGER, "Subscribe", &error, NULL, NULL);
        if (r < 0 && !sd_bus_error_has_name(&error, SYSTEMD ".AlreadySubscribed"))
                return bus_failure(ret_error, r, &error, "Cannot subscribe to systemd's signals");
        return 0;
}

static int on_change(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return 0;               /* it has woken whoever waits */
}

int bus_watch_unit(sd_bus *bus, const char *vm, sd_bus_slot **ret) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = unit_path(vm, &path);
        if (r < 0)
                return r;
        return sd_bus_match_signal(bus, ret, SYSTEMD, path, "org.freedesktop.DBus.Properties", "PropertiesChanged", on_change, NULL);
}

static uint64_t now(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / NSEC_PER_USEC;
}

uint64_t bus_deadline(uint64_t usec) {
        uint64_t t = now();

        return usec > UINT64_MAX - t ? UINT64_MAX : t + usec;
}

int bus_wait_change(sd_bus *bus, uint64_t deadline) {
        for (;;) {
                uint64_t t;
                int r;

                r = sd_bus_process(bus, NULL);
                if (r != 0)
                        return r < 0 ? r : 0;
                t = now();
                if (t >= deadline)
                        return -ETIMEDOUT;
                r = sd_bus_wait(bus, deadline == UINT64_MAX ? UINT64_MAX : deadline - t);
                if (r < 0 && r != -EINTR)
                        return r;
        }
}

typedef struct Job {
        char *name, *path;              /* name: of the VM, or of another unit */
        char *result;                   /* NULL: not yet */
} Job;

struct BusJobs {
        sd_bus *bus;
        sd_bus_slot *slot;
        Job *jobs;
        size_t n;
};

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *path, *unit, *result;
        BusJobs *j = userdata;

        if (sd_bus_message_read(m, "uoss", NULL, &path, &unit, &result) < 0)
                return 0;
        for (size_t i = 0; i < j->n; i++)
                if (!j->jobs[i].result && streq(j->jobs[i].path, path))
                        j->jobs[i].result = strdup(result);
        return 0;
}

int bus_jobs_new(sd_bus *bus, BusJobs **ret, char **ret_error) {
        _cleanup_(bus_jobs_freep) BusJobs *j = calloc(1, sizeof(*j));
        int r;

        if (!j)
                return -ENOMEM;
        j->bus = sd_bus_ref(bus);
        r = sd_bus_match_signal(bus, &j->slot, SYSTEMD, SYSTEMD_PATH, SYSTEMD ".Manager", "JobRemoved", on_job_removed, j);
        if (r >= 0)
                r = bus_subscribe(bus, ret_error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

BusJobs *bus_jobs_free(BusJobs *j) {
        if (!j)
                return NULL;
        sd_bus_slot_unref(j->slot);
        sd_bus_unref(j->bus);
        for (size_t i = 0; i < j->n; i++) {
                free(j->jobs[i].name);
                free(j->jobs[i].path);
                free(j->jobs[i].result);
        }
        free(j->jobs);
        free(j);
        return NULL;
}

/* The answer comes before the signal, and signals are dispatched in bus_jobs_wait() or the event loop only, so the path is known by then. */
static int add_job(BusJobs *j, const char *method, const char *name, const char *unit, char **ret_error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *what = strf("%s of '%s' by systemd", method, name), *name_copy = strdup(name), *path_copy = NULL;
        const char *path;
        Job *slot;
        int r;

        if (!what || !name_copy)
                return -ENOMEM;
        r = sd_bus_call_method(j->bus, MANAGER, method, &error, &reply, "ss", unit, "replace");
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                return bus_failure(ret_error, r, &error, what);
        path_copy = strdup(path);
        slot = path_copy ? GREEDY_APPEND(j->jobs, j->n) : NULL;
        if (!slot)
                return -ENOMEM;
        *slot = (Job) { .name = TAKE_PTR(name_copy), .path = TAKE_PTR(path_copy) };
        j->n++;
        return 0;
}

int bus_jobs_add(BusJobs *j, const char *method, const char *vm, char **ret_error) {
        _cleanup_free_ char *unit = layout_unit_name(vm);

        return unit ? add_job(j, method, vm, unit, ret_error) : -ENOMEM;
}

int bus_jobs_add_unit(BusJobs *j, const char *method, const char *unit, char **ret_error) {
        return add_job(j, method, unit, unit, ret_error);
}

size_t bus_jobs_pending(const BusJobs *j) {
        size_t n = 0;

        for (size_t i = 0; i < j->n; i++)
                n += !j->jobs[i].result;
        return n;
}

const char *bus_jobs_result(const BusJobs *j, const char *vm) {
        for (size_t i = j->n; i-- > 0;)
                if (streq(j->jobs[i].name, vm))
                        return j->jobs[i].result;
        return NULL;
}

bool bus_jobs_waits_for(const BusJobs *j, const char *vm) {
        for (size_t i = 0; i < j->n; i++)
                if (!j->jobs[i].result && streq(j->jobs[i].name, vm))
                        return true;
        return false;
}

int bus_jobs_wait(BusJobs *j, uint64_t timeout_usec) {
        uint64_t deadline = bus_deadline(timeout_usec);
        int r;

        while (bus_jobs_pending(j) > 0) {
                r = bus_wait_change(j->bus, deadline);
                if (r < 0)
                        return r;
        }
        return 0;
}
