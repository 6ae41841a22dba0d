/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The cgroup (version 2) that everything of the image runs in. Its memory limit lies below the guest's memory, so that running out of
 * it ends the workload as a whole, and is told apart from any other SIGKILL. */

#include <sys/types.h>

#include "base/macros.h"

typedef struct Cgroup {
        int fd;                         /* the workload's directory; -EBADF where the kernel has no cgroups */
        uint64_t memory_limit;          /* bytes */
} Cgroup;
#define CGROUP_NULL { .fd = -EBADF }

/* How much the workload may have, by proc(5)'s meminfo before it starts: a little less than what is there, since a guest whose kernel itself is
 * out of memory, and not just the workload, writes and reads pages for minutes before it gives up. */
uint64_t cgroup_memory_limit(const char *meminfo);

/* Needs /proc. Absent controllers are fine. */
int cgroup_set_up(Cgroup *c);

/* "oom_kill" of the text of memory.events. */
uint64_t cgroup_parse_oom_kills(const char *memory_events);
/* How many of the workload's processes the kernel has killed for memory; 0 where that cannot be known. */
uint64_t cgroup_oom_kills(const Cgroup *c);

/* A descriptor that has EPOLLPRI when all of the workload waited for memory in a good part of 10 s (the kernel's
 * Documentation/accounting/psi.rst). -EOPNOTSUPP and the like: the kernel cannot tell. */
int cgroup_watch_stalls(const Cgroup *c);
/* Whether next to nothing of the workload's memory is a copy of files. With both, it does little but read the same pages of its programs
 * again and again: there is always one more to drop, so the kernel does not call that out of memory, for minutes or for ever. */
bool cgroup_is_exhausted(const Cgroup *c);
/* The same by the text of memory.stat. */
bool cgroup_parse_exhausted(const char *memory_stat, uint64_t limit);

/* Called by the workload: its cgroup becomes the root of a namespace, mounted on /sys/fs/cgroup, as in a container. */
int cgroup_enter_namespace(void);
/* Called by a process beside it: the namespace that process `pid` has. */
int cgroup_join_namespace(pid_t pid);
/* A cgroup below the workload's, "exec", where that one itself can hold no process. */
int cgroup_open_leaf(const Cgroup *c);
