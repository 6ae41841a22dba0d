/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "ctl/ctl.h"
#include "ctl/guest.h"

#define TIMEOUT_USEC (30 * USEC_PER_SEC)

/* One direction: what was read and not written yet. */
typedef struct Way {
        int from, to;
        size_t start, end;
        bool ended;                     /* nothing will be read any more */
        char data[64 * 1024];
} Way;

static bool is_done(const Way *w) {
        return w->ended && w->start == w->end;
}

/* At most one read and one write, each of a descriptor that poll(2) has named. 4096 bytes a pipe that is ready takes without waiting. */
static int way_go(Way *w, bool readable, bool writable) {
        ssize_t k;

        if (writable && w->start < w->end) {
                k = write(w->to, w->data + w->start, MIN(w->end - w->start, (size_t) 4096));
                if (k < 0 && errno != EAGAIN && errno != EINTR)
                        return negative_errno();
                w->start += (size_t) MAX(k, 0);
        }
        if (w->start == w->end)
                w->start = w->end = 0;
        if (readable && w->end == 0 && !w->ended) {
                k = read(w->from, w->data, sizeof(w->data));
                if (k < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNRESET)
                        return negative_errno();
                if (k == 0 || (k < 0 && errno == ECONNRESET))
                        w->ended = true;
                w->end = (size_t) MAX(k, 0);
        }
        return 0;
}

/* Until the guest has closed. The end of our input is not passed on: a vsock connection of Firecracker ends in both directions at once. */
static int carry(int fd) {
        static Way in = { .from = STDIN_FILENO }, out = { .to = STDOUT_FILENO };
        int r = 0;

        in.to = out.from = fd;
        while (r >= 0 && !is_done(&out)) {
                struct pollfd p[] = {
                        { .fd = in.end > 0 || in.ended ? -1 : STDIN_FILENO, .events = POLLIN },
                        { .fd = in.end > 0 ? fd : -1, .events = POLLOUT },
                        { .fd = out.end > 0 || out.ended ? -1 : fd, .events = POLLIN },
                        { .fd = out.end > 0 ? STDOUT_FILENO : -1, .events = POLLOUT },
                };

                if (poll(p, ELEMENTSOF(p), -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        return negative_errno();
                }
                if (way_go(&in, p[0].revents != 0, p[1].revents != 0) < 0) {
                        in.ended = true;        /* the guest takes no more; what it has said is read all the same */
                        in.start = in.end = 0;
                }
                r = way_go(&out, p[2].revents != 0, p[3].revents != 0);
        }
        return r;
}

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *error = NULL;
        _cleanup_close_ int fd = -EBADF;
        unsigned port;
        int r;

        if (parse_uint(args[1], &port) < 0 || port < 1 || port == UINT32_MAX) {
                log_error("\"%.100s\" is no port of vsock: wanted is a number of 1 to %u.", args[1], UINT32_MAX - 1);
                return EXIT_USAGE;
        }
        r = ctl_check_running(c, args[0]);
        if (r != 0)
                return r;
        fd = guest_connect(args[0], port, TIMEOUT_USEC, &error);
        if (fd < 0)
                return ctl_log_sentence(fd, error);
        (void) signal(SIGPIPE, SIG_IGN);
        r = carry(fd);
        return r < 0 ? log_error_errno(r, "Cannot go on between VM '%s' and the standard streams: %m", args[0]) : 0;
}

const Command command_proxy = {
        .name = "proxy",
        .group = GROUP_GUESTS,
        .synopsis = "NAME PORT",
        .summary = "Connect standard input and output with a vsock port of a VM",
        .details = "It ends when the guest closes the connection.",
        .min_args = 2,
        .max_args = 2,
        .first = CTL_WORD_VM,
        .flags = COMMAND_ROOT,
        .run = run,
};
