/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strings.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "vmm/vsock-muxer.h"

#define REQUEST_TIMEOUT_USEC (2 * USEC_PER_SEC)         /* Firecracker's CONN_REQUEST_TIMEOUT_MS */
#define SHUTDOWN_TIMEOUT_USEC (2 * USEC_PER_SEC)        /* and CONN_SHUTDOWN_TIMEOUT_MS */
#define ACCEPT_PAUSE_USEC (100 * USEC_PER_MSEC)

enum {
        HELLO_MAX = 32,
        RESETS_MAX = 256,               /* refusals under way to the guest; a power of two */
        BUCKETS = 256,
        FDS_RESERVED = 64,              /* descriptors of ours that are no connections */
        PORT_FIRST = 1 << 30,           /* host ports, as Firecracker gives them: 2^30 … 2^31 - 1 */
        CREDIT_UPDATE_BYTES = VSOCK_BUFFER_SIZE / 2,
};

typedef enum ConnectionState {
        CONNECTION_HELLO,               /* the host's side has to say CONNECT first; not in the table yet */
        CONNECTION_LOCAL_INIT,          /* the guest has been asked */
        CONNECTION_PEER_INIT,           /* the guest is to be told that it is connected */
        CONNECTION_ESTABLISHED,
        CONNECTION_LOCAL_CLOSED,        /* the host's side has ended, the guest has been told */
        CONNECTION_PEER_CLOSED,         /* the guest has shut down one direction or both: guest_receives, guest_sends */
        CONNECTION_KILLED,              /* closed already, the guest is to be told */
} ConnectionState;

/* What a connection has to say to the guest, in the order of urgency. */
typedef enum Pending {
        PENDING_RESET = 1 << 0,
        PENDING_RESPONSE = 1 << 1,
        PENDING_REQUEST = 1 << 2,
        PENDING_DATA = 1 << 3,          /* the host's side is readable */
        PENDING_CREDIT = 1 << 4,
} Pending;

typedef struct Connection Connection;

struct Connection {
        EventSource source;             /* not added while there is nothing to wait for: EPOLLHUP cannot be masked */
        VsockMuxer *muxer;
        int fd;
        ConnectionState state;
        unsigned pending;
        bool queued, expiring;
        bool guest_receives, guest_sends;
        uint32_t local_port, peer_port;

        uint32_t fwd_cnt;               /* bytes of the guest's that the host's side took */
        uint32_t told_fwd_cnt;          /* as the guest has heard last */
        uint32_t rx_cnt;                /* bytes we sent to the guest */
        uint32_t peer_buf_alloc, peer_fwd_cnt;

        char *buffer;                   /* a ring of VSOCK_BUFFER_SIZE bytes, while the host's side does not keep up */
        uint32_t buffer_start, buffer_used;

        uint64_t deadline;
        char hello[HELLO_MAX];
        unsigned n_hello;

        Connection *bucket_next;
        TAILQ_ENTRY(Connection) all, rx, expiry;
};

typedef TAILQ_HEAD(ConnectionList, Connection) ConnectionList;

struct VsockMuxer {
        EventLoop *loop;
        EventSource listener;
        EventTimer expiry_timer, accept_timer;
        int listen_fd;
        uint32_t guest_cid;
        char *uds_path;
        bool running;
        VsockPendingFunc pending_func;
        void *userdata;

        unsigned n_connections, connections_max;
        uint32_t last_port;
        ConnectionList all;
        ConnectionList rx;              /* those with something to say, in turns */
        ConnectionList expiry;          /* those with a deadline: all have the same timeout, so this is its order */
        Connection *buckets[BUCKETS];

        struct {
                uint32_t local_port, peer_port;
        } resets[RESETS_MAX];
        unsigned first_reset, n_resets;

        VsockCounters counters;
};

static unsigned bucket_of(uint32_t local_port, uint32_t peer_port) {
        return (local_port * 2654435761U ^ peer_port * 2246822519U) >> 24;
}

static Connection *connection_find(VsockMuxer *m, uint32_t local_port, uint32_t peer_port) {
        Connection *c = m->buckets[bucket_of(local_port, peer_port)];

        while (c && (c->local_port != local_port || c->peer_port != peer_port))
                c = c->bucket_next;
        return c;
}

