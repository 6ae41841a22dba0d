/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "vmm/vhost-user.h"

enum {
        VHOST_USER_GET_FEATURES = 1,
        VHOST_USER_SET_FEATURES = 2,
        VHOST_USER_SET_OWNER = 3,
        VHOST_USER_RESET_OWNER = 4,
        VHOST_USER_SET_MEM_TABLE = 5,
        VHOST_USER_SET_VRING_NUM = 8,
        VHOST_USER_SET_VRING_ADDR = 9,
        VHOST_USER_SET_VRING_BASE = 10,
        VHOST_USER_GET_VRING_BASE = 11,
        VHOST_USER_SET_VRING_KICK = 12,
        VHOST_USER_SET_VRING_CALL = 13,
        VHOST_USER_SET_VRING_ERR = 14,
        VHOST_USER_GET_PROTOCOL_FEATURES = 15,
        VHOST_USER_SET_PROTOCOL_FEATURES = 16,
        VHOST_USER_SET_VRING_ENABLE = 18,
        VHOST_USER_GET_CONFIG = 24,
};

enum {
        FLAG_VERSION_MASK = 3,
        FLAG_VERSION = 1,
        FLAG_REPLY = 1 << 2,
        FLAG_NEED_REPLY = 1 << 3,
};

#define VHOST_USER_F_PROTOCOL_FEATURES (UINT64_C(1) << 30)
#define PROTOCOL_F_REPLY_ACK (UINT64_C(1) << 3)
#define PROTOCOL_F_CONFIG (UINT64_C(1) << 9)

#define FEATURES \
        (UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX | VHOST_USER_F_PROTOCOL_FEATURES)
#define PROTOCOL_FEATURES (PROTOCOL_F_REPLY_ACK | PROTOCOL_F_CONFIG)

#define VRING_INDEX_MASK UINT64_C(0xff)
#define VRING_NO_FD (UINT64_C(1) << 8)

typedef struct Header {
        uint32_t request, flags, size;
} Header;

typedef struct MemoryRegion {
        uint64_t guest_address, size, user_address, mmap_offset;
} MemoryRegion;

typedef struct MemoryTable {
        uint32_t n_regions, padding;
        MemoryRegion regions[GUEST_REGIONS_MAX];
} MemoryTable;

typedef struct ConfigSpace {
        uint32_t offset, size, flags;
        uint8_t data[256];
} ConfigSpace;

typedef union Payload {
        uint64_t u64;
        struct vhost_vring_state state;
        struct vhost_vring_addr address;
        MemoryTable memory;
        ConfigSpace config;
        uint8_t bytes[VHOST_USER_PAYLOAD_MAX];
} Payload;

typedef struct Vring {
        unsigned size;
        uint16_t base;
        struct vhost_vring_addr address;
        bool has_address, enabled, running;
        int kick_fd, call_fd;
} Vring;

struct VhostUser {
        EventLoop *loop;
        EventSource source;
        VsockDevice *device;
        int fd;
        GuestMemory memory;
        uint64_t features, protocol_features;
        Vring vrings[VSOCK_QUEUES];

        /* The message that is arriving. */
        Header header;
        Payload payload;
        size_t received;                /* of header and payload together */
        int fds[VHOST_USER_FDS_MAX];
        unsigned n_fds;
};

static void drop_fds(VhostUser *v) {
        while (v->n_fds > 0)
                safe_close(v->fds[--v->n_fds]);
}

/* --- rings ------------------------------------------------------------------------------------------------------ */

static void vring_pause(VhostUser *v, unsigned index) {
        Vring *ring = &v->vrings[index];

        if (ring->running)
                ring->base = vsock_device_stop_queue(v->device, index);
        ring->running = false;
}

