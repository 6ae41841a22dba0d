/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The virtio-vsock device (virtio 1.2, 5.10): the two queues of data between the guest's driver and the muxer. The third, of
 * events, is the VMM's. */

#include "vmm/virtqueue.h"
#include "vmm/vsock-muxer.h"

enum {
        VSOCK_QUEUE_RX = 0,             /* towards the guest */
        VSOCK_QUEUE_TX = 1,
        VSOCK_QUEUES = 2,
};

typedef struct VsockDevice VsockDevice;

int vsock_device_new(EventLoop *loop, uint32_t guest_cid, const char *uds_path, VsockDevice **ret);
VsockDevice *vsock_device_free(VsockDevice *d);
DEFINE_TRIVIAL_CLEANUP_FUNC(VsockDevice *, vsock_device_free)

uint32_t vsock_device_cid(const VsockDevice *d);
const VsockMuxer *vsock_device_muxer(const VsockDevice *d);

/* Takes over a started queue (by value) and its eventfds (borrowed; call_fd may be negative: nobody is told). With both queues
 * running the device begins to accept connections. */
int vsock_device_start_queue(VsockDevice *d, unsigned index, const Virtqueue *queue, int kick_fd, int call_fd);
void vsock_device_set_call(VsockDevice *d, unsigned index, int call_fd);
/* Returns the index of the next available entry. Connections live on until vsock_device_reset(). */
uint16_t vsock_device_stop_queue(VsockDevice *d, unsigned index);
/* The driver is gone: all connections are closed. */
void vsock_device_reset(VsockDevice *d);
