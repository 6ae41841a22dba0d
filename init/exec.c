/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exec-frame.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/wire.h"
#include "init/exec.h"
#include "init/failure.h"

/* One of the two that a program writes, or its terminal. */
typedef struct ExecOutput {
        LoopSource source;
        FrameType type;
        bool ended;
        size_t drained;                 /* since the program has ended */
} ExecOutput;

typedef struct ExecSession {
        ExecServer *server;
        LoopSource socket;
        LoopTimer timer;                /* after the last frame, and of a copy that is to end */
        FrameParser parser;

        pid_t pid;                      /* 0: reaped */
        int wait_status;
        LoopSource report;              /* until it is known whether the program was executed */
        bool failed;                    /* it was not, and that is why: */
        Failure failure;

        bool copies;                    /* files */
        bool left;                      /* its streams are closed, and it is to end by that */
        bool terminal;
        LoopSource input;
        bool input_end;                 /* when all was written */
        unsigned credit;                /* gone on, and not told yet */
        size_t in_start, in_end;
        ExecOutput outputs[2];          /* of a terminal the first one alone */

        bool last;                      /* FRAME_EXIT stands in `out` */
        size_t out_start, out_end;
        char in[FRAME_INPUT_MAX];
        char out[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];
} ExecSession;

struct ExecServer {
        Loop *loop;
        int pts_fd;
        ExecSpawn spawn;
        void *userdata;
        ExecSession *sessions[EXEC_MAX];
};

ExecRequest *exec_request_free(ExecRequest *r) {
        if (r) {
                strv_free(r->argv);
                strv_free(r->env);
                free(r->cwd);
                free(r->user);
                free(r);
        }
        return NULL;
}

int exec_request_parse(const char *body, size_t n, ExecRequest **ret, char *error) {
        static const JsonField fields[] = {
                { "argv", json_read_strv, offsetof(ExecRequest, argv), JSON_MANDATORY },
                { "columns", json_read_uint, offsetof(ExecRequest, columns), 0 },
                { "cwd", json_read_string, offsetof(ExecRequest, cwd), 0 },
                { "env", json_read_strv, offsetof(ExecRequest, env), 0 },
                { "rows", json_read_uint, offsetof(ExecRequest, rows), 0 },
                { "terminal", json_read_bool, offsetof(ExecRequest, terminal), 0 },
                { "user", json_read_string, offsetof(ExecRequest, user), 0 },
                {},
        };
        _cleanup_(exec_request_freep) ExecRequest *q = calloc(1, sizeof(ExecRequest));
        _cleanup_json_ json_t *j = NULL;
        int r;

        if (!q)
                return -ENOMEM;
        r = json_parse(body, n, WIRE_HTTP_BODY_MAX, &j, error);
        if (r >= 0)
                r = json_read_object(j, fields, 0, q, error);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        if (strv_length(q->argv) < 1 || !*q->argv[0])
                return json_field_error(error, "argv is empty");
        if (strv_length(q->argv) > EXEC_ARGUMENTS_MAX || strv_length(q->env) > EXEC_ARGUMENTS_MAX)
                return json_field_error(error, "argv or env has more than %d entries", EXEC_ARGUMENTS_MAX);
        STRV_FOREACH(e, q->env)
                if (**e == '=' || !strchr(*e, '='))
                        return json_field_error(error, "env has an entry that is not NAME=VALUE");
        if (q->cwd && *q->cwd != '/')
                return json_field_error(error, "cwd is no absolute path");
        if (q->rows > UINT16_MAX || q->columns > UINT16_MAX)
                return json_field_error(error, "rows or columns are above 65535");
        *ret = TAKE_PTR(q);
        return 0;
}

static void close_source(ExecSession *s, LoopSource *source) {
        loop_remove(s->server->loop, source);
        source->fd = safe_close(source->fd);
}

static void signal_program(const ExecSession *s, int signo) {
        if (s->pid <= 0)
                return;
        /* Until its setsid(2) it has no group of its own. */
        if (kill(-s->pid, signo) < 0)
                (void) kill(s->pid, signo);
}

static void close_streams(ExecSession *s) {
        close_source(s, &s->socket);
        close_source(s, &s->report);
        close_source(s, &s->input);
        close_source(s, &s->outputs[0].source);
        close_source(s, &s->outputs[1].source);
}

/* The program, if it lives, is not waited for: whoever reaps finds nobody to tell. */
static void session_end(ExecSession *s) {
        ExecServer *server = s->server;

        signal_program(s, SIGKILL);
        close_streams(s);
        loop_disarm(server->loop, &s->timer);
        for (size_t i = 0; i < ELEMENTSOF(server->sessions); i++)
                if (server->sessions[i] == s)
                        server->sessions[i] = NULL;
        free(s);
}

