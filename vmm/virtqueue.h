/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The device's side of a split virtqueue (virtio 1.2, 2.7), with VIRTIO_RING_F_EVENT_IDX where it is negotiated. Indirect
 * descriptors are not offered, hence refused. Rings and descriptors are the guest's: each is read once, checked, then used. */

#include <linux/virtio_ring.h>
#include <sys/uio.h>

#include "vmm/guest-memory.h"

enum {
        VIRTQUEUE_SIZE_MAX = 1024,
        VIRTQUEUE_CHAIN_MAX = 128,      /* buffers of one chain */
};

typedef struct Virtqueue {
        const GuestMemory *memory;      /* borrowed */
        struct vring_desc *desc;        /* NULL while not running */
        struct vring_avail *avail;
        struct vring_used *used;
        uint16_t size;
        uint16_t last_avail;            /* next entry of the available ring that we take */
        uint16_t last_used;             /* next entry of the used ring that we fill, not yet published perhaps */
        uint16_t signalled;             /* the used index as we published it last */
        bool event_idx;
        bool broken;                    /* the guest has put nonsense into it: it stays untouched */
} Virtqueue;

/* One request: what the guest lets us read, then what it lets us write. The iovecs point into guest memory. */
typedef struct VirtqueueChain {
        uint16_t head;
        unsigned n_out, n_in;
        size_t out_size, in_size;       /* in bytes */
        struct iovec iov[VIRTQUEUE_CHAIN_MAX];  /* n_out of them, then n_in */
} VirtqueueChain;

/* Starts at `base`, with rings at addresses that are checked to lie in memory. -EINVAL where they do not. */
int virtqueue_start(Virtqueue *q, const GuestMemory *memory, unsigned size, struct vring_desc *desc, struct vring_avail *avail,
                struct vring_used *used, uint16_t base, bool event_idx);
void virtqueue_stop(Virtqueue *q);
static inline bool virtqueue_is_running(const Virtqueue *q) {
        return q->desc && !q->broken;
}

/* 1: a chain was taken; 0: there is none; -EBADMSG: the ring is nonsense, and `broken` is set. A chain that does not make sense in itself
 * is taken with n_out = n_in = 0, to be given back. */
int virtqueue_pop(Virtqueue *q, VirtqueueChain *ret);
/* Takes back the last pop. */
void virtqueue_unpop(Virtqueue *q);
/* Gives a chain back, `written` bytes of it filled. */
void virtqueue_push(Virtqueue *q, uint16_t head, uint32_t written);
/* Publishes what was pushed. True where the guest wants to be told. */
bool virtqueue_flush(Virtqueue *q);
/* Asks for a notification at the next available buffer. True where one has come meanwhile: look again. */
bool virtqueue_enable_kick(Virtqueue *q);
void virtqueue_disable_kick(Virtqueue *q);
