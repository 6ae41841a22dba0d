/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kiln's HTTP client, with and without the VMM's "CONNECT" before it: whatever the guest or the VMM answers, in whatever pieces, the call ends
 * once, with an answer or with one of the errors that it has. */

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kiln/http-call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sd_event *event;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int listener = -EBADF;

static void on_answer(HttpCall *c, int error, unsigned status, const char *body, void *userdata) {
        unsigned *n = userdata;

        if (++*n > 1 || !body)
                abort();
        if (error == 0 ? status < 100 || status > 599 : error != -ECONNREFUSED && error != -ECONNRESET && error != -EPIPE &&
                                                                error != -EBADMSG && error != -EMSGSIZE)
                abort();
        if (error < 0 && (status != 0 || *body))
                abort();
}

static void turn(void) {
        int r;

        while ((r = sd_event_run(event, 0)) > 0)
                ;
        if (r < 0)
                abort();
}

static void clean_up(void) {
        (void) unlink(address.sun_path);
}

static void set_up(void) {
        snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/fuzz-http-call.%d", (int) getpid());
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (listener < 0 || bind(listener, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(listener, 1) < 0 ||
            sd_event_new(&event) < 0 || atexit(clean_up) != 0)
                abort();
}

/* The first byte: with CONNECT or not, and how long the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(http_call_freep) HttpCall *c = NULL;
        _cleanup_close_ int fd = -EBADF;
        unsigned n_answers = 0;
        size_t step;

        if (size < 1)
                return 0;
        if (!event)
                set_up();
        step = (data[0] >> 1) * 8 + 1;
        if (http_call_new(event, &(HttpCallOptions) {
                        .socket_path = address.sun_path,
                        .vsock_port = data[0] & 1 ? 10002 : 0,
                        .method = "POST",
                        .target = "/v1/signal",
                        .body = "{\"signal\":15}",
                        .timeout_usec = UINT64_MAX,
                        .func = on_answer,
                        .userdata = &n_answers }, &c) < 0)
                abort();
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
                abort();
        turn();
        for (size_t i = 1; i < size && n_answers == 0; i += step) {
                (void) !send(fd, data + i, MIN(step, size - i), MSG_NOSIGNAL | MSG_DONTWAIT);
                turn();
        }
        (void) shutdown(fd, SHUT_WR);
        turn();
        if (n_answers != 1)
                abort();
        return 0;
}
