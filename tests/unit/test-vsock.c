/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <sys/resource.h>

#include "test.h"
#include "tests/ember/memory-guest.h"

enum {
        OP_REQUEST = VIRTIO_VSOCK_OP_REQUEST,
        OP_RESPONSE = VIRTIO_VSOCK_OP_RESPONSE,
        OP_RST = VIRTIO_VSOCK_OP_RST,
        OP_SHUTDOWN = VIRTIO_VSOCK_OP_SHUTDOWN,
        OP_RW = VIRTIO_VSOCK_OP_RW,
        OP_CREDIT_UPDATE = VIRTIO_VSOCK_OP_CREDIT_UPDATE,
        OP_CREDIT_REQUEST = VIRTIO_VSOCK_OP_CREDIT_REQUEST,

        GUEST_PORT = 4321,
        HOST_PORT = 1000,
        GUEST_ROOM = 256 * 1024,
};

static char directory[] = "/tmp/test-vsock.XXXXXX";
static bool have_directory = false;
static MemoryGuest g;
static int listener = -EBADF;           /* at HOST_PORT */
static struct virtio_vsock_hdr h;       /* what came last */
static const char *payload;

static int set_up(void **state) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };

        if (!have_directory) {
                assert_non_null(mkdtemp(directory));
                assert_ok(chdir(directory));
                have_directory = true;
        }
        snprintf(sa.sun_path, sizeof(sa.sun_path), "v_%d", HOST_PORT);
        (void) unlink(sa.sun_path);
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_ok(bind(listener, (struct sockaddr *) &sa, sizeof(sa)));
        assert_ok(listen(listener, 64));
        assert_ok(guest_new(&g, "v"));
        return 0;
}

static int set_up_started(void **state) {
        set_up(state);
        guest_start(&g, false);
        guest_offer(&g, QUEUE_SIZE);
        return 0;
}

static int tear_down(void **state) {
        guest_done(&g);
        listener = safe_close(listener);
        return 0;
}

static struct virtio_vsock_hdr header(unsigned op, uint32_t len) {
        return (struct virtio_vsock_hdr) {
                .src_cid = 3, .dst_cid = 2, .src_port = GUEST_PORT, .dst_port = HOST_PORT, .len = len,
                .type = VIRTIO_VSOCK_TYPE_STREAM, .op = (uint16_t) op, .buf_alloc = GUEST_ROOM,
        };
}

static void send_header(const struct virtio_vsock_hdr *p, const void *data) {
        guest_queue(&g, p, data, p->len);
        guest_kick(&g, VSOCK_QUEUE_TX);
        assert_ok(guest_run(&g));
}

static void send_op(unsigned op) {
        struct virtio_vsock_hdr p = header(op, 0);

        send_header(&p, NULL);
}

static void send_data(const void *data, uint32_t size) {
        struct virtio_vsock_hdr p = header(OP_RW, size);

        send_header(&p, data);
}

static void expect(unsigned op) {
        assert_true(guest_receive(&g, &h, &payload));
        assert_int_equal(h.op, op);
        assert_int_equal(h.src_cid, 2);
        assert_int_equal(h.dst_cid, 3);
        assert_int_equal(h.type, VIRTIO_VSOCK_TYPE_STREAM);
}

static void expect_nothing(void) {
        assert_false(guest_receive(&g, &h, &payload));
}

/* The guest connects to the host's listener. Returns the host's side, non-blocking. */
static int connect_to_host(void) {
        int fd;

        send_op(OP_REQUEST);
        expect(OP_RESPONSE);
        assert_int_equal(h.src_port, HOST_PORT);
        assert_int_equal(h.dst_port, GUEST_PORT);
        assert_int_equal(h.buf_alloc, VSOCK_BUFFER_SIZE);
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        assert_true(fd >= 0);
        return fd;
}

