/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A guest that is nothing but memory: plays QEMU on the vhost-user socket and the driver on the rings, for tests and the fuzzer. */

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "vmm/vhost-user.h"

enum {
        MEMORY_SIZE = 1024 * 1024,
        QUEUE_SIZE = 64,
        QUEUE_AREA = 0x10000,           /* of each queue: descriptors, then these two */
        AVAIL_AT = 0x4000,
        USED_AT = 0x8000,
        BUFFERS_AT = 0x20000,
        RX_BUFFER = 4096,
};

#define MEMORY_GUEST_ADDRESS UINT64_C(0x100000)
#define MEMORY_USER_ADDRESS UINT64_C(0x7f0000000000)

typedef struct MemoryGuest {
        EventLoop *loop;
        VsockDevice *device;
        VhostUser *vhost;
        int fd;                         /* QEMU's end of the socket */
        int memfd;
        uint8_t *memory;
        int kick[VSOCK_QUEUES], call[VSOCK_QUEUES];
        uint16_t avail[VSOCK_QUEUES], used[VSOCK_QUEUES];
} MemoryGuest;

static inline struct vring_desc *guest_desc(MemoryGuest *g, unsigned q) {
        return (struct vring_desc *) (void *) (g->memory + q * QUEUE_AREA);
}
static inline struct vring_avail *guest_avail(MemoryGuest *g, unsigned q) {
        return (struct vring_avail *) (void *) (g->memory + q * QUEUE_AREA + AVAIL_AT);
}
static inline struct vring_used *guest_used(MemoryGuest *g, unsigned q) {
        return (struct vring_used *) (void *) (g->memory + q * QUEUE_AREA + USED_AT);
}

static inline void guest_kick(MemoryGuest *g, unsigned q) {
        (void) !write(g->kick[q], &(uint64_t) { 1 }, 8);
}

/* Lets ember do all that there is to do now. */
static inline int guest_run(MemoryGuest *g) {
        int r = 0;

        for (int i = 0; i < 16 && r >= 0; i++)
                r = event_loop_run_once(g->loop, 0);
        return r;
}

