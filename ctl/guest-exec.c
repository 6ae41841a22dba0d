/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/exec-frame.h"
#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "base/wire.h"
#include "ctl/guest-exec.h"
#include "ctl/guest.h"
#include "ctl/table.h"
#include "json/json.h"

/* As machinectl(1) has it: what ends a session on a raw terminal whose guest does not. */
enum { ESCAPE = 0x1d, ESCAPE_TIMES = 3 };
#define ESCAPE_USEC USEC_PER_SEC

/* What a pipe that poll(2) calls writable takes without waiting. */
enum { WRITE_MAX = 4096 };

/* Longer lines of a guest's complaints are cut in pieces. */
enum { LINE_MAX_SIZE = 4096 };

typedef struct Session {
        const char *vm;
        const GuestExec *exec;
        int fd, signal_fd;

        struct termios saved;
        bool raw;
        unsigned n_escapes;
        uint64_t first_escape;
        bool interrupted;               /* a signal was passed on */

        FrameParser parser;
        char in[64 * 1024];             /* of the guest */
        const char *data;
        size_t n;
        Frame frame;                    /* a part of a stream that is being written, n > 0 */

        size_t n_line;                  /* of standard error, where it goes by lines */
        char line[LINE_MAX_SIZE];

        size_t credit;
        bool input_ended;
        size_t out_start, out_end;      /* for the guest */
        char out[2 * (FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX)];
} Session;

static uint64_t now(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / NSEC_PER_USEC;
}

static struct winsize terminal_size(const GuestExec *e) {
        struct winsize size = {};

        if (ioctl(e->in_fd, TIOCGWINSZ, &size) < 0)
                size = (struct winsize) {};
        return size;
}

static int format_request(const GuestExec *e, char **ret, char **ret_error) {
        _cleanup_json_ json_t *j = json_object();
        json_t *argv = json_array(), *env = json_array();
        struct winsize size = terminal_size(e);
        int r = 0;

        /* jansson takes nothing but UTF-8. */
        STRV_FOREACH(a, e->argv)
                r |= json_array_append_new(argv, json_string(*a));
        STRV_FOREACH(v, e->env)
                r |= json_array_append_new(env, json_string(*v));
        r |= json_object_set_new(j, "argv", argv);
        r |= json_object_set_new(j, "env", env);
        if (e->cwd)
                r |= json_object_set_new(j, "cwd", json_string(e->cwd));
        if (e->user)
                r |= json_object_set_new(j, "user", json_string(e->user));
        if (r < 0)
                return sentence(ret_error, -EINVAL, "The command line is no UTF-8, which the guest's API wants it to be.");
        if (e->terminal)
                (void) json_object_update_new(j, json_pack("{s:b, s:i, s:i}", "terminal", 1, "rows", (int) size.ws_row, "columns", (int) size.ws_col));
        *ret = json_format(j);
        if (!*ret)
                return -ENOMEM;
        if (strlen(*ret) > WIRE_HTTP_BODY_MAX)
                return sentence(ret_error, -E2BIG, "The command line is too long: the guest takes %d bytes with the environment that is given.",
                                (int) WIRE_HTTP_BODY_MAX);
        return 0;
}

static size_t out_room(const Session *s) {
        return sizeof(s->out) - s->out_end;
}

static void send_pending(Session *s) {
        while (s->out_start < s->out_end) {
                ssize_t k = send(s->fd, s->out + s->out_start, s->out_end - s->out_start, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0 && errno == EAGAIN)
                        return;
                if (k < 0) {            /* what has come from there is read all the same */
                        s->input_ended = true;
                        break;
                }
                s->out_start += (size_t) k;
        }
        s->out_start = s->out_end = 0;
}

/* Keys on a raw terminal; true: the user wants to get out. */
static bool escapes(Session *s, const char *data, size_t n) {
        for (size_t i = 0; i < n; i++) {
                if (data[i] != ESCAPE) {
                        s->n_escapes = 0;
                        continue;
                }
                if (s->n_escapes == 0 || now() - s->first_escape > ESCAPE_USEC) {
                        s->n_escapes = 0;
                        s->first_escape = now();
                }
                if (++s->n_escapes == ESCAPE_TIMES)
                        return true;
        }
        return false;
}

static bool wants_input(const Session *s) {
        return !s->input_ended && s->credit > 0 && out_room(s) > FRAME_HEADER_SIZE + 2 * FRAME_SMALL_MAX;
}