static int dial(const char *hello) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "v" };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_ok(connect(fd, (struct sockaddr *) &sa, sizeof(sa)));
        assert_int_equal(write(fd, hello, strlen(hello)), strlen(hello));
        assert_ok(guest_run(&g));
        return fd;
}

static void assert_eof(int fd) {
        char c;

        assert_int_equal(read(fd, &c, 1), 0);
}

static void assert_open(int fd) {
        char c;

        assert_int_equal(read(fd, &c, 1), -1);
        assert_int_equal(errno, EAGAIN);
}

/* --- */

static void test_negotiation(void **state) {
        struct {
                uint32_t request, flags, size;
                uint64_t value;
        } reply;
        struct {
                uint32_t offset, size, flags;
                uint64_t cid;
        } __attribute__((packed)) config = { 0, 8, 0, 0 };
        uint8_t raw[32];

        guest_message(&g, 1, 1, NULL, 0, NULL, 0);
        assert_ok(guest_run(&g));
        assert_int_equal(read(g.fd, raw, sizeof(raw)), 20);
        memcpy(&reply.value, raw + 12, 8);
        assert_true(reply.value & UINT64_C(1) << VIRTIO_F_VERSION_1);
        assert_true(reply.value & UINT64_C(1) << 30);
        assert_false(reply.value & UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC);

        guest_message(&g, 24, 1, &config, sizeof(config), NULL, 0);
        assert_ok(guest_run(&g));
        assert_int_equal(read(g.fd, raw, sizeof(raw)), 12 + 20);
        memcpy(&config, raw + 12, sizeof(config));
        assert_int_equal(config.cid, 3);

        /* In pieces, and with an answer asked for. */
        guest_message(&g, 16, 1, &(uint64_t) { 1 << 3 | 1 << 9 }, 8, NULL, 0);
        assert_int_equal(write(g.fd, (uint32_t[]) { 3, 9, 0 }, 7), 7);
        assert_ok(guest_run(&g));
        assert_int_equal(recv(g.fd, raw, sizeof(raw), MSG_DONTWAIT), -1);
        assert_int_equal(write(g.fd, (char *) (uint32_t[]) { 3, 9, 0 } + 7, 5), 5);
        assert_ok(guest_run(&g));
        assert_int_equal(read(g.fd, raw, sizeof(raw)), 20);
        memcpy(&reply.value, raw + 12, 8);
        assert_int_equal(reply.value, 0);
}

static void test_guest_connects(void **state) {
        int fd = connect_to_host();
        char buf[16];

        send_data("hello", 5);
        assert_int_equal(read(fd, buf, sizeof(buf)), 5);
        assert_memory_equal(buf, "hello", 5);
        assert_int_equal(write(fd, "world!", 6), 6);
        expect(OP_RW);
        assert_int_equal(h.len, 6);
        assert_int_equal(h.fwd_cnt, 5);
        assert_memory_equal(payload, "world!", 6);

        /* Both directions shut: the guest gets its RST, the host EOF. */
        struct virtio_vsock_hdr p = header(OP_SHUTDOWN, 0);
        p.flags = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
        send_header(&p, NULL);
        expect(OP_RST);
        assert_eof(fd);
        close(fd);
        assert_int_equal(vsock_muxer_n_connections(vsock_device_muxer(g.device)), 0);
        assert_int_equal(vsock_muxer_counters(vsock_device_muxer(g.device))->conns_added, 1);
        assert_int_equal(vsock_muxer_counters(vsock_device_muxer(g.device))->conns_removed, 1);
}

static void test_guest_refused(void **state) {
        struct virtio_vsock_hdr p = header(OP_REQUEST, 0);

        p.dst_port = 77;
        send_header(&p, NULL);
        expect(OP_RST);
        assert_int_equal(h.src_port, 77);
        assert_int_equal(h.dst_port, GUEST_PORT);

        /* To nobody, from somebody else: dropped. */
        p = header(OP_REQUEST, 0);
        p.dst_cid = 1;
        send_header(&p, NULL);
        p = header(OP_REQUEST, 0);
        p.src_cid = 4;
        send_header(&p, NULL);
        expect_nothing();

        /* A datagram, data without a connection, an operation that there is not. */
        p = header(OP_REQUEST, 0);
        p.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
        send_header(&p, NULL);
        expect(OP_RST);
        send_data("x", 1);
        expect(OP_RST);
        send_op(99);
        expect(OP_RST);
        /* A reset of nothing is not answered, or two ends could go on for ever. */
        send_op(OP_RST);
        expect_nothing();
}

