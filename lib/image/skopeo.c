/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/error.h"
#include "image/progress.h"
#include "image/skopeo.h"

enum {
        TICK_MSEC = 500,
        LINE_MAX_SIZE = 64 * 1024,
        HELD_FD = 3,
        TERMINAL_ROWS = 1024,           /* a line for each blob */
        TERMINAL_COLUMNS = 160,         /* in which no number is cut off */
};

char *skopeo_message(const char *line, bool *ret_is_warning) {
        const char *level, *message;
        char *out, *p;

        /* logrus: time="…" level=fatal msg="…", with Go's quoting. */
        *ret_is_warning = false;
        level = startswith(line, "time=\"") ? strstr(line, " level=") : NULL;
        message = level ? strstr(level, " msg=") : NULL;
        if (!message)
                return strdup(line);
        level += strlen(" level=");
        *ret_is_warning = !startswith(level, "fatal") && !startswith(level, "error") && !startswith(level, "panic");
        message += strlen(" msg=");
        if (*message != '"')
                return strndup(message, strcspn(message, " "));
        out = p = strdup(message + 1);
        if (!out)
                return NULL;
        for (const char *q = message + 1; *q && *q != '"'; q++) {
                if (*q == '\\' && q[1]) {
                        q++;
                        *p++ = *q == 'n' || *q == 't' || *q == 'r' ? ' ' : *q;
                } else
                        *p++ = *q;
        }
        *p = 0;
        return out;
}

/* Text is all that skopeo gives. Whatever is not one of these comes, in practice, from the registry or the way to it. */
static int errno_of_message(const char *s) {
        static const struct {
                const char *text;
                int error;
        } table[] = {
                { "no space left on device", ENOSPC },
                { "read-only file system", EROFS },
                { "untarring file", EBADMSG },          /* an archive that is none, or cut off */
                { "loading tar component", EBADMSG },
                { "index.json: no such file", EBADMSG },
                { "invalid reference format", EINVAL },
                { "unauthorized", EACCES },
                { "authentication required", EACCES },
                { "access to the resource is denied", EACCES },
                { "denied:", EACCES },
                { "invalid username/password", EACCES },
                { "rejected by policy", EACCES },
                { "manifest unknown", ENOENT },
                { "name unknown", ENOENT },
                { "repository name not known", ENOENT },
                { "no such image", ENOENT },
                { "No such image", ENOENT },
                { "not found", ENOENT },
                { "no such host", ENXIO },
                { "no such file or directory", ENOENT },
                { "does not resolve to an image ID", ENOENT },
                { "identifier is not an image", ENOENT },
                { "no image found", ENOENT },
                { "no descriptor found", ENOENT },
                { "reference does not exist", ENOENT },
                { "digest mismatch", EBADMSG },
                { "Digest did not match", EBADMSG },
        };

        /* The name of a host that is "not found" is no image that is not found, nor is a socket that is missing. */
        if (strstr(s, "dial ") || strstr(s, "no such host") || strstr(s, "Cannot connect to the Docker daemon"))
                return -ENXIO;
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strstr(s, table[i].text))
                        return -table[i].error;
        return -ENXIO;
}

/* What to do about it, where that is known. */
static const char *remedy_of_message(int error, const char *s) {
        if (strstr(s, "signed by unknown authority"))
                return " (put the CA's certificate into /etc/containers/certs.d/HOST:PORT/ca.crt)";
        if (strstr(s, "unexpected EOF") || strstr(s, "connection reset"))
                return " (try again: what has come whole is kept)";
        return error == -EACCES ? " (AuthFile= of inferno.conf names the file with registries' passwords)" : "";
}

/* What skopeo writes to, and what we read that from. Nobody's controlling terminal. */
static int open_terminal(int *ret_read, int *ret_write) {
        const struct winsize size = { .ws_row = TERMINAL_ROWS, .ws_col = TERMINAL_COLUMNS };
        _cleanup_close_ int read_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), write_fd = -EBADF;

        if (read_fd < 0 || unlockpt(read_fd) < 0)
                return negative_errno();
        write_fd = ioctl(read_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (write_fd < 0 || ioctl(write_fd, TIOCSWINSZ, &size) < 0)
                return negative_errno();
        *ret_read = TAKE_FD(read_fd);
        *ret_write = TAKE_FD(write_fd);
        return 0;
}

