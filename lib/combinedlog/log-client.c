/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "combinedlog/log-client.h"
#include "layout/layout.h"

/* Flushing a file may take its time on a busy disk. */
enum { ANSWER_MSEC = 30 * 1000 };

static int connect_socket(int flags) {
        _cleanup_free_ char *path = layout_path(LAYOUT_COMBINED_LOG_SOCKET);
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_un sa = { .sun_family = AF_UNIX };

        if (!path)
                return -ENOMEM;
        if (strlen(path) >= sizeof(sa.sun_path))
                return -ENAMETOOLONG;
        memcpy(sa.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *) &sa, sizeof(sa)) < 0)
                return negative_errno();
        return TAKE_FD(fd);
}

void combined_log_wake(void) {
        (void) safe_close(connect_socket(SOCK_NONBLOCK));
}

int combined_log_ask(const char *request, char **ret_error) {
        _cleanup_close_ int fd = connect_socket(0);
        struct pollfd p = { .fd = fd, .events = POLLIN };
        char answer[COMBINED_LOG_PACKET_MAX + 1];
        ssize_t n = -1;
        int r;

        if (fd == -ENOENT || fd == -ECONNREFUSED)
                return fd;
        if (fd < 0)
                return sentence_errno(ret_error, fd, "Cannot connect to '%s'", LAYOUT_COMBINED_LOG_SOCKET);
        if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
                return sentence_errno(ret_error, negative_errno(), "Cannot ask inferno-combined-log.service");
        do
                r = poll(&p, 1, ANSWER_MSEC);
        while (r < 0 && errno == EINTR);
        if (r == 0)
                return sentence(ret_error, -ETIMEDOUT,
                                "inferno-combined-log.service has not answered within %d s: see 'systemctl status "
                                "inferno-combined-log.service'.",
                                ANSWER_MSEC / 1000);
        if (r > 0)
                n = recv(fd, answer, sizeof(answer) - 1, 0);
        if (n <= 0)
                return sentence(ret_error, -ECONNRESET,
                                "inferno-combined-log.service has ended before it answered: see 'systemctl status "
                                "inferno-combined-log.service'.");
        answer[n] = 0;
        return streq(answer, COMBINED_LOG_DONE) ? 0 : sentence(ret_error, -EIO, "%s", answer);
}