static void test_host_connects(void **state) {
        int fd = dial("CONNECT 52\n");
        struct virtio_vsock_hdr p;
        char buf[64];
        ssize_t n;

        expect(OP_REQUEST);
        assert_int_equal(h.dst_port, 52);
        assert_true(h.src_port >= 1U << 30 && h.src_port < 1U << 31);
        p = header(OP_RESPONSE, 0);
        p.src_port = 52;
        p.dst_port = h.src_port;
        send_header(&p, NULL);
        n = read(fd, buf, sizeof(buf) - 1);
        assert_true(n > 0);
        buf[n] = 0;
        assert_int_equal(strtoul(startswith(buf, "OK ") ?: "0", NULL, 10), h.src_port);
        assert_true(endswith(buf, "\n"));

        assert_int_equal(write(fd, "abc", 3), 3);
        expect(OP_RW);
        assert_memory_equal(payload, "abc", 3);
        close(fd);
        expect(OP_SHUTDOWN);
        assert_int_equal(h.flags, VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
        p.op = OP_RST;
        send_header(&p, NULL);
        assert_int_equal(vsock_muxer_n_connections(vsock_device_muxer(g.device)), 0);
}

static void test_host_refused(void **state) {
        static const char *const hellos[] = {
                "HELLO 52\n", "CONNECT\n", "CONNECT \n", "CONNECT -1\n", "CONNECT 4294967296\n", "\n",
                "CONNECT 00000000000000000000000000000000001\n", "CONNECT 5 2 and much, much, much more",
        };
        int fd;

        for (size_t i = 0; i < ELEMENTSOF(hellos); i++) {
                fd = dial(hellos[i]);
                char c;
                ssize_t n = read(fd, &c, 1);

                /* ECONNRESET: closed with bytes of ours unread. */
                assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
                close(fd);
        }
        expect_nothing();

        /* Nobody listens in the guest. */
        fd = dial("connect 53\n");
        expect(OP_REQUEST);
        struct virtio_vsock_hdr p = header(OP_RST, 0);
        p.src_port = 53;
        p.dst_port = h.src_port;
        send_header(&p, NULL);
        assert_eof(fd);
        close(fd);
}

static void test_request_timeout(void **state) {
        int fd = dial("CONNECT 54\n");
        struct pollfd p = { fd, POLLIN, 0 };

        expect(OP_REQUEST);
        for (int i = 0; i < 300 && poll(&p, 1, 0) == 0; i++)
                assert_ok(event_loop_run_once(g.loop, 10000));
        assert_eof(fd);
        expect(OP_RST);
        close(fd);
}

/* The host's bytes wait until the guest has room. */
static void test_credit_to_guest(void **state) {
        struct virtio_vsock_hdr p = header(OP_REQUEST, 0);
        int fd;

        p.buf_alloc = 10;
        send_header(&p, NULL);
        expect(OP_RESPONSE);
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        assert_int_equal(write(fd, "0123456789abcdefghij", 20), 20);
        expect(OP_RW);
        assert_int_equal(h.len, 10);
        /* One question at most, however long it takes. */
        if (guest_receive(&g, &h, NULL))
                assert_int_equal(h.op, OP_CREDIT_REQUEST);
        expect_nothing();
        expect_nothing();

        p = header(OP_CREDIT_UPDATE, 0);
        p.buf_alloc = 10;
        p.fwd_cnt = 4;
        send_header(&p, NULL);
        expect(OP_RW);
        assert_int_equal(h.len, 4);
        assert_memory_equal(payload, "abcd", 4);
        p.fwd_cnt = 10;
        p.buf_alloc = 100;
        send_header(&p, NULL);
        while (guest_receive(&g, &h, &payload) && h.op != OP_RW)
                ;
        assert_int_equal(h.op, OP_RW);
        assert_memory_equal(payload, "efghij", 6);

        /* More bytes taken than were ever sent is a lie, and harmless. */
        p.fwd_cnt = 1000;
        send_header(&p, NULL);
        close(fd);
}

static void test_credit_from_guest(void **state) {
        int fd = connect_to_host(), updates = 0;
        char data[8192], back[8192];

        /* A host that reads: the guest is told in time, and may send for ever. */
        for (int i = 0; i < 64; i++) {
                memset(data, i, sizeof(data));
                send_data(data, sizeof(data));
                assert_int_equal(read_full(fd, back, sizeof(back)), sizeof(back));
                assert_memory_equal(back, data, sizeof(back));
                while (guest_receive(&g, &h, NULL)) {
                        assert_int_equal(h.op, OP_CREDIT_UPDATE);
                        assert_int_equal(h.fwd_cnt, (i + 1) * sizeof(data));
                        guest_offer(&g, 1);
                        updates++;
                }
        }
        assert_true(updates >= 8 && updates <= 32);

        /* The guest may ask, too. */
        send_op(OP_CREDIT_REQUEST);
        expect(OP_CREDIT_UPDATE);

        /* A host that does not read, a guest that does not care: what was promised is kept, then the connection ends. */
        for (int i = 0; i < 200; i++) {
                send_data(data, sizeof(data));
                if (guest_receive(&g, &h, NULL)) {
                        if (h.op == OP_RST)
                                break;
                        assert_int_equal(h.op, OP_CREDIT_UPDATE);
                        guest_offer(&g, 1);
                }
        }
        assert_int_equal(h.op, OP_RST);
        close(fd);
}

/* The guest closes while the host has not read yet: all of it arrives first. */
static void test_close_with_data_under_way(void **state) {
        int fd = connect_to_host();
        struct virtio_vsock_hdr p = header(OP_SHUTDOWN, 0);
        char data[8192] = {}, back[8192];
        size_t sent = 0, received = 0;
        uint32_t taken = 0;
        ssize_t n;

        /* Until only the credit is left: what the socket holds, and the buffer. */
        while (sent - taken + sizeof(data) <= VSOCK_BUFFER_SIZE) {
                memset(data, (int) (sent / sizeof(data)), sizeof(data));
                send_data(data, sizeof(data));
                sent += sizeof(data);
                if (guest_receive(&g, &h, NULL)) {
                        taken = h.fwd_cnt;
                        guest_offer(&g, 1);
                }
        }
        p.flags = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
        send_header(&p, NULL);
        expect_nothing();

        while ((n = read(fd, back, sizeof(back))) != 0) {
                if (n < 0) {
                        assert_int_equal(errno, EAGAIN);
                        assert_ok(guest_run(&g));
                        continue;
                }
                for (ssize_t i = 0; i < n; i++)
                        assert_int_equal((uint8_t) back[i], (uint8_t) ((received + (size_t) i) / sizeof(data)));
                received += (size_t) n;
                assert_ok(guest_run(&g));
        }
        assert_int_equal(received, sent);
        expect(OP_RST);
        close(fd);
}

static void test_half_close(void **state) {
        int fd = connect_to_host();
        struct virtio_vsock_hdr p = header(OP_SHUTDOWN, 0);

        p.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
        send_header(&p, NULL);
        assert_open(fd);
        expect_nothing();
        send_data("x", 1);              /* it had said that it would not */
        assert_open(fd);
        assert_int_equal(write(fd, "y", 1), 1);
        expect(OP_RW);
        p.flags = VIRTIO_VSOCK_SHUTDOWN_RCV;
        send_header(&p, NULL);
        expect(OP_RST);
        assert_eof(fd);
        close(fd);
}

/* Refusals that the guest does not take hold its queue up: they are not collected without end. */
static void test_refusals_are_bounded(void **state) {
        struct virtio_vsock_hdr p = header(OP_REQUEST, 0);
        unsigned resets = 0, sent = 0;

        p.dst_port = 77;
        for (; sent < 400; sent++) {
                /* A slot of the queue is used again only when it was given back. */
                if ((uint16_t) (g.avail[VSOCK_QUEUE_TX] - guest_used(&g, VSOCK_QUEUE_TX)->idx) >= QUEUE_SIZE / 2)
                        break;
                send_header(&p, NULL);
        }
        assert_true(sent < 400);
        while (guest_receive(&g, &h, NULL)) {
                assert_int_equal(h.op, OP_RST);
                resets++;
                guest_offer(&g, 1);
        }
        assert_int_equal(resets, sent);
        assert_int_equal(guest_used(&g, VSOCK_QUEUE_TX)->idx, g.avail[VSOCK_QUEUE_TX]);
}

static void send_from(uint32_t port, unsigned op) {
        struct virtio_vsock_hdr p = header(op, 0);

        p.src_port = port;
        send_header(&p, NULL);
}

/* A guest that connects without end has as many connections as there may be; resets of them, however many, leave none; and ports can be
 * used again, but not while they are. */
static void test_storm(void **state) {
        enum { STORM = VSOCK_CONNECTIONS_MAX + 500 };
        const VsockMuxer *m = vsock_device_muxer(g.device);
        unsigned n_accepted = 0, n_refused = 0;
        static int fds[STORM];
        int fd;

        for (int round = 0; round < 2; round++) {
                for (uint32_t i = 0; i < STORM; i++) {
                        send_from(i, OP_REQUEST);
                        assert_true(guest_receive(&g, &h, NULL));
                        assert_int_equal(h.dst_port, i);
                        guest_offer(&g, 1);
                        if (h.op == OP_RST) {
                                n_refused++;
                                continue;
                        }
                        assert_int_equal(h.op, OP_RESPONSE);
                        fds[n_accepted] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                        assert_true(fds[n_accepted++] >= 0);
                }
                assert_int_equal(n_accepted, VSOCK_CONNECTIONS_MAX);
                assert_int_equal(n_refused, STORM - VSOCK_CONNECTIONS_MAX);
                for (uint32_t i = 0; i < STORM; i++) {
                        send_from(i, OP_RST);
                        send_from(i, OP_RST);
                }
                expect_nothing();
                assert_int_equal(vsock_muxer_n_connections(m), 0);
                while (n_accepted > 0) {
                        assert_eof(fds[--n_accepted]);
                        close(fds[n_accepted]);
                }
                n_refused = 0;
        }

        fd = connect_to_host();
        send_op(OP_REQUEST);
        send_data("x", 1);
        expect_nothing();
        assert_int_equal(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), -1);
        assert_int_equal(read(fd, &(char) { 0 }, 1), 1);
        assert_open(fd);
        close(fd);
}

