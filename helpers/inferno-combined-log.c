/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The journal of all VMs in one file. inferno-combined-log(8). */

#include "helpers/combined-log.h"
#include "helpers/program.h"

static const char usage[] =
        "inferno-combined-log [OPTIONS…] follow\n"
        "\n"
        "Writes what VMs log into /var/log/inferno/combined.log, until no VM runs any more.\n"
        "\n"
        "  follow             Go on where it ended last, or begin with what is logged from now on.\n"
        "\n"
        "      --root=DIR     Work below DIR instead of /\n"
        "  -h, --help         Show this help\n"
        "      --version      Show the version\n"
        "\n"
        "inferno-combined-log.socket starts it; see inferno-combined-log(8).\n";

static int run_follow(const char *argument) {
        _cleanup_(combined_log_freep) CombinedLog *c = NULL;
        int r;

        r = combined_log_new(&c);
        return r < 0 ? r : combined_log_run(c);
}

static const HelperVerb verbs[] = {
        { "follow", NULL, run_follow },
        {},
};

int main(int argc, char **argv) {
        return helper_main(argc, argv, usage, verbs, NULL);
}