/* The host has gone, or is of no use. A copy ends by the end of its streams, and removes the file that it had begun; if it does not, it is killed in the end. Until
 * then it keeps its place among the EXEC_MAX. */
static void session_leave(ExecSession *s) {
        if (!s->copies || s->pid <= 0) {
                session_end(s);
                return;
        }
        close_streams(s);
        s->left = true;
        loop_arm(s->server->loop, &s->timer, EXEC_CLOSE_USEC);
}

static size_t out_room(const ExecSession *s) {
        return sizeof(s->out) - s->out_end;
}

static void out_add(ExecSession *s, const char *data, size_t n) {
        memcpy(s->out + s->out_end, data, n);
        s->out_end += n;
}

static int send_pending(ExecSession *s) {
        while (s->out_start < s->out_end) {
                ssize_t k = send(s->socket.fd, s->out + s->out_start, s->out_end - s->out_start, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return errno == EAGAIN ? 0 : negative_errno();
                s->out_start += (size_t) k;
        }
        s->out_start = s->out_end = 0;
        return 0;
}

/* What the program does not take waits; what it will never take is as good as taken. */
static void write_input(ExecSession *s) {
        while (s->in_start < s->in_end && s->input.fd >= 0) {
                ssize_t k = write(s->input.fd, s->in + s->in_start, s->in_end - s->in_start);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0 && errno == EAGAIN)
                        break;
                if (k < 0)
                        close_source(s, &s->input);
                else {
                        s->in_start += (size_t) k;
                        s->credit += (unsigned) k;
                }
        }
        if (s->input.fd < 0) {
                s->credit += (unsigned) (s->in_end - s->in_start);
                s->in_start = s->in_end;
        }
        if (s->in_start == s->in_end) {
                s->in_start = s->in_end = 0;
                /* A terminal has no end; there ^D is a byte. */
                if (s->input_end && !s->terminal)
                        close_source(s, &s->input);
        }
}

/* One frame of what there is, while there is room for it. */
static void read_output(ExecSession *s, ExecOutput *o) {
        size_t room = out_room(s);
        char *frame = s->out + s->out_end;
        ssize_t k;

        if (o->ended || room < FRAME_HEADER_SIZE + 1 || (s->out_end > 0 && room < sizeof(s->out) / 2))
                return;
        k = read(o->source.fd, frame + FRAME_HEADER_SIZE, room - FRAME_HEADER_SIZE);
        if (k > 0) {
                frame_header(frame, o->type, (size_t) k);
                s->out_end += FRAME_HEADER_SIZE + (size_t) k;
                if (s->pid == 0)
                        o->drained += (size_t) k;
                if (o->drained < EXEC_DRAIN_MAX)
                        return;
        } else if (k < 0 && (errno == EINTR || (errno == EAGAIN && s->pid > 0)))
                return;
        /* Its end, or the program has ended and all that it had written is read. Who else has the other end is not waited for. */
        o->ended = true;
        close_source(s, &o->source);
}

static int exit_frame(ExecSession *s, char frame[static FRAME_EXIT_MAX]) {
        int code = WIFSIGNALED(s->wait_status) ? EXIT_SIGNAL_BASE + WTERMSIG(s->wait_status) : WEXITSTATUS(s->wait_status);

        return (int) (s->failed ? frame_exit(frame, (unsigned) s->failure.exit_code, s->failure.message)
                                : frame_exit(frame, (unsigned) code, ""));
}

