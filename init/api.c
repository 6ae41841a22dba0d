/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/socket.h>
#include <linux/vm_sockets.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/wire.h"
#include "init/api.h"
#include "json/json.h"

typedef struct ApiConnection {
        ApiServer *server;
        LoopSource source;
        LoopTimer timer;
        HttpParser *parser;
        StrBuf out;
        size_t out_start;
        bool closing;                   /* when `out` has gone */
        bool partial;                   /* a request has begun */
        bool limited;                   /* the deadline of a request runs, not that of an idle connection */
} ApiConnection;

struct ApiServer {
        Loop *loop;
        const ApiBackend *backend;
        LoopSource source;
        ApiConnection *connections[API_CONNECTIONS_MAX];
};

static char *error_body(const char *message) {
        return strf("{\"error\":\"%s\"}\n", message);
}

static unsigned handle_signal(const ApiBackend *backend, const char *body, size_t n, char **ret_body) {
        static const JsonField fields[] = {
                { "signal", json_read_uint, 0, JSON_MANDATORY },
                {},
        };
        _cleanup_json_ json_t *j = NULL;
        char error[JSON_ERROR_MAX];
        unsigned signo = 0;
        int r;

        r = json_parse(body, n, WIRE_HTTP_BODY_MAX, &j, error);
        if (r >= 0)
                r = json_read_object(j, fields, 0, &signo, error);
        if (r < 0 || signo < 1 || signo > 64) {
                *ret_body = error_body("the body is to be {\\\"signal\\\":N} with a number of 1 to 64");
                return 400;
        }
        r = backend->signal(backend->userdata, (int) signo);
        if (r == -ESRCH) {
                *ret_body = error_body("the workload does not run");
                return 409;
        }
        if (r < 0) {
                *ret_body = error_body("the signal cannot be sent");
                return 500;
        }
        *ret_body = strdup("{\"status\":\"ok\"}\n");
        return 200;
}

/* r: of the body's parser, with its error where that is -EBADMSG. */
static unsigned start_exec(const ApiBackend *backend, int r, const char *error, const ExecRequest *request, int fd, char **ret_body) {
        if (r == -EBADMSG) {
                _cleanup_json_ json_t *j = json_pack("{s: o}", "error", json_string_lossy(error, strlen(error)));

                *ret_body = json_format(j);
                return 400;
        }
        if (r >= 0 && fd < 0) {
                *ret_body = error_body("nothing may follow the request before its answer has come");
                return 400;
        }
        if (r >= 0)
                r = backend->exec(backend->userdata, request, fd);
        switch (r) {
        case 0:
                return 101;
        case -ESRCH:
                *ret_body = error_body("the workload does not run");
                return 409;
        case -EBUSY:
                *ret_body = strf("{\"error\":\"%d programs run in the guest already, which is the most\"}\n", EXEC_MAX);
                return 503;
        default:
                *ret_body = strf("{\"error\":\"the program cannot be started: %s\"}\n", strerror(-r));
                return 500;
        }
}

static unsigned handle_exec(const ApiBackend *backend, const char *body, size_t n, int fd, char **ret_body) {
        _cleanup_(exec_request_freep) ExecRequest *request = NULL;
        char error[JSON_ERROR_MAX];
        int r = exec_request_parse(body, n, &request, error);

        return start_exec(backend, r, error, request, fd, ret_body);
}

static unsigned handle_files(const ApiBackend *backend, const char *body, size_t n, int fd, char **ret_body) {
        _cleanup_(files_request_freep) FilesRequest *files = NULL;
        char error[JSON_ERROR_MAX];
        int r = files_request_parse(body, n, &files, error);

        return start_exec(backend, r, error, &(ExecRequest) { .files = files, .user = files ? files->user : NULL }, fd, ret_body);
}

