/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* QEMU as a child that cannot outlive us. */

#include "base/macros.h"

typedef struct QemuProcess {
        int pid;
        int pid_fd;                     /* readable when it has ended */
} QemuProcess;

/* Starts argv[0] with an empty environment, our standard streams, and fds[i] as descriptor first_fd + i; everything else is closed.
 * It is killed when this process dies, in whatever way. Returns once it has been executed: -errno of execve() otherwise. */
int qemu_process_start(char *const *argv, const int *fds, size_t n_fds, int first_fd, QemuProcess *ret);
/* After pid_fd was readable: its wait status, as of waitpid(2). */
int qemu_process_reap(QemuProcess *p, int *ret_status);
/* Kills it if it runs, waits for it, closes pid_fd. */
void qemu_process_done(QemuProcess *p);
