/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "kiln/clock.h"
#include "kiln/guest-port.h"

enum { ACCEPTS_AT_ONCE = 64 };

#define REFUSED_NOTICE_INTERVAL_USEC (10 * USEC_PER_SEC)

struct GuestPort {
        unsigned port;
        char *path;
        int fd;
        sd_event_source *acceptable;
        GuestPortTake take;
        void *userdata;

        unsigned n_refused;             /* since it was last told */
        uint64_t told_usec;             /* 0: never */
};

/* 1: there may be more. */
static int accept_one(GuestPort *p) {
        int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0) {
                if (errno == EAGAIN)
                        return 0;
                if (errno == EINTR || errno == ECONNABORTED)
                        return 1;
                return negative_errno();
        }
        p->take(fd, p->userdata);
        return 1;
}

static void stop(GuestPort *p) {
        p->acceptable = sd_event_source_disable_unref(p->acceptable);
        if (p->fd >= 0)
                (void) unlink(p->path);
        p->fd = safe_close(p->fd);
}

static int on_acceptable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        GuestPort *p = userdata;
        int r = 1;

        for (unsigned i = 0; i < ACCEPTS_AT_ONCE && r > 0; i++)
                r = accept_one(p);
        if (r < 0) {    /* it would be back at once, for ever; what is refused from now on was to be refused anyway */
                log_error_errno(r, "Cannot accept connections of the guest to vsock port %u, taking no more: %m", p->port);
                stop(p);
        }
        return 0;
}

int guest_port_new(sd_event *event, const char *uds_path, unsigned port, GuestPortTake take, void *userdata, GuestPort **ret) {
        _cleanup_(guest_port_freep) GuestPort *p = calloc(1, sizeof(GuestPort));
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!p)
                return -ENOMEM;
        *p = (GuestPort) { .port = port, .fd = -EBADF, .take = take, .userdata = userdata };
        p->path = strf("%s_%u", uds_path, port);
        if (!p->path)
                return -ENOMEM;
        if (strlen(p->path) >= sizeof(sa.sun_path))
                return -ENAMETOOLONG;
        memcpy(sa.sun_path, p->path, strlen(p->path) + 1);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return negative_errno();
        if (unlink(p->path) < 0 && errno != ENOENT)
                return negative_errno();
        if (bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0)
                return negative_errno();
        p->fd = TAKE_FD(fd);
        if (listen(p->fd, SOMAXCONN) < 0)
                return negative_errno();
        /* No more urgent than the rest: sd-event takes sources of one priority in turns, so that a guest which connects without end
         * holds up nothing else. */
        r = sd_event_add_io(event, &p->acceptable, p->fd, EPOLLIN, on_acceptable, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

GuestPort *guest_port_free(GuestPort *p) {
        if (!p)
                return NULL;
        stop(p);
        free(p->path);
        free(p);
        return NULL;
}

void guest_port_drain(GuestPort *p) {
        if (p->fd >= 0)
                while (accept_one(p) > 0)
                        ;
        stop(p);
}

void guest_port_refused(GuestPort *p, const char *reason) {
        uint64_t now = now_usec();

        p->n_refused++;
        if (p->told_usec > 0 && now < p->told_usec + REFUSED_NOTICE_INTERVAL_USEC)
                return;
        log_warning("Refused %u more connections from the guest to vsock port %u, the last since %s.", p->n_refused, p->port, reason);
        p->n_refused = 0;
        p->told_usec = now;
}
