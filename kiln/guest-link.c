/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "kiln/guest-link.h"
#include "kiln/guest-port.h"
#include "kiln/line-stream.h"

enum {
        STREAM_STDOUT,
        STREAM_STDERR,
        N_STREAMS,

        STREAM_LINE_MAX = 48 * 1024,    /* journald's own limit of lines */
        BAD_LINES_MAX = 16,
        HEADER_SIZE = sizeof(WIRE_STREAM_STDOUT) - 1,
};
_Static_assert(sizeof(WIRE_STREAM_STDOUT) == sizeof(WIRE_STREAM_STDERR), "a stream's first line has one length");

/* One connection to the stream port: first its name is awaited, then it is a LineStream. */
typedef struct StreamSlot {
        GuestLink *link;
        int fd;
        sd_event_source *readable;      /* while the name is awaited */
        char header[HEADER_SIZE];
        size_t header_size;

        LineStream *stream;
        bool taken, ended;
} StreamSlot;

struct GuestLink {
        sd_event *event;
        Journal *journal;
        GuestLinkOptions o;

        GuestPort *stream_port, *status_port;

        StreamSlot slots[N_STREAMS];    /* by arrival, until their names are known */
        StreamSlot *streams[N_STREAMS]; /* by name */
        uint64_t sizes[N_STREAMS];

        int status_fd;
        sd_event_source *status_readable;
        bool status_taken;
        bool status_said;               /* something, status_last the last: */
        GuestState status_last;
        char status_buf[WIRE_STATUS_LINE_MAX + 1];
        size_t status_size;
        bool status_skipping;           /* the rest of a line that was too long */
        unsigned n_bad_lines;
};

static void refuse(GuestPort *p, int fd_consume) {
        safe_close(fd_consume);
        guest_port_refused(p, "those of its init are there already");
}

/* --- status --- */

static void status_close(GuestLink *l) {
        l->status_readable = sd_event_source_disable_unref(l->status_readable);
        l->status_fd = safe_close(l->status_fd);
}

static void status_bad_line(GuestLink *l, const char *reason) {
        log_warning("The guest's status is not understood: %s", reason);
        if (++l->n_bad_lines < BAD_LINES_MAX)
                return;
        log_error("The guest has sent %u status lines that are not understood, not listening to it any more.", l->n_bad_lines);
        status_close(l);
}

static void status_line(GuestLink *l, const char *line, size_t n) {
        char error[STATUS_LINE_ERROR_MAX] = "out of memory";
        StatusLine s;

        if (status_line_parse(line, n, &s, error) < 0)
                status_bad_line(l, error);
        else if (l->status_said && s.state <= l->status_last)
                status_bad_line(l, "it has said so, or what comes after it, before");
        else {
                l->status_said = true;
                l->status_last = s.state;
                l->o.on_status(&s, l->o.userdata);
        }
}

static int on_status_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        GuestLink *l = userdata;
        size_t begin = 0;
        ssize_t k;

        k = read(fd, l->status_buf + l->status_size, sizeof(l->status_buf) - l->status_size);
        if (k < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (k <= 0) {
                status_close(l);
                l->o.on_end(l->o.userdata);
                return 0;
        }
        l->status_size += (size_t) k;

        /* A line may make us close the connection, which ends this. */
        while (l->status_fd >= 0 && begin < l->status_size) {
                char *line = l->status_buf + begin, *nl = memchr(line, '\n', l->status_size - begin);

                if (!nl)
                        break;
                if (l->status_skipping)
                        l->status_skipping = false;
                else
                        status_line(l, line, (size_t) (nl - line));
                begin = (size_t) (nl + 1 - l->status_buf);
        }
        if (l->status_fd < 0) {
                l->o.on_end(l->o.userdata);
                return 0;
        }
        memmove(l->status_buf, l->status_buf + begin, l->status_size - begin);
        l->status_size -= begin;

        if (l->status_size == sizeof(l->status_buf)) {
                if (!l->status_skipping)
                        status_bad_line(l, "a line is longer than 4096 bytes");
                l->status_skipping = true;
                l->status_size = 0;
        }
        return 0;
}

static void status_take(int fd_consume, void *userdata) {
        GuestLink *l = userdata;
        int r;

        if (l->status_taken) {
                refuse(l->status_port, fd_consume);
                return;
        }
        l->status_taken = true;
        l->status_fd = fd_consume;
        r = sd_event_add_io(l->event, &l->status_readable, l->status_fd, EPOLLIN, on_status_readable, l);
        if (r < 0) {
                log_error_errno(r, "Cannot watch the guest's status connection: %m");
                status_close(l);
        }
}

/* --- streams --- */

static void slot_close(StreamSlot *s) {
        s->readable = sd_event_source_disable_unref(s->readable);
        s->fd = safe_close(s->fd);
        s->stream = line_stream_free(s->stream);
}

/* Before a slot has its name the next connection may have it. */
static void slot_give_up(StreamSlot *s) {
        slot_close(s);
        s->taken = false;
        s->header_size = 0;
}

static void on_stream_end(LineStream *stream, void *userdata) {
        StreamSlot *s = userdata;

        s->ended = true;
        slot_close(s);          /* which init has waited for */
        s->link->o.on_end(s->link->o.userdata);
}

