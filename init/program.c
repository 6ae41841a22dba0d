/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/str.h"
#include "init/program.h"

#define BUNDLED "/inferno/sbin"

int program_find(const char *name, char path[static PROGRAM_PATH_MAX]) {
        static const char *const dirs[] = { BUNDLED, "/usr/sbin", "/sbin" };

        for (size_t i = 0; i < ELEMENTSOF(dirs); i++) {
                snprintf(path, PROGRAM_PATH_MAX, "%s/%s", dirs[i], name);
                if (access(path, X_OK) >= 0)
                        return 0;
        }
        return -ENOENT;
}

/* Only what was brought along has its libraries in these places. */
static void execute(const char *const argv[]) {
        const char *const env[] = {
                "PATH=" BUNDLED ":/usr/sbin:/sbin:/usr/bin:/bin", "LANG=C",
                "DM_DISABLE_UDEV=1",            /* there is none to wait for */
                "MKE2FS_CONFIG=/dev/null", "E2FSCK_CONFIG=/dev/null",
                startswith(argv[0], BUNDLED "/") ? "LD_LIBRARY_PATH=/lib:/lib64:/usr/lib:/usr/lib64" : NULL,
                NULL,
        };

        (void) execve(argv[0], (char *const *) argv, (char *const *) env);
}

/* To the end of what it says, of which the beginning is kept. */
static void listen_to(int fd, char said[static PROGRAM_SAID_MAX]) {
        char buf[512];
        size_t have = 0;
        ssize_t k;

        while ((k = read(fd, buf, sizeof(buf))) != 0) {
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        break;
                for (ssize_t i = 0; i < k && have < PROGRAM_SAID_MAX - 1; i++)
                        said[have++] = (unsigned char) buf[i] < ' ' ? ' ' : buf[i];
        }
        while (have > 0 && said[have - 1] == ' ')
                have--;
        said[have] = 0;
}

int program_run(const char *const argv[], const void *input, size_t n, char said[static PROGRAM_SAID_MAX]) {
        _cleanup_close_ int in_read = -EBADF, in_write = -EBADF, out_read = -EBADF, out_write = -EBADF;
        int fds[2], status;
        pid_t pid;

        said[0] = 0;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return negative_errno();
        in_read = fds[0];
        in_write = fds[1];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return negative_errno();
        out_read = fds[0];
        out_write = fds[1];
        if (n > 0 && write_full(in_write, input, n) < 0)
                return negative_errno();
        in_write = safe_close(in_write);

        pid = fork();
        if (pid < 0)
                return negative_errno();
        if (pid == 0) {
                sigset_t none;

                (void) sigemptyset(&none);
                (void) sigprocmask(SIG_SETMASK, &none, NULL);
                if (dup2(in_read, STDIN_FILENO) < 0 || dup2(out_write, STDOUT_FILENO) < 0 || dup2(out_write, STDERR_FILENO) < 0)
                        _exit(EXIT_SETUP_FAILED);
                execute(argv);
                _exit(errno == ENOENT ? EXIT_COMMAND_NOT_FOUND : EXIT_CANNOT_EXEC);
        }
        out_write = safe_close(out_write);
        in_read = safe_close(in_read);
        listen_to(out_read, said);
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return negative_errno();
        return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNAL_BASE + WTERMSIG(status);
}
