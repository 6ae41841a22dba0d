/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The back end's side of the vhost-user protocol (QEMU's docs/interop/vhost-user.rst), for one virtio-vsock device. The VMM is the front
 * end. Messages that the negotiated features do not call for end the session. */

#include "vmm/vsock-device.h"

enum {
        VHOST_USER_FDS_MAX = 8,
        VHOST_USER_PAYLOAD_MAX = 512,
};

typedef struct VhostUser VhostUser;

/* Serves the connected socket fd_consume, which it owns from now on, also on failure. `device` is borrowed. When the front end closes,
 * `device` is reset and the socket left alone: that the VMM has ended is somebody else's to notice. */
int vhost_user_new(EventLoop *loop, VsockDevice *device, int fd_consume, VhostUser **ret);
VhostUser *vhost_user_free(VhostUser *v);
DEFINE_TRIVIAL_CLEANUP_FUNC(VhostUser *, vhost_user_free)
