/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "kiln/vmm-process.h"

enum { CHILD_ERROR_FD = 3 };

/* In the child: nothing but system calls. Returns only with errno set. */
static void child_exec(char *const argv[], pid_t parent, int in_fd, int out_fd, int err_fd, int error_fd) {
        static char *const no_environment[] = { NULL };
        struct sigaction dfl = { .sa_handler = SIG_DFL };
        sigset_t none;

        if (dup3(error_fd, CHILD_ERROR_FD, O_CLOEXEC) < 0)
                return;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return;
        if (getppid() != parent) {      /* it died before the line above could tell us */
                errno = ESRCH;
                return;
        }
        if (setsid() < 0)
                return;
        if ((in_fd >= 0 && dup2(in_fd, STDIN_FILENO) < 0) || dup2(out_fd, STDOUT_FILENO) < 0 || dup2(err_fd, STDERR_FILENO) < 0)
                return;
        if (syscall(SYS_close_range, CHILD_ERROR_FD + 1, ~0U, 0) < 0)
                return;
        if (sigaction(SIGPIPE, &dfl, NULL) < 0 || sigaction(SIGHUP, &dfl, NULL) < 0)
                return;
        if (sigemptyset(&none) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
                return;
        execve(argv[0], argv, no_environment);
}

/* An fd above those that the child will put its own on. */
static int move_above(int *fd) {
        int k;

        if (*fd > CHILD_ERROR_FD)
                return 0;
        k = fcntl(*fd, F_DUPFD_CLOEXEC, CHILD_ERROR_FD + 1);
        if (k < 0)
                return negative_errno();
        safe_close(*fd);
        *fd = k;
        return 0;
}

static int pipe_above(int *ret_read, int *ret_write) {
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return negative_errno();
        *ret_read = fds[0];
        *ret_write = fds[1];
        r = move_above(ret_read);
        return r < 0 ? r : move_above(ret_write);
}

int vmm_process_spawn(char *const argv[], VmmProcess *ret) {
        _cleanup_(vmm_process_done) VmmProcess p = VMM_PROCESS_NULL;
        _cleanup_close_ int null_fd = -EBADF, out_fd = -EBADF, err_fd = -EBADF, error_read_fd = -EBADF, error_fd = -EBADF;
        pid_t parent = getpid();
        int error = 0, r;
        ssize_t k;

        /* A jail need not have /dev/null; the standard input that kiln was given is as good then. */
        null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (null_fd >= 0) {
                r = move_above(&null_fd);
                if (r < 0)
                        return r;
        }
        r = pipe_above(&p.stdout_fd, &out_fd);
        if (r < 0)
                return r;
        r = pipe_above(&p.stderr_fd, &err_fd);
        if (r < 0)
                return r;
        r = pipe_above(&error_read_fd, &error_fd);
        if (r < 0)
                return r;

        p.pid = fork();
        if (p.pid < 0) {
                r = negative_errno();
                p.pid = 0;
                return r;
        }
        if (p.pid == 0) {
                child_exec(argv, parent, null_fd, out_fd, err_fd, error_fd);
                error = errno;
                (void) !write(CHILD_ERROR_FD, &error, sizeof(error));
                _exit(127);
        }
        p.pidfd = (int) syscall(SYS_pidfd_open, p.pid, 0);
        if (p.pidfd < 0)
                return negative_errno();

        /* EOF comes when exec has closed the other end. */
        error_fd = safe_close(error_fd);
        k = read_full(error_read_fd, &error, sizeof(error));
        if (k < 0)
                return (int) k;
        if (k == sizeof(error))
                return error > 0 ? -error : -EIO;

        *ret = p;
        p = VMM_PROCESS_NULL;
        return 0;
}

void vmm_process_kill(const VmmProcess *p) {
        if (p->pid > 0)
                (void) kill(p->pid, SIGKILL);   /* not reaped yet, so it is still the one */
}

int vmm_process_reap(VmmProcess *p, int *ret_code, int *ret_status) {
        siginfo_t si = {};

        if (waitid(P_PID, (id_t) p->pid, &si, WEXITED | WNOHANG) < 0)
                return negative_errno();
        if (si.si_pid == 0)
                return -EAGAIN;
        p->pid = 0;
        *ret_code = si.si_code;
        *ret_status = si.si_status;
        return 0;
}

void vmm_process_done(VmmProcess *p) {
        if (p->pid > 0) {
                siginfo_t si;

                vmm_process_kill(p);
                while (waitid(P_PID, (id_t) p->pid, &si, WEXITED) < 0 && errno == EINTR)
                        ;
        }
        safe_close(p->pidfd);
        safe_close(p->stdout_fd);
        safe_close(p->stderr_fd);
        *p = VMM_PROCESS_NULL;
}