/* Sends a vhost-user message with n_fds descriptors. flags: 1 is the version, 8 asks for a reply. */
static inline void guest_message(MemoryGuest *g, uint32_t request, uint32_t flags, const void *payload, uint32_t size, const int *fds,
                size_t n_fds) {
        uint32_t head[3] = { request, flags, size };
        struct iovec iov[2] = { { head, sizeof(head) }, { (void *) payload, size } };
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(16 * sizeof(int))];
        } control = {};
        struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

        if (n_fds > 0) {
                msg.msg_control = &control;
                msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
                CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
                CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, n_fds * sizeof(int));
        }
        (void) !sendmsg(g->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static inline void guest_share_memory(MemoryGuest *g) {
        uint64_t table[] = { 1, MEMORY_GUEST_ADDRESS, MEMORY_SIZE, MEMORY_USER_ADDRESS, 0 };

        guest_message(g, 5, 1, table, sizeof(table), &g->memfd, 1);
}

/* All that QEMU says until the device runs. */
static inline void guest_start(MemoryGuest *g, bool event_idx) {
        uint64_t features = UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << 30 |
                            (event_idx ? UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX : 0);

        guest_message(g, 16, 1, &(uint64_t) { 1 << 3 | 1 << 9 }, 8, NULL, 0);
        guest_message(g, 3, 1, NULL, 0, NULL, 0);
        guest_message(g, 2, 1, &features, 8, NULL, 0);
        guest_share_memory(g);
        for (unsigned q = 0; q < VSOCK_QUEUES; q++) {
                uint64_t at = MEMORY_USER_ADDRESS + q * QUEUE_AREA;
                struct vhost_vring_addr address = {
                        .index = q, .desc_user_addr = at, .avail_user_addr = at + AVAIL_AT, .used_user_addr = at + USED_AT,
                };

                guest_message(g, 8, 1, &(struct vhost_vring_state) { q, QUEUE_SIZE }, 8, NULL, 0);
                guest_message(g, 10, 1, &(struct vhost_vring_state) { q, g->avail[q] }, 8, NULL, 0);
                guest_message(g, 9, 1, &address, sizeof(address), NULL, 0);
                guest_message(g, 12, 1, &(uint64_t) { q }, 8, &g->kick[q], 1);
                guest_message(g, 13, 1, &(uint64_t) { q }, 8, &g->call[q], 1);
                guest_message(g, 18, 1, &(struct vhost_vring_state) { q, 1 }, 8, NULL, 0);
                (void) guest_run(g);
        }
}

static inline int guest_new(MemoryGuest *g, const char *uds_path) {
        int pair[2], r;

        *g = (MemoryGuest) { .fd = -EBADF };
        (void) unlink(uds_path);
        r = event_loop_new(&g->loop);
        if (r >= 0)
                r = vsock_device_new(g->loop, 3, uds_path, &g->device);
        if (r < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -1;
        g->fd = pair[0];
        r = vhost_user_new(g->loop, g->device, pair[1], &g->vhost);
        if (r < 0)
                return r;
        g->memfd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (g->memfd < 0 || ftruncate(g->memfd, MEMORY_SIZE) < 0 || fcntl(g->memfd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
                return -1;
        g->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->memfd, 0);
        for (unsigned q = 0; q < VSOCK_QUEUES; q++) {
                g->kick[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                g->call[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        }
        return g->memory == MAP_FAILED ? -1 : 0;
}

static inline void guest_done(MemoryGuest *g) {
        vhost_user_free(g->vhost);
        vsock_device_free(g->device);
        event_loop_free(g->loop);
        safe_close(g->fd);
        safe_close(g->memfd);
        (void) munmap(g->memory, MEMORY_SIZE);
        for (unsigned q = 0; q < VSOCK_QUEUES; q++) {
                safe_close(g->kick[q]);
                safe_close(g->call[q]);
        }
}

static inline void guest_make_available(MemoryGuest *g, unsigned q, uint16_t head) {
        guest_avail(g, q)->ring[g->avail[q] % QUEUE_SIZE] = head;
        guest_avail(g, q)->idx = ++g->avail[q];
}

/* Gives the device n buffers for packets. */
static inline void guest_offer(MemoryGuest *g, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                uint16_t d = g->avail[VSOCK_QUEUE_RX] % QUEUE_SIZE;

                guest_desc(g, VSOCK_QUEUE_RX)[d] = (struct vring_desc) {
                        MEMORY_GUEST_ADDRESS + BUFFERS_AT + (uint64_t) d * RX_BUFFER, RX_BUFFER, VRING_DESC_F_WRITE, 0
                };
                guest_make_available(g, VSOCK_QUEUE_RX, d);
        }
        guest_kick(g, VSOCK_QUEUE_RX);
}

/* The next packet from the device, and its payload (borrowed until the buffer is offered again). False: there is none. */
static inline bool guest_receive(MemoryGuest *g, struct virtio_vsock_hdr *ret, const char **ret_payload) {
        struct vring_used *used = guest_used(g, VSOCK_QUEUE_RX);
        const uint8_t *buffer;

        (void) guest_run(g);
        if (used->idx == g->used[VSOCK_QUEUE_RX])
                return false;
        buffer = g->memory + BUFFERS_AT + (size_t) used->ring[g->used[VSOCK_QUEUE_RX] % QUEUE_SIZE].id * RX_BUFFER;
        g->used[VSOCK_QUEUE_RX]++;
        memcpy(ret, buffer, sizeof(*ret));
        if (ret_payload)
                *ret_payload = (const char *) buffer + sizeof(*ret);
        return true;
}

/* Puts a packet into the driver's queue, without a kick: the header in one descriptor, the payload in another. */
static inline void guest_queue(MemoryGuest *g, const struct virtio_vsock_hdr *header, const void *payload, uint32_t size) {
        unsigned slot = g->avail[VSOCK_QUEUE_TX] % (QUEUE_SIZE / 2);
        uint64_t at = BUFFERS_AT + QUEUE_SIZE * RX_BUFFER + (uint64_t) slot * 16384;
        struct vring_desc *d = guest_desc(g, VSOCK_QUEUE_TX) + 2 * (size_t) slot;

        memcpy(g->memory + at, header, sizeof(*header));
        if (payload)
                memcpy(g->memory + at + 64, payload, size);
        d[0] = (struct vring_desc) { MEMORY_GUEST_ADDRESS + at, sizeof(*header), size > 0 ? VRING_DESC_F_NEXT : 0,
                                     (uint16_t) (2 * slot + 1) };
        d[1] = (struct vring_desc) { MEMORY_GUEST_ADDRESS + at + 64, size, 0, 0 };
        guest_make_available(g, VSOCK_QUEUE_TX, (uint16_t) (2 * slot));
}