static int read_input(Session *s) {
        char *frame = s->out + s->out_end;
        size_t most = MIN(s->credit, out_room(s) - FRAME_HEADER_SIZE - 2 * FRAME_SMALL_MAX);
        ssize_t k;

        k = read(s->exec->in_fd, frame + FRAME_HEADER_SIZE, MIN(most, (size_t) FRAME_PAYLOAD_MAX));
        if (k < 0 && (errno == EINTR || errno == EAGAIN))
                return 0;
        if (k <= 0) {                   /* also where it cannot be read, as of somebody who is not in the foreground */
                s->input_ended = true;
                s->out_end += frame_stdin_end(frame);
                return 0;
        }
        if (s->raw && escapes(s, frame + FRAME_HEADER_SIZE, (size_t) k))
                return -ECANCELED;
        frame_header(frame, FRAME_STDIN, (size_t) k);
        s->out_end += FRAME_HEADER_SIZE + (size_t) k;
        s->credit -= (size_t) k;
        return 0;
}

/* Positive: that ends us. */
static int take_signal(Session *s) {
        struct signalfd_siginfo si;
        struct winsize size;

        if (read(s->signal_fd, &si, sizeof(si)) != sizeof(si))
                return 0;
        if (out_room(s) < FRAME_SMALL_MAX)
                return si.ssi_signo == SIGWINCH ? 0 : EXIT_SIGNAL_BASE + (int) si.ssi_signo;
        if (si.ssi_signo == SIGWINCH) {
                if (!s->exec->terminal)
                        return 0;
                size = terminal_size(s->exec);
                s->out_end += frame_window(s->out + s->out_end, size.ws_row, size.ws_col);
                return 0;
        }
        if (s->raw || s->interrupted || s->exec->signals_end)
                return EXIT_SIGNAL_BASE + (int) si.ssi_signo;
        s->interrupted = true;
        s->out_end += frame_signal(s->out + s->out_end, si.ssi_signo);
        return 0;
}

static int write_output(Session *s) {
        ssize_t k = write(s->frame.type == FRAME_STDOUT ? s->exec->out_fd : s->exec->err_fd, s->frame.data, MIN(s->frame.n, (size_t) WRITE_MAX));

        if (k < 0 && (errno == EINTR || errno == EAGAIN))
                return 0;
        if (k < 0 && errno == EPIPE)
                return EXIT_SIGNAL_BASE + SIGPIPE;
        if (k < 0)
                return negative_errno();
        s->frame.data += k;
        s->frame.n -= (size_t) k;
        return 0;
}

static void end_line(Session *s) {
        _cleanup_free_ char *text = NULL;

        if (s->n_line == 0)
                return;
        s->line[s->n_line] = 0;
        s->n_line = 0;
        text = text_escape(s->line);
        s->exec->say(s->exec->userdata, text ?: "no memory");
}

static void take_lines(Session *s) {
        for (size_t i = 0; i < s->frame.n; i++) {
                char c = s->frame.data[i];

                if (c != '\n')
                        s->line[s->n_line++] = c ?: '?';
                if (c == '\n' || s->n_line == sizeof(s->line) - 1)
                        end_line(s);
        }
        s->frame.n = 0;
}

/* Frames out of what has come, up to the next part of a stream. 1: the last one. */
static int take_frames(Session *s) {
        int r;

        while (s->frame.n == 0 && (r = frame_parse(&s->parser, &s->data, &s->n, &s->frame)) != 0) {
                if (r < 0)
                        return r;
                if (s->frame.type == FRAME_EXIT)
                        return 1;
                if (s->frame.type == FRAME_CREDIT) {
                        if (s->frame.value > FRAME_INPUT_MAX - s->credit)
                                return -EBADMSG;
                        s->credit += s->frame.value;
                }
                if (s->frame.type == FRAME_STDOUT && s->exec->out_fd < 0)
                        return -EBADMSG;
                if (s->frame.type == FRAME_STDERR && s->exec->say)
                        take_lines(s);
        }
        return 0;
}

