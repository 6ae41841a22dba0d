/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "base/str.h"
#include "ctl/unit.h"

/* systemd keeps the unit loaded through a restart, and with it what it was when it was read; so a VM whose definition has changed is stopped first. */
static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_(bus_jobs_freep) BusJobs *stops = NULL, *starts = NULL;
        _cleanup_free_ char *error = NULL;
        int r, code = 0;

        for (size_t i = 0; i < n_args; i++) {
                _cleanup_(definition_freep) Definition *d = NULL;

                r = ctl_load_definition(c, args[i], &d);
                if (r != 0)
                        return r;
        }
        r = ctl_need_bus(c);
        if (r != 0)
                return r;
        r = bus_jobs_new(c->bus, &stops, &error);
        for (size_t i = 0; r >= 0 && i < n_args; i++)
                r = bus_jobs_add(stops, "StopUnit", args[i], &error);
        if (r >= 0)
                r = bus_jobs_wait(stops, UINT64_MAX);
        if (r >= 0)
                r = bus_jobs_new(c->bus, &starts, &error);
        for (size_t i = 0; r >= 0 && i < n_args; i++) {
                _cleanup_(definition_freep) Definition *d = NULL;

                r = unit_prepare_start(c, args[i], &d);
                if (r != 0)
                        return r;
                r = bus_ref_unit(c->bus, args[i], &error);
                if (r >= 0)
                        r = bus_jobs_add(starts, "StartUnit", args[i], &error);
        }
        if (r >= 0)
                r = bus_jobs_wait(starts, UINT64_MAX);
        if (r < 0)
                return ctl_log_sentence(r, error);
        STRV_FOREACH(vm, args) {
                const char *result = bus_jobs_result(starts, *vm);

                if (result && !streq(result, "done"))
                        code = unit_report_failure(c, *vm, result, "restarted");
        }
        return code == 0 ? 0 : EXIT_FAILED;
}

const Command command_restart = {
        .name = "restart",
        .group = GROUP_VMS,
        .synopsis = "NAME…",
        .summary = "Stop VMs if they run, and start them as their definitions say now",
        .min_args = 1,
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_VM,
        .rest = CTL_WORD_VM,
        .flags = COMMAND_ROOT,
        .run = run,
};
