/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Follows the journal of all VMs, and writes it into one file for those who ship logs, until no VM runs any more: inferno-combined-log(8). */

#include "base/macros.h"

typedef struct CombinedLog CombinedLog;

/* With the socket that systemd has passed, if any. 0, or a negative errno that has been logged. */
int combined_log_new(CombinedLog **ret);
CombinedLog *combined_log_free(CombinedLog *c);
DEFINE_TRIVIAL_CLEANUP_FUNC(CombinedLog *, combined_log_free)

/* Until no VM is active and nothing comes, or SIGTERM. 0, or a negative errno that has been logged. */
int combined_log_run(CombinedLog *c);