static int open_pipe(int *ret_read, int *ret_write) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return negative_errno();
        *ret_read = fds[0];
        *ret_write = fds[1];
        return 0;
}

static int spawn_skopeo(char **argv, int out_fd, int err_fd, int held_fd, pid_t *ret) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        sigset_t none, usual;
        int k;

        if (posix_spawn_file_actions_init(&actions) != 0)
                return -ENOMEM;
        if (posix_spawnattr_init(&attr) != 0) {
                posix_spawn_file_actions_destroy(&actions);
                return -ENOMEM;
        }
        sigemptyset(&none);
        sigemptyset(&usual);
        sigaddset(&usual, SIGPIPE);
        sigaddset(&usual, SIGINT);
        sigaddset(&usual, SIGTERM);
        k = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (k == 0)
                k = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
        if (k == 0)
                k = posix_spawn_file_actions_adddup2(&actions, err_fd, STDERR_FILENO);
        if (k == 0 && held_fd >= 0)
                k = posix_spawn_file_actions_adddup2(&actions, held_fd, HELD_FD);
        if (k == 0)
                k = posix_spawnattr_setsigmask(&attr, &none);
        if (k == 0)
                k = posix_spawnattr_setsigdefault(&attr, &usual);
        if (k == 0)
                k = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        if (k == 0)
                k = posix_spawnp(ret, "skopeo", &actions, &attr, argv, environ);
        posix_spawnattr_destroy(&attr);
        posix_spawn_file_actions_destroy(&actions);
        return -k;
}

/* Takes whole lines out of the buffer; at the end also what has no newline. */
static int take_lines(StrBuf *b, const SkopeoRun *run, bool at_end, char **last_message) {
        char *line = b->data, *newline;

        while (line && *line && ((newline = strchr(line, '\n')) || at_end || strlen(line) > LINE_MAX_SIZE)) {
                _cleanup_free_ char *message = NULL;
                bool is_warning;

                if (newline)
                        *newline = 0;
                message = skopeo_message(line, &is_warning);
                if (!message)
                        return -ENOMEM;
                if (is_warning) {
                        if (run->warning)
                                run->warning(message, run->userdata);
                } else if (*message) {
                        free(*last_message);
                        *last_message = TAKE_PTR(message);
                }
                line = newline ? newline + 1 : line + strlen(line);
        }
        if (line && line != b->data) {
                size_t n = strlen(line);

                memmove(b->data, line, n + 1);
                b->size = n;
        }
        return 0;
}

static uint64_t now_msec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000;
}

