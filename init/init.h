/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* PID 1 of the guest. */

/* Sets up, runs, reports, restarts the machine; comes back only where the kernel refuses that. */
void init_run(void);