static void connection_index(Connection *c) {
        Connection **b = &c->muxer->buckets[bucket_of(c->local_port, c->peer_port)];

        c->bucket_next = *b;
        *b = c;
        c->muxer->counters.conns_added++;
}

static void connection_disarm(Connection *c) {
        if (c->expiring)
                TAILQ_REMOVE(&c->muxer->expiry, c, expiry);
        c->expiring = false;
}

static Connection *connection_free(Connection *c) {
        VsockMuxer *m = c->muxer;

        event_source_remove(&c->source);
        safe_close(c->fd);
        connection_disarm(c);
        if (c->queued)
                TAILQ_REMOVE(&m->rx, c, rx);
        if (c->state != CONNECTION_HELLO) {
                Connection **p = &m->buckets[bucket_of(c->local_port, c->peer_port)];

                while (*p != c)
                        p = &(*p)->bucket_next;
                *p = c->bucket_next;
                m->counters.conns_removed++;
        }
        TAILQ_REMOVE(&m->all, c, all);
        m->n_connections--;
        free(c->buffer);
        free(c);
        return NULL;
}

static int connection_dispatch(EventSource *source, uint32_t events);
static int on_expiry(EventTimer *timer);

/* Consumes fd_consume. */
static Connection *connection_new(VsockMuxer *m, int fd_consume, ConnectionState state) {
        Connection *c = calloc(1, sizeof(Connection));

        if (!c) {
                safe_close(fd_consume);
                return NULL;
        }
        c->muxer = m;
        c->fd = fd_consume;
        c->state = state;
        c->guest_receives = c->guest_sends = true;
        TAILQ_INSERT_TAIL(&m->all, c, all);
        m->n_connections++;
        return c;
}

static void connection_arm(Connection *c, uint64_t timeout) {
        VsockMuxer *m = c->muxer;

        connection_disarm(c);
        c->deadline = now_usec() + timeout;
        c->expiring = true;
        TAILQ_INSERT_TAIL(&m->expiry, c, expiry);
        if (TAILQ_FIRST(&m->expiry) == c)
                event_timer_set(&m->expiry_timer, m->loop, c->deadline, on_expiry);
}

/* The host's side sees EOF now; the guest hears of it as soon as it has room for a packet. */
static void connection_kill(Connection *c) {
        event_source_remove(&c->source);
        c->fd = safe_close(c->fd);
        free(c->buffer);
        c->buffer = NULL;
        c->buffer_used = 0;
        connection_disarm(c);
        c->state = CONNECTION_KILLED;
        c->pending = PENDING_RESET;
        c->muxer->counters.conns_killed++;
}

/* What the guest has room for. A guest that lies about it hurts itself. */
static uint32_t connection_credit(const Connection *c) {
        uint32_t under_way = c->rx_cnt - c->peer_fwd_cnt;

        return c->peer_buf_alloc > under_way ? c->peer_buf_alloc - under_way : 0;
}

static bool connection_guest_can_receive(const Connection *c) {
        return c->state == CONNECTION_ESTABLISHED || (c->state == CONNECTION_PEER_CLOSED && c->guest_receives);
}

static bool connection_guest_can_send(const Connection *c) {
        return c->state == CONNECTION_ESTABLISHED || (c->state == CONNECTION_PEER_CLOSED && c->guest_sends);
}

static uint32_t connection_wanted_events(const Connection *c) {
        uint32_t events = 0;

        if (c->state == CONNECTION_KILLED)
                return 0;
        if (c->buffer_used > 0)
                events |= EPOLLOUT;
        /* Data that is already known to be there, or that the guest has no room for, would make the loop spin. */
        if (c->state == CONNECTION_HELLO ||
            (connection_guest_can_receive(c) && !(c->pending & PENDING_DATA) && connection_credit(c) > 0))
                events |= EPOLLIN;
        return events;
}

/* To be called after everything that changed a connection: brings the queue and the loop up to its state. */
static void connection_settle(Connection *c) {
        VsockMuxer *m = c->muxer;
        uint32_t events = connection_wanted_events(c);
        int r = 0;

        if (events == 0)
                event_source_remove(&c->source);
        else if (c->source.loop)
                r = event_source_set_events(&c->source, events);
        else
                r = event_source_add(&c->source, m->loop, c->fd, events, connection_dispatch);
        if (r < 0) {
                log_warning_errno(r, "Cannot watch a vsock connection, closing it: %m");
                connection_kill(c);
        }
        if (c->pending != 0 && !c->queued) {
                TAILQ_INSERT_TAIL(&m->rx, c, rx);
                c->queued = true;
        }
}