/* Chains that make no sense are given back, and the next one works. */
static void test_hostile_chains(void **state) {
        static const struct {
                struct vring_desc d[3];
        } cases[] = {
                { { { 0, 44, 0, 0 } } },                                                        /* below memory */
                { { { MEMORY_GUEST_ADDRESS + MEMORY_SIZE - 10, 44, 0, 0 } } },                  /* across its end */
                { { { UINT64_MAX - 3, 44, 0, 0 } } },                                           /* around */
                { { { MEMORY_GUEST_ADDRESS, UINT32_MAX, 0, 0 } } },
                { { { MEMORY_GUEST_ADDRESS + BUFFERS_AT, 43, 0, 0 } } },                        /* less than a header */
                { { { MEMORY_GUEST_ADDRESS + BUFFERS_AT, 0, 0, 0 } } },
                { { { MEMORY_GUEST_ADDRESS + BUFFERS_AT, 44, VRING_DESC_F_NEXT, 0 } } },        /* itself again */
                { { { MEMORY_GUEST_ADDRESS + BUFFERS_AT, 44, VRING_DESC_F_NEXT, 1 }, { MEMORY_GUEST_ADDRESS, 1, VRING_DESC_F_NEXT, 0 } } },
                { { { MEMORY_GUEST_ADDRESS + BUFFERS_AT, 44, VRING_DESC_F_NEXT, QUEUE_SIZE } } },
                { { { MEMORY_GUEST_ADDRESS + BUFFERS_AT, 44, VRING_DESC_F_NEXT, UINT16_MAX } } },
                { { { MEMORY_GUEST_ADDRESS + BUFFERS_AT, 64, VRING_DESC_F_INDIRECT, 0 } } },
                { { { MEMORY_GUEST_ADDRESS + BUFFERS_AT, 44, VRING_DESC_F_WRITE, 0 } } },       /* nothing to read */
                { { { MEMORY_GUEST_ADDRESS + BUFFERS_AT, 44, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1 }, { MEMORY_GUEST_ADDRESS, 44, 0, 0 } } },
        };
        int fd = connect_to_host();
        char buf[8];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint16_t used = guest_used(&g, VSOCK_QUEUE_TX)->idx;

                memcpy(guest_desc(&g, VSOCK_QUEUE_TX), cases[i].d, sizeof(cases[i].d));
                guest_make_available(&g, VSOCK_QUEUE_TX, 0);
                guest_kick(&g, VSOCK_QUEUE_TX);
                assert_ok(guest_run(&g));
                assert_int_equal(guest_used(&g, VSOCK_QUEUE_TX)->idx, (uint16_t) (used + 1));
        }
        /* A header that promises more than there is. */
        struct virtio_vsock_hdr p = header(OP_RW, 100);
        guest_queue(&g, &p, "abc", 3);
        p.len = UINT32_MAX;
        guest_queue(&g, &p, "abc", 3);
        guest_kick(&g, VSOCK_QUEUE_TX);
        assert_ok(guest_run(&g));
        assert_open(fd);
        send_data("fine", 4);
        assert_int_equal(read(fd, buf, sizeof(buf)), 4);
        close(fd);
}

