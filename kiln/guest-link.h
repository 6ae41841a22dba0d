/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the guest tells of its own accord (base/wire.h): the listeners for its vsock connections, its two streams and its status.
 * One connection of each kind is taken, the first; all others are accepted and closed at once, since a backlog that is full would
 * hold up the VMM. */

#include <systemd/sd-event.h>

#include "kiln/journal.h"
#include "kiln/status-line.h"

typedef struct GuestLink GuestLink;

typedef struct GuestLinkOptions {
        const char *uds_path;           /* the VMM's; ours are "<it>_<port>" */
        unsigned stream_port, status_port;
        const JournalSource *stdout_source, *stderr_source;
        /* Each state at most once, and in their order. */
        void (*on_status)(const StatusLine *line, void *userdata);
        /* A stream or the status connection has ended, and all that came on it has been dealt with. */
        void (*on_end)(void *userdata);
        void *userdata;
} GuestLinkOptions;

/* Removes stale sockets and listens. */
int guest_link_new(sd_event *event, Journal *journal, const GuestLinkOptions *options, GuestLink **ret);
GuestLink *guest_link_free(GuestLink *l);
DEFINE_TRIVIAL_CLEANUP_FUNC(GuestLink *, guest_link_free)

/* How many bytes the streams will have had, UINT64_MAX: not known, until EOF. */
void guest_link_set_sizes(GuestLink *l, uint64_t stdout_bytes, uint64_t stderr_bytes);
/* Neither stream has anything that is not in the journal; so too where none has come. */
bool guest_link_streams_ended(const GuestLink *l);
/* Closes the streams and the status connection: the guest has waited for that. */
void guest_link_close(GuestLink *l);

/* The VMM has gone: takes what still waits to be accepted, and listens no more. What is open ends by itself. */
void guest_link_stop_listening(GuestLink *l);
/* No connection is open. */
bool guest_link_is_idle(const GuestLink *l);
