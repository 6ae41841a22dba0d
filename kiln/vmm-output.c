/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fd.h"
#include "kiln/line-stream.h"
#include "kiln/vmm-output.h"

enum {
        STREAM_CONSOLE,
        STREAM_STDERR,
        STREAM_LOG,
        STREAM_METRICS,
        N_STREAMS,

        LINE_MAX_BYTES = 4 * 1024,
        METRICS_LINE_MAX = 32 * 1024,   /* one JSON document of Firecracker's */
        BYTES_A_SECOND = 16 * 1024,
};

struct VmmOutput {
        sd_event *event;
        Journal *journal;
        VmmOutputOptions o;
        LineStream *streams[N_STREAMS];
        Tail console_tail, vmm_tail;
};

static int priority_of_nothing(const char *line, size_t n) {
        return -1;
}

/* Firecracker's lines: "2024-01-01T00:00:00.000000000 [id:thread:LEVEL:file:line] text", the level where "show_level" is on. */
static int priority_of_log_line(const char *line, size_t n) {
        static const struct {
                const char *level;
                int priority;
        } levels[] = {
                { ":ERROR", LOG_ERR },
                { ":WARN", LOG_WARNING },
                { ":DEBUG", LOG_DEBUG },
                { ":TRACE", LOG_DEBUG },
        };
        char head[256];

        snprintf(head, sizeof(head), "%.*s", (int) MIN(n, sizeof(head) - 1), line);
        if (!strchr(head, ']'))
                return LOG_INFO;
        *strchr(head, ']') = 0;
        for (size_t i = 0; i < ELEMENTSOF(levels); i++)
                if (strstr(head, levels[i].level))
                        return levels[i].priority;
        return LOG_INFO;
}

static void on_stream_end(LineStream *s, void *userdata) {
        VmmOutput *o = userdata;

        for (size_t i = 0; i < N_STREAMS; i++)
                if (o->streams[i] == s)
                        o->streams[i] = line_stream_free(s);
        o->o.on_end(o->o.userdata);
}

/* Makes `path` a new FIFO and opens it. */
static int open_fifo(const char *path) {
        struct stat st;
        _cleanup_close_ int fd = -EBADF;

        if (unlink(path) < 0 && errno != ENOENT)
                return negative_errno();
        if (mkfifo(path, 0600) < 0)
                return negative_errno();
        /* Also for writing, so that it has no EOF when the VMM opens it late, or twice. */
        fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        if (fd < 0)
                return negative_errno();
        if (fstat(fd, &st) < 0)
                return negative_errno();
        return S_ISFIFO(st.st_mode) ? TAKE_FD(fd) : -EBADF;
}

static int vmm_output_add(VmmOutput *o, unsigned which, int fd_consume, const LineStreamOptions *template) {
        LineStreamOptions options = *template;

        options.allowance = BYTES_A_SECOND;
        options.end = on_stream_end;
        options.userdata = o;
        return line_stream_new(o->event, o->journal, fd_consume, &options, &o->streams[which]);
}

int vmm_output_new(sd_event *event, Journal *journal, const VmmOutputOptions *options, VmmOutput **ret) {
        _cleanup_(vmm_output_freep) VmmOutput *o = calloc(1, sizeof(VmmOutput));
        int r;

        if (!o)
                return -ENOMEM;
        o->event = sd_event_ref(event);
        o->journal = journal;
        o->o = *options;

        if (options->log_fifo_path) {
                r = open_fifo(options->log_fifo_path);
                if (r < 0)
                        return r;
                r = vmm_output_add(o, STREAM_LOG, r, &(LineStreamOptions) {
                        .name = "VMM's log", .source = o->o.vmm_source, .get_priority = priority_of_log_line,
                        .line_max = LINE_MAX_BYTES, .tail = &o->vmm_tail });
                if (r < 0)
                        return r;
        }
        if (options->metrics_fifo_path) {
                r = open_fifo(options->metrics_fifo_path);
                if (r < 0)
                        return r;
                r = vmm_output_add(o, STREAM_METRICS, r, &(LineStreamOptions) {
                        .name = "VMM's metrics", .source = o->o.metrics_source, .priority = LOG_DEBUG,
                        .get_priority = o->o.log_metrics ? NULL : priority_of_nothing, .line_max = METRICS_LINE_MAX });
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(o);
        return 0;
}

int vmm_output_attach(VmmOutput *o, int stdout_fd_consume, int stderr_fd_consume) {
        _cleanup_close_ int err_fd = stderr_fd_consume;
        int r;

        r = vmm_output_add(o, STREAM_CONSOLE, stdout_fd_consume, &(LineStreamOptions) {
                .name = "guest's console", .source = o->o.console_source, .priority = LOG_INFO,
                .line_max = LINE_MAX_BYTES, .tail = &o->console_tail });
        if (r < 0)
                return r;
        return vmm_output_add(o, STREAM_STDERR, TAKE_FD(err_fd), &(LineStreamOptions) {
                .name = "VMM's standard error", .source = o->o.vmm_source, .priority = LOG_WARNING,
                .line_max = LINE_MAX_BYTES, .tail = &o->vmm_tail });
}

VmmOutput *vmm_output_free(VmmOutput *o) {
        if (!o)
                return NULL;
        for (size_t i = 0; i < N_STREAMS; i++)
                line_stream_free(o->streams[i]);
        sd_event_unref(o->event);
        free(o);
        return NULL;
}

void vmm_output_drain(VmmOutput *o) {
        for (size_t i = 0; i < N_STREAMS; i++)
                if (o->streams[i])
                        line_stream_drain(o->streams[i]);
}

bool vmm_output_is_idle(const VmmOutput *o) {
        for (size_t i = 0; i < N_STREAMS; i++)
                if (o->streams[i])
                        return false;
        return true;
}

const Tail *vmm_output_console_tail(const VmmOutput *o) {
        return &o->console_tail;
}

const Tail *vmm_output_vmm_tail(const VmmOutput *o) {
        return &o->vmm_tail;
}
