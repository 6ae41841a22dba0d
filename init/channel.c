/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <linux/vm_sockets.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/channel.h"

/* The kernel gives up after 2 s by default, which a host that starts many emulated guests at once can need for one packet. */
enum { CONNECT_TIMEOUT_SEC = 60 };

int channel_socket(unsigned port) {
        const struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port };
        const struct timeval timeout = { .tv_sec = CONNECT_TIMEOUT_SEC };
        _cleanup_close_ int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return negative_errno();
        if (setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &timeout, sizeof(timeout)) < 0)
                return negative_errno();
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 && errno != EINPROGRESS)
                return negative_errno();
        return TAKE_FD(fd);
}

static void close_channel(Channel *c, int error) {
        loop_remove(c->loop, &c->source);
        c->source.fd = safe_close(c->source.fd);
        c->state = CHANNEL_CLOSED;
        c->error = error;
        c->start = c->end = 0;
}

/* The other side says nothing, but its closing shows as something to read. */
static void watch(Channel *c) {
        uint32_t events = c->state == CHANNEL_CONNECTING || !channel_is_empty(c) ? EPOLLOUT : 0;
        int r;

        if (c->state == CHANNEL_OPEN)
                events |= EPOLLIN | EPOLLRDHUP;
        r = loop_set(c->loop, &c->source, events);
        if (r < 0)
                close_channel(c, -r);
}

static void flush(Channel *c) {
        while (c->state == CHANNEL_OPEN && !channel_is_empty(c)) {
                ssize_t k = send(c->source.fd, c->buffer + c->start, c->end - c->start, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        if (errno == EAGAIN)
                                break;
                        close_channel(c, errno);
                        return;
                }
                c->start += (size_t) k;
        }
        if (channel_is_empty(c))
                c->start = c->end = 0;
        if (c->state != CHANNEL_CLOSED)
                watch(c);
}

static void on_socket(LoopSource *s, uint32_t events) {
        Channel *c = s->userdata;
        int error = 0;
        socklen_t n = sizeof(error);

        if (c->state == CHANNEL_CONNECTING) {
                if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
                        error = errno;
                if (error == 0 && (events & (EPOLLERR | EPOLLHUP)))
                        error = ECONNRESET;
                if (error > 0)
                        close_channel(c, error);
                else
                        c->state = CHANNEL_OPEN;
        } else if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
                char ignored[512];
                ssize_t k = recv(s->fd, ignored, sizeof(ignored), MSG_DONTWAIT);

                if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR))
                        close_channel(c, k == 0 ? 0 : errno);
        }
        if (c->state == CHANNEL_OPEN)
                flush(c);
        if (c->state != CHANNEL_OPEN || channel_is_empty(c))
                c->changed(c);
}

int channel_start(Channel *c, Loop *l, int fd_consume) {
        c->loop = l;
        c->state = CHANNEL_CONNECTING;
        c->source = (LoopSource) { .fd = fd_consume, .func = on_socket, .userdata = c };
        watch(c);
        return c->state == CHANNEL_CLOSED ? -c->error : 0;
}

int channel_write(Channel *c, const void *data, size_t n) {
        if (c->state == CHANNEL_CLOSED)
                return 0;
        if (n > sizeof(c->buffer) - c->end)
                return -ENOBUFS;
        memcpy(c->buffer + c->end, data, n);
        c->end += n;
        flush(c);
        return 0;
}

char *channel_room(Channel *c, size_t *ret_room) {
        *ret_room = sizeof(c->buffer) - c->end;
        return c->buffer + c->end;
}

void channel_commit(Channel *c, size_t n) {
        if (c->state == CHANNEL_CLOSED)
                return;
        c->end += n;
        flush(c);
}
