/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/http.h"
#include "base/log.h"
#include "base/str.h"
#include "json/json.h"
#include "vmm/api-server.h"

enum {
        CLIENTS_MAX = 10,               /* as Firecracker's server has it */
        HEAD_MAX = 8192,
        ACCEPT_PAUSE_USEC = 100 * 1000, /* where there are no descriptors or there is no memory */
        READ_BYTES = 4096,
};

typedef struct Client {
        EventSource source;
        ApiServer *server;
        int fd;
        uint64_t id;
        HttpParser *parser;
        char *input;                    /* bytes behind the current request: its successors */
        size_t input_size;
        char *output;
        size_t output_size, output_done;
        bool busy;                      /* a request is with the ApiFunc */
        bool close;                     /* after the output */
} Client;

struct ApiServer {
        EventLoop *loop;
        EventSource listener;
        EventTimer accept_timer;
        int fd;
        size_t body_max;
        ApiFunc func;
        void *userdata;
        uint64_t last_id;
        Client *clients[CLIENTS_MAX];
};

static int parse_action(const char *body, size_t size, ApiRequest *ret, char *fault) {
        static const JsonField fields[] = {
                { "action_type", json_read_string, 0, JSON_MANDATORY },
                {}
        };
        _cleanup_json_ json_t *j = NULL;
        _cleanup_free_ char *action = NULL;
        char error[JSON_ERROR_MAX] = "out of memory";

        if (json_parse(body, size, size, &j, error) < 0 || json_read_object(j, fields, 0, &action, error) < 0) {
                snprintf(fault, API_FAULT_MAX, "An error occurred when deserializing the json body of a request: %s.", error);
                return -EBADMSG;
        }
        if (streq(action, "FlushMetrics"))
                *ret = API_FLUSH_METRICS;
        else if (streq(action, "SendCtrlAltDel"))
                *ret = API_SEND_CTRL_ALT_DEL;
        else if (streq(action, "InstanceStart")) {
                snprintf(fault, API_FAULT_MAX, "The requested operation is not supported after starting the microVM.");
                return -EBADMSG;
        } else {
                snprintf(fault, API_FAULT_MAX,
                                "An error occurred when deserializing the json body of a request: unknown variant `%.64s`, expected one "
                                "of `FlushMetrics`, `InstanceStart`, `SendCtrlAltDel`.", action);
                return -EBADMSG;
        }
        return 0;
}

int api_parse_request(const char *method, const char *target, const char *body, size_t body_size, ApiRequest *ret, char *fault) {
        static const struct {
                const char *path;
                ApiRequest request;
        } gets[] = {
                { "/", API_GET_INSTANCE },
                { "/version", API_GET_VERSION },
                { "/machine-config", API_GET_MACHINE_CONFIG },
                { "/vm/config", API_GET_VM_CONFIG },
        };
        /* First words of what Firecracker's API knows besides. */
        static const char *const others[] = {
                "balloon", "boot-source", "cpu-config", "drives", "entropy", "hotplug", "logger", "machine-config", "metrics",
                "mmds", "network-interfaces", "pmem", "serial", "snapshot", "vm", "vsock",
        };
        size_t n = strcspn(target + 1, "/?");

        if (streq(method, "GET")) {
                if (body_size > 0) {
                        snprintf(fault, API_FAULT_MAX, "GET request cannot have a body.");
                        return -EBADMSG;
                }
                for (size_t i = 0; i < ELEMENTSOF(gets); i++)
                        if (streq(target, gets[i].path)) {
                                *ret = gets[i].request;
                                return 0;
                        }
        } else if (streq(method, "PUT") && body_size == 0) {
                snprintf(fault, API_FAULT_MAX, "Empty PUT request.");
                return -EBADMSG;
        } else if (streq(method, "PUT") && streq(target, "/actions"))
                return parse_action(body, body_size, ret, fault);

        if (streq(method, "GET") || streq(method, "PUT") || streq(method, "PATCH") || streq(method, "DELETE"))
                for (size_t i = 0; i < ELEMENTSOF(others); i++)
                        if (strlen(others[i]) == n && strncmp(others[i], target + 1, n) == 0) {
                                snprintf(fault, API_FAULT_MAX, "The requested operation is not supported after starting the microVM.");
                                return -EBADMSG;
                        }
        snprintf(fault, API_FAULT_MAX, "Invalid request method and/or path: %.16s %.256s.", method, target + 1);
        return -EBADMSG;
}

static Client *client_free(Client *c) {
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (c->server->clients[i] == c)
                        c->server->clients[i] = NULL;
        event_source_remove(&c->source);
        safe_close(c->fd);
        http_parser_free(c->parser);
        free(c->input);
        free(c->output);
        free(c);
        return NULL;
}

