/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sentence.h"
#include "base/str.h"
#include "base/tar-files.h"
#include "base/wire.h"
#include "ctl/guest-exec.h"
#include "ctl/guest-files.h"
#include "ctl/table.h"
#include "json/json.h"

/* How the end ends that has a process of its own: its exit status. */
typedef enum Outcome {
        OUTCOME_WHOLE,
        OUTCOME_PARTIAL,                /* it went through, but for what was complained of */
        OUTCOME_FAILED,                 /* why is logged */
        OUTCOME_CUT,                    /* the other end's fault, so nothing was logged */
} Outcome;

static void say_of_guest(void *userdata, const char *line) {
        log_warning("VM '%s': %s.", (const char *) userdata, line);
}

static void say_here(void *userdata, const char *text) {
        _cleanup_free_ char *escaped = text_escape(text);

        log_warning("%s.", escaped ?: "no memory");
}

/* What a copy of it is called in a directory; *ret NULL: its content is what is copied ("DIR/.", "/", ".."). */
static int copied_name(const char *path, char **ret) {
        size_t n = strlen(path), k = 0;

        while (n > 0 && path[n - 1] == '/')
                n--;
        while (k < n && path[n - 1 - k] != '/')
                k++;
        *ret = NULL;
        if (k == 0 || (k == 1 && path[n - 1] == '.') || (k == 2 && path[n - 1] == '.' && path[n - 2] == '.'))
                return 0;
        *ret = strndup(path + n - k, k);
        return *ret ? 0 : -ENOMEM;
}

/* The request for one side; name: of what is copied. */
static int format_request(const GuestCopy *c, const CopySide *side, const char *name, char **ret, char **ret_error) {
        _cleanup_json_ json_t *j = json_object();
        bool write = side == &c->to, from_stream = !c->from.vm && !c->from.path, to_stream = !c->to.vm && !c->to.path;
        int r = 0;

        /* jansson takes nothing but UTF-8. */
        r |= json_object_set_new(j, "action", json_string(write ? "write" : "read"));
        r |= json_object_set_new(j, "path", json_string(side->path));
        if (name && !from_stream && (write || to_stream))
                r |= json_object_set_new(j, "name", json_string(name));
        if (c->user && write)
                r |= json_object_set_new(j, "user", json_string(c->user));
        if (r < 0)
                return sentence(ret_error, -EINVAL, "A path or user is no UTF-8, which the guest's API wants it to be.");
        r |= json_object_set_new(j, "archive", json_boolean(c->archive));
        r |= json_object_set_new(j, "follow", json_boolean(c->follow));
        r |= json_object_set_new(j, "foreign", json_boolean(from_stream));
        *ret = r < 0 ? NULL : json_format(j);
        return *ret ? 0 : -ENOMEM;
}

/* The end in a guest. Returns as guest_session(), with a sentence in any case but: 0; 1, for what was complained of; -EPIPE: the other end takes no more. */
static int copy_guest(const GuestCopy *c, const CopySide *side, const char *name, int fd, char **ret_error) {
        const GuestExec e = {
                .input = side == &c->to,
                .in_fd = side == &c->to ? fd : -EBADF,
                .out_fd = side == &c->to ? -EBADF : fd,
                .signals_end = true,
                .timeout_usec = c->timeout_usec,
                .idle_usec = c->timeout_usec,
                .say = say_of_guest,
                .userdata = (void *) side->vm,
        };
        _cleanup_free_ char *body = NULL;
        int r;

        r = format_request(c, side, name, &body, ret_error);
        if (r >= 0)
                r = guest_session(side->vm, "/v1/files", body, &e, ret_error);
        if (*ret_error || r == 0 || r == EXIT_FAILED)
                return r;
        switch (r) {
        case EXIT_SIGNAL_BASE + SIGPIPE:
                return -EPIPE;
        case -ECONNRESET:
                return sentence(ret_error, r, "The guest of VM '%s' has gone, or has ended the connection, before all was copied.", side->vm);
        case -ETIMEDOUT:
                return sentence(ret_error, r, "The guest of VM '%s' does not go on: nothing within %llu s.", side->vm,
                                (unsigned long long) (c->timeout_usec / USEC_PER_SEC));
        }
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot go on with what comes from VM '%s'", side->vm);
        return sentence(ret_error, r, r > EXIT_SIGNAL_BASE ? "The copy with VM '%s' was ended by signal %d." : "The copy has failed in VM '%s' with %d.",
                        side->vm, r > EXIT_SIGNAL_BASE ? r - EXIT_SIGNAL_BASE : r);
}

/* Those of a terminal reach both processes; the other one says what they have ended. */
static bool is_users_signal(int r) {
        return r == EXIT_SIGNAL_BASE + SIGINT || r == EXIT_SIGNAL_BASE + SIGTERM || r == EXIT_SIGNAL_BASE + SIGHUP || r == EXIT_SIGNAL_BASE + SIGQUIT;
}

