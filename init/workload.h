/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The image's process: as whom, with what, where, and how it is started. Root in the guest is full root, with all capabilities and without
 * no_new_privs: the boundary is the virtual machine. */

#include "init/cgroup.h"
#include "init/failure.h"
#include "init/files.h"
#include "init/user.h"
#include "runspec/runspec.h"

enum { WORKLOAD_PASSED_FD = 3 };

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

/* Who the specification means, by the image's files below root_fd. */
int workload_resolve_user(const RunSpec *spec, int root_fd, User *ret, Failure *failure);

/* Starts it; returns when it has been executed. The user is looked up below root_fd. Otherwise the failure has 125, 126 or 127. */
int workload_start(const RunSpec *spec, int root_fd, bool programs, const Cgroup *cgroup, Workload *ret, Failure *failure);

/* A further process of the workload: in its cgroup and that one's namespace, in its own session. All is borrowed. */
typedef struct WorkloadJoin {
        const FilesRequest *files;      /* it copies files and ends; NULL: it executes argv */
        char **argv;                    /* not empty then */
        char **env;                     /* NAME=VALUE, besides and before the specification's */
        char *cwd, *user;               /* NULL: as the specification has them */
        int streams[3];                 /* the process's own ends; with `terminal`, the same terminal three times */
        bool terminal;                  /* it becomes the one of the new session */
        int root_fd;
        bool programs;                  /* see workload_environment() */
        pid_t beside;                   /* the workload's main process */
        int passed_fd;                  /* becomes WORKLOAD_PASSED_FD of it; negative: none */
        /* In the new process: what it is to have as its environment in place of all the above. NULL: no such thing. */
        int (*make_environment)(const User *user, char ***ret, Failure *failure);
} WorkloadJoin;

/* Does not wait: all that looks at the image's files is done by the new process, for by now they can be of any kind. The report is a pipe,
 * non-blocking, that ends when the program was executed, or the files were copied; otherwise it holds one whole Failure before its end. */
int workload_join(const WorkloadJoin *j, const RunSpec *spec, const Cgroup *cgroup, pid_t *ret_pid, int *ret_report_fd);
