/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "vmm/qemu-process.h"

/* In the child: the descriptors may overlap the numbers that they are to get, so they go out of the way first. */
static int place_fds(const int *fds, size_t n_fds, int first_fd, int *report_fd) {
        int high = first_fd + (int) n_fds, moved[8];

        if (n_fds > ELEMENTSOF(moved))
                return -EINVAL;
        *report_fd = fcntl(*report_fd, F_DUPFD_CLOEXEC, high);
        if (*report_fd < 0)
                return negative_errno();
        for (size_t i = 0; i < n_fds; i++) {
                moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, high);
                if (moved[i] < 0)
                        return negative_errno();
        }
        for (size_t i = 0; i < n_fds; i++)
                if (dup2(moved[i], first_fd + (int) i) < 0)
                        return negative_errno();
        return close_range((unsigned) high, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ? negative_errno() : 0;
}

static _noreturn_ void child(char *const *argv, const int *fds, size_t n_fds, int first_fd, int report_fd, pid_t parent) {
        sigset_t none;
        int r;

        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        (void) signal(SIGPIPE, SIG_DFL);
        r = prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? negative_errno() : 0;
        /* The parent may have died before that took effect: then nobody will tell us. */
        if (r >= 0 && getppid() != parent)
                _exit(1);
        if (r >= 0)
                r = place_fds(fds, n_fds, first_fd, &report_fd);
        if (r >= 0) {
                (void) execve(argv[0], argv, (char *const[]) { NULL });
                r = negative_errno();
        }
        (void) !write(report_fd, &r, sizeof(r));
        _exit(1);
}

int qemu_process_start(char *const *argv, const int *fds, size_t n_fds, int first_fd, QemuProcess *ret) {
        _cleanup_close_ int read_fd = -EBADF, write_fd = -EBADF;
        QemuProcess p = { .pid_fd = -EBADF };
        pid_t parent = getpid();
        int report[2], error;

        if (pipe2(report, O_CLOEXEC) < 0)
                return negative_errno();
        read_fd = report[0];
        write_fd = report[1];

        p.pid = fork();
        if (p.pid < 0)
                return negative_errno();
        if (p.pid == 0)
                child(argv, fds, n_fds, first_fd, write_fd, parent);
        p.pid_fd = pidfd_open(p.pid, 0);
        if (p.pid_fd < 0) {
                int r = negative_errno();

                qemu_process_done(&p);
                return r;
        }

        /* EOF is the successful execve(). */
        write_fd = safe_close(write_fd);
        if (read_full(read_fd, &error, sizeof(error)) == sizeof(error)) {
                qemu_process_done(&p);
                return error;
        }
        *ret = p;
        return 0;
}

int qemu_process_reap(QemuProcess *p, int *ret_status) {
        int status;

        while (waitpid(p->pid, &status, 0) < 0)
                if (errno != EINTR)
                        return negative_errno();
        p->pid = 0;
        *ret_status = status;
        return 0;
}

void qemu_process_done(QemuProcess *p) {
        int status;

        if (p->pid > 0) {
                (void) kill(p->pid, SIGKILL);
                (void) qemu_process_reap(p, &status);
        }
        p->pid_fd = safe_close(p->pid_fd);
}
