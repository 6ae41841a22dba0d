/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "ctl/guest.h"
#include "ctl/unit.h"
#include "json/json.h"

static uint64_t arg_timeout = UINT64_MAX;
static int arg_signal;
static bool arg_kill;

static const CtlOption options[] = {
        { "timeout", 't', CTL_OPTION_USEC, &arg_timeout, "TIME", "How long the workload has to end before it is killed, if less than StopTimeout=" },
        { "signal", 's', CTL_OPTION_SIGNAL, &arg_signal, "SIGNAL", "Send this to the workload first, and stop the VM when it has ended", CTL_WORD_SIGNAL },
        { "kill", 'k', CTL_OPTION_FLAG, &arg_kill, NULL, "Kill the workload at once" },
        {},
};

/* How often kiln is told again that it shall not wait for the workload: the first time it may not know yet that it is to stop at all. */
#define HURRY_USEC (300 * USEC_PER_MSEC)

/* What the workload has by its own definition where the command line says nothing; systemd's limit is above that. */
static uint64_t stop_timeout(Ctl *c, const char *vm) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_freep) Definition *d = NULL;

        if (arg_timeout != UINT64_MAX)
                return arg_timeout;
        if (ctl_need_site(c) != 0 || definition_load(vm, &c->site, &d, &errors) < 0)
                return 10 * USEC_PER_SEC;
        return d->stop_timeout_usec;
}

/* The signal of the command line instead of the definition's: the guest is asked as kiln would ask it. 0 when the workload has ended or had its time. */
static int signal_first(Ctl *c, const char *vm) {
        _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
        _cleanup_free_ char *error = NULL, *body = strf("{\"signal\":%d}", arg_signal);
        _cleanup_json_ json_t *answer = NULL;
        uint64_t deadline = bus_deadline(stop_timeout(c, vm));
        int r;

        if (!body)
                return log_oom();
        r = bus_subscribe(c->bus, &error);
        if (r >= 0)
                r = bus_watch_unit(c->bus, vm, &slot);
        if (r >= 0)
                r = guest_call(vm, "POST", "/v1/signal", body, GUEST_TIMEOUT_USEC, &answer, &error);
        while (r >= 0) {
                _cleanup_bus_unit_ BusUnit u = {};

                r = bus_get_unit(c->bus, vm, &u, &error);
                if (r >= 0 && !streq(u.active_state, "active"))
                        return 0;
                if (r >= 0)
                        r = bus_wait_change(c->bus, deadline);
        }
        return r == -ETIMEDOUT && !error ? 0 : ctl_log_sentence(r, error);
}

/* Waits for the jobs; when the time that the command line leaves is over, kiln goes on to kill the workload: SIGINT, kiln(8). */
static int wait_for_end(Ctl *c, BusJobs *jobs, char **vms) {
        uint64_t patience = arg_kill ? 0 : arg_timeout;
        int r;

        r = bus_jobs_wait(jobs, patience);
        while (r == -ETIMEDOUT) {
                STRV_FOREACH(vm, vms)
                        if (bus_jobs_waits_for(jobs, *vm)) {
                                _cleanup_free_ char *ignored = NULL;

                                (void) bus_kill_unit(c->bus, *vm, "main", SIGINT, &ignored);
                        }
                r = bus_jobs_wait(jobs, HURRY_USEC);
        }
        return r < 0 ? log_error_errno(r, "Lost the connection to systemd: %m") : 0;
}

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_(bus_jobs_freep) BusJobs *jobs = NULL;
        _cleanup_free_ char *error = NULL;
        int r, code = 0;

        if (arg_kill && (arg_signal > 0 || arg_timeout != UINT64_MAX)) {
                log_error("stop: --kill waits for nothing: it goes with neither --signal nor --timeout.");
                return EXIT_USAGE;
        }
        r = ctl_need_bus(c);
        if (r == 0)
                r = bus_jobs_new(c->bus, &jobs, &error);
        if (r != 0)
                return r < 0 ? ctl_log_sentence(r, error) : r;
        /* One that does not run, or is none, keeps the others from nothing. */
        for (size_t i = 0; i < n_args; i++) {
                r = ctl_check_running(c, args[i]);
                if (r == 0 && arg_signal > 0)
                        r = signal_first(c, args[i]);
                if (r == 0) {
                        r = bus_jobs_add(jobs, "StopUnit", args[i], &error);
                        if (r < 0)
                                return ctl_log_sentence(r, error);
                } else
                        code = r < 0 ? EXIT_FAILED : r;
        }
        r = wait_for_end(c, jobs, args);
        if (r < 0)
                return r;
        STRV_FOREACH(vm, args) {
                const char *result = bus_jobs_result(jobs, *vm);

                if (result && !streq(result, "done")) {
                        (void) unit_report_failure(c, *vm, result, "stopped");
                        code = EXIT_FAILED;
                }
        }
        return code;
}

const Command command_stop = {
        .name = "stop",
        .group = GROUP_VMS,
        .synopsis = "NAME…",
        .summary = "Stop VMs, and wait until they have ended",
        .min_args = 1,
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_VM,
        .rest = CTL_WORD_VM,
        .flags = COMMAND_ROOT,
        .options = options,
        .run = run,
};
