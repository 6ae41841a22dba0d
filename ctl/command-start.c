/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "ctl/follow.h"
#include "ctl/unit.h"

static bool arg_detach;

static const CtlOption options[] = {
        { "detach", 'd', CTL_OPTION_FLAG, &arg_detach, NULL, "Return as soon as the workload runs" },
        {},
};

/* Following one VM from before its start until it has ended for good. */
typedef struct Foreground {
        Ctl *c;
        const char *vm;
        sd_event *event;
        sd_bus_slot *slot;
        BusJobs *jobs;
        Follow *follow;
        bool interrupted;
} Foreground;

static void foreground_done(Foreground *f) {
        follow_free(f->follow);
        bus_jobs_free(f->jobs);
        sd_bus_slot_unref(f->slot);
        if (f->event)
                (void) sd_bus_detach_event(f->c->bus);
        sd_event_unref(f->event);
}

static int on_interrupt(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        Foreground *f = userdata;

        f->interrupted = true;
        return 0;
}

static int foreground_begin(Foreground *f, char **ret_error) {
        sigset_t mask;
        int r;

        r = follow_new(f->vm, f->c->quiet, &f->follow, ret_error);
        if (r >= 0)
                r = bus_jobs_new(f->c->bus, &f->jobs, ret_error);
        if (r >= 0)
                r = bus_ref_unit(f->c->bus, f->vm, ret_error);
        if (r < 0)
                return r;
        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        r = sd_event_new(&f->event);
        if (r >= 0)
                r = sd_event_add_signal(f->event, NULL, SIGINT, on_interrupt, f);
        if (r >= 0)
                r = sd_event_add_signal(f->event, NULL, SIGTERM, on_interrupt, f);
        if (r >= 0)
                r = follow_attach(f->follow, f->event);
        if (r >= 0)
                r = bus_watch_unit(f->c->bus, f->vm, &f->slot);
        if (r >= 0)
                r = sd_bus_attach_event(f->c->bus, f->event, SD_EVENT_PRIORITY_NORMAL);
        return r < 0 ? r : bus_jobs_add(f->jobs, "StartUnit", f->vm, ret_error);
}

/* 1: it has ended, and nothing starts it again. */
static int has_ended(Foreground *f, BusUnit *ret, char **ret_error) {
        int r;

        if (bus_jobs_pending(f->jobs) > 0)
                return 0;
        r = bus_get_unit(f->c->bus, f->vm, ret, ret_error);
        if (r < 0)
                return r;
        if (!bus_unit_is_active(ret))
                return 1;
        bus_unit_done(ret);
        return 0;
}

static int foreground_run(Foreground *f, BusUnit *ret, char **ret_error) {
        int r;

        while (!f->interrupted) {
                r = has_ended(f, ret, ret_error);
                if (r != 0)
                        return r;
                r = sd_event_run(f->event, UINT64_MAX);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int start_foreground(Ctl *c, const char *vm) {
        _cleanup_(foreground_done) Foreground f = { .c = c, .vm = vm };
        _cleanup_bus_unit_ BusUnit unit = {};
        _cleanup_free_ char *error = NULL;
        int r, code;

        r = foreground_begin(&f, &error);
        if (r >= 0)
                r = foreground_run(&f, &unit, &error);
        if (r < 0)
                return ctl_log_sentence(r, error);
        if (f.interrupted) {
                if (!c->quiet)
                        log_info("VM '%s' goes on without us; 'infernoctl stop %s' ends it.", vm, vm);
                return 0;
        }
        r = follow_finish(f.follow);
        if (r < 0)
                return log_error_errno(r, "Cannot read the journal of VM '%s' to its end: %m", vm);
        code = bus_unit_exit_code(&unit);
        if (code != 0 && !c->quiet)
                log_error("VM '%s' has ended: %s, exit code %d.", vm, unit.result, code);
        return code;
}

static int run(Ctl *c, char **args, size_t n_args) {
        int r;

        if (n_args > 1 && !arg_detach) {
                log_error("start: the logs of several VMs cannot be followed together, start them with --detach.");
                return EXIT_USAGE;
        }
        for (size_t i = 0; i < n_args; i++) {
                _cleanup_(definition_freep) Definition *d = NULL;

                r = unit_prepare_start(c, args[i], &d);
                if (r != 0)
                        return r;
        }
        return arg_detach ? unit_start(c, args) : start_foreground(c, args[0]);
}

const Command command_start = {
        .name = "start",
        .group = GROUP_VMS,
        .synopsis = "NAME…",
        .summary = "Start a VM, and follow its log until it ends",
        .details = "Ctrl-C stops following, the VM goes on. Ends with the exit code of the guest.",
        .min_args = 1,
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_VM,
        .rest = CTL_WORD_VM,
        .flags = COMMAND_ROOT,
        .options = options,
        .run = run,
};
