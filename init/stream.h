/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One of the workload's output streams: from the pipe that it writes to, to its connection with the host. What the host does not
 * take stays in the pipe, so that a workload that prints too fast waits; when the host has gone, what it prints is dropped. */

#include "init/channel.h"

typedef struct Stream Stream;
struct Stream {
        Channel channel;
        LoopSource pipe;
        uint64_t n_bytes;               /* taken from the pipe */
        bool attached, ended;           /* the pipe was given; it has no writer left */
        void (*changed)(Stream *s);
        void *userdata;
};

/* Starts with a socket (channel_socket()) and queues the line that says which stream this is. changed and userdata are to be set before. */
int stream_start(Stream *s, Loop *l, int socket_consume, const char *header);
/* The reading end of the pipe, non-blocking. */
int stream_attach(Stream *s, int pipe_consume);
/* All that the workload has written and will ever write has been handed to the socket (or nobody is there to take it). */
bool stream_is_flushed(const Stream *s);
