/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The cgroup (version 2) that everything of the image runs in. Its memory limit lies below the guest's memory, so that running out of
 * it ends the workload as a whole, and is told apart from any other SIGKILL. */

#include "base/macros.h"

typedef struct Cgroup {
        int fd;                         /* the workload's directory; -EBADF where the kernel has no cgroups */
} Cgroup;
#define CGROUP_NULL { .fd = -EBADF }

/* What of `total` bytes the workload may have: the rest is for the kernel and init. */
uint64_t cgroup_memory_limit(uint64_t total);

/* Absent controllers are fine. */
int cgroup_set_up(Cgroup *c);

/* "oom_kill" of memory.events, of this text. */
uint64_t cgroup_parse_oom_kills(const char *memory_events);
/* How many of the workload's processes the kernel has killed for memory; 0 where that cannot be known. */
uint64_t cgroup_oom_kills(const Cgroup *c);

/* Called by the workload: its cgroup becomes the root of a namespace, mounted on /sys/fs/cgroup, as in a container. */
int cgroup_enter_namespace(void);
