/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/ctl.h"

static int run(Ctl *c, char **args, size_t n_args) {
        if (c->format == CTL_JSON)
                return ctl_print_json(json_pack("{s:s}", "version", INFERNO_VERSION));
        puts("inferno " INFERNO_VERSION);
        return ctl_flush();
}

const Command command_version = {
        .name = "version",
        .group = GROUP_HOST,
        .synopsis = "",
        .summary = "Show the version",
        .flags = COMMAND_FORMAT,
        .run = run,
};