static int on_expiry(EventTimer *timer) {
        VsockMuxer *m = (VsockMuxer *) ((char *) timer - offsetof(VsockMuxer, expiry_timer));
        uint64_t now = now_usec();
        Connection *c;

        while ((c = TAILQ_FIRST(&m->expiry)) && c->deadline <= now) {
                connection_kill(c);
                connection_settle(c);
        }
        if (c)
                event_timer_set(&m->expiry_timer, m->loop, c->deadline, on_expiry);
        m->pending_func(m->userdata);
        return 0;
}

/* --- towards the host ------------------------------------------------------------------------------------------- */

static void connection_buffer_add(Connection *c, const void *data, size_t n) {
        while (n > 0) {
                uint32_t end = (c->buffer_start + c->buffer_used) % VSOCK_BUFFER_SIZE;
                size_t k = MIN(n, (size_t) (VSOCK_BUFFER_SIZE - end));

                memcpy(c->buffer + end, data, k);
                c->buffer_used += (uint32_t) k;
                data = (const char *) data + k;
                n -= k;
        }
}

/* Payload from the guest. What the socket does not take now is kept: the guest has spent credit on it, so there is room. */
static int connection_forward(Connection *c, const struct iovec *payload, unsigned n_payload, uint32_t size) {
        VsockMuxer *m = c->muxer;
        ssize_t sent = 0;

        if (c->buffer_used == 0) {
                struct msghdr msg = { .msg_iov = (struct iovec *) payload, .msg_iovlen = n_payload };

                sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (sent < 0) {
                        if (errno != EAGAIN && errno != EINTR) {
                                m->counters.tx_write_fails++;
                                return negative_errno();
                        }
                        sent = 0;
                }
                c->fwd_cnt += (uint32_t) sent;
                m->counters.tx_bytes_count += (uint64_t) sent;
        }
        if ((uint32_t) sent == size)
                return 0;

        if (size - (uint32_t) sent > VSOCK_BUFFER_SIZE - c->buffer_used)
                return -ENOBUFS;
        if (!c->buffer) {
                c->buffer = malloc(VSOCK_BUFFER_SIZE);
                if (!c->buffer)
                        return -ENOMEM;
                c->buffer_start = 0;
        }
        for (unsigned i = 0; i < n_payload; i++) {
                size_t skip = MIN((size_t) sent, payload[i].iov_len);

                connection_buffer_add(c, (char *) payload[i].iov_base + skip, payload[i].iov_len - skip);
                sent -= (ssize_t) skip;
        }
        return 0;
}

