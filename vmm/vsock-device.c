/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "vmm/vsock-device.h"

enum {
        HEADER_SIZE = sizeof(struct virtio_vsock_hdr),
        HEADER_PIECES = 4,              /* a driver may cut the header, though none does */
        ROUND_MAX = 256,                /* packets per turn: a guest that never stops must not stop the loop */
};

_Static_assert(HEADER_SIZE == 44, "the header is packed");

typedef struct DeviceQueue {
        EventSource kick;
        Virtqueue ring;
        VsockDevice *device;
        int call_fd;
        unsigned index;
} DeviceQueue;

struct VsockDevice {
        EventLoop *loop;
        VsockMuxer *muxer;
        uint32_t guest_cid;
        bool tx_waits;                  /* for the guest to take refusals from us */
        DeviceQueue queues[VSOCK_QUEUES];
        VirtqueueChain chain;           /* scratch */
};

/* A chain as one packet: pieces that hold the header, and what is behind it. */
typedef struct Packet {
        struct iovec header[HEADER_PIECES];
        unsigned n_header;
        struct iovec *payload;          /* in the chain */
        unsigned n_payload;
        size_t payload_size;
} Packet;

static bool packet_cut(struct iovec *iov, unsigned n, size_t size, Packet *ret) {
        size_t missing = HEADER_SIZE;

        *ret = (Packet) { .payload_size = size - HEADER_SIZE };
        if (size < HEADER_SIZE)
                return false;
        while (missing > 0) {
                size_t k = MIN(iov->iov_len, missing);

                if (ret->n_header == HEADER_PIECES)
                        return false;
                ret->header[ret->n_header++] = (struct iovec) { iov->iov_base, k };
                missing -= k;
                if (k < iov->iov_len) {
                        iov->iov_base = (char *) iov->iov_base + k;
                        iov->iov_len -= k;
                } else {
                        iov++;
                        n--;
                }
        }
        ret->payload = iov;
        ret->n_payload = n;
        return true;
}

static void packet_get_header(const Packet *p, struct virtio_vsock_hdr *ret) {
        char *to = (char *) ret;

        for (unsigned i = 0; i < p->n_header; to += p->header[i++].iov_len)
                memcpy(to, p->header[i].iov_base, p->header[i].iov_len);
}

static void packet_put_header(const Packet *p, const struct virtio_vsock_hdr *header) {
        const char *from = (const char *) header;

        for (unsigned i = 0; i < p->n_header; from += p->header[i++].iov_len)
                memcpy(p->header[i].iov_base, from, p->header[i].iov_len);
}

/* Makes the payload exactly `size` bytes long. False where it is shorter. */
static bool packet_trim(Packet *p, size_t size) {
        unsigned n = 0;

        if (size > p->payload_size)
                return false;
        p->payload_size = size;
        while (size > 0) {
                p->payload[n].iov_len = MIN(p->payload[n].iov_len, size);
                size -= p->payload[n++].iov_len;
        }
        p->n_payload = n;
        return true;
}

static void queue_publish(DeviceQueue *q) {
        if (virtqueue_flush(&q->ring) && q->call_fd >= 0)
                (void) !write(q->call_fd, &(uint64_t) { 1 }, sizeof(uint64_t));
}

/* Another turn, after everybody else had theirs. */
static void queue_again(DeviceQueue *q) {
        if (q->kick.loop)
                (void) !write(q->kick.fd, &(uint64_t) { 1 }, sizeof(uint64_t));
}

/* A ring that makes no sense is left alone until the driver resets the device. */
static void queue_broken(DeviceQueue *q) {
        log_warning("The guest's vsock driver has corrupted queue %u. There is no vsock until it resets the device.", q->index);
        event_source_remove(&q->kick);
}

static void process_rx(VsockDevice *d) {
        DeviceQueue *q = &d->queues[VSOCK_QUEUE_RX];
        VirtqueueChain *c = &d->chain;
        int r = 0;

        for (unsigned n = 0; vsock_muxer_has_pending(d->muxer); n++) {
                struct virtio_vsock_hdr header;
                Packet p;

                if (n == ROUND_MAX) {
                        queue_again(q);
                        break;
                }
                r = virtqueue_pop(&q->ring, c);
                if (r == 0 && virtqueue_enable_kick(&q->ring))
                        continue;
                if (r <= 0)
                        break;
                /* A buffer without room for a byte of payload would never carry a stream on. */
                if (!packet_cut(c->iov + c->n_out, c->n_in, c->in_size, &p) || p.payload_size == 0) {
                        virtqueue_push(&q->ring, c->head, 0);
                        continue;
                }
                if (vsock_muxer_fill(d->muxer, &header, p.payload, p.n_payload) == 0) {
                        virtqueue_unpop(&q->ring);
                        break;
                }
                packet_put_header(&p, &header);
                virtqueue_push(&q->ring, c->head, HEADER_SIZE + header.len);
        }
        queue_publish(q);
        if (r < 0)
                queue_broken(q);
        if (d->tx_waits && vsock_muxer_can_receive(d->muxer)) {
                d->tx_waits = false;
                queue_again(&d->queues[VSOCK_QUEUE_TX]);
        }
}

