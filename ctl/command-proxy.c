/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "base/wire.h"
#include "ctl/ctl.h"
#include "ctl/guest.h"
#include "ctl/ssh-host.h"
#include "ctl/table.h"

#define TIMEOUT_USEC (30 * USEC_PER_SEC)

enum {
        GREETING_MAX = 1200,            /* of a line before the protocol begins */
        GREETING_LINES_MAX = 8,
};

static bool arg_ssh;

static const CtlOption options[] = {
        { "ssh", 0, CTL_OPTION_FLAG, &arg_ssh, NULL, "Connect with its SSH server; the name may be NAME.inferno. For ProxyCommand of ssh_config(5)" },
        {},
};

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

/* Until the guest has closed, or nobody reads any more. The end of our input is not passed on: a vsock connection of Firecracker ends in both directions at once. */
static int carry(int fd) {
        static Way in = { .from = STDIN_FILENO }, out = { .to = STDOUT_FILENO };
        int r = 0;

        in.to = out.from = fd;
        while (r >= 0 && !is_done(&out)) {
                struct pollfd p[] = {
                        { .fd = in.end > 0 || in.ended ? -1 : STDIN_FILENO, .events = POLLIN },
                        { .fd = in.end > 0 ? fd : -1, .events = POLLOUT },
                        { .fd = out.end > 0 || out.ended ? -1 : fd, .events = POLLIN },
                        { .fd = STDOUT_FILENO, .events = out.end > 0 ? POLLOUT : 0 },
                };

                if (poll(p, ELEMENTSOF(p), -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        return negative_errno();
                }
                /* Nobody is there any more who would read what the guest may say some day. */
                if (p[3].revents & POLLERR)
                        return 0;
                if (way_go(&in, p[0].revents != 0, p[1].revents != 0) < 0) {
                        in.ended = true;        /* the guest takes no more; what it has said is read all the same */
                        in.start = in.end = 0;
                }
                r = way_go(&out, p[2].revents != 0, p[3].revents != 0);
        }
        return r;
}

/* Until the protocol begins: lines of the guest say why it does not, and are for people. The first one of the protocol is passed on. */
static int begin_ssh(const char *vm, int fd) {
        char line[GREETING_MAX];

        for (unsigned i = 0; i < GREETING_LINES_MAX; i++) {
                ssize_t n = guest_read_line(fd, line, sizeof(line), TIMEOUT_USEC);
                _cleanup_free_ char *text = NULL;

                if (n == 0 && i > 0)
                        return EXIT_FAILED;
                if (n <= 0)
                        return log_error_errno(n < 0 ? (int) n : -ECONNRESET, "The SSH server of VM '%s' does not begin: %m", vm);
                if (startswith(line, "SSH-"))
                        return write_full(STDOUT_FILENO, line, (size_t) n);
                line[strcspn(line, "\r\n")] = 0;
                text = text_escape(startswith(line, WIRE_SSH_REFUSAL) ?: line);
                if (!text)
                        return log_oom();
                log_error("The guest of VM '%s' refuses: %s.", vm, text);
        }
        log_error("The SSH server of VM '%s' does not begin.", vm);
        return EXIT_FAILED;
}

static int parse_port(const char *word, unsigned *ret) {
        if (parse_uint(word, ret) >= 0 && *ret >= 1 && *ret != UINT32_MAX)
                return 0;
        log_error("\"%.100s\" is no port of vsock: wanted is a number of 1 to %u.", word, UINT32_MAX - 1);
        return EXIT_USAGE;
}

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *error = NULL, *vm = NULL;
        unsigned port = WIRE_PORT_SSH;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (n_args != (arg_ssh ? 1 : 2)) {
                log_error("proxy: wanted are NAME and PORT, or with --ssh a name alone.");
                return EXIT_USAGE;
        }
        vm = arg_ssh ? ssh_host_to_vm(args[0]) : strdup(args[0]);
        if (!vm)
                return EXIT_USAGE;
        r = arg_ssh ? 0 : parse_port(args[1], &port);
        if (r == 0)
                r = ctl_check_running(c, vm);
        if (r != 0)
                return r;
        fd = guest_connect(vm, port, TIMEOUT_USEC, &error);
        if (fd == -ECONNREFUSED && arg_ssh) {
                log_error("The guest of VM '%s' has no SSH server: it needs SSHKey= in its definition, and a start with that.", vm);
                return EXIT_FAILED;
        }
        if (fd < 0)
                return ctl_log_sentence(fd, error);
        (void) signal(SIGPIPE, SIG_IGN);
        r = arg_ssh ? begin_ssh(vm, fd) : 0;
        if (r != 0)
                return r;
        r = carry(fd);
        return r < 0 ? log_error_errno(r, "Cannot go on between VM '%s' and the standard streams: %m", vm) : 0;
}

const Command command_proxy = {
        .name = "proxy",
        .group = GROUP_GUESTS,
        .synopsis = "NAME PORT | --ssh NAME",
        .summary = "Connect standard input and output with a vsock port of a VM",
        .details = "It ends when the guest closes the connection, or nobody reads what it says any more.",
        .min_args = 1,
        .max_args = 2,
        .first = CTL_WORD_VM,
        .flags = COMMAND_ROOT,
        .options = options,
        .run = run,
};
