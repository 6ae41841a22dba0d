/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What QEMU's monitor says, where QEMU is the guest's by now: each command is answered once, and what becomes of the statistics is JSON. */

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "vmm/metrics.h"
#include "vmm/qmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COMMANDS = 3 };

static VmmConfig *config;
static Metrics *metrics;
static unsigned n_replies;

static int on_event(const char *event, json_t *data, void *userdata) {
        return streq(event, "STOP") ? -EIO : 0;
}

static void on_reply(json_t *result, void *userdata) {
        int r;

        if (++n_replies > COMMANDS)
                abort();
        metrics_set_blockstats(metrics, result);
        r = metrics_write(metrics, NULL);
        if (r < 0 && r != -ENOMEM)
                abort();
}

static void set_up(void) {
        static const char text[] = "{\"boot-source\":{\"kernel_image_path\":\"k\"},\"drives\":[{\"drive_id\":\"rootfs\",\"path_on_host\":\"r\","
                                   "\"is_root_device\":true,\"is_read_only\":true}]}";
        char error[JSON_ERROR_MAX];

        log_set_max_level(-1);
        if (vmm_config_parse(text, strlen(text), &config, error) < 0 || metrics_new(open("/dev/null", O_WRONLY | O_CLOEXEC), config, "x", &metrics) < 0)
                abort();
}

/* The first byte: how long the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(event_loop_freep) EventLoop *loop = NULL;
        _cleanup_(qmp_freep) Qmp *q = NULL;
        size_t step = size > 0 ? data[0] * 4 + 1 : 1;
        int fds[2], r = 0;

        if (!config)
                set_up();
        n_replies = 0;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 || event_loop_new(&loop) < 0 || qmp_new(loop, fds[0], on_event, NULL, &q) < 0)
                abort();
        for (int i = 0; i < COMMANDS; i++)
                if (qmp_command(q, "query-blockstats", NULL, on_reply, NULL) < 0)
                        abort();
        for (size_t i = 1; i < size && r >= 0; i += step) {
                (void) !send(fds[1], data + i, MIN(step, size - i), MSG_NOSIGNAL | MSG_DONTWAIT);
                r = event_loop_run_once(loop, 0);
        }
        close(fds[1]);
        if (r >= 0 && (qmp_drain(q) < 0 ? n_replies > COMMANDS : n_replies != COMMANDS))
                abort();
        return 0;
}
