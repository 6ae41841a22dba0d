/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The API of ember, with a VMM that answers some requests at once and some late: what comes is HTTP, each request has one answer, and
 * the connection leaves its place to the next. */

#include "base/log.h"
#include "tests/fuzz/http-play.h"
#include "vmm/api-server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EventLoop *loop;
static ApiServer *server;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static uint64_t waiting;                /* the client whose answer is late; 0: none */

static void on_request(ApiRequest request, uint64_t client, void *userdata) {
        switch (request) {
        case API_FLUSH_METRICS:
                if (waiting == client)  /* it has not been answered yet */
                        abort();
                waiting = client;
                break;
        case API_SEND_CTRL_ALT_DEL:
                api_server_respond(server, client, 204, NULL);
                break;
        default:
                api_server_respond(server, client, 200, "{}");
                break;
        }
}

static void turn(void) {
        for (int i = 0; i < 16; i++) {
                if (event_loop_run_once(loop, 0) < 0)
                        abort();
                if (i % 4 == 3 && waiting > 0) {
                        uint64_t client = waiting;

                        waiting = 0;
                        api_server_respond(server, client, 204, NULL);
                }
        }
}

static void clean_up(void) {
        (void) unlink(address.sun_path);
}

static void set_up(void) {
        log_set_max_level(-1);
        snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/fuzz-ember-api.%d", (int) getpid());
        if (event_loop_new(&loop) < 0 || api_server_new(loop, address.sun_path, 51200, on_request, NULL, &server) < 0 || atexit(clean_up) != 0)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (!loop)
                set_up();
        (void) http_play(&address, sizeof(address), data, size, turn);
        if (waiting > 0)
                abort();
        return 0;
}