/* Does what can be done now, and waits for what will make more possible. Negative: the session is over. */
static int session_advance(ExecSession *s) {
        Loop *l = s->server->loop;
        int r;

        write_input(s);
        /* Once the program has ended nobody says again that there is something to read. */
        for (size_t i = 0; s->pid == 0 && i < ELEMENTSOF(s->outputs); i++)
                read_output(s, s->outputs + i);
        if (s->credit > 0 && out_room(s) >= FRAME_SMALL_MAX && !s->last) {
                char frame[FRAME_SMALL_MAX];

                out_add(s, frame, frame_credit(frame, s->credit));
                s->credit = 0;
        }
        if (s->pid == 0 && s->report.fd < 0 && s->outputs[0].ended && s->outputs[1].ended && !s->last && out_room(s) >= FRAME_EXIT_MAX) {
                char frame[FRAME_EXIT_MAX];

                out_add(s, frame, (size_t) exit_frame(s, frame));
                s->last = true;
                loop_arm(l, &s->timer, EXEC_CLOSE_USEC);
        }
        r = send_pending(s);
        if (r < 0)
                return r;

        /* Output is read when what was read before is gone: then nothing is ever held back by frames that have no room. */
        for (size_t i = 0; i < ELEMENTSOF(s->outputs); i++) {
                ExecOutput *o = s->outputs + i;

                if (o->ended)
                        continue;
                if (s->out_end == 0 && s->pid > 0)
                        r = loop_set(l, &o->source, EPOLLIN);
                else
                        loop_remove(l, &o->source);
                if (r < 0)
                        return r;
        }
        if (s->input.fd >= 0 && s->in_start < s->in_end)
                r = loop_set(l, &s->input, EPOLLOUT);
        else
                loop_remove(l, &s->input);
        if (r < 0)
                return r;
        /* With the program gone, whatever is left to read is read when there is room again. */
        return loop_set(l, &s->socket, EPOLLIN | EPOLLRDHUP | (s->out_end > 0 || (s->pid == 0 && !s->last && s->report.fd < 0) ? EPOLLOUT : 0));
}

static void session_go_on(ExecSession *s) {
        if (session_advance(s) < 0)
                session_leave(s);
}

static int take_frame(ExecSession *s, const Frame *f) {
        switch (f->type) {
        case FRAME_STDIN:
                /* What is credited and not told counts as on its way: the host cannot know. */
                if (f->n > FRAME_INPUT_MAX - s->credit - (s->in_end - s->in_start))
                        return -EBADMSG;
                if (f->n > sizeof(s->in) - s->in_end) {
                        memmove(s->in, s->in + s->in_start, s->in_end - s->in_start);
                        s->in_end -= s->in_start;
                        s->in_start = 0;
                }
                memcpy(s->in + s->in_end, f->data, f->n);
                s->in_end += f->n;
                return 0;
        case FRAME_STDIN_END:
                s->input_end = true;
                return 0;
        case FRAME_WINDOW:
                if (!s->terminal)
                        return -EBADMSG;
                if (s->input.fd >= 0)
                        (void) ioctl(s->input.fd, TIOCSWINSZ, &(struct winsize) { .ws_row = (uint16_t) f->rows, .ws_col = (uint16_t) f->columns });
                return 0;
        default:
                signal_program(s, (int) f->value);
                return 0;
        }
}

static void on_socket(LoopSource *source, uint32_t events) {
        ExecSession *s = source->userdata;
        char buffer[8192];
        const char *data = buffer;
        ssize_t k;
        size_t n;
        Frame f;
        int r;

        /* Firecracker passes no half-close on, so whoever shuts anything down has gone. */
        if (events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) {
                session_leave(s);
                return;
        }
        if (events & EPOLLIN) {
                k = recv(source->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
                if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR)) {
                        session_leave(s);
                        return;
                }
                n = k > 0 ? (size_t) k : 0;
                while ((r = frame_parse(&s->parser, &data, &n, &f)) > 0) {
                        r = take_frame(s, &f);
                        if (r < 0)
                                break;
                }
                if (r < 0) {
                        session_leave(s);
                        return;
                }
        }
        session_go_on(s);
}

static void on_input(LoopSource *source, uint32_t events) {
        session_go_on(source->userdata);
}

static void on_output(LoopSource *source, uint32_t events) {
        ExecSession *s = source->userdata;

        for (size_t i = 0; i < ELEMENTSOF(s->outputs); i++)
                if (&s->outputs[i].source == source)
                        read_output(s, s->outputs + i);
        session_go_on(s);
}

