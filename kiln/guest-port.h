/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A vsock port that the guest connects to: the VMM connects to "<uds_path>_<port>" for it. Whatever comes is accepted, since a backlog that is
 * full would hold up the VMM, and what is not wanted is closed at once. */

#include <systemd/sd-event.h>

#include "base/macros.h"

typedef struct GuestPort GuestPort;

/* A connection, non-blocking, the function's to close. */
typedef void (*GuestPortTake)(int fd_consume, void *userdata);

/* Removes a stale socket and listens. */
int guest_port_new(sd_event *event, const char *uds_path, unsigned port, GuestPortTake take, void *userdata, GuestPort **ret);
GuestPort *guest_port_free(GuestPort *p);
DEFINE_TRIVIAL_CLEANUP_FUNC(GuestPort *, guest_port_free)

/* Takes what still waits to be accepted, and listens no more. */
void guest_port_drain(GuestPort *p);

/* Counts a connection, or what came on it, that was refused, and logs so now and then: whatever the guest does to be refused, the journal is
 * not to be filled with it. */
void guest_port_refused(GuestPort *p, const char *reason);