unsigned api_handle(const ApiBackend *backend, const char *method, const char *target, const char *body, size_t n_body, int fd, char **ret_body) {
        static const struct {
                const char *method, *target;
        } routes[] = {
                { "GET", "/v1/ping" },
                { "GET", "/v1/status" },
                { "POST", "/v1/signal" },
                { "POST", "/v1/exec" },
                { "POST", "/v1/files" },
                { "GET", "/v1/metrics" },
        };
        size_t route = 0;

        while (route < ELEMENTSOF(routes) && !streq(target, routes[route].target))
                route++;
        if (route == ELEMENTSOF(routes)) {
                *ret_body = error_body("no such resource");
                return 404;
        }
        if (!streq(method, routes[route].method)) {
                *ret_body = error_body("not by this method");
                return 405;
        }
        switch (route) {
        case 0:
                *ret_body = strdup("{\"status\":\"ok\"}\n");
                return 200;
        case 1:
                *ret_body = backend->status(backend->userdata);
                return *ret_body ? 200 : 500;
        case 2:
                return handle_signal(backend, body, n_body, ret_body);
        case 3:
                return handle_exec(backend, body, n_body, fd, ret_body);
        case 4:
                return handle_files(backend, body, n_body, fd, ret_body);
        default:
                *ret_body = backend->metrics(backend->userdata);
                return *ret_body ? 200 : 500;
        }
}

static void watch_server(ApiServer *s);

static void close_connection(ApiConnection *c) {
        ApiServer *s = c->server;

        loop_remove(s->loop, &c->source);
        loop_disarm(s->loop, &c->timer);
        safe_close(c->source.fd);
        http_parser_free(c->parser);
        strbuf_done(&c->out);
        for (size_t i = 0; i < ELEMENTSOF(s->connections); i++)
                if (s->connections[i] == c)
                        s->connections[i] = NULL;
        free(c);
        watch_server(s);
}

static int respond(ApiConnection *c, unsigned status, const char *body, bool close) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        r = http_format_response(status, body, close, &text, &n);
        if (r < 0)
                return r;
        strbuf_add(&c->out, text, n);
        c->closing = close;
        return c->out.failed ? -ENOMEM : 0;
}

/* Hands out what waits. Negative: the connection is of no use any more. */
static int send_pending(ApiConnection *c) {
        uint32_t events;

        while (c->out_start < c->out.size) {
                ssize_t k = send(c->source.fd, c->out.data + c->out_start, c->out.size - c->out_start, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0 && errno != EAGAIN)
                        return negative_errno();
                if (k < 0)
                        break;
                c->out_start += (size_t) k;
        }
        if (c->out_start == c->out.size) {
                if (c->closing)
                        return -ESHUTDOWN;
                strbuf_done(&c->out);
                c->out_start = 0;
        }
        /* No further request is read while an answer to the one before it waits. */
        events = c->out_start < c->out.size ? EPOLLOUT : EPOLLIN;
        return loop_set(c->server->loop, &c->source, events);
}

static int take(ApiConnection *c, const char *data, size_t n) {
        int r;

        while (n > 0 && !c->closing) {
                size_t used, n_body;
                _cleanup_free_ char *body = NULL;
                const char *request_body;
                unsigned status;

                r = http_parser_feed(c->parser, data, n, &used);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        return respond(c, r == -EMSGSIZE ? 413 : 400, NULL, true);
                c->partial = r == 0;
                if (r == 0)
                        return 0;
                data += used;
                n -= used;

                request_body = http_body(c->parser, &n_body);
                status = api_handle(c->server->backend, http_method(c->parser), http_target(c->parser), request_body, n_body,
                                n == 0 && c->out.size == 0 ? c->source.fd : -EBADF, &body);
                if (status == 101)
                        return -ESHUTDOWN;
                r = respond(c, status, body, !http_keep_alive(c->parser) || c->out.size > API_PENDING_MAX);
                if (r < 0)
                        return r;
                http_parser_reset(c->parser);
        }
        return 0;
}

