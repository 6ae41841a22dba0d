/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "base/sanitizer.h"
#include "vmm/ember.h"

int main(int argc, char **argv) {
        char error[COMMAND_LINE_ERROR_MAX];
        EmberOptions options;

        log_setup("ember", LOG_TARGET_STDERR);
        if (ember_parse_command_line(argc, argv, &options, error) < 0) {
                log_error("%s", error);
                return EMBER_EXIT_ARGUMENTS;
        }
        if (options.help) {
                ember_print_help();
                return EMBER_EXIT_OK;
        }
        if (options.version) {
                puts("ember " INFERNO_VERSION);
                return EMBER_EXIT_OK;
        }
        return ember_run(&options);
}
