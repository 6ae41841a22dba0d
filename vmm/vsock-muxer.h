/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Connections between the guest's AF_VSOCK and the host's AF_UNIX, as Firecracker's docs/vsock.md has them. Host to guest: connect
 * to `uds_path`, write "CONNECT <port>\n", read "OK <host port>\n" (or EOF: nobody listens). Guest to host (CID 2), port P: connects
 * to `<uds_path>_P`. Packets are those of virtio 1.2, 5.10. As with Firecracker a half-close is not passed on: EOF of the host's side
 * ends both directions, and a guest's shutdown() of one direction is seen by the host when the other is closed too.
 *
 * Back-pressure both ways is credit: the guest may have VSOCK_BUFFER_SIZE bytes under way per connection, we never read more from
 * the host than the guest has room for. */

#include <linux/virtio_vsock.h>
#include <sys/uio.h>

#include "vmm/event-loop.h"

enum {
        VSOCK_HOST_CID = 2,
        VSOCK_CONNECTIONS_MAX = 1023,
        VSOCK_BUFFER_SIZE = 64 * 1024,  /* what we take from the guest before the host's side has read it */
        VSOCK_PACKET_MAX = 64 * 1024,   /* payload */
};

/* Since the start, with Firecracker's names. rx is towards the guest. */
typedef struct VsockCounters {
        uint64_t rx_bytes_count, rx_packets_count, tx_bytes_count, tx_packets_count;
        uint64_t conns_added, conns_killed, conns_removed;
        uint64_t rx_read_fails, tx_write_fails;
} VsockCounters;

typedef struct VsockMuxer VsockMuxer;

/* Called when something for the guest has come up outside of vsock_muxer_receive(). */
typedef void (*VsockPendingFunc)(void *userdata);

/* Binds and listens at uds_path (-EADDRINUSE where something is there). Connections wait until vsock_muxer_start(). */
int vsock_muxer_new(EventLoop *loop, uint32_t guest_cid, const char *uds_path, VsockPendingFunc pending, void *userdata,
                VsockMuxer **ret);
VsockMuxer *vsock_muxer_free(VsockMuxer *m);
DEFINE_TRIVIAL_CLEANUP_FUNC(VsockMuxer *, vsock_muxer_free)

/* The guest's driver is there: accept. Gone: all connections are closed. */
int vsock_muxer_start(VsockMuxer *m);
void vsock_muxer_stop(VsockMuxer *m);

/* A packet from the guest: its header, already copied, and payload of exactly header->len bytes in guest memory. */
void vsock_muxer_receive(VsockMuxer *m, const struct virtio_vsock_hdr *header, const struct iovec *payload, unsigned n_payload);
/* False while refusals are waiting for the guest to take them: then it must do so before it sends more. */
bool vsock_muxer_can_receive(const VsockMuxer *m);

bool vsock_muxer_has_pending(const VsockMuxer *m);
/* Makes the next packet for the guest: header, and payload straight into `room`, which is clobbered. 0: there was none. */
int vsock_muxer_fill(VsockMuxer *m, struct virtio_vsock_hdr *ret_header, struct iovec *room, unsigned n_room);

const VsockCounters *vsock_muxer_counters(const VsockMuxer *m);
unsigned vsock_muxer_n_connections(const VsockMuxer *m);