static void on_connection(LoopSource *source, uint32_t events) {
        ApiConnection *c = source->userdata;
        char data[4096];
        ssize_t k;

        if (c->out_start == c->out.size) {
                k = recv(source->fd, data, sizeof(data), MSG_DONTWAIT);
                if (k < 0 && (errno == EAGAIN || errno == EINTR))
                        return;
                if (k <= 0 || take(c, data, (size_t) k) < 0) {
                        close_connection(c);
                        return;
                }
        } else if (events & (EPOLLHUP | EPOLLERR)) {
                close_connection(c);
                return;
        }
        if (send_pending(c) < 0) {
                close_connection(c);
                return;
        }
        /* A request that comes in drops must not hold its place for ever: only a whole one sets the clock anew. */
        if (!c->partial && c->out.size == 0) {
                loop_arm(c->server->loop, &c->timer, API_IDLE_USEC);
                c->limited = false;
        } else if (!c->limited) {
                loop_arm(c->server->loop, &c->timer, API_REQUEST_USEC);
                c->limited = true;
        }
}

static void on_timeout(LoopTimer *t) {
        close_connection(t->userdata);
}

bool api_peer_is_host(int fd) {
        struct sockaddr_vm a = {};
        socklen_t n = sizeof(a);

        if (getpeername(fd, (struct sockaddr *) &a, &n) < 0)
                return false;
        return a.svm_family != AF_VSOCK || a.svm_cid == VMADDR_CID_HOST;
}

static ApiConnection **free_slot(ApiServer *s) {
        for (size_t i = 0; i < ELEMENTSOF(s->connections); i++)
                if (!s->connections[i])
                        return s->connections + i;
        return NULL;
}

/* With all places taken the next ones wait in the socket's backlog until a deadline frees one. */
static void watch_server(ApiServer *s) {
        if (s->source.fd < 0)
                return;
        if (free_slot(s))
                (void) loop_set(s->loop, &s->source, EPOLLIN);
        else
                loop_remove(s->loop, &s->source);
}

static void on_listen(LoopSource *source, uint32_t events) {
        ApiServer *s = source->userdata;
        ApiConnection **slot = free_slot(s);
        _cleanup_close_ int fd = -EBADF;
        ApiConnection *c;

        fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 || !slot || !api_peer_is_host(fd))
                return;
        c = calloc(1, sizeof(ApiConnection));
        if (!c)
                return;
        if (http_parser_new(HTTP_REQUEST, WIRE_HTTP_HEAD_MAX, WIRE_HTTP_BODY_MAX, &c->parser) < 0) {
                free(c);
                return;
        }
        c->server = s;
        c->source = (LoopSource) { .fd = TAKE_FD(fd), .func = on_connection, .userdata = c };
        c->timer = (LoopTimer) { .func = on_timeout, .userdata = c };
        *slot = c;
        watch_server(s);
        c->limited = true;
        loop_arm(s->loop, &c->timer, API_REQUEST_USEC);
        if (loop_set(s->loop, &c->source, EPOLLIN) < 0)
                close_connection(c);
}

int api_listen(unsigned port) {
        const struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port };
        _cleanup_close_ int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return negative_errno();
        if (bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, API_BACKLOG) < 0)
                return negative_errno();
        return TAKE_FD(fd);
}

int api_server_new(Loop *l, const ApiBackend *backend, int listen_consume, ApiServer **ret) {
        ApiServer *s = calloc(1, sizeof(ApiServer));

        if (!s) {
                safe_close(listen_consume);
                return -ENOMEM;
        }
        s->loop = l;
        s->backend = backend;
        s->source = (LoopSource) { .fd = listen_consume, .func = on_listen, .userdata = s };
        watch_server(s);
        *ret = s;
        return 0;
}

ApiServer *api_server_free(ApiServer *s) {
        if (!s)
                return NULL;
        loop_remove(s->loop, &s->source);
        s->source.fd = safe_close(s->source.fd);
        for (size_t i = 0; i < ELEMENTSOF(s->connections); i++)
                if (s->connections[i])
                        close_connection(s->connections[i]);
        free(s);
        return NULL;
}
