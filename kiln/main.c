/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kiln(8): the main process of inferno@.service, which the jailer has put into the VM's jail. */

#include <fcntl.h>
#include <getopt.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/exit-codes.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/sanitizer.h"
#include "base/str.h"
#include "kiln/vm.h"
#include "layout/layout.h"

typedef struct Arguments {
        const char *config, *id;
        VmOptions vm;
} Arguments;

static int help(void) {
        puts("Usage: kiln [OPTIONS…]\n\n"
             "Runs one microVM by its kiln.json: starts the VMM, passes the guest's output to the journal, tells\n"
             "systemd how it is, and exits as the workload did. The jailer of inferno@.service starts it.\n\n"
             "  --config FILE               read FILE (default: /" JAIL_KILN_CONFIG ")\n"
             "  --id ID                     the jail's id; must be that of the configuration\n"
             "  --watchdog-usec USEC        WATCHDOG_USEC of the unit; empty or 0: no watchdog\n"
             "  --start-time-us USEC        when the jailer began, CLOCK_MONOTONIC\n"
             "  --start-time-cpu-us USEC    taken for the jailer's sake, not used\n"
             "  --parent-cpu-time-us USEC   likewise\n"
             "  --help, --version\n\n"
             "See kiln(8) for exit codes and files.");
        return EXIT_OK;
}

/* 0: go on; 1: all is done, *ret_exit says how. */
static int parse_arguments(int argc, char **argv, Arguments *a, int *ret_exit) {
        enum { ARG_CONFIG = 256, ARG_ID, ARG_WATCHDOG, ARG_START_TIME, ARG_IGNORED, ARG_HELP, ARG_VERSION };
        static const struct option options[] = {
                { "config", required_argument, NULL, ARG_CONFIG },
                { "id", required_argument, NULL, ARG_ID },
                { "watchdog-usec", required_argument, NULL, ARG_WATCHDOG },
                { "start-time-us", required_argument, NULL, ARG_START_TIME },
                { "start-time-cpu-us", required_argument, NULL, ARG_IGNORED },
                { "parent-cpu-time-us", required_argument, NULL, ARG_IGNORED },
                { "help", no_argument, NULL, ARG_HELP },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int c;

        *ret_exit = EXIT_USAGE;
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case ARG_CONFIG:
                        a->config = optarg;
                        break;
                case ARG_ID:
                        a->id = optarg;
                        break;
                case ARG_WATCHDOG:
                        if (*optarg && parse_u64(optarg, &a->vm.watchdog_usec) < 0) {
                                log_error("--watchdog-usec \"%s\" is no number of microseconds.", optarg);
                                return 1;
                        }
                        break;
                case ARG_START_TIME:
                        if (parse_u64(optarg, &a->vm.start_time_usec) < 0) {
                                log_error("--start-time-us \"%s\" is no number of microseconds.", optarg);
                                return 1;
                        }
                        break;
                case ARG_IGNORED:
                        break;
                case ARG_HELP:
                        *ret_exit = help();
                        return 1;
                case ARG_VERSION:
                        puts("inferno " INFERNO_VERSION);
                        *ret_exit = EXIT_OK;
                        return 1;
                default:        /* getopt has said what is wrong */
                        return 1;
                }
        if (optind < argc) {
                log_error("Unexpected argument \"%s\".", argv[optind]);
                return 1;
        }
        return 0;
}

/* A core of kiln or of the VMM would be the guest's memory in a file; and the VMM, which has the same uid, may not look at us. */
static void harden(void) {
        static const struct rlimit none = {};

        (void) setrlimit(RLIMIT_CORE, &none);
        (void) prctl(PR_SET_DUMPABLE, 0);
        (void) umask(0077);
}

int main(int argc, char **argv) {
        _cleanup_(kiln_config_freep) KilnConfig *config = NULL;
        _cleanup_(vm_freep) Vm *vm = NULL;
        Arguments a = { .config = "/" JAIL_KILN_CONFIG };
        char error[JSON_ERROR_MAX] = "";
        int r, code;

        log_setup("kiln", LOG_TARGET_STDERR);
        r = parse_arguments(argc, argv, &a, &code);
        if (r != 0)
                return code;
        harden();

        r = kiln_config_load(AT_FDCWD, a.config, &config, error);
        if (r < 0) {
                log_error("\"%s\": %s", a.config, error[0] ? error : "out of memory");
                return EXIT_SETUP_FAILED;
        }
        if (a.id && !streq(a.id, config->jail_id)) {
                log_error("\"%s\" is of the jail \"%s\", but this is jail \"%s\".", a.config, config->jail_id, a.id);
                return EXIT_SETUP_FAILED;
        }
        log_set_max_level(config->log_level);

        r = vm_new(config, &a.vm, &vm);
        if (r < 0)
                return EXIT_SETUP_FAILED;
        r = vm_run(vm);
        return r < 0 ? EXIT_SETUP_FAILED : r;
}
