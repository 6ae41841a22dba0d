/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/host-check.h"

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_(table_freep) Table *t = NULL;
        size_t n_failed;
        int r;

        r = host_check(c, &t, &n_failed);
        if (r >= 0 && !c->quiet)
                r = ctl_print_table(c, t);
        return r < 0 ? r : n_failed > 0 ? EXIT_FAILED : 0;
}

const Command command_doctor = {
        .name = "doctor",
        .group = GROUP_HOST,
        .synopsis = "",
        .summary = "Check whether this host can run VMs",
        .details = "Exit code 1 where a check has failed; warnings do not count.",
        .flags = COMMAND_FORMAT,
        .run = run,
};