/* Takes `size` further bytes into account. False where the client is no more. */
static bool client_feed(Client *c, const void *data, size_t size) {
        size_t used = 0;
        int r;

        if (size == 0)
                return true;
        if (c->busy || c->output) {     /* in the middle of a request: later */
                char *p = size <= READ_BYTES - c->input_size ? realloc(c->input, c->input_size + size) : NULL;

                if (!p) {
                        client_free(c);
                        return false;
                }
                memcpy(p + c->input_size, data, size);
                c->input = p;
                c->input_size += size;
                return true;
        }

        r = http_parser_feed(c->parser, data, size, &used);
        if (r == HTTP_PARSER_DONE) {
                char fault[API_FAULT_MAX];
                uint64_t id = c->id;
                ApiServer *s = c->server;
                const char *body;
                ApiRequest request;
                size_t n;

                c->busy = true;
                c->close = !http_keep_alive(c->parser);
                if (!client_feed(c, (const char *) data + used, size - used))
                        return false;
                body = http_body(c->parser, &n);
                if (api_parse_request(http_method(c->parser), http_target(c->parser), body, n, &request, fault) < 0)
                        api_server_respond_fault(s, id, fault);
                else
                        s->func(request, id, s->userdata);
                return true;
        }
        if (r < 0) {
                c->busy = c->close = true;
                if (r == -EMSGSIZE)
                        api_server_respond(c->server, c->id, 413, "{\"fault_message\":\"The request is too large.\"}");
                else if (r == -EBADMSG)
                        api_server_respond_fault(c->server, c->id, "Invalid HTTP request.");
                else
                        client_free(c);
                return false;
        }
        return true;
}

static int on_client(EventSource *source, uint32_t events) {
        Client *c = (Client *) ((char *) source - offsetof(Client, source));
        char buf[READ_BYTES];
        ssize_t n;

        if (c->output) {
                n = send(c->fd, c->output + c->output_done, c->output_size - c->output_done, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0) {
                        if (errno != EAGAIN && errno != EINTR)
                                client_free(c);
                        return 0;
                }
                c->output_done += (size_t) n;
                if (c->output_done < c->output_size)
                        return 0;
                if (c->close) {
                        client_free(c);
                        return 0;
                }
                free(c->output);
                c->output = NULL;
                if (event_source_set_events(source, EPOLLIN) < 0) {
                        client_free(c);
                        return 0;
                }
                if (c->input_size > 0) {
                        _cleanup_free_ char *input = TAKE_PTR(c->input);
                        size_t size = c->input_size;

                        c->input_size = 0;
                        (void) client_feed(c, input, size);
                }
                return 0;
        }

        n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0)
                client_free(c);
        else
                (void) client_feed(c, buf, (size_t) n);
        return 0;
}

static int on_accept(EventSource *source, uint32_t events);

static int on_accept_again(EventTimer *timer) {
        ApiServer *s = (ApiServer *) ((char *) timer - offsetof(ApiServer, accept_timer));

        return event_source_add(&s->listener, s->loop, s->fd, EPOLLIN, on_accept);
}

static int on_accept(EventSource *source, uint32_t events) {
        ApiServer *s = (ApiServer *) ((char *) source - offsetof(ApiServer, listener));
        _cleanup_close_ int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        size_t i = 0;
        Client *c;

        if (fd < 0) {
                if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
                        event_source_remove(&s->listener);
                        event_timer_set(&s->accept_timer, s->loop, now_usec() + ACCEPT_PAUSE_USEC, on_accept_again);
                }
                return 0;
        }
        while (i < CLIENTS_MAX && s->clients[i])
                i++;
        if (i == CLIENTS_MAX) {
                (void) !send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
                return 0;
        }
        c = calloc(1, sizeof(Client));
        if (!c)
                return 0;
        c->server = s;
        c->fd = TAKE_FD(fd);
        c->id = ++s->last_id;
        if (http_parser_new(HTTP_REQUEST, HEAD_MAX, s->body_max, &c->parser) < 0 ||
            event_source_add(&c->source, s->loop, c->fd, EPOLLIN, on_client) < 0) {
                client_free(c);
                return 0;
        }
        s->clients[i] = c;
        return 0;
}

void api_server_respond(ApiServer *s, uint64_t client, unsigned status, const char *body) {
        Client *c = NULL;

        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (s->clients[i] && s->clients[i]->id == client)
                        c = s->clients[i];
        if (!c || !c->busy)
                return;
        c->busy = false;
        http_parser_reset(c->parser);
        if (http_format_response(status, body, c->close, &c->output, &c->output_size) < 0 ||
            event_source_set_events(&c->source, EPOLLOUT) < 0) {
                client_free(c);
                return;
        }
        c->output_done = 0;
}

void api_server_respond_fault(ApiServer *s, uint64_t client, const char *fault) {
        _cleanup_json_ json_t *text = json_string_lossy(fault, strlen(fault));
        _cleanup_json_ json_t *j = text ? json_pack("{s:O}", "fault_message", text) : NULL;
        _cleanup_free_ char *body = j ? json_format(j) : NULL;

        api_server_respond(s, client, 400, body ?: "{\"fault_message\":\"Out of memory.\"}");
}

int api_server_new(EventLoop *loop, const char *path, size_t body_max, ApiFunc func, void *userdata, ApiServer **ret) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        _cleanup_(api_server_freep) ApiServer *s = NULL;
        int r;

        if (strlen(path) >= sizeof(sa.sun_path))
                return -ENAMETOOLONG;
        strcpy(sa.sun_path, path);
        s = calloc(1, sizeof(ApiServer));
        if (!s)
                return -ENOMEM;
        s->loop = loop;
        s->body_max = body_max;
        s->func = func;
        s->userdata = userdata;
        s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->fd < 0)
                return negative_errno();
        if (bind(s->fd, (const struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(s->fd, 16) < 0)
                return negative_errno();
        r = event_source_add(&s->listener, loop, s->fd, EPOLLIN, on_accept);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

ApiServer *api_server_free(ApiServer *s) {
        if (s) {
                for (size_t i = 0; i < CLIENTS_MAX; i++)
                        if (s->clients[i])
                                client_free(s->clients[i]);
                event_source_remove(&s->listener);
                event_timer_remove(&s->accept_timer);
                safe_close(s->fd);
                free(s);
        }
        return NULL;
}
