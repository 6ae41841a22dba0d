/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A hostile guest (and, less likely, a hostile VMM) at ember's vsock: the input is a list of steps, each a byte that says what it is
 * and what belongs to it. Most start where the device already runs, since getting there is the VMM's doing. */

#include "base/log.h"
#include "tests/ember/memory-guest.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
        STEP_MEMORY,                    /* offset, length, bytes: into the guest's memory */
        STEP_PACKET,                    /* fields of a header, payload: a well-formed request of the driver's */
        STEP_OFFER,                     /* buffers for packets */
        STEP_KICK,
        STEP_RUN,
        STEP_MESSAGE,                   /* vhost-user */
        STEP_DIAL,                      /* a host connection */
        STEP_HOST_WRITE,
        STEP_HOST_READ,
        STEP_HOST_CLOSE,
        STEP_ACCEPT,                    /* the host takes what the guest has connected */
        STEP_AVAIL,                     /* the index of an available ring */
        STEP_DESCRIPTOR,
        N_STEPS,
};

enum { HOST_FDS = 8, STEPS_MAX = 256 };

typedef struct Input {
        const uint8_t *data;
        size_t size;
} Input;

static uint64_t take(Input *in, size_t bytes) {
        uint64_t v = 0;
        size_t n = MIN(bytes, in->size);

        memcpy(&v, in->data, n);
        in->data += n;
        in->size -= n;
        return v;
}

static int host_fds[HOST_FDS] = { [0 ... HOST_FDS - 1] = -EBADF };
static int listener = -EBADF;
static char uds[64];

static void keep(int fd) {
        static unsigned next;

        safe_close(host_fds[next % HOST_FDS]);
        host_fds[next++ % HOST_FDS] = fd;
}

static void step_packet(MemoryGuest *g, Input *in) {
        static const uint8_t ops[] = { 0, 1, 2, 3, 4, 5, 6, 7, 5, 5 };
        uint8_t shape = (uint8_t) take(in, 1);
        struct virtio_vsock_hdr h = {
                .src_cid = 3,
                .dst_cid = 2,
                .src_port = shape % 4,
                .dst_port = shape & 4 ? 1000 : (uint32_t) ((1U << 30) + (shape >> 3) % 4),
                .type = 1,
                .op = ops[take(in, 1) % ELEMENTSOF(ops)],
                .flags = (uint32_t) take(in, 1),
                .buf_alloc = (uint32_t) take(in, 3),
                .fwd_cnt = (uint32_t) take(in, 2),
        };
        uint32_t size = h.op == VIRTIO_VSOCK_OP_RW ? (uint32_t) take(in, 2) % 8192 : 0;
        static const char payload[8192];

        h.len = shape & 128 ? (uint32_t) take(in, 4) : size;
        guest_queue(g, &h, payload, size);
}

static void step(MemoryGuest *g, Input *in) {
        switch (take(in, 1) % N_STEPS) {
        case STEP_MEMORY: {
                size_t at = take(in, 3) % (MEMORY_SIZE - 64), n = take(in, 1) % 64;

                n = MIN(n, in->size);
                memcpy(g->memory + at, in->data, n);
                in->data += n;
                in->size -= n;
                break;
        }
        case STEP_PACKET:
                step_packet(g, in);
                break;
        case STEP_OFFER:
                guest_offer(g, (unsigned) take(in, 1) % QUEUE_SIZE);
                break;
        case STEP_KICK:
                guest_kick(g, (unsigned) take(in, 1) % VSOCK_QUEUES);
                break;
        case STEP_MESSAGE: {
                uint8_t raw[64] = {};
                uint32_t request = (uint32_t) take(in, 1), flags = (uint32_t) take(in, 1), n = (uint32_t) take(in, 1) % 64;
                uint8_t fds = (uint8_t) take(in, 1);
                int candidates[] = { g->memfd, g->kick[0], g->call[1], 0 };

                memcpy(raw, in->data, MIN((size_t) n, in->size));
                take(in, MIN((size_t) n, (size_t) 8));
                guest_message(g, request, flags, raw, n, candidates + fds % 4, (fds >> 2) % (5 - fds % 4));
                break;
        }
        case STEP_DIAL: {
                struct sockaddr_un sa = { .sun_family = AF_UNIX };
                static const char *const hellos[] = { "CONNECT 0\n", "CONNECT 1\n", "CONNECT 2\nabc", "CONN", "" };
                const char *hello = hellos[take(in, 1) % ELEMENTSOF(hellos)];
                int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

                strcpy(sa.sun_path, uds);
                if (connect(fd, (struct sockaddr *) &sa, sizeof(sa)) >= 0)
                        (void) !write(fd, hello, strlen(hello));
                keep(fd);
                break;
        }
        case STEP_HOST_WRITE: {
                static const char text[4096];

                (void) !send(host_fds[take(in, 1) % HOST_FDS], text, take(in, 2) % sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT);
                break;
        }
        case STEP_HOST_READ: {
                static char sink[65536];

                (void) !recv(host_fds[take(in, 1) % HOST_FDS], sink, sizeof(sink), MSG_DONTWAIT);
                break;
        }
        case STEP_HOST_CLOSE: {
                unsigned i = (unsigned) take(in, 1) % HOST_FDS;

                host_fds[i] = safe_close(host_fds[i]);
                break;
        }
        case STEP_ACCEPT: {
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (fd >= 0)
                        keep(fd);
                break;
        }
        case STEP_AVAIL:
                guest_avail(g, (unsigned) take(in, 1) % VSOCK_QUEUES)->idx = (uint16_t) take(in, 2);
                break;
        case STEP_DESCRIPTOR: {
                unsigned q = (unsigned) take(in, 1) % VSOCK_QUEUES;

                guest_desc(g, q)[take(in, 1) % QUEUE_SIZE] = (struct vring_desc) {
                        .addr = MEMORY_GUEST_ADDRESS + take(in, 3),
                        .len = (uint32_t) take(in, 2),
                        .flags = (uint16_t) take(in, 1),
                        .next = (uint16_t) take(in, 1),
                };
                break;
        }
        default:
                (void) event_loop_run_once(g->loop, 0);
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Input in = { data, size };
        MemoryGuest g;
        uint8_t flags;

        if (listener < 0 && LLVMFuzzerInitialize(NULL, NULL) < 0)
                abort();
        if (guest_new(&g, uds) < 0)
                abort();
        flags = (uint8_t) take(&in, 1);
        if (flags & 1) {
                guest_start(&g, flags & 2);
                guest_offer(&g, flags >> 2);
        }
        for (unsigned n = 0; n < STEPS_MAX && in.size > 0; n++) {
                step(&g, &in);
                if (guest_run(&g) < 0)
                        break;          /* the session has ended, as ember would */
        }
        guest_done(&g);
        for (unsigned i = 0; i < HOST_FDS; i++)
                host_fds[i] = safe_close(host_fds[i]);
        for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
                close(fd);
        return 0;
}

static void clean_up(void) {
        char path[80];

        snprintf(path, sizeof(path), "%s_1000", uds);
        (void) unlink(path);
        (void) unlink(uds);
        *strrchr(uds, '/') = 0;
        (void) rmdir(uds);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        char directory[] = "/tmp/fuzz-virtio-vsock.XXXXXX";

        log_set_max_level(-1);
        if (!mkdtemp(directory))
                return -1;
        snprintf(uds, sizeof(uds), "%s/v", directory);
        snprintf(sa.sun_path, sizeof(sa.sun_path), "%s_1000", uds);
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (listener < 0 || bind(listener, (struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(listener, 64) < 0)
                return -1;
        return atexit(clean_up);
}