static void on_report(LoopSource *source, uint32_t events) {
        ExecSession *s = source->userdata;
        ssize_t k = read(source->fd, &s->failure, sizeof(s->failure));

        if (k < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        s->failed = k == sizeof(s->failure);
        close_source(s, source);
        session_go_on(s);
}

static void on_timeout(LoopTimer *t) {
        session_end(t->userdata);
}

void exec_server_reaped(ExecServer *server, pid_t pid, int wait_status) {
        for (size_t i = 0; server && i < ELEMENTSOF(server->sessions); i++) {
                ExecSession *s = server->sessions[i];

                if (!s || s->pid != pid)
                        continue;
                s->pid = 0;
                s->wait_status = wait_status;
                if (s->left)
                        session_end(s);
                else
                        session_go_on(s);
                return;
        }
}

/* The master's end, and the process's. */
static int open_terminal(const ExecServer *server, const ExecRequest *request, int *ret_master, int *ret_slave) {
        const struct winsize size = { .ws_row = (uint16_t) request->rows, .ws_col = (uint16_t) request->columns };
        _cleanup_close_ int master_fd = -EBADF, slave_fd = -EBADF;
        int unlock = 0;

        if (server->pts_fd < 0)
                return -EOPNOTSUPP;
        master_fd = openat(server->pts_fd, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (master_fd < 0)
                return negative_errno();
        if (ioctl(master_fd, TIOCSPTLCK, &unlock) < 0 || ioctl(master_fd, TIOCSWINSZ, &size) < 0)
                return negative_errno();
        slave_fd = ioctl(master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (slave_fd < 0)
                return negative_errno();
        *ret_master = TAKE_FD(master_fd);
        *ret_slave = TAKE_FD(slave_fd);
        return 0;
}

static int open_streams(ExecSession *s, const ExecRequest *request, int streams[static 3]) {
        int fds[2], r;

        if (s->terminal) {
                r = open_terminal(s->server, request, &s->input.fd, streams);
                if (r < 0)
                        return r;
                /* One descriptor can wait for one thing. */
                s->outputs[0].source.fd = fcntl(s->input.fd, F_DUPFD_CLOEXEC, 0);
                streams[1] = fcntl(streams[0], F_DUPFD_CLOEXEC, 0);
                streams[2] = fcntl(streams[0], F_DUPFD_CLOEXEC, 0);
                s->outputs[1].ended = true;
                return s->outputs[0].source.fd < 0 || streams[1] < 0 || streams[2] < 0 ? negative_errno() : 0;
        }
        for (size_t i = 0; i < 3; i++) {
                if (pipe2(fds, O_CLOEXEC) < 0)
                        return negative_errno();
                streams[i] = fds[i == 0 ? 0 : 1];
                (i == 0 ? &s->input : &s->outputs[i - 1].source)->fd = fds[i == 0 ? 1 : 0];
                r = set_nonblock(fds[i == 0 ? 1 : 0], true);
                if (r < 0)
                        return r;
        }
        return 0;
}

int exec_server_add(ExecServer *server, const ExecRequest *request, int fd) {
        int streams[3] = { -EBADF, -EBADF, -EBADF }, r;
        ExecSession *s, **slot = NULL;

        for (size_t i = 0; i < ELEMENTSOF(server->sessions) && !slot; i++)
                if (!server->sessions[i])
                        slot = server->sessions + i;
        if (!slot)
                return -EBUSY;
        s = calloc(1, sizeof(ExecSession));
        if (!s)
                return -ENOMEM;
        s->server = server;
        s->copies = request->files;
        s->terminal = request->terminal;
        s->socket = (LoopSource) { .fd = -EBADF, .func = on_socket, .userdata = s };
        s->report = (LoopSource) { .fd = -EBADF, .func = on_report, .userdata = s };
        s->input = (LoopSource) { .fd = -EBADF, .func = on_input, .userdata = s };
        s->outputs[0] = (ExecOutput) { { .fd = -EBADF, .func = on_output, .userdata = s }, .type = FRAME_STDOUT };
        s->outputs[1] = (ExecOutput) { { .fd = -EBADF, .func = on_output, .userdata = s }, .type = FRAME_STDERR };
        s->timer = (LoopTimer) { .func = on_timeout, .userdata = s };
        *slot = s;

        s->socket.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        r = s->socket.fd < 0 ? negative_errno() : open_streams(s, request, streams);
        if (r >= 0)
                r = server->spawn(server->userdata, request, streams, &s->pid, &s->report.fd);
        for (size_t i = 0; i < ELEMENTSOF(streams); i++)
                safe_close(streams[i]);
        if (r >= 0)
                r = loop_set(server->loop, &s->report, EPOLLIN);
        if (r < 0) {
                session_end(s);
                return r;
        }
        out_add(s, WIRE_EXEC_ANSWER, strlen(WIRE_EXEC_ANSWER));
        session_go_on(s);
        return 0;
}

size_t exec_server_count(const ExecServer *s) {
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(s->sessions); i++)
                n += s->sessions[i] != NULL;
        return n;
}

int exec_server_new(Loop *l, int pts_fd, ExecSpawn spawn, void *userdata, ExecServer **ret) {
        ExecServer *s = calloc(1, sizeof(ExecServer));

        if (!s)
                return -ENOMEM;
        s->loop = l;
        s->pts_fd = pts_fd;
        s->spawn = spawn;
        s->userdata = userdata;
        *ret = s;
        return 0;
}

ExecServer *exec_server_free(ExecServer *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(s->sessions); i++)
                if (s->sessions[i])
                        session_end(s->sessions[i]);
        free(s);
        return NULL;
}
