/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The API of the guest's init: whatever is asked, and in whatever pieces, what it answers is HTTP, and the connection leaves nothing. */

#include <poll.h>

#include "base/str.h"
#include "init/api.h"
#include "tests/fuzz/http-play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Loop loop = { .epoll_fd = -EBADF };
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t n_address = sizeof(address);

static char *give_status(void *userdata) {
        return strdup("{\"state\":\"running\"}\n");
}

static int take_signal(void *userdata, int signo) {
        if (signo < 1 || signo > 64)
                abort();
        return signo == 1 ? -ESRCH : signo == 2 ? -EPERM : 0;
}

static int take_exec(void *userdata, const ExecRequest *request, int fd) {
        static const int results[] = { -ESRCH, -EBUSY, -EMFILE };

        if (fd < 0 || (request->files ? !*request->files->path : !request->argv || !*request->argv))
                abort();
        return results[strlen(request->files ? request->files->path : *request->argv) % ELEMENTSOF(results)];
}

static void turn(void) {
        struct pollfd p = { .fd = loop.epoll_fd, .events = POLLIN };

        while (poll(&p, 1, 0) > 0)
                if (loop_turn(&loop) < 0)
                        abort();
}

static void set_up(void) {
        static const ApiBackend backend = { .status = give_status, .metrics = give_status, .signal = take_signal, .exec = take_exec };
        static ApiServer *server;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        /* An abstract address of the kernel's choice. */
        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(sa_family_t)) < 0 ||
            getsockname(fd, (struct sockaddr *) &address, &n_address) < 0 || listen(fd, 8) < 0 ||
            loop_open(&loop) < 0 || api_server_new(&loop, &backend, fd, &server) < 0)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (loop.epoll_fd < 0)
                set_up();
        (void) http_play(&address, n_address, data, size, turn);
        if (loop.timers)                /* of a connection that is still there */
                abort();
        return 0;
}
