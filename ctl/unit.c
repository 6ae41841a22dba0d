/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "base/str.h"
#include "ctl/program.h"
#include "ctl/unit.h"
#include "layout/layout.h"
#include "unitfiles/unit-files.h"

int unit_get(Ctl *c, const char *vm, BusUnit *ret) {
        _cleanup_free_ char *error = NULL;
        int r;

        r = ctl_check_vm(c, vm);
        if (r == 0)
                r = ctl_need_bus(c);
        if (r != 0)
                return r;
        r = bus_get_unit(c->bus, vm, ret, &error);
        if (r < 0) {
                (void) ctl_log_sentence(r, error);
                return EXIT_FAILED;
        }
        return 0;
}

/* What the unit's own steps would find in their environment. */
static const char *units_loaded(const BusUnit *u) {
        STRV_FOREACH(e, u->environment) {
                const char *value = startswith(*e, UNIT_FILES_VARIABLE "=");

                if (value)
                        return value;
        }
        return UNIT_FILES_TEMPLATE;
}

int unit_drop_slice(Ctl *c, const char *vm, const char *slice) {
        _cleanup_free_ char *like = layout_slice_name("any", vm), *state = NULL, *error = NULL;
        _cleanup_(bus_jobs_freep) BusJobs *jobs = NULL;
        int r;

        if (!like)
                return log_oom();
        if (!startswith(slice, "inferno-") || !endswith(slice, strrchr(like, '-')) || bus_get_active_state(c->bus, slice, &state, NULL) < 0 ||
            !streq(state, "active"))
                return 0;
        r = bus_jobs_new(c->bus, &jobs, &error);
        if (r >= 0)
                r = bus_jobs_add_unit(jobs, "StopUnit", slice, &error);
        if (r >= 0)
                r = bus_jobs_wait(jobs, BUS_TIMEOUT_USEC);
        if (r < 0) {
                (void) ctl_log_sentence(r, error);
                return EXIT_FAILED;
        }
        return 0;
}

int unit_place(Ctl *c, const Definition *d, const BusUnit *u) {
        _cleanup_free_ char *slice = layout_slice_name(d->tenant, d->name);
        int r;

        if (!slice)
                return log_oom();
        r = unit_drop_slice(c, d->name, u->slice);
        if (r == 0)
                r = unit_drop_slice(c, d->name, slice);
        if (r != 0)
                return r;
        /* What it says by itself where systemd keeps a unit as it was is enough; the start says what that means. */
        return helper_run("inferno-units", "place", "--", d->name) < 0 ? EXIT_FAILED : 0;
}

int unit_prepare_start(Ctl *c, const char *vm, Definition **ret) {
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_bus_unit_ BusUnit u = {};
        int r;

        r = ctl_load_definition(c, vm, &d);
        if (r == 0)
                r = unit_get(c, vm, &u);
        if (r != 0)
                return r;
        if (!bus_unit_is_active(&u)) {
                r = unit_files_compare(units_loaded(&u), d, &c->site);
                if (r < 0) {
                        log_error_errno(r, "Cannot compare the unit of VM '%s' with its definition: %m", vm);
                        return EXIT_FAILED;
                }
                r = r != UNITS_CURRENT ? unit_place(c, d, &u) : 0;
                if (r != 0)
                        return r;
        }
        *ret = TAKE_PTR(d);
        return 0;
}

int unit_report_failure(Ctl *c, const char *vm, const char *job_result, const char *verb) {
        _cleanup_bus_unit_ BusUnit u = {};
        _cleanup_free_ char *error = NULL;
        int r, code;

        if (streq(job_result, "canceled")) {
                log_error("VM '%s' was not %s: another request came in between.", vm, verb);
                return EXIT_FAILED;
        }
        if (streq(job_result, "dependency")) {
                log_error("VM '%s' was not %s: a unit that it depends on has failed, see 'systemctl list-dependencies inferno@%s'.", vm, verb, vm);
                return EXIT_FAILED;
        }
        r = bus_get_unit(c->bus, vm, &u, &error);
        if (r < 0) {
                (void) ctl_log_sentence(r, error);
                return EXIT_FAILED;
        }
        code = bus_unit_exit_code(&u);
        log_error("VM '%s' was not %s: %s, exit code %d. See 'journalctl -u inferno@%s'.", vm, verb, isempty(u.result) ? job_result : u.result, code, vm);
        return code > 0 ? code : EXIT_FAILED;
}

int unit_start(Ctl *c, char **vms) {
        _cleanup_(bus_jobs_freep) BusJobs *jobs = NULL;
        _cleanup_free_ char *error = NULL;
        int r, code = 0;

        r = bus_jobs_new(c->bus, &jobs, &error);
        STRV_FOREACH(vm, vms) {
                if (r >= 0)
                        r = bus_ref_unit(c->bus, *vm, &error);
                if (r >= 0)
                        r = bus_jobs_add(jobs, "StartUnit", *vm, &error);
        }
        if (r < 0)
                return ctl_log_sentence(r, error);
        r = bus_jobs_wait(jobs, UINT64_MAX);
        if (r < 0)
                return log_error_errno(r, "Lost the connection to systemd: %m");
        STRV_FOREACH(vm, vms) {
                const char *result = bus_jobs_result(jobs, *vm);

                if (result && !streq(result, "done") && code == 0)
                        code = unit_report_failure(c, *vm, result, "started");
                else if (result && !streq(result, "done"))
                        (void) unit_report_failure(c, *vm, result, "started");
        }
        return code;
}