static void process_tx(VsockDevice *d) {
        DeviceQueue *q = &d->queues[VSOCK_QUEUE_TX];
        VirtqueueChain *c = &d->chain;
        int r = 0;

        virtqueue_disable_kick(&q->ring);
        for (unsigned n = 0;; n++) {
                struct virtio_vsock_hdr header;
                Packet p;

                d->tx_waits = !vsock_muxer_can_receive(d->muxer);
                if (d->tx_waits)
                        break;
                if (n == ROUND_MAX) {
                        queue_again(q);
                        break;
                }
                r = virtqueue_pop(&q->ring, c);
                if (r == 0 && virtqueue_enable_kick(&q->ring))
                        continue;
                if (r <= 0)
                        break;
                if (packet_cut(c->iov, c->n_out, c->out_size, &p)) {
                        packet_get_header(&p, &header);
                        if (header.len <= VSOCK_PACKET_MAX && packet_trim(&p, header.len))
                                vsock_muxer_receive(d->muxer, &header, p.payload, p.n_payload);
                }
                virtqueue_push(&q->ring, c->head, 0);
        }
        queue_publish(q);
        if (r < 0)
                queue_broken(q);
}

static int on_kick(EventSource *source, uint32_t events) {
        DeviceQueue *q = (DeviceQueue *) ((char *) source - offsetof(DeviceQueue, kick));
        uint64_t n;

        if (read(source->fd, &n, sizeof(n)) < 0 && errno != EAGAIN && errno != EINTR)
                return negative_errno();
        if (q->index == VSOCK_QUEUE_TX)
                process_tx(q->device);
        else
                virtqueue_disable_kick(&q->ring);
        process_rx(q->device);
        return 0;
}

static void on_pending(void *userdata) {
        process_rx(userdata);
}

int vsock_device_new(EventLoop *loop, uint32_t guest_cid, const char *uds_path, VsockDevice **ret) {
        _cleanup_(vsock_device_freep) VsockDevice *d = NULL;
        int r;

        d = calloc(1, sizeof(VsockDevice));
        if (!d)
                return -ENOMEM;
        d->loop = loop;
        d->guest_cid = guest_cid;
        for (unsigned i = 0; i < VSOCK_QUEUES; i++) {
                d->queues[i].device = d;
                d->queues[i].index = i;
                d->queues[i].call_fd = -EBADF;
        }
        r = vsock_muxer_new(loop, guest_cid, uds_path, on_pending, d, &d->muxer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

VsockDevice *vsock_device_free(VsockDevice *d) {
        if (d) {
                for (unsigned i = 0; i < VSOCK_QUEUES; i++)
                        event_source_remove(&d->queues[i].kick);
                vsock_muxer_free(d->muxer);
                free(d);
        }
        return NULL;
}

uint32_t vsock_device_cid(const VsockDevice *d) {
        return d->guest_cid;
}

const VsockMuxer *vsock_device_muxer(const VsockDevice *d) {
        return d->muxer;
}

int vsock_device_start_queue(VsockDevice *d, unsigned index, const Virtqueue *queue, int kick_fd, int call_fd) {
        DeviceQueue *q = &d->queues[index];
        int r;

        q->ring = *queue;
        q->call_fd = call_fd;
        r = event_source_add(&q->kick, d->loop, kick_fd, EPOLLIN, on_kick);
        if (r < 0)
                return r;
        virtqueue_disable_kick(&q->ring);
        queue_again(q);                 /* for what came before us */
        if (d->queues[VSOCK_QUEUE_RX].kick.loop && d->queues[VSOCK_QUEUE_TX].kick.loop)
                return vsock_muxer_start(d->muxer);
        return 0;
}

void vsock_device_set_call(VsockDevice *d, unsigned index, int call_fd) {
        d->queues[index].call_fd = call_fd;
}

uint16_t vsock_device_stop_queue(VsockDevice *d, unsigned index) {
        DeviceQueue *q = &d->queues[index];

        event_source_remove(&q->kick);
        virtqueue_stop(&q->ring);
        return q->ring.last_avail;
}

void vsock_device_reset(VsockDevice *d) {
        d->tx_waits = false;
        vsock_muxer_stop(d->muxer);
}
