/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* --cgroup, --cgroup-version and --parent-cgroup, as Firecracker's jailer understands them (docs/jailer.md there). */

#include "jailer/options.h"

/* Makes the jail's control groups, <hierarchy>/<parent>/<id>, with their settings, and moves this process into them. Without settings:
 * nothing for version 1; for version 2 it moves into <hierarchy>/<parent>, where that exists. `mounts` is /proc/mounts. Errors are logged. */
int cgroup_setup(const JailerOptions *o, const char *mounts);
