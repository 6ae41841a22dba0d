/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/subprocess.h"

enum { ENVIRONMENT_MAX = 8 };

static int start(const char *const argv[], const char *const envp[], int out_fd, int err_fd, pid_t *ret) {
        const char *environment[ENVIRONMENT_MAX + 3] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8" };
        posix_spawn_file_actions_t actions;
        size_t n = 2;
        int r;

        for (; envp && *envp && n < ENVIRONMENT_MAX + 2; envp++)
                environment[n++] = *envp;
        r = -posix_spawn_file_actions_init(&actions);
        if (r < 0)
                return r;
        r = -posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r >= 0)
                r = -posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
        if (r >= 0)
                r = -posix_spawn_file_actions_adddup2(&actions, err_fd, STDERR_FILENO);
        if (r >= 0)
                r = -posix_spawn(ret, argv[0], &actions, NULL, (char **) argv, (char **) environment);
        (void) posix_spawn_file_actions_destroy(&actions);
        return r;
}

static int read_text(int fd, char **ret) {
        _cleanup_free_ char *text = NULL;
        ssize_t n;

        if (!ret)
                return 0;
        text = malloc(SPAWN_TEXT_MAX + 1);
        if (!text)
                return -ENOMEM;
        if (lseek(fd, 0, SEEK_SET) < 0)
                return negative_errno();
        n = read_full(fd, text, SPAWN_TEXT_MAX);
        if (n < 0)
                return (int) n;
        text[n] = 0;
        *ret = TAKE_PTR(text);
        return 0;
}

/* Into memory, not pipes: neither stream waits for the other to be read. */
int spawn_run(const char *const argv[], const char *const envp[], char **ret_output, char **ret_errors) {
        _cleanup_close_ int out_fd = memfd_create("output", MFD_CLOEXEC), err_fd = memfd_create("errors", MFD_CLOEXEC);
        _cleanup_free_ char *output = NULL;
        int status, r;
        pid_t pid;

        if (out_fd < 0 || err_fd < 0)
                return negative_errno();
        r = start(argv, envp, out_fd, err_fd, &pid);
        if (r < 0)
                return r;
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return negative_errno();
        r = read_text(out_fd, ret_output ? &output : NULL);
        if (r >= 0)
                r = read_text(err_fd, ret_errors);
        if (r < 0)
                return r;
        if (ret_output)
                *ret_output = TAKE_PTR(output);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

const char *spawn_last_line(char *text) {
        size_t n = strlen(text);
        char *newline;

        while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
                text[--n] = 0;
        newline = strrchr(text, '\n');
        text = newline ? newline + 1 : text;
        text += strspn(text, " ");
        return *text ? text : "it did not say why";
}