static int connection_flush(Connection *c) {
        while (c->buffer_used > 0) {
                size_t k = MIN(c->buffer_used, VSOCK_BUFFER_SIZE - c->buffer_start);
                ssize_t sent = send(c->fd, c->buffer + c->buffer_start, k, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (sent < 0) {
                        if (errno == EAGAIN || errno == EINTR)
                                return 0;
                        c->muxer->counters.tx_write_fails++;
                        return negative_errno();
                }
                c->buffer_start = (c->buffer_start + (uint32_t) sent) % VSOCK_BUFFER_SIZE;
                c->buffer_used -= (uint32_t) sent;
                c->fwd_cnt += (uint32_t) sent;
                c->muxer->counters.tx_bytes_count += (uint64_t) sent;
        }
        free(c->buffer);
        c->buffer = NULL;
        return 0;
}

/* After bytes went to the host: tell the guest of its new room in time, or end what only waited for them. */
static void connection_forwarded(Connection *c) {
        if (c->state == CONNECTION_PEER_CLOSED && !c->guest_receives && !c->guest_sends) {
                if (c->buffer_used == 0)
                        c->pending |= PENDING_RESET;
        } else if (c->fwd_cnt - c->told_fwd_cnt >= CREDIT_UPDATE_BYTES)
                c->pending |= PENDING_CREDIT;
}

/* --- towards the guest ------------------------------------------------------------------------------------------ */

/* Host ports need to be unique per port of the guest only, but each is given to one connection at a time. */
static uint32_t allocate_port(VsockMuxer *m, uint32_t peer_port) {
        do
                m->last_port = m->last_port >= INT32_MAX || m->last_port < PORT_FIRST ? PORT_FIRST : m->last_port + 1;
        while (connection_find(m, m->last_port, peer_port));
        return m->last_port;
}

/* "CONNECT <port>\n". Returns 0 and the port, -EBADMSG. */
static int parse_hello(char *line, uint32_t *ret_port) {
        static const char blank[] = " \t\r\n\v\f";
        char *save, *word = strtok_r(line, blank, &save);
        uint64_t port;

        if (!word || strcasecmp(word, "connect") != 0)
                return -EBADMSG;
        word = strtok_r(NULL, blank, &save);
        if (!word || parse_u64(word, &port) < 0 || port > UINT32_MAX)
                return -EBADMSG;
        *ret_port = (uint32_t) port;
        return 0;
}

/* Reads the command and not a byte more, in as many pieces as it comes. Frees the connection where it is none. */
static void connection_read_hello(Connection *c) {
        char peek[HELLO_MAX + 1];
        const char *newline;
        size_t take;
        ssize_t n;

        n = recv(c->fd, peek, HELLO_MAX - c->n_hello, MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                connection_free(c);
                return;
        }
        newline = memchr(peek, '\n', (size_t) n);
        take = newline ? (size_t) (newline - peek) + 1 : (size_t) n;
        if (recv(c->fd, c->hello + c->n_hello, take, MSG_DONTWAIT) != (ssize_t) take) {
                connection_free(c);
                return;
        }
        c->n_hello += (unsigned) take;
        if (!newline) {
                if (c->n_hello == HELLO_MAX)
                        connection_free(c);
                return;
        }

        memcpy(peek, c->hello, c->n_hello);
        peek[c->n_hello] = 0;
        if (strlen(peek) != c->n_hello || parse_hello(peek, &c->peer_port) < 0) {
                log_debug("A host connection to the vsock said no \"CONNECT <port>\".");
                connection_free(c);
                return;
        }
        c->local_port = allocate_port(c->muxer, c->peer_port);
        c->state = CONNECTION_LOCAL_INIT;
        c->pending = PENDING_REQUEST;
        connection_index(c);
        connection_settle(c);
}

static int connection_dispatch(EventSource *source, uint32_t events) {
        Connection *c = (Connection *) ((char *) source - offsetof(Connection, source));
        VsockMuxer *m = c->muxer;

        if (c->state == CONNECTION_HELLO)
                connection_read_hello(c);
        else {
                if (c->buffer_used > 0 && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
                        if (connection_flush(c) < 0)
                                connection_kill(c);
                        else
                                connection_forwarded(c);
                }
                if (c->state != CONNECTION_KILLED && (source->events & EPOLLIN) && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
                        c->pending |= PENDING_DATA;
                connection_settle(c);
        }
        m->pending_func(m->userdata);
        return 0;
}

static int on_accept_again(EventTimer *timer);

static int on_accept(EventSource *source, uint32_t events) {
        VsockMuxer *m = (VsockMuxer *) ((char *) source - offsetof(VsockMuxer, listener));
        int fd = accept4(m->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        Connection *c;

        if (fd < 0) {
                if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                        log_warning_errno(errno, "Cannot accept a connection to \"%s\" for the moment: %m", m->uds_path);
                        event_source_remove(&m->listener);
                        event_timer_set(&m->accept_timer, m->loop, now_usec() + ACCEPT_PAUSE_USEC, on_accept_again);
                }
                return 0;
        }
        if (m->n_connections >= m->connections_max) {
                log_debug("The vsock has %u connections, refusing another.", m->n_connections);
                safe_close(fd);
                return 0;
        }
        c = connection_new(m, fd, CONNECTION_HELLO);
        if (c)
                connection_settle(c);
        return 0;
}

static int on_accept_again(EventTimer *timer) {
        VsockMuxer *m = (VsockMuxer *) ((char *) timer - offsetof(VsockMuxer, accept_timer));

        return m->running ? event_source_add(&m->listener, m->loop, m->listen_fd, EPOLLIN, on_accept) : 0;
}

static void header_init(VsockMuxer *m, struct virtio_vsock_hdr *h, unsigned op, uint32_t local_port, uint32_t peer_port) {
        *h = (struct virtio_vsock_hdr) {
                .src_cid = VSOCK_HOST_CID,
                .dst_cid = m->guest_cid,
                .src_port = local_port,
                .dst_port = peer_port,
                .type = VIRTIO_VSOCK_TYPE_STREAM,
                .op = (uint16_t) op,
        };
}

/* Reads from the host's side into the guest's buffers. 1: the header is made; 0: there was nothing after all. */
static int connection_fill_data(Connection *c, struct virtio_vsock_hdr *h, struct iovec *room, unsigned n_room) {
        VsockMuxer *m = c->muxer;
        size_t max = MIN(connection_credit(c), (uint32_t) VSOCK_PACKET_MAX), total = 0;
        unsigned n = 0;
        ssize_t got;

        c->pending &= ~PENDING_DATA;
        if (!connection_guest_can_receive(c))
                return 0;
        if (max == 0) {
                h->op = VIRTIO_VSOCK_OP_CREDIT_REQUEST;
                return 1;
        }
        while (n < n_room && total < max) {
                room[n].iov_len = MIN(room[n].iov_len, max - total);
                total += room[n++].iov_len;
        }
        got = readv(c->fd, room, (int) n);
        if (got < 0) {
                if (errno == EAGAIN || errno == EINTR)
                        return 0;
                m->counters.rx_read_fails++;
                connection_kill(c);
                c->pending = 0;
                h->op = VIRTIO_VSOCK_OP_RST;
                return 1;
        }
        if (got == 0) {
                c->state = CONNECTION_LOCAL_CLOSED;
                connection_arm(c, SHUTDOWN_TIMEOUT_USEC);
                h->op = VIRTIO_VSOCK_OP_SHUTDOWN;
                h->flags = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
                return 1;
        }
        /* A whole buffer: there may be more. A short one: the loop will tell. */
        if ((size_t) got == total)
                c->pending |= PENDING_DATA;
        c->rx_cnt += (uint32_t) got;
        m->counters.rx_bytes_count += (uint64_t) got;
        h->op = VIRTIO_VSOCK_OP_RW;
        h->len = (uint32_t) got;
        return 1;
}

static int connection_fill(Connection *c, struct virtio_vsock_hdr *h, struct iovec *room, unsigned n_room) {
        header_init(c->muxer, h, VIRTIO_VSOCK_OP_INVALID, c->local_port, c->peer_port);
        h->buf_alloc = VSOCK_BUFFER_SIZE;
        h->fwd_cnt = c->fwd_cnt;

        if (c->pending & PENDING_RESET) {
                c->pending = 0;
                h->op = VIRTIO_VSOCK_OP_RST;
        } else if (c->pending & PENDING_RESPONSE) {
                c->pending &= ~PENDING_RESPONSE;
                c->state = CONNECTION_ESTABLISHED;
                h->op = VIRTIO_VSOCK_OP_RESPONSE;
        } else if (c->pending & PENDING_REQUEST) {
                c->pending &= ~PENDING_REQUEST;
                connection_arm(c, REQUEST_TIMEOUT_USEC);
                h->op = VIRTIO_VSOCK_OP_REQUEST;
        } else if ((c->pending & PENDING_DATA) && connection_fill_data(c, h, room, n_room) > 0)
                c->pending &= ~PENDING_CREDIT;  /* every header carries it */
        else if (c->pending & PENDING_CREDIT) {
                c->pending &= ~PENDING_CREDIT;
                h->op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
        } else
                return 0;
        c->told_fwd_cnt = c->fwd_cnt;
        return 1;
}

int vsock_muxer_fill(VsockMuxer *m, struct virtio_vsock_hdr *ret_header, struct iovec *room, unsigned n_room) {
        Connection *c;

        if (m->n_resets > 0) {
                header_init(m, ret_header, VIRTIO_VSOCK_OP_RST, m->resets[m->first_reset].local_port,
                                m->resets[m->first_reset].peer_port);
                m->first_reset = (m->first_reset + 1) % RESETS_MAX;
                m->n_resets--;
                m->counters.rx_packets_count++;
                return 1;
        }
        while ((c = TAILQ_FIRST(&m->rx))) {
                int r = connection_fill(c, ret_header, room, n_room);

                TAILQ_REMOVE(&m->rx, c, rx);
                c->queued = false;
                if (r > 0 && ret_header->op == VIRTIO_VSOCK_OP_RST)
                        connection_free(c);
                else
                        connection_settle(c);
                if (r > 0) {
                        m->counters.rx_packets_count++;
                        return 1;
                }
        }
        return 0;
}

/* --- from the guest --------------------------------------------------------------------------------------------- */

static void refuse(VsockMuxer *m, uint32_t local_port, uint32_t peer_port) {
        unsigned i = (m->first_reset + m->n_resets) % RESETS_MAX;

        if (m->n_resets == RESETS_MAX)
                return;                 /* the device does not call us then */
        m->resets[i].local_port = local_port;
        m->resets[i].peer_port = peer_port;
        m->n_resets++;
}

bool vsock_muxer_can_receive(const VsockMuxer *m) {
        return m->n_resets < RESETS_MAX;
}

/* A full backlog (EAGAIN) is a refusal too: waiting for it would stall every other connection. */
static int connect_to_host(VsockMuxer *m, uint32_t port) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;

        snprintf(sa.sun_path, sizeof(sa.sun_path), "%s_%u", m->uds_path, port);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return negative_errno();
        if (connect(fd, (const struct sockaddr *) &sa, sizeof(sa)) < 0)
                return negative_errno();
        return TAKE_FD(fd);
}

static void accept_from_guest(VsockMuxer *m, const struct virtio_vsock_hdr *h) {
        Connection *c;
        int fd;

        if (m->n_connections >= m->connections_max) {
                refuse(m, h->dst_port, h->src_port);
                return;
        }
        fd = connect_to_host(m, h->dst_port);
        if (fd < 0) {
                log_debug_errno(fd, "The guest cannot be connected to \"%s_%u\": %m", m->uds_path, h->dst_port);
                refuse(m, h->dst_port, h->src_port);
                return;
        }
        c = connection_new(m, fd, CONNECTION_PEER_INIT);
        if (!c) {
                refuse(m, h->dst_port, h->src_port);
                return;
        }
        c->local_port = h->dst_port;
        c->peer_port = h->src_port;
        c->peer_buf_alloc = h->buf_alloc;
        c->peer_fwd_cnt = h->fwd_cnt;
        c->pending = PENDING_RESPONSE;
        connection_index(c);
        connection_settle(c);
}

static void connection_establish(Connection *c) {
        char line[HELLO_MAX];
        int n = snprintf(line, sizeof(line), "OK %u\n", c->local_port);

        connection_disarm(c);
        c->state = CONNECTION_ESTABLISHED;
        if (send(c->fd, line, (size_t) n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
                connection_kill(c);
}

static void connection_shut_down(Connection *c, uint32_t flags) {
        c->state = CONNECTION_PEER_CLOSED;
        if (flags & VIRTIO_VSOCK_SHUTDOWN_RCV)
                c->guest_receives = false;
        if (flags & VIRTIO_VSOCK_SHUTDOWN_SEND)
                c->guest_sends = false;
        if (c->guest_receives || c->guest_sends)
                return;
        if (c->buffer_used == 0)
                c->pending |= PENDING_RESET;
        else if (!c->expiring)
                connection_arm(c, SHUTDOWN_TIMEOUT_USEC);
}

static void connection_receive(Connection *c, const struct virtio_vsock_hdr *h, const struct iovec *payload, unsigned n_payload) {
        c->peer_buf_alloc = h->buf_alloc;
        c->peer_fwd_cnt = h->fwd_cnt;

        switch (h->op) {
        case VIRTIO_VSOCK_OP_RESPONSE:
                if (c->state == CONNECTION_LOCAL_INIT)
                        connection_establish(c);
                break;
        case VIRTIO_VSOCK_OP_RW:
                if (!connection_guest_can_send(c) || h->len == 0)
                        break;
                if (connection_forward(c, payload, n_payload, h->len) < 0)
                        connection_kill(c);
                else
                        connection_forwarded(c);
                break;
        case VIRTIO_VSOCK_OP_SHUTDOWN:
                if (c->state == CONNECTION_ESTABLISHED || c->state == CONNECTION_PEER_CLOSED)
                        connection_shut_down(c, h->flags);
                break;
        case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
                if (connection_guest_can_send(c) || c->state == CONNECTION_PEER_INIT)
                        c->pending |= PENDING_CREDIT;
                break;
        default:                        /* CREDIT_UPDATE has said it all in its header; what else there is has no meaning here */
                break;
        }
        connection_settle(c);
}

void vsock_muxer_receive(VsockMuxer *m, const struct virtio_vsock_hdr *header, const struct iovec *payload, unsigned n_payload) {
        Connection *c;

        m->counters.tx_packets_count++;
        if (header->src_cid != m->guest_cid || header->dst_cid != VSOCK_HOST_CID)
                return;                 /* there is nobody else to talk to, nor anybody else to be */
        if (header->type != VIRTIO_VSOCK_TYPE_STREAM) {
                if (header->op != VIRTIO_VSOCK_OP_RST)
                        refuse(m, header->dst_port, header->src_port);
                return;
        }
        c = connection_find(m, header->dst_port, header->src_port);
        if (!c) {
                if (header->op == VIRTIO_VSOCK_OP_REQUEST)
                        accept_from_guest(m, header);
                else if (header->op != VIRTIO_VSOCK_OP_RST)
                        refuse(m, header->dst_port, header->src_port);
        } else if (header->op == VIRTIO_VSOCK_OP_RST)
                connection_free(c);
        else
                connection_receive(c, header, payload, n_payload);
}

bool vsock_muxer_has_pending(const VsockMuxer *m) {
        return m->n_resets > 0 || !TAILQ_EMPTY(&m->rx);
}

const VsockCounters *vsock_muxer_counters(const VsockMuxer *m) {
        return &m->counters;
}

unsigned vsock_muxer_n_connections(const VsockMuxer *m) {
        return m->n_connections;
}

/* --- life ------------------------------------------------------------------------------------------------------- */

static int listen_at(const char *path) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof(sa.sun_path) - strlen("_4294967295"))
                return -ENAMETOOLONG;
        strcpy(sa.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return negative_errno();
        if (bind(fd, (const struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(fd, 128) < 0)
                return negative_errno();
        return TAKE_FD(fd);
}

int vsock_muxer_new(EventLoop *loop, uint32_t guest_cid, const char *uds_path, VsockPendingFunc pending, void *userdata,
                VsockMuxer **ret) {
        _cleanup_(vsock_muxer_freep) VsockMuxer *m = NULL;
        struct rlimit rl;

        m = calloc(1, sizeof(VsockMuxer));
        if (!m)
                return -ENOMEM;
        m->loop = loop;
        m->listen_fd = -EBADF;
        m->guest_cid = guest_cid;
        m->pending_func = pending;
        m->userdata = userdata;
        m->last_port = PORT_FIRST - 1;
        m->connections_max = VSOCK_CONNECTIONS_MAX;
        if (getrlimit(RLIMIT_NOFILE, &rl) >= 0 && rl.rlim_cur < VSOCK_CONNECTIONS_MAX + FDS_RESERVED)
                m->connections_max = rl.rlim_cur > FDS_RESERVED ? (unsigned) rl.rlim_cur - FDS_RESERVED : 0;
        TAILQ_INIT(&m->all);
        TAILQ_INIT(&m->rx);
        TAILQ_INIT(&m->expiry);
        m->uds_path = strdup(uds_path);
        if (!m->uds_path)
                return -ENOMEM;
        m->listen_fd = listen_at(uds_path);
        if (m->listen_fd < 0)
                return m->listen_fd;
        *ret = TAKE_PTR(m);
        return 0;
}

VsockMuxer *vsock_muxer_free(VsockMuxer *m) {
        if (m) {
                vsock_muxer_stop(m);
                safe_close(m->listen_fd);
                free(m->uds_path);
                free(m);
        }
        return NULL;
}

int vsock_muxer_start(VsockMuxer *m) {
        int r;

        if (m->running)
                return 0;
        r = event_source_add(&m->listener, m->loop, m->listen_fd, EPOLLIN, on_accept);
        if (r < 0)
                return r;
        m->running = true;
        return 0;
}

void vsock_muxer_stop(VsockMuxer *m) {
        Connection *c;

        event_source_remove(&m->listener);
        event_timer_remove(&m->accept_timer);
        event_timer_remove(&m->expiry_timer);
        while ((c = TAILQ_FIRST(&m->all)))
                connection_free(c);
        m->n_resets = 0;
        m->running = false;
}
