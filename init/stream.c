/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/stream.h"

static void end_stream(Stream *s) {
        loop_remove(s->channel.loop, &s->pipe);
        s->pipe.fd = safe_close(s->pipe.fd);
        s->ended = true;
}

/* Reads on only when all that was read before is gone. */
static void watch_pipe(Stream *s) {
        if (!s->attached || s->ended)
                return;
        if (!channel_is_empty(&s->channel))
                loop_remove(s->channel.loop, &s->pipe);
        else if (loop_set(s->channel.loop, &s->pipe, EPOLLIN) < 0)
                end_stream(s);
}

static void on_pipe(LoopSource *source, uint32_t events) {
        Stream *s = source->userdata;
        size_t room;
        char *p = channel_room(&s->channel, &room);
        ssize_t k = read(source->fd, p, room);

        if (k > 0) {
                s->n_bytes += (uint64_t) k;
                channel_commit(&s->channel, (size_t) k);
                watch_pipe(s);
        } else if (k == 0 || (errno != EAGAIN && errno != EINTR)) {
                end_stream(s);
                s->changed(s);
        }
}

static void on_channel(Channel *c) {
        Stream *s = c->userdata;

        watch_pipe(s);
        s->changed(s);
}

int stream_start(Stream *s, Loop *l, int socket_consume, const char *header) {
        int r;

        s->channel.changed = on_channel;
        s->channel.userdata = s;
        r = channel_start(&s->channel, l, socket_consume);
        return r < 0 ? r : channel_write(&s->channel, header, strlen(header));
}

int stream_attach(Stream *s, int pipe_consume) {
        s->pipe = (LoopSource) { .fd = pipe_consume, .func = on_pipe, .userdata = s };
        s->attached = true;
        watch_pipe(s);
        return s->ended ? -EIO : 0;
}

bool stream_is_flushed(const Stream *s) {
        return (s->ended || !s->attached) && channel_is_empty(&s->channel);
}
