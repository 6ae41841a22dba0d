/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "base/str.h"
#include "ctl/unit.h"

static uint64_t arg_timeout = UINT64_MAX;

static const CtlOption options[] = {
        { "timeout", 't', CTL_OPTION_USEC, &arg_timeout, "TIME", "Give up after this time (exit code 1)" },
        {},
};

/* The unit is held first, so that its end is not forgotten between looking and waiting. */
static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
        _cleanup_free_ char *error = NULL;
        const char *vm = args[0];
        uint64_t deadline;
        int r;

        r = ctl_check_running(c, vm);
        if (r != 0)
                return r;
        deadline = bus_deadline(arg_timeout);
        r = bus_ref_unit(c->bus, vm, &error);
        if (r >= 0)
                r = bus_watch_unit(c->bus, vm, &slot);
        if (r >= 0)
                r = bus_subscribe(c->bus, &error);
        while (r >= 0) {
                _cleanup_bus_unit_ BusUnit u = {};

                r = bus_get_unit(c->bus, vm, &u, &error);
                if (r >= 0 && !bus_unit_is_active(&u)) {
                        int code = bus_unit_exit_code(&u);

                        if (!c->quiet)
                                printf("%d\n", code);
                        r = ctl_flush();
                        return r < 0 ? r : code;
                }
                if (r >= 0)
                        r = bus_wait_change(c->bus, deadline);
                if (r == -ETIMEDOUT) {
                        log_error("VM '%s' still runs.", vm);
                        return EXIT_FAILED;
                }
        }
        return ctl_log_sentence(r, error);
}

const Command command_wait = {
        .name = "wait",
        .group = GROUP_VMS,
        .synopsis = "NAME",
        .summary = "Wait until a VM has ended, and end with its exit code, which is printed",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_VM,
        .flags = COMMAND_ROOT,
        .options = options,
        .run = run,
};
