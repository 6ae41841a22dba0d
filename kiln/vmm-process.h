/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The VMM's process. */

#include <sys/types.h>

#include "base/macros.h"

typedef struct VmmProcess {
        pid_t pid;                      /* 0: none, or reaped */
        int pidfd;                      /* readable once it has ended */
        int stdout_fd, stderr_fd;       /* our ends of its pipes */
} VmmProcess;

#define VMM_PROCESS_NULL (VmmProcess) { .pidfd = -EBADF, .stdout_fd = -EBADF, .stderr_fd = -EBADF }

/* Runs argv[0], a path, with an empty environment, standard input from /dev/null, in a session of its own (a terminal's Ctrl-C is
 * for kiln), and such that it does not outlive this process. Fails with exec's error where it cannot be run. */
int vmm_process_spawn(char *const argv[], VmmProcess *ret);

void vmm_process_kill(const VmmProcess *p);
/* Reaps it: -EAGAIN while it runs; otherwise *ret_code is as siginfo_t has it, CLD_EXITED, CLD_KILLED or CLD_DUMPED, with *ret_status. */
int vmm_process_reap(VmmProcess *p, int *ret_code, int *ret_status);

/* Kills and reaps what still runs, closes what is open. */
void vmm_process_done(VmmProcess *p);