/* The header may be cut, the payload too. */
static void test_scattered_buffers(void **state) {
        struct vring_desc *d = guest_desc(&g, VSOCK_QUEUE_RX);
        uint64_t at = MEMORY_GUEST_ADDRESS + BUFFERS_AT;
        int fd;

        guest_start(&g, false);
        d[0] = (struct vring_desc) { at, 44, VRING_DESC_F_WRITE, 0 };          /* no payload: useless */
        d[1] = (struct vring_desc) { at, 100, 0, 0 };                          /* not for us to write */
        d[2] = (struct vring_desc) { at, 20, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 3 };
        d[3] = (struct vring_desc) { at + 100, 0, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 4 };
        d[4] = (struct vring_desc) { at + 200, 26, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 5 };
        d[5] = (struct vring_desc) { at + 300, 3, VRING_DESC_F_WRITE, 0 };
        d[6] = (struct vring_desc) { at + 400, 64, VRING_DESC_F_WRITE, 0 };    /* for the RESPONSE */
        guest_make_available(&g, VSOCK_QUEUE_RX, 6);
        guest_make_available(&g, VSOCK_QUEUE_RX, 0);
        guest_make_available(&g, VSOCK_QUEUE_RX, 1);
        guest_make_available(&g, VSOCK_QUEUE_RX, 2);
        send_op(OP_REQUEST);
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_int_equal(write(fd, "abcde", 5), 5);
        guest_kick(&g, VSOCK_QUEUE_RX);
        assert_ok(guest_run(&g));
        assert_int_equal(guest_used(&g, VSOCK_QUEUE_RX)->idx, 4);
        assert_int_equal(guest_used(&g, VSOCK_QUEUE_RX)->ring[3].len, 44 + 5);
        assert_memory_equal(g.memory + BUFFERS_AT + 224, "ab", 2);
        assert_memory_equal(g.memory + BUFFERS_AT + 300, "cde", 3);
        close(fd);
}

