/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One microVM from its configuration to its end. */

#include "vmm/command-line.h"

/* Firecracker's FcExitCode, as far as it applies. */
enum {
        EMBER_EXIT_OK = 0,              /* the guest has rebooted, or panicked with panic= set */
        EMBER_EXIT_GENERIC_ERROR = 1,
        EMBER_EXIT_ARGUMENTS = 153,
};

/* Runs it, logging what goes wrong; returns the exit code. */
int ember_run(const EmberOptions *options);
