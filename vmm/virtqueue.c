/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "vmm/virtqueue.h"

/* Little endian as virtio 1 has it is the byte order of the only architecture that microvm exists for. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ember runs on x86");

#define LOAD(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define LOAD_ACQUIRE(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define STORE_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* Behind the rings stand used_event and avail_event (virtio 1.2, 2.7.6 and 2.7.8). The entries are of 4-byte alignment only
 * in the used ring, hence the pointers. */
static uint16_t *used_event(const Virtqueue *q) {
        return &q->avail->ring[q->size];
}

static uint16_t *avail_event(const Virtqueue *q) {
        return (uint16_t *) (void *) &q->used->ring[q->size];
}

int virtqueue_start(Virtqueue *q, const GuestMemory *memory, unsigned size, struct vring_desc *desc, struct vring_avail *avail,
                struct vring_used *used, uint16_t base, bool event_idx) {
        if (size == 0 || size > VIRTQUEUE_SIZE_MAX || (size & (size - 1)) != 0 || !desc || !avail || !used)
                return -EINVAL;
        if ((uintptr_t) desc % 16 != 0 || (uintptr_t) avail % 2 != 0 || (uintptr_t) used % 4 != 0)
                return -EINVAL;
        *q = (Virtqueue) {
                .memory = memory,
                .desc = desc,
                .avail = avail,
                .used = used,
                .size = (uint16_t) size,
                .last_avail = base,
                .last_used = LOAD(&used->idx),
                .signalled = LOAD(&used->idx),
                .event_idx = event_idx,
        };
        STORE(&used->flags, (uint16_t) 0);
        return 0;
}

void virtqueue_stop(Virtqueue *q) {
        q->desc = NULL;
        q->avail = NULL;
        q->used = NULL;
}

/* Follows one chain. -EBADMSG where a buffer lies outside of memory, a descriptor outside of the table, where the order is
 * wrong, or where it has no end. */
static int read_chain(Virtqueue *q, uint16_t head, VirtqueueChain *c) {
        uint16_t index = head;

        for (unsigned n = 0;; n++) {
                struct vring_desc d;
                void *p;

                if (n >= q->size || n >= VIRTQUEUE_CHAIN_MAX || index >= q->size)
                        return -EBADMSG;
                d.addr = LOAD(&q->desc[index].addr);
                d.len = LOAD(&q->desc[index].len);
                d.flags = LOAD(&q->desc[index].flags);
                d.next = LOAD(&q->desc[index].next);
                if (d.flags & VRING_DESC_F_INDIRECT)
                        return -EBADMSG;
                p = guest_memory_at(q->memory, d.addr, d.len);
                if (!p)
                        return -EBADMSG;
                c->iov[n] = (struct iovec) { p, d.len };
                if (d.flags & VRING_DESC_F_WRITE) {
                        c->n_in++;
                        c->in_size += d.len;
                } else {
                        if (c->n_in > 0)
                                return -EBADMSG;
                        c->n_out++;
                        c->out_size += d.len;
                }
                if (!(d.flags & VRING_DESC_F_NEXT))
                        return 0;
                index = d.next;
        }
}

int virtqueue_pop(Virtqueue *q, VirtqueueChain *ret) {
        uint16_t available;

        if (!virtqueue_is_running(q))
                return 0;
        available = (uint16_t) (LOAD_ACQUIRE(&q->avail->idx) - q->last_avail);
        if (available == 0)
                return 0;
        if (available > q->size) {
                q->broken = true;
                return -EBADMSG;
        }
        ret->head = LOAD(&q->avail->ring[q->last_avail & (q->size - 1)]);
        ret->n_out = ret->n_in = 0;
        ret->out_size = ret->in_size = 0;
        if (ret->head >= q->size) {
                q->broken = true;
                return -EBADMSG;
        }
        q->last_avail++;
        if (read_chain(q, ret->head, ret) < 0)
                ret->n_out = ret->n_in = 0;
        return 1;
}

void virtqueue_unpop(Virtqueue *q) {
        q->last_avail--;
}

void virtqueue_push(Virtqueue *q, uint16_t head, uint32_t written) {
        struct vring_used_elem *e = &q->used->ring[q->last_used & (q->size - 1)];

        STORE(&e->id, (uint32_t) head);
        STORE(&e->len, written);
        q->last_used++;
}

bool virtqueue_flush(Virtqueue *q) {
        uint16_t old = q->signalled;

        if (!q->desc || q->last_used == old)
                return false;
        STORE_RELEASE(&q->used->idx, q->last_used);
        /* The guest sets what it wants to be told of, then reads the index; we the other way round (2.7.7.1). */
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        q->signalled = q->last_used;
        if (q->event_idx)
                return vring_need_event(LOAD(used_event(q)), q->last_used, old);
        return !(LOAD(&q->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
}

bool virtqueue_enable_kick(Virtqueue *q) {
        if (!virtqueue_is_running(q))
                return false;
        if (q->event_idx)
                STORE(avail_event(q), q->last_avail);
        else
                STORE(&q->used->flags, (uint16_t) 0);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        return LOAD_ACQUIRE(&q->avail->idx) != q->last_avail;
}

void virtqueue_disable_kick(Virtqueue *q) {
        /* With EVENT_IDX an avail_event that lies behind says the same. */
        if (virtqueue_is_running(q) && !q->event_idx)
                STORE(&q->used->flags, (uint16_t) VRING_USED_F_NO_NOTIFY);
}