static void test_hostile_rings(void **state) {
        int fd = connect_to_host();

        /* An index that jumps: the queue is dead, nothing else. */
        guest_avail(&g, VSOCK_QUEUE_TX)->idx = (uint16_t) (g.avail[VSOCK_QUEUE_TX] + QUEUE_SIZE + 1);
        guest_kick(&g, VSOCK_QUEUE_TX);
        assert_ok(guest_run(&g));
        guest_avail(&g, VSOCK_QUEUE_TX)->idx = g.avail[VSOCK_QUEUE_TX];
        send_data("x", 1);
        assert_open(fd);
        assert_int_equal(write(fd, "y", 1), 1);
        expect(OP_RW);

        guest_avail(&g, VSOCK_QUEUE_RX)->ring[(uint16_t) (g.avail[VSOCK_QUEUE_RX]) % QUEUE_SIZE] = QUEUE_SIZE;
        guest_avail(&g, VSOCK_QUEUE_RX)->idx = (uint16_t) (g.avail[VSOCK_QUEUE_RX] + 1);
        for (int i = 0; i < QUEUE_SIZE + 1; i++) {
                assert_int_equal(write(fd, "z", 1), 1);
                assert_ok(guest_run(&g));
        }
        close(fd);
        assert_ok(guest_run(&g));
}

