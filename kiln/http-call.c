/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/http.h"
#include "base/str.h"
#include "base/wire.h"
#include "kiln/http-call.h"

/* "OK 4294967295\n" and a little */
enum { CONNECTED_LINE_MAX = 32 };

struct HttpCall {
        HttpCallFunc func;
        void *userdata;
        int fd;
        int error;                      /* known before the event loop ran */
        sd_event_source *io, *timer, *failed;

        char *request;
        size_t request_size;
        char connect[CONNECTED_LINE_MAX];
        const char *out;                /* what is being sent: one of the two */
        size_t out_size, out_done;

        bool connected;                 /* the vsock connection stands, what comes is HTTP */
        char line[CONNECTED_LINE_MAX];
        size_t line_size;
        HttpParser *parser;
};

static void http_call_done(HttpCall *c, int error) {
        sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
        sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        sd_event_source_set_enabled(c->failed, SD_EVENT_OFF);
        c->func(c, error, error == 0 ? http_status(c->parser) : 0, error == 0 ? http_body(c->parser, NULL) : "", c->userdata);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        http_call_done(userdata, -ETIMEDOUT);
        return 0;
}

static int on_failed(sd_event_source *s, void *userdata) {
        HttpCall *c = userdata;

        http_call_done(c, c->error);
        return 0;
}

/* Takes the VMM's answer to CONNECT. 1: it is whole, *used bytes were its; 0: more is needed. */
static int http_call_connected(HttpCall *c, const char *data, size_t n, size_t *ret_used) {
        for (size_t i = 0; i < n; i++) {
                if (data[i] == '\n') {
                        c->line[c->line_size] = 0;
                        if (!startswith(c->line, "OK "))
                                return -EBADMSG;
                        c->connected = true;
                        *ret_used = i + 1;
                        return 1;
                }
                if (c->line_size >= CONNECTED_LINE_MAX - 1)
                        return -EBADMSG;
                c->line[c->line_size++] = data[i];
        }
        return 0;
}

static int http_call_write(HttpCall *c) {
        while (c->out_done < c->out_size) {
                ssize_t k = send(c->fd, c->out + c->out_done, c->out_size - c->out_done, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return errno == EAGAIN ? 0 : negative_errno();
                c->out_done += (size_t) k;
        }
        return sd_event_source_set_io_events(c->io, EPOLLIN);
}

static int http_call_start_sending(HttpCall *c, const char *data, size_t n) {
        c->out = data;
        c->out_size = n;
        c->out_done = 0;
        return sd_event_source_set_io_events(c->io, EPOLLIN | EPOLLOUT);
}

/* 1: the answer is whole. */
static int http_call_read(HttpCall *c) {
        char buf[4096], *p = buf;
        size_t used = 0;
        ssize_t k;
        int r;

        k = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (k < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : negative_errno();
        if (k == 0) {
                r = c->connected ? http_parser_eof(c->parser) : 0;
                return r == 0 ? (c->connected ? -ECONNRESET : -ECONNREFUSED) : r;
        }
        if (!c->connected) {
                r = http_call_connected(c, p, (size_t) k, &used);
                if (r <= 0)
                        return r;
                r = http_call_start_sending(c, c->request, c->request_size);
                if (r < 0)
                        return r;
                p += used;
                k -= (ssize_t) used;
                if (k == 0)
                        return 0;
        }
        return http_parser_feed(c->parser, p, (size_t) k, &used);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        HttpCall *c = userdata;
        int r = 0;

        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                r = http_call_read(c);
        if (r == 0 && c->out_done < c->out_size)
                r = http_call_write(c);
        if (r != 0)
                http_call_done(c, MIN(r, 0));
        return 0;
}

static int http_call_connect(HttpCall *c, const char *path) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };

        if (strlen(path) >= sizeof(sa.sun_path))
                return -ENAMETOOLONG;
        memcpy(sa.sun_path, path, strlen(path) + 1);
        c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->fd < 0)
                return negative_errno();
        return connect(c->fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 ? negative_errno() : 0;
}

int http_call_new(sd_event *event, const HttpCallOptions *o, HttpCall **ret) {
        _cleanup_(http_call_freep) HttpCall *c = calloc(1, sizeof(HttpCall));
        int r;

        if (!c)
                return -ENOMEM;
        c->func = o->func;
        c->userdata = o->userdata;
        c->fd = -EBADF;
        c->connected = o->vsock_port == 0;

        r = http_format_request(o->method, o->target, o->body, &c->request, &c->request_size);
        if (r < 0)
                return r;
        r = http_parser_new(HTTP_RESPONSE, WIRE_HTTP_HEAD_MAX, WIRE_HTTP_BODY_MAX, &c->parser);
        if (r < 0)
                return r;
        c->error = http_call_connect(c, o->socket_path);
        if (c->error < 0)
                r = sd_event_add_defer(event, &c->failed, on_failed, c);
        else {
                r = sd_event_add_io(event, &c->io, c->fd, EPOLLIN, on_io, c);
                if (r < 0)
                        return r;
                /* The request waits for "OK": before that there is nobody in the guest to take it. */
                if (o->vsock_port > 0) {
                        snprintf(c->connect, sizeof(c->connect), "CONNECT %u\n", o->vsock_port);
                        r = http_call_start_sending(c, c->connect, strlen(c->connect));
                } else
                        r = http_call_start_sending(c, c->request, c->request_size);
        }
        if (r < 0)
                return r;
        if (o->timeout_usec < UINT64_MAX) {
                r = sd_event_add_time_relative(event, &c->timer, CLOCK_MONOTONIC, o->timeout_usec, 10 * USEC_PER_MSEC, on_timer, c);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(c);
        return 0;
}

HttpCall *http_call_free(HttpCall *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->timer);
        sd_event_source_disable_unref(c->failed);
        safe_close(c->fd);
        free(c->request);
        http_parser_free(c->parser);
        free(c);
        return NULL;
}
