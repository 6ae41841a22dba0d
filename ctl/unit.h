/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What commands that start and stop VMs have in common. */

#include "ctl/bus.h"
#include "ctl/ctl.h"

/* c->bus is there after any of these has returned 0. 0 or an exit code. */

/* The unit of a VM that there is: CTL_NO_SUCH_VM. */
int unit_get(Ctl *c, const char *vm, BusUnit *ret);

/* Loads the definition, and has systemd know it as it is now, without a daemon-reload: runs inferno-units where the unit is not what the definition
 * makes of it. A VM that runs is left as it is. */
int unit_prepare_start(Ctl *c, const char *vm, Definition **ret);

/* Has systemd forget the slice of a VM that does not run, which it would keep as it was when it was read. Another slice than the VM's own is left alone. */
int unit_drop_slice(Ctl *c, const char *vm, const char *slice);
/* Puts the units of a VM that does not run in place, as its definition is now: inferno-units(8). u: what systemd has of it. */
int unit_place(Ctl *c, const Definition *d, const BusUnit *u);

/* Says why a job did not end well: from its result and from what the unit says. Returns the exit code: the guest's own where it ran. */
int unit_report_failure(Ctl *c, const char *vm, const char *job_result, const char *verb);

/* Starts all of these at once, and waits until they run. 0, or the exit code of the first that did not come up; the bus has to be there. */
int unit_start(Ctl *c, char **vms);