/* The guest's driver goes and comes again, as at a kexec. */
static void test_reset(void **state) {
        struct {
                uint32_t request, flags, size;
                struct vhost_vring_state state;
        } reply;
        int fd = connect_to_host();

        send_data("x", 1);
        assert_int_equal(read(fd, &(char) { 0 }, 1), 1);
        for (unsigned q = 0; q < VSOCK_QUEUES; q++) {
                guest_message(&g, 11, 1, &(struct vhost_vring_state) { q, 0 }, 8, NULL, 0);
                assert_ok(guest_run(&g));
                assert_int_equal(read(g.fd, &reply, sizeof(reply)), sizeof(reply));
                assert_int_equal(reply.state.index, q);
                assert_int_equal(reply.state.num, q == VSOCK_QUEUE_RX ? g.used[q] : g.avail[q]);
        }
        assert_eof(fd);
        close(fd);

        memset(g.memory, 0, 2 * QUEUE_AREA);
        memset(g.avail, 0, sizeof(g.avail));
        memset(g.used, 0, sizeof(g.used));
        guest_start(&g, true);
        guest_offer(&g, 8);
        fd = connect_to_host();
        /* The same memory again, under way: nothing is lost. */
        guest_share_memory(&g);
        assert_ok(guest_run(&g));
        send_data("y", 1);
        assert_int_equal(read(fd, &(char) { 0 }, 1), 1);
        close(fd);
}

