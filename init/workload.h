/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The image's process: as whom, with what, where, and how it is started. Root in the guest is full root, with all capabilities and without
 * no_new_privs: the boundary is the virtual machine. */

#include "init/cgroup.h"
#include "init/failure.h"
#include "init/user.h"
#include "runspec/runspec.h"

#define WORKLOAD_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

typedef struct Workload {
        pid_t pid;
        int stdout_fd, stderr_fd;       /* reading ends, non-blocking; the caller's to close */
} Workload;

/* The specification's environment with PATH, HOSTNAME and HOME where it has none. With programs, WIRE_PROGRAMS_DIR is the last of PATH. */
int workload_environment(const RunSpec *spec, const User *user, bool programs, char ***ret);

/* execve(2) with look-up of argv[0] in PATH of envp, as the user that calls; a name with "/" is taken as it is. Returns on failure alone:
 * negative errno; -ENOEXEC and the like as they are. *ret_missing_interpreter says whether the file is there and what would run it is not. */
int workload_exec(char *const *argv, char *const *envp, bool *ret_missing_interpreter);
/* What workload_exec() says -> 126 or 127, as docker and the shell have them. */
int workload_exec_exit_code(int error);

/* Starts it; returns when it has been executed. The user is looked up below root_fd. Otherwise the failure has 125, 126 or 127. */
int workload_start(const RunSpec *spec, int root_fd, bool programs, const Cgroup *cgroup, Workload *ret, Failure *failure);
