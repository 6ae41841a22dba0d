/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A connection from the guest to its host over vsock(7) that carries bytes one way: what waits to be sent, and how the connection is. */

#include "init/loop.h"

enum { CHANNEL_BUFFER_SIZE = 65536 };   /* also the most that virtio-vsock puts into one packet */

typedef enum ChannelState {
        CHANNEL_CONNECTING,
        CHANNEL_OPEN,
        CHANNEL_CLOSED,                 /* by the other side, or never opened: `error` says why, 0 for an orderly end */
} ChannelState;

typedef struct Channel Channel;
struct Channel {
        Loop *loop;
        LoopSource source;
        ChannelState state;
        int error;                      /* positive errno */
        size_t start, end;              /* of what waits in the buffer */
        void (*changed)(Channel *c);    /* the state changed, or the buffer became empty */
        void *userdata;
        char buffer[CHANNEL_BUFFER_SIZE];
};

/* A socket on its way to the host's port. */
int channel_socket(unsigned port);
/* Takes a socket that is connecting, or connected. changed and userdata are the caller's to set before. */
int channel_start(Channel *c, Loop *l, int fd_consume);

/* Appends all n bytes (-ENOBUFS where there is no room, nothing then) and sends what goes now. Before the connection is there they
 * wait; when it is closed they vanish. */
int channel_write(Channel *c, const void *data, size_t n);
/* Where up to *ret_room bytes can be put to be passed to channel_commit(); only while channel_is_empty(). */
char *channel_room(Channel *c, size_t *ret_room);
void channel_commit(Channel *c, size_t n);

/* Nothing waits here any more, whether it went out or had to be dropped. */
static inline bool channel_is_empty(const Channel *c) {
        return c->start == c->end;
}