/* Reads both pipes until they are closed. */
static int follow(int out_fd, int err_fd, const SkopeoRun *run, StrBuf *output, char **last_message) {
        _cleanup_strbuf_ StrBuf messages = {};
        TerminalLines lines = {};
        struct pollfd p[] = { { .fd = out_fd, .events = POLLIN }, { .fd = err_fd, .events = POLLIN } };
        uint64_t next_tick = now_msec() + TICK_MSEC, last_change = now_msec(), state = 0;
        int r;

        while (p[0].fd >= 0 || p[1].fd >= 0) {
                uint64_t now = now_msec();

                if (now >= next_tick) {
                        uint64_t s = run->tick ? run->tick(run->userdata) : 0;

                        if (s != state)
                                last_change = now;
                        state = s;
                        next_tick = now + TICK_MSEC;
                        if (now - last_change > SKOPEO_STALL_SEC * UINT64_C(1000))
                                return -ETIMEDOUT;
                }
                if (poll(p, ELEMENTSOF(p), (int) (next_tick - now)) < 0 && errno != EINTR)
                        return negative_errno();
                for (size_t i = 0; i < ELEMENTSOF(p); i++) {
                        char buf[16384];
                        ssize_t n;

                        if (p[i].fd < 0 || !p[i].revents)
                                continue;
                        n = read(p[i].fd, buf, sizeof(buf));
                        /* EIO: a terminal that nobody has open any more. */
                        if (n < 0 && errno == EIO && i == 0 && run->line)
                                n = 0;
                        if (n < 0 && errno != EINTR)
                                return negative_errno();
                        if (n == 0)
                                p[i].fd = -1;
                        if (n <= 0)
                                continue;
                        /* The bars of a terminal are written anew all the time: what has come tells only the tick. */
                        if (i == 1 || !run->line)
                                last_change = now;
                        if (i == 1) {
                                /* A NUL in it would hide the rest. */
                                for (ssize_t j = 0; j < n; j++)
                                        buf[j] = buf[j] ? buf[j] : '?';
                                strbuf_add(&messages, buf, (size_t) n);
                                r = messages.failed ? -ENOMEM : take_lines(&messages, run, false, last_message);
                                if (r < 0)
                                        return r;
                        } else if (run->line) {
                                for (ssize_t j = 0; j < n; j++) {
                                        const char *line = terminal_lines_take(&lines, buf[j]);

                                        if (line)
                                                run->line(line, run->userdata);
                                }
                        } else if (run->output_max > 0) {
                                if (output->size + (size_t) n > run->output_max)
                                        return -EFBIG;
                                strbuf_add(output, buf, (size_t) n);
                        }
                }
        }
        return take_lines(&messages, run, true, last_message);
}

int skopeo_run(char **argv, const SkopeoRun *run, char **ret_output, size_t *ret_size, char **ret_error) {
        _cleanup_close_ int out_read = -EBADF, out_write = -EBADF, err_read = -EBADF, err_write = -EBADF;
        _cleanup_free_ char *last_message = NULL;
        _cleanup_strbuf_ StrBuf output = {};
        int r, status;
        pid_t pid;

        r = run->line ? open_terminal(&out_read, &out_write) : -ENOTTY;
        if (r < 0)
                r = open_pipe(&out_read, &out_write);
        if (r >= 0)
                r = open_pipe(&err_read, &err_write);
        if (r < 0)
                return r;

        r = spawn_skopeo(argv, out_write, err_write, run->held_fd, &pid);
        if (r == -ENOENT)
                return image_error(ret_error, -ENOPKG, "skopeo is not installed; install the package of that name");
        if (r < 0)
                return image_error_errno(ret_error, r, "cannot start skopeo");
        out_write = safe_close(out_write);
        err_write = safe_close(err_write);

        r = follow(out_read, err_read, run, &output, &last_message);
        if (r < 0)
                (void) kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return negative_errno();
        if (r == -ETIMEDOUT)
                return image_error(ret_error, -ENXIO, "nothing has come for %d seconds", SKOPEO_STALL_SEC);
        if (r == -EFBIG)
                return image_error(ret_error, -EBADMSG, "skopeo gave more than %zu bytes", run->output_max);
        if (r < 0)
                return r;
        if (WIFSIGNALED(status))
                return image_error(ret_error, -EIO, "skopeo was killed by signal %d", WTERMSIG(status));
        if (WEXITSTATUS(status) != 0) {
                const char *e;
                char *q = last_message;

                if (!q)
                        return image_error(ret_error, -ENXIO, "skopeo failed with status %d and no message",
                                        WEXITSTATUS(status));
                /* A terminal must not be told what to do by a registry. */
                for (char *c = q; *c; c++)
                        if ((unsigned char) *c < 0x20 || *c == 0x7f)
                                *c = ' ';
                /* The caller names the image. */
                e = startswith(q, "Error parsing image name \"");
                e = e ? strstr(e, "\": ") : NULL;
                r = errno_of_message(q);
                return image_error(ret_error, r, "%s%s", e ? e + 3 : q, remedy_of_message(r, q));
        }
        if (ret_output)
                return strbuf_finish(&output, ret_output, ret_size);
        return 0;
}
