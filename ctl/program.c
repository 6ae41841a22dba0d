/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exit-codes.h"
#include "base/log.h"
#include "base/str.h"
#include "ctl/program.h"
#include "layout/layout.h"

int program_run(const char *const *argv) {
        pid_t pid;
        int r, status;

        (void) fflush(stdout);
        r = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *) argv, environ);
        if (r != 0)
                return log_error_errno(r, "Cannot run '%s': %m", argv[0]);
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return log_error_errno(errno, "Cannot wait for '%s': %m", argv[0]);
        return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNAL_BASE + WTERMSIG(status);
}

int helper_run(const char *name, const char *a, const char *b, const char *c) {
        _cleanup_free_ char *path = strjoin(LAYOUT_LIBEXEC_DIR "/", name);
        const char *argv[] = { path, a, b, c, NULL };

        return path ? program_run(argv) : log_oom();
}