/* Starts a ring when all is there that it needs. Addresses are the VMM's own, hence translated by user_address. */
static int vring_resume(VhostUser *v, unsigned index) {
        Vring *ring = &v->vrings[index];
        uint64_t n = ring->size;
        Virtqueue q;
        int r;

        if (ring->running || !ring->has_address || n == 0 || ring->kick_fd < 0 || !ring->enabled)
                return 0;
        /* Both event indices are inside, whether used or not: 2 bytes behind each ring. */
        r = virtqueue_start(&q, &v->memory, ring->size,
                        guest_memory_at_user(&v->memory, ring->address.desc_user_addr, n * sizeof(struct vring_desc)),
                        guest_memory_at_user(&v->memory, ring->address.avail_user_addr, 6 + 2 * n),
                        guest_memory_at_user(&v->memory, ring->address.used_user_addr, 6 + 8 * n),
                        ring->base, v->features & UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
        if (r < 0) {
                log_warning("The guest has placed vsock queue %u outside of its memory. There is no vsock until it resets the device.",
                                index);
                return 0;
        }
        r = vsock_device_start_queue(v->device, index, &q, ring->kick_fd, ring->call_fd);
        if (r < 0)
                return r;
        ring->running = true;
        return 0;
}

static void vring_stop(VhostUser *v, unsigned index) {
        Vring *ring = &v->vrings[index];

        vring_pause(v, index);
        ring->kick_fd = safe_close(ring->kick_fd);
        vsock_device_set_call(v->device, index, -EBADF);
        ring->call_fd = safe_close(ring->call_fd);
        ring->has_address = false;
        if (!v->vrings[VSOCK_QUEUE_RX].running && !v->vrings[VSOCK_QUEUE_TX].running)
                vsock_device_reset(v->device);
}

static int set_memory(VhostUser *v) {
        const MemoryTable *t = &v->payload.memory;
        GuestMemory fresh = {};
        int r;

        if (t->n_regions > GUEST_REGIONS_MAX || v->header.size != 8 + t->n_regions * sizeof(MemoryRegion) || v->n_fds != t->n_regions)
                return -EBADMSG;
        for (unsigned i = 0; i < t->n_regions; i++) {
                r = guest_memory_add(&fresh, v->fds[i], t->regions[i].mmap_offset, t->regions[i].size,
                                t->regions[i].guest_address, t->regions[i].user_address);
                if (r < 0) {
                        guest_memory_clear(&fresh);
                        return r;
                }
        }

        /* Running rings go on at the same place of the new mapping. */
        for (unsigned i = 0; i < VSOCK_QUEUES; i++)
                vring_pause(v, i);
        guest_memory_clear(&v->memory);
        v->memory = fresh;
        for (unsigned i = 0; i < VSOCK_QUEUES; i++) {
                r = vring_resume(v, i);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* An eventfd for ring (payload & 0xff), or the word that there is none. *ret is -EBADF then. */
static int take_vring_fd(VhostUser *v, unsigned *ret_index, int *ret) {
        bool none = v->payload.u64 & VRING_NO_FD;
        int r;

        if ((v->payload.u64 & VRING_INDEX_MASK) >= VSOCK_QUEUES || v->n_fds != (none ? 0 : 1))
                return -EBADMSG;
        if (!none) {
                r = set_nonblock(v->fds[0], true);
                if (r < 0)
                        return r;
        }
        *ret_index = v->payload.u64 & VRING_INDEX_MASK;
        *ret = none ? -EBADF : v->fds[0];
        v->n_fds = 0;
        return 0;
}

/* --- messages --------------------------------------------------------------------------------------------------- */

static int reply(VhostUser *v, size_t size) {
        Header h = { v->header.request, FLAG_VERSION | FLAG_REPLY, (uint32_t) size };
        struct iovec iov[] = {
                { &h, sizeof(h) },
                { &v->payload, size },
        };
        struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ELEMENTSOF(iov) };
        ssize_t n = sendmsg(v->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

        /* The front end waits for each reply, so the socket is empty. */
        if (n < 0)
                return negative_errno();
        return (size_t) n == sizeof(h) + size ? 0 : -EIO;
}

static int get_config(VhostUser *v) {
        const struct virtio_vsock_config config = { .guest_cid = vsock_device_cid(v->device) };
        ConfigSpace *c = &v->payload.config;
        size_t head = offsetof(ConfigSpace, data);

        if (v->header.size < head || c->size > sizeof(c->data) || v->header.size != head + c->size)
                return -EBADMSG;
        memset(c->data, 0, c->size);
        if (c->offset < sizeof(config))
                memcpy(c->data, (const char *) &config + c->offset, MIN(c->size, sizeof(config) - c->offset));
        return reply(v, v->header.size);
}

enum { MESSAGE_ANSWERED = 1 };

/* Does what a message says. MESSAGE_ANSWERED where it has sent its own reply; errors end the session. */
static int handle(VhostUser *v) {
        Payload *p = &v->payload;
        unsigned index;
        int r, fd;

        /* The sizes of payloads are fixed, but for two, which look after their own. */
        switch (v->header.request) {
        case VHOST_USER_GET_FEATURES:
        case VHOST_USER_SET_OWNER:
        case VHOST_USER_RESET_OWNER:
        case VHOST_USER_GET_PROTOCOL_FEATURES:
                break;
        case VHOST_USER_SET_VRING_NUM:
        case VHOST_USER_SET_VRING_BASE:
        case VHOST_USER_GET_VRING_BASE:
        case VHOST_USER_SET_VRING_ENABLE:
                if (v->header.size != sizeof(p->state) || p->state.index >= VSOCK_QUEUES)
                        return -EBADMSG;
                break;
        case VHOST_USER_SET_VRING_ADDR:
                if (v->header.size != sizeof(p->address) || p->address.index >= VSOCK_QUEUES)
                        return -EBADMSG;
                break;
        case VHOST_USER_SET_FEATURES:
        case VHOST_USER_SET_PROTOCOL_FEATURES:
        case VHOST_USER_SET_VRING_KICK:
        case VHOST_USER_SET_VRING_CALL:
        case VHOST_USER_SET_VRING_ERR:
                if (v->header.size != sizeof(p->u64))
                        return -EBADMSG;
                break;
        default:
                break;
        }

        switch (v->header.request) {
        case VHOST_USER_GET_FEATURES:
                p->u64 = FEATURES;
                r = reply(v, sizeof(p->u64));
                return r < 0 ? r : MESSAGE_ANSWERED;

        case VHOST_USER_SET_FEATURES:
                if (p->u64 & ~FEATURES)
                        return -EBADMSG;
                v->features = p->u64;
                /* Without the negotiation of protocol features rings are enabled from the start. */
                for (unsigned i = 0; i < VSOCK_QUEUES; i++)
                        if (!(v->features & VHOST_USER_F_PROTOCOL_FEATURES))
                                v->vrings[i].enabled = true;
                return 0;

        case VHOST_USER_GET_PROTOCOL_FEATURES:
                p->u64 = PROTOCOL_FEATURES;
                r = reply(v, sizeof(p->u64));
                return r < 0 ? r : MESSAGE_ANSWERED;

        case VHOST_USER_SET_PROTOCOL_FEATURES:
                if (p->u64 & ~PROTOCOL_FEATURES)
                        return -EBADMSG;
                v->protocol_features = p->u64;
                return 0;

        case VHOST_USER_SET_OWNER:
                return 0;

        case VHOST_USER_RESET_OWNER:
                for (unsigned i = 0; i < VSOCK_QUEUES; i++)
                        vring_stop(v, i);
                return 0;

        case VHOST_USER_SET_MEM_TABLE:
                return set_memory(v);

        case VHOST_USER_SET_VRING_NUM:
                if (v->vrings[p->state.index].running)
                        return -EBADMSG;
                v->vrings[p->state.index].size = p->state.num;
                return 0;

        case VHOST_USER_SET_VRING_BASE:
                if (v->vrings[p->state.index].running)
                        return -EBADMSG;
                v->vrings[p->state.index].base = (uint16_t) p->state.num;
                return 0;

        case VHOST_USER_SET_VRING_ADDR:
                vring_pause(v, p->address.index);
                v->vrings[p->address.index].address = p->address;
                v->vrings[p->address.index].has_address = true;
                return vring_resume(v, p->address.index);

        case VHOST_USER_GET_VRING_BASE:
                index = p->state.index;
                vring_stop(v, index);
                p->state.num = v->vrings[index].base;
                r = reply(v, sizeof(p->state));
                return r < 0 ? r : MESSAGE_ANSWERED;

        case VHOST_USER_SET_VRING_KICK:
                r = take_vring_fd(v, &index, &fd);
                if (r < 0)
                        return r;
                vring_pause(v, index);
                safe_close(v->vrings[index].kick_fd);
                v->vrings[index].kick_fd = fd;
                return vring_resume(v, index);

        case VHOST_USER_SET_VRING_CALL:
                r = take_vring_fd(v, &index, &fd);
                if (r < 0)
                        return r;
                vsock_device_set_call(v->device, index, fd);
                safe_close(v->vrings[index].call_fd);
                v->vrings[index].call_fd = fd;
                return 0;

        case VHOST_USER_SET_VRING_ERR:
                r = take_vring_fd(v, &index, &fd);
                if (r < 0)
                        return r;
                safe_close(fd);         /* errors are logged */
                return 0;

        case VHOST_USER_SET_VRING_ENABLE:
                v->vrings[p->state.index].enabled = p->state.num != 0;
                if (p->state.num == 0) {
                        vring_pause(v, p->state.index);
                        return 0;
                }
                return vring_resume(v, p->state.index);

        case VHOST_USER_GET_CONFIG:
                r = get_config(v);
                return r < 0 ? r : MESSAGE_ANSWERED;

        default:
                return -EOPNOTSUPP;
        }
}

/* Reads what belongs to the current message. 1: it is whole; 0: more is to come; -ENODATA: the front end has closed. */
static int receive(VhostUser *v) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(VHOST_USER_FDS_MAX * sizeof(int))];
        } control;
        struct iovec iov;
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
        size_t head = sizeof(Header);
        ssize_t n;

        if (v->received < head)
                iov = (struct iovec) { (char *) &v->header + v->received, head - v->received };
        else
                iov = (struct iovec) { v->payload.bytes + (v->received - head), head + v->header.size - v->received };

        n = recvmsg(v->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : errno == ECONNRESET ? -ENODATA : negative_errno();
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
                        unsigned k = (unsigned) ((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
                        int fds[VHOST_USER_FDS_MAX];

                        memcpy(fds, CMSG_DATA(c), k * sizeof(int));
                        for (unsigned i = 0; i < k; i++)
                                if (v->n_fds < VHOST_USER_FDS_MAX)
                                        v->fds[v->n_fds++] = fds[i];
                                else
                                        safe_close(fds[i]);
                }
        if (msg.msg_flags & MSG_CTRUNC)
                return -EBADMSG;
        if (n == 0)
                return -ENODATA;
        v->received += (size_t) n;
        if (v->received < head)
                return 0;
        if ((v->header.flags & FLAG_VERSION_MASK) != FLAG_VERSION || (v->header.flags & FLAG_REPLY) ||
            v->header.size > sizeof(v->payload))
                return -EBADMSG;
        return v->received == head + v->header.size;
}

static int on_message(EventSource *source, uint32_t events) {
        VhostUser *v = (VhostUser *) ((char *) source - offsetof(VhostUser, source));
        int r;

        do
                r = receive(v);
        while (r == 0 && v->received == sizeof(Header) && v->header.size > 0);
        if (r == -ENODATA) {
                event_source_remove(source);
                for (unsigned i = 0; i < VSOCK_QUEUES; i++)
                        vring_stop(v, i);
                return 0;
        }
        if (r < 0)
                return log_error_errno(r, "Cannot read from QEMU's vhost-user socket: %m");
        if (r == 0)
                return 0;

        r = handle(v);
        if (r < 0)
                log_error_errno(r, "Cannot do what QEMU's vhost-user message %u says: %m", v->header.request);
        if (r != MESSAGE_ANSWERED && (v->header.flags & FLAG_NEED_REPLY) && (v->protocol_features & PROTOCOL_F_REPLY_ACK)) {
                int k;

                v->payload.u64 = r < 0;
                k = reply(v, sizeof(v->payload.u64));
                r = r < 0 ? r : k;
        }
        drop_fds(v);
        v->received = 0;
        return r < 0 ? r : 0;
}

int vhost_user_new(EventLoop *loop, VsockDevice *device, int fd_consume, VhostUser **ret) {
        _cleanup_(vhost_user_freep) VhostUser *v = NULL;
        _cleanup_close_ int fd = fd_consume;
        int r;

        v = calloc(1, sizeof(VhostUser));
        if (!v)
                return -ENOMEM;
        v->loop = loop;
        v->device = device;
        v->fd = TAKE_FD(fd);
        for (unsigned i = 0; i < VSOCK_QUEUES; i++)
                v->vrings[i].kick_fd = v->vrings[i].call_fd = -EBADF;
        r = event_source_add(&v->source, loop, v->fd, EPOLLIN, on_message);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        return 0;
}

VhostUser *vhost_user_free(VhostUser *v) {
        if (v) {
                for (unsigned i = 0; i < VSOCK_QUEUES; i++)
                        vring_stop(v, i);
                event_source_remove(&v->source);
                drop_fds(v);
                guest_memory_clear(&v->memory);
                safe_close(v->fd);
                free(v);
        }
        return NULL;
}