static int receive(Session *s) {
        ssize_t k = recv(s->fd, s->in, sizeof(s->in), MSG_DONTWAIT);

        if (k < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (k <= 0)
                return -ECONNRESET;
        s->data = s->in;
        s->n = (size_t) k;
        return 0;
}

/* How long the guest may take until it says something, in milliseconds: for ever where it is not the guest who is waited for. */
static int patience(const Session *s) {
        if (s->exec->idle_usec == 0 || s->frame.n > 0 || wants_input(s))
                return -1;
        return (int) MIN(s->exec->idle_usec / USEC_PER_MSEC, (uint64_t) INT_MAX);
}

/* Returns as guest_exec(); what the last frame says is still there. */
static int session_run(Session *s) {
        for (;;) {
                const short wanted = (short) ((s->frame.n == 0 ? POLLIN : 0) | (s->out_end > 0 ? POLLOUT : 0));
                struct pollfd p[] = {
                        { .fd = wanted ? s->fd : -1, .events = wanted },
                        { .fd = s->signal_fd, .events = POLLIN },
                        { .fd = wants_input(s) ? s->exec->in_fd : -1, .events = POLLIN },
                        { .fd = s->frame.n == 0 ? -1 : s->frame.type == FRAME_STDOUT ? s->exec->out_fd : s->exec->err_fd, .events = POLLOUT },
                };
                int r;

                r = poll(p, ELEMENTSOF(p), patience(s));
                if (r < 0 && errno == EINTR)
                        continue;
                if (r <= 0)
                        return r < 0 ? negative_errno() : -ETIMEDOUT;
                r = p[1].revents ? take_signal(s) : 0;
                if (r == 0 && p[3].revents)
                        r = write_output(s);
                else if (r == 0 && s->frame.n == 0 && p[0].revents & (POLLIN | POLLHUP | POLLERR))
                        r = receive(s);
                if (r == 0) {
                        r = take_frames(s);
                        if (r > 0)
                                return (int) s->frame.value;
                }
                if (r == 0 && p[2].revents)
                        r = read_input(s);
                if (r != 0)
                        return r;
                send_pending(s);
        }
}

static void set_raw(Session *s) {
        struct termios t;

        if (!s->exec->terminal || !s->exec->input || tcgetattr(s->exec->in_fd, &s->saved) < 0)
                return;
        t = s->saved;
        cfmakeraw(&t);
        s->raw = tcsetattr(s->exec->in_fd, TCSADRAIN, &t) >= 0;
}

int guest_session(const char *vm, const char *target, const char *body, const GuestExec *e, char **ret_error) {
        _cleanup_free_ char *reason = NULL;
        _cleanup_free_ Session *s = NULL;
        _cleanup_close_ int fd = -EBADF, signal_fd = -EBADF;
        sigset_t signals, before;
        int r;

        s = calloc(1, sizeof(Session));
        if (!s)
                return -ENOMEM;
        fd = guest_upgrade(vm, target, body, e->timeout_usec, ret_error);
        if (fd < 0)
                return fd;

        (void) sigemptyset(&signals);
        for (size_t i = 0; i < 5; i++)
                (void) sigaddset(&signals, (const int[]) { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH }[i]);
        (void) signal(SIGPIPE, SIG_IGN);
        if (sigprocmask(SIG_BLOCK, &signals, &before) < 0)
                return negative_errno();
        signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        if (signal_fd < 0)
                return negative_errno();

        s->vm = vm;
        s->exec = e;
        s->fd = fd;
        s->signal_fd = signal_fd;
        s->parser.source = FRAMES_OF_GUEST;
        s->credit = FRAME_INPUT_MAX;
        if (!e->input) {
                s->input_ended = true;
                s->out_end = frame_stdin_end(s->out);
        }
        set_raw(s);
        send_pending(s);
        r = session_run(s);
        if (s->raw)
                (void) tcsetattr(e->in_fd, TCSADRAIN, &s->saved);
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
        if (e->say)
                end_line(s);

        if (r == -EBADMSG)
                return sentence(ret_error, r, "The guest of VM '%s' does not speak as it should: the connection was ended.", vm);
        if (r >= 0 && s->frame.type == FRAME_EXIT && *s->frame.message) {
                reason = text_escape(s->frame.message);
                (void) sentence(ret_error, -ENOEXEC, "VM '%s': %s.", vm, reason ?: "no memory");
        }
        return r;
}

int guest_exec(const char *vm, const GuestExec *e, char **ret_error) {
        _cleanup_free_ char *body = NULL;
        int r;

        r = format_request(e, &body, ret_error);
        if (r >= 0)
                r = guest_session(vm, "/v1/exec", body, e, ret_error);
        if (r >= 0 || r == -ENOMEM || *ret_error)
                return r;
        switch (r) {
        case -ECONNRESET:
                return sentence(ret_error, r, "The guest of VM '%s' has gone, or has ended the connection, before the command did.", vm);
        case -ECANCELED:
                return sentence(ret_error, r, "The command in VM '%s' was left, and killed, by ^]^]^].", vm);
        default:
                return sentence_errno(ret_error, r, "Cannot write what the command in VM '%s' prints", vm);
        }
}
