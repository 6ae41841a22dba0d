/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Firecracker's command line. Options that configure what ember does not have are accepted where leaving them out changes nothing
 * for the guest, and refused where somebody would miss something. */

#include "base/macros.h"

typedef enum EmberAccelerator {
        EMBER_ACCEL_AUTO,
        EMBER_ACCEL_KVM,
        EMBER_ACCEL_TCG,
} EmberAccelerator;

/* Strings are borrowed from argv. */
typedef struct EmberOptions {
        const char *id, *api_sock, *config_file, *log_path, *level, *metrics_path, *qemu;
        uint64_t api_payload_max;
        bool no_api, no_seccomp, help, version;
        EmberAccelerator accelerator;
} EmberOptions;

enum { COMMAND_LINE_ERROR_MAX = 256 };

/* -EINVAL with one line in error. */
int ember_parse_command_line(int argc, char *const *argv, EmberOptions *ret, char *error);
void ember_print_help(void);
