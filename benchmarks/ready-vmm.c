/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stands in for a VMM whose guest is ready at once and costs nothing, so that a machine can have a thousand of them: says over the vsock's
 * sockets what a guest's init says (lib/base/wire.h), and as soon as kiln wants anything of the guest, that the workload has ended well. */

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/wire.h"
#include "layout/layout.h"

#define SAY(fd, text) ((void) !write(fd, text, sizeof(text) - 1))
#define PATH_OF(port) JAIL_VSOCK "_" #port

_Static_assert(WIRE_PORT_STREAM == 10000 && WIRE_PORT_STATUS == 10001, "the sockets' names below");

static int open_socket(const char *path, int (*f)(int fd, const struct sockaddr *address, socklen_t size)) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        memcpy(address.sun_path, path, strlen(path));
        if (fd < 0 || f(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                exit(EXIT_FAILURE);
        return fd;
}

static int connect_to(int fd, const struct sockaddr *address, socklen_t size) {
        return connect(fd, address, size);
}

static int listen_at(int fd, const struct sockaddr *address, socklen_t size) {
        return bind(fd, address, size) < 0 ? -1 : listen(fd, 8);
}

int main(void) {
        int host_fd = open_socket(JAIL_VSOCK, listen_at), status_fd = open_socket(PATH_OF(10001), connect_to);
        int stdout_fd = open_socket(PATH_OF(10000), connect_to), stderr_fd = open_socket(PATH_OF(10000), connect_to);
        char rest;

        SAY(status_fd, "{\"state\":\"booted\"}\n");
        SAY(stdout_fd, WIRE_STREAM_STDOUT);
        SAY(stderr_fd, WIRE_STREAM_STDERR);
        SAY(status_fd, "{\"state\":\"started\",\"pid\":2}\n");
        if (accept(host_fd, NULL, NULL) < 0)
                return EXIT_FAILURE;
        SAY(status_fd, "{\"state\":\"exited\",\"exit_code\":0,\"signal\":0,\"oom_killed\":false,\"message\":\"\",\"stdout_bytes\":0,\"stderr_bytes\":0}\n");
        while (read(status_fd, &rest, 1) > 0)
                ;
        return EXIT_SUCCESS;
}