static int slot_start_stream(StreamSlot *s, unsigned which) {
        GuestLink *l = s->link;
        const LineStreamOptions o = {
                .name = which == STREAM_STDOUT ? "workload's standard output" : "workload's standard error",
                .source = which == STREAM_STDOUT ? l->o.stdout_source : l->o.stderr_source,
                .priority = which == STREAM_STDOUT ? LOG_INFO : LOG_ERR,        /* as docker's and podman's journald drivers have it */
                .line_max = STREAM_LINE_MAX,
                .end = on_stream_end,
                .userdata = s,
        };
        int r;

        s->readable = sd_event_source_disable_unref(s->readable);
        r = line_stream_new(l->event, l->journal, TAKE_FD(s->fd), &o, &s->stream);
        if (r < 0)
                return r;
        l->streams[which] = s;
        if (l->sizes[which] < UINT64_MAX)
                line_stream_set_size(s->stream, l->sizes[which]);
        return 0;
}

static int on_header_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        StreamSlot *s = userdata;
        GuestLink *l = s->link;
        unsigned which;
        ssize_t k;
        int r;

        /* Not a byte more: what follows belongs to the LineStream. */
        k = read(fd, s->header + s->header_size, HEADER_SIZE - s->header_size);
        if (k < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (k <= 0) {
                slot_give_up(s);
                l->o.on_end(l->o.userdata);
                return 0;
        }
        s->header_size += (size_t) k;
        if (s->header_size < HEADER_SIZE)
                return 0;

        if (memcmp(s->header, WIRE_STREAM_STDOUT, HEADER_SIZE) == 0)
                which = STREAM_STDOUT;
        else if (memcmp(s->header, WIRE_STREAM_STDERR, HEADER_SIZE) == 0)
                which = STREAM_STDERR;
        else
                which = N_STREAMS;
        if (which == N_STREAMS || l->streams[which]) {
                guest_port_refused(l->stream_port, which == N_STREAMS ? "it is neither stdout nor stderr" : "it is there twice");
                slot_give_up(s);
                l->o.on_end(l->o.userdata);
                return 0;
        }
        r = slot_start_stream(s, which);
        if (r < 0) {
                log_error_errno(r, "Cannot read the workload's output: %m");
                slot_give_up(s);
                l->o.on_end(l->o.userdata);
        }
        return 0;
}

static void stream_take(int fd_consume, void *userdata) {
        GuestLink *l = userdata;

        for (size_t i = 0; i < N_STREAMS; i++) {
                StreamSlot *s = &l->slots[i];
                int r;

                if (s->taken)
                        continue;
                s->taken = true;
                s->fd = fd_consume;
                r = sd_event_add_io(l->event, &s->readable, s->fd, EPOLLIN, on_header_readable, s);
                if (r < 0) {
                        log_error_errno(r, "Cannot watch a stream of the guest: %m");
                        slot_give_up(s);
                }
                return;
        }
        refuse(l->stream_port, fd_consume);
}

/* --- both --- */

int guest_link_new(sd_event *event, Journal *journal, const GuestLinkOptions *options, GuestLink **ret) {
        _cleanup_(guest_link_freep) GuestLink *l = calloc(1, sizeof(GuestLink));
        int r;

        if (!l)
                return -ENOMEM;
        l->event = sd_event_ref(event);
        l->journal = journal;
        l->o = *options;
        l->status_fd = -EBADF;
        for (size_t i = 0; i < N_STREAMS; i++) {
                l->slots[i] = (StreamSlot) { .link = l, .fd = -EBADF };
                l->sizes[i] = UINT64_MAX;
        }
        r = guest_port_new(event, l->o.uds_path, l->o.stream_port, stream_take, l, &l->stream_port);
        if (r < 0)
                return r;
        r = guest_port_new(event, l->o.uds_path, l->o.status_port, status_take, l, &l->status_port);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

GuestLink *guest_link_free(GuestLink *l) {
        if (!l)
                return NULL;
        guest_port_free(l->stream_port);
        guest_port_free(l->status_port);
        guest_link_close(l);
        sd_event_unref(l->event);
        free(l);
        return NULL;
}

void guest_link_set_sizes(GuestLink *l, uint64_t stdout_bytes, uint64_t stderr_bytes) {
        l->sizes[STREAM_STDOUT] = stdout_bytes;
        l->sizes[STREAM_STDERR] = stderr_bytes;
        for (size_t i = 0; i < N_STREAMS; i++)
                if (l->streams[i] && l->streams[i]->stream && l->sizes[i] < UINT64_MAX)
                        line_stream_set_size(l->streams[i]->stream, l->sizes[i]);
}

bool guest_link_streams_ended(const GuestLink *l) {
        for (size_t i = 0; i < N_STREAMS; i++)
                if (l->slots[i].taken && !l->slots[i].ended)
                        return false;
        return true;
}

void guest_link_close(GuestLink *l) {
        l->status_taken = true;
        status_close(l);
        for (size_t i = 0; i < N_STREAMS; i++) {
                slot_close(&l->slots[i]);
                l->slots[i].taken = l->slots[i].ended = true;
        }
}

void guest_link_stop_listening(GuestLink *l) {
        guest_port_drain(l->stream_port);
        guest_port_drain(l->status_port);
}

bool guest_link_is_idle(const GuestLink *l) {
        return l->status_fd < 0 && guest_link_streams_ended(l);
}
