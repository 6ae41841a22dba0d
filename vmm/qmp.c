/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "vmm/qmp.h"

enum {
        LINE_MAX_BYTES = 128 * 1024,
        READ_BYTES = 4096,
        COMMANDS_MAX = 16,              /* without a reply yet */
};

typedef struct Command {
        QmpReplyFunc reply;
        void *userdata;
} Command;

struct Qmp {
        EventSource source;
        int fd;
        QmpEventFunc event;
        void *userdata;
        StrBuf line;
        Command commands[COMMANDS_MAX]; /* a queue: QEMU answers in order */
        unsigned first_command, n_commands;
};

static void finish_command(Qmp *q, json_t *result) {
        Command c = q->commands[q->first_command];

        q->first_command = (q->first_command + 1) % COMMANDS_MAX;
        q->n_commands--;
        if (c.reply)
                c.reply(result, c.userdata);
}

static int handle_line(Qmp *q) {
        char error[JSON_ERROR_MAX];
        _cleanup_json_ json_t *j = NULL;
        const char *event;
        json_t *e;
        int r;

        r = json_parse(q->line.data, q->line.size, LINE_MAX_BYTES, &j, error);
        if (r < 0)
                return log_error_errno(r, "QEMU's monitor speaks no JSON: %s", error);
        event = json_string_value(json_object_get(j, "event"));
        if (event)
                return q->event(event, json_object_get(j, "data"), q->userdata);
        e = json_object_get(j, "error");
        if (e)
                log_warning("QEMU refuses a command: %s", json_string_value(json_object_get(e, "desc")) ?: "no reason given");
        if ((e || json_object_get(j, "return")) && q->n_commands > 0)
                finish_command(q, json_object_get(j, "return"));
        return 0;                       /* else it is the greeting */
}

int qmp_drain(Qmp *q) {
        for (;;) {
                char buf[READ_BYTES];
                ssize_t n = recv(q->fd, buf, sizeof(buf), MSG_DONTWAIT);
                const char *p = buf;

                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return 0;
                if (n <= 0) {           /* QEMU ends: its exit tells the rest */
                        event_source_remove(&q->source);
                        while (q->n_commands > 0)
                                finish_command(q, NULL);
                        return 0;
                }
                while (n > 0) {
                        const char *newline = memchr(p, '\n', (size_t) n);
                        size_t k = newline ? (size_t) (newline - p) : (size_t) n;
                        int r;

                        strbuf_add(&q->line, p, k);
                        if (q->line.failed)
                                return log_oom();
                        if (q->line.size > LINE_MAX_BYTES)
                                return log_error_errno(EMSGSIZE, "QEMU's monitor sends an endless line.");
                        if (!newline)
                                break;
                        r = handle_line(q);
                        if (r < 0)
                                return r;
                        q->line.size = 0;
                        p += k + 1;
                        n -= (ssize_t) k + 1;
                }
        }
}

static int on_readable(EventSource *source, uint32_t events) {
        return qmp_drain((Qmp *) ((char *) source - offsetof(Qmp, source)));
}

int qmp_new(EventLoop *loop, int fd_consume, QmpEventFunc event, void *userdata, Qmp **ret) {
        _cleanup_(qmp_freep) Qmp *q = NULL;
        _cleanup_close_ int fd = fd_consume;
        int r;

        q = calloc(1, sizeof(Qmp));
        if (!q)
                return -ENOMEM;
        q->event = event;
        q->userdata = userdata;
        q->fd = TAKE_FD(fd);
        r = event_source_add(&q->source, loop, q->fd, EPOLLIN, on_readable);
        if (r < 0)
                return r;
        /* It need not wait for the greeting. Before it QEMU sends no events. */
        r = qmp_command(q, "qmp_capabilities", NULL, NULL, NULL);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(q);
        return 0;
}

Qmp *qmp_free(Qmp *q) {
        if (q) {
                event_source_remove(&q->source);
                safe_close(q->fd);
                strbuf_done(&q->line);
                free(q);
        }
        return NULL;
}

int qmp_command(Qmp *q, const char *name, json_t *arguments_consume, QmpReplyFunc reply, void *userdata) {
        _cleanup_json_ json_t *arguments = arguments_consume, *j = NULL;
        _cleanup_free_ char *text = NULL;
        ssize_t n;

        if (q->n_commands == COMMANDS_MAX)
                return -EBUSY;
        j = json_pack("{s:s,s:O*}", "execute", name, "arguments", arguments);
        text = j ? json_format(j) : NULL;
        if (!text)
                return -ENOMEM;
        /* A handful of short lines always fits into the socket. */
        n = send(q->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
                return negative_errno();
        if ((size_t) n != strlen(text))
                return -EIO;
        q->commands[(q->first_command + q->n_commands++) % COMMANDS_MAX] = (Command) { reply, userdata };
        return 0;
}