static void test_bad_memory(void **state) {
        uint64_t tables[][5] = {
                { 1, 0, MEMORY_SIZE + 4096, 0, 0 },
                { 1, 0, MEMORY_SIZE, 0, 4096 },
                { 1, 0, MEMORY_SIZE, 0, UINT64_MAX - 4095 },
                { 1, UINT64_MAX - 10, MEMORY_SIZE, 0, 0 },
                { 1, 0, 0, 0, 0 },
                { 1, 0, 4096, 0, 100 },
                { 2, 0, 4096, 0, 0 },
                { UINT32_MAX, 0, 4096, 0, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(tables); i++) {
                guest_message(&g, 5, 1, tables[i], sizeof(tables[i]), &g.memfd, 1);
                assert_true(guest_run(&g) < 0);
                tear_down(NULL);
                set_up(NULL);
        }
        /* A file that could be cut under our feet. */
        int fd = memfd_create("bad", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_ok(ftruncate(fd, MEMORY_SIZE));
        uint64_t table[5] = { 1, 0, MEMORY_SIZE, 0, 0 };
        guest_message(&g, 5, 1, table, sizeof(table), &fd, 1);
        assert_true(guest_run(&g) < 0);
        close(fd);
}

static void test_bad_messages(void **state) {
        static const struct {
                uint32_t request, flags, size;
        } cases[] = {
                { 99, 1, 0 }, { 0, 1, 0 }, { 1, 0, 0 }, { 1, 5, 0 }, { 2, 1, 4 }, { 8, 1, 0 }, { 9, 1, 8 }, { 12, 1, 8 }, { 24, 1, 4 },
                { 5, 1, 0 }, { 25, 1, 12 }, { 1, 1, VHOST_USER_PAYLOAD_MAX + 1 }, { 1, 1, UINT32_MAX },
        };
        uint8_t body[VHOST_USER_PAYLOAD_MAX] = {};

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                guest_message(&g, cases[i].request, cases[i].flags, body, MIN(cases[i].size, (uint32_t) sizeof(body)), NULL, 0);
                if (cases[i].size > sizeof(body)) {
                        tear_down(NULL);
                        set_up(NULL);
                        assert_int_equal(write(g.fd, &cases[i], 12), 12);
                }
                assert_true(guest_run(&g) < 0);
                tear_down(NULL);
                set_up(NULL);
        }
        /* QEMU goes in the middle of a message. */
        assert_int_equal(write(g.fd, body, 5), 5);
        g.fd = safe_close(g.fd);
        assert_ok(guest_run(&g));
}

/* With EVENT_IDX nobody is woken who does not want to. */
static void test_event_idx(void **state) {
        uint64_t n;
        int fd;

        guest_start(&g, true);
        guest_offer(&g, 8);
        guest_avail(&g, VSOCK_QUEUE_RX)->ring[QUEUE_SIZE] = 2;          /* used_event: tell me of the third */
        fd = connect_to_host();
        assert_int_equal(read(g.call[VSOCK_QUEUE_RX], &n, 8), -1);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(write(fd, "a", 1), 1);
                expect(OP_RW);
        }
        assert_int_equal(read(g.call[VSOCK_QUEUE_RX], &n, 8), 8);
        /* And the device says from which entry on it wants a kick. */
        assert_int_equal(*(uint16_t *) (void *) &guest_used(&g, VSOCK_QUEUE_TX)->ring[QUEUE_SIZE], g.avail[VSOCK_QUEUE_TX]);
        close(fd);
}

static void test_bind(void **state) {
        VsockDevice *d;

        assert_error(vsock_device_new(g.loop, 3, "v", &d), EADDRINUSE);
        assert_error(vsock_device_new(g.loop, 3, "missing/v", &d), ENOENT);
        assert_error(vsock_device_new(g.loop, 3,
                        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789", &d),
                        ENAMETOOLONG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_negotiation, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_guest_connects, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_guest_refused, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_host_connects, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_host_refused, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_request_timeout, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_credit_to_guest, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_credit_from_guest, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_close_with_data_under_way, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_half_close, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_refusals_are_bounded, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_storm, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_hostile_chains, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_scattered_buffers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_hostile_rings, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_reset, set_up_started, tear_down),
                cmocka_unit_test_setup_teardown(test_bad_memory, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bad_messages, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_event_idx, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bind, set_up, tear_down),
        };
        struct rlimit files;
        int r;

        /* For both ends of as many connections as there may be. */
        assert_ok(getrlimit(RLIMIT_NOFILE, &files));
        files.rlim_cur = files.rlim_max;
        assert_ok(setrlimit(RLIMIT_NOFILE, &files));
        r = cmocka_run_group_tests(tests, NULL, NULL);

        (void) unlink("v");
        (void) unlink("v_1000");
        (void) rmdir(directory);
        return r;
}