static Outcome copy_other_guest(const GuestCopy *c, const CopySide *side, const char *name, int fd) {
        _cleanup_free_ char *error = NULL;
        int r = copy_guest(c, side, name, fd, &error);

        if (r == -EPIPE || is_users_signal(r))
                return OUTCOME_CUT;
        if (!error)
                return r == 0 ? OUTCOME_WHOLE : OUTCOME_PARTIAL;
        log_error("%s", error);
        return OUTCOME_FAILED;
}

/* The end on this host. */
static Outcome copy_here(const GuestCopy *c, const CopySide *side, const char *name, int fd) {
        _cleanup_free_ char *error = NULL, *text = NULL;
        int r;

        if (side == &c->to)
                r = tar_unpack(&(TarUnpack) { .path = side->path, .name = name, .keep = c->archive, .uid = geteuid(), .gid = getegid(), .say = say_here },
                                fd, &error);
        else
                r = tar_pack(&(TarPack) { .path = side->path, .name = ".", .follow = c->follow, .say = say_here }, fd, &error);
        if (r >= 0)
                return r == 0 ? OUTCOME_WHOLE : OUTCOME_PARTIAL;
        if (r == -EPIPE || r == -ENODATA)
                return OUTCOME_CUT;
        text = text_escape(error ?: "no memory");
        log_error("%s.%s%s", text ?: "no memory", *errno_remedy(r) ? " " : "", errno_remedy(r));
        return OUTCOME_FAILED;
}

/* The end that the session in this process does not work at. Signals are answered by that one, whose end is the end of the pipe. */
static int start_other(const GuestCopy *c, const CopySide *side, const char *name, int fds[static 2], pid_t *ret) {
        const int own = side == &c->to ? 0 : 1;
        sigset_t signals;
        pid_t pid;

        pid = fork();
        if (pid < 0)
                return negative_errno();
        if (pid == 0) {
                (void) sigemptyset(&signals);
                for (size_t i = 0; i < 4; i++)
                        (void) sigaddset(&signals, (const int[]) { SIGINT, SIGTERM, SIGHUP, SIGQUIT }[i]);
                (void) sigprocmask(SIG_BLOCK, &signals, NULL);
                (void) signal(SIGPIPE, SIG_IGN);
                fds[1 - own] = safe_close(fds[1 - own]);
                _exit((int) (side->vm ? copy_other_guest(c, side, name, fds[own]) : copy_here(c, side, name, fds[own])));
        }
        fds[own] = safe_close(fds[own]);
        *ret = pid;
        return 0;
}

static Outcome wait_other(pid_t pid) {
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return OUTCOME_CUT;
        if (WIFEXITED(status) && WEXITSTATUS(status) <= OUTCOME_CUT)
                return (Outcome) WEXITSTATUS(status);
        return OUTCOME_CUT;
}

/* What is said of the end in the guest, if it is that which the other one's end comes from. Returns as guest_copy(). */
static int conclude(int r, const char *error, Outcome other) {
        if (other == OUTCOME_FAILED)
                return EXIT_FAILED;
        if (error)
                log_error("%s", error);
        else if (r == -EPIPE || other == OUTCOME_CUT)
                log_error("The copy has ended before it was whole.");
        else if (r < 0)
                return log_oom();
        if (r > EXIT_SIGNAL_BASE)
                return r;
        return r == 0 && other == OUTCOME_WHOLE ? 0 : EXIT_FAILED;
}

int guest_copy(const GuestCopy *c) {
        const CopySide *side = c->to.vm ? &c->to : &c->from, *other = c->to.vm ? &c->from : &c->to;
        _cleanup_free_ char *name = NULL, *error = NULL;
        int fds[2], r;
        struct stat st;
        pid_t pid = 0;

        if (c->from.path && copied_name(c->from.path, &name) < 0)
                return log_oom();
        if (!other->path) {
                r = copy_guest(c, side, name, side == &c->to ? STDIN_FILENO : STDOUT_FILENO, &error);
                return conclude(r, error, OUTCOME_WHOLE);
        }
        /* Before the guest is bothered. */
        if (!c->from.vm && fstatat(AT_FDCWD, c->from.path, &st, c->follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
                return log_error_errno(errno, "\"%s\" cannot be copied: %m", c->from.path);
        if (pipe2(fds, O_CLOEXEC) < 0)
                return log_error_errno(errno, "Cannot make a pipe: %m");
        r = start_other(c, other, name, fds, &pid);
        if (r >= 0)
                r = copy_guest(c, side, name, side == &c->to ? fds[0] : fds[1], &error);
        else
                (void) sentence_errno(&error, r, "Cannot make a process");
        safe_close(fds[0]);
        safe_close(fds[1]);
        return conclude(r, error, pid > 0 ? wait_other(pid) : OUTCOME_WHOLE);
}
