/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One VM from the start of its VMM to the exit code of its workload. */

#include "kilnconfig/kiln-config.h"

typedef struct Vm Vm;

typedef struct VmOptions {
        uint64_t watchdog_usec;         /* of the unit; 0: none */
        uint64_t start_time_usec;       /* on CLOCK_MONOTONIC, when the jailer began; 0: not known */
} VmOptions;

/* The configuration is borrowed. SIGTERM, SIGINT and SIGABRT are blocked from here on. Errors are logged. */
int vm_new(const KilnConfig *config, const VmOptions *options, Vm **ret);
Vm *vm_free(Vm *vm);
DEFINE_TRIVIAL_CLEANUP_FUNC(Vm *, vm_free)

/* Runs it until all is over. Returns kiln's exit code; negative errno, logged, only where kiln itself fails. */
int vm_run(Vm *vm);
