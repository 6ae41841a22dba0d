/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kiln/clock.h"
#include "kiln/line-stream.h"

enum {
        READ_SIZE = 16 * 1024,
        DRAIN_READS_MAX = 64,
};

#define DROP_NOTICE_INTERVAL_USEC (5 * USEC_PER_SEC)

struct LineStream {
        Journal *journal;
        LineStreamOptions o;
        sd_event_source *readable;
        int fd;
        JournalWaiter waiter;

        char *buf;                      /* o.line_max + READ_SIZE bytes */
        size_t begin, end;              /* what is not sent yet */
        size_t scanned;                 /* up to here there is no newline behind begin */

        uint64_t n_read, size;
        bool eof, ended;

        bool overflowing, skipping;     /* everything is forgotten; the rest of a line is */
        uint64_t tokens, tokens_usec;   /* of the allowance */
        uint64_t dropped_lines, dropped_bytes, dropped_told_usec;
};

static bool line_stream_is_lossy(const LineStream *s) {
        return s->o.allowance > 0;
}

static void line_stream_tell_dropped(LineStream *s) {
        uint64_t now = now_usec();

        if (s->dropped_lines == 0 || (!s->eof && now < s->dropped_told_usec + DROP_NOTICE_INTERVAL_USEC))
                return;
        log_warning("Dropped %" PRIu64 " lines (%" PRIu64 " bytes) of the %s, which prints more than is kept.",
                    s->dropped_lines, s->dropped_bytes, s->o.name);
        s->dropped_lines = s->dropped_bytes = 0;
        s->dropped_told_usec = now;
}

static bool line_stream_allows(LineStream *s, size_t n) {
        uint64_t now, max = s->o.allowance * ALLOWANCE_BURST, gained;

        if (!line_stream_is_lossy(s))
                return true;
        now = now_usec();
        gained = MIN(now - s->tokens_usec, ALLOWANCE_BURST * USEC_PER_SEC) * s->o.allowance / USEC_PER_SEC;
        if (gained > 0) {
                s->tokens = MIN(s->tokens + gained, max);
                s->tokens_usec = now;
        }
        if (s->tokens < n)
                return false;
        s->tokens -= n;
        return true;
}

/* 0: done with it, in whatever way; JOURNAL_BLOCKED. */
static int line_stream_emit(LineStream *s, const char *line, size_t n, bool partial) {
        int priority = s->o.get_priority ? s->o.get_priority(line, n) : s->o.priority, r;

        if (line_stream_is_lossy(s) && n > 0 && line[n - 1] == '\r')
                n--;
        if (priority < 0 || (line_stream_is_lossy(s) && n == 0))
                return 0;
        if (!line_stream_allows(s, n)) {
                s->dropped_lines++;
                s->dropped_bytes += n;
                return 0;
        }
        r = journal_send(s->journal, s->o.source, priority, line, n, partial);
        if (r == JOURNAL_BLOCKED && line_stream_is_lossy(s))
                s->tokens += n;         /* it will ask again */
        if (r < 0)
                log_warning_errno(r, "Cannot log a line of the %s: %m", s->o.name);
        return MAX(r, 0);
}

static void line_stream_end(LineStream *s) {
        if (s->ended)
                return;
        s->ended = true;
        journal_unwait(s->journal, &s->waiter);
        s->readable = sd_event_source_disable_unref(s->readable);
        line_stream_tell_dropped(s);
        if (s->o.end)
                s->o.end(s, s->o.userdata);
}

static void line_stream_set_reading(LineStream *s, bool on) {
        if (s->readable)
                (void) sd_event_source_set_enabled(s->readable, on ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* Sends the whole lines of the buffer, after EOF all of it. 0, or JOURNAL_BLOCKED where some are left. */
static int line_stream_send_lines(LineStream *s) {
        int r = 0;

        while (r == 0 && s->begin < s->end) {
                char *line = s->buf + s->begin, *nl = memchr(s->buf + s->scanned, '\n', s->end - s->scanned);
                size_t n = nl ? (size_t) (nl - line) : s->end - s->begin;
                bool partial = false;

                if (n > s->o.line_max) {
                        n = s->o.line_max;
                        partial = true;
                        nl = NULL;
                } else if (!nl && !s->eof) {
                        s->scanned = s->end;
                        break;
                }
                r = line_stream_emit(s, line, n, partial);
                if (r == 0) {
                        s->begin += n + (nl ? 1 : 0);
                        s->scanned = s->begin;
                }
        }
        if (s->begin > 0) {
                memmove(s->buf, s->buf + s->begin, s->end - s->begin);
                s->end -= s->begin;
                s->scanned -= s->begin;
                s->begin = 0;
        }
        line_stream_tell_dropped(s);
        return r;
}

/* May end and thereby free s: nothing may be done with it afterwards. */
static void line_stream_process(LineStream *s) {
        if (line_stream_send_lines(s) == JOURNAL_BLOCKED) {
                journal_wait(s->journal, &s->waiter);
                line_stream_set_reading(s, line_stream_is_lossy(s) && !s->eof);
        } else if (s->eof)
                line_stream_end(s);
        else
                line_stream_set_reading(s, true);
}

static void on_journal_writable(void *userdata) {
        line_stream_process(userdata);
}

/* The journal does not take what a stream that must be read has brought: what the buffer holds is kept, and from here on everything
 * is read and forgotten, to the end of a line, until there is room again. */
static void line_stream_overflow(LineStream *s) {
        char *nl = memrchr(s->buf, '\n', s->end);
        size_t keep = nl ? (size_t) (nl + 1 - s->buf) : 0;

        if (keep == 0) {                /* one endless line: what there is of it is a line */
                s->buf[s->end - 1] = '\n';
                keep = s->end;
        }
        s->dropped_bytes += s->end - keep;
        s->end = keep;
        s->scanned = MIN(s->scanned, s->end);
        s->overflowing = s->skipping = true;
}

/* What of the k bytes at `data` belongs to a line whose beginning was forgotten. */
static size_t line_stream_skip(LineStream *s, const char *data, size_t k) {
        const char *nl = memchr(data, '\n', k);
        size_t n = nl ? (size_t) (nl + 1 - data) : k;

        s->dropped_bytes += n;
        if (nl) {
                s->dropped_lines++;
                s->skipping = false;
        }
        return n;
}

/* 1: there may be more; 0: not now, or EOF. */
static int line_stream_read(LineStream *s) {
        char scratch[4096], *to = s->buf + s->end;
        size_t n = s->o.line_max + READ_SIZE - s->end;
        ssize_t k = 0;

        if (line_stream_is_lossy(s)) {
                if (s->overflowing && n >= READ_SIZE)
                        s->overflowing = false;
                if (!s->overflowing && n == 0)
                        line_stream_overflow(s);
                if (s->overflowing) {
                        to = scratch;
                        n = sizeof(scratch);
                }
        }
        n = MIN(n, s->size - s->n_read);
        if (n > 0) {
                k = read(s->fd, to, n);
                if (k < 0 && (errno == EAGAIN || errno == EINTR))
                        return 0;
        }
        if (k <= 0) {                   /* an error is an end as well: ECONNRESET where the VMM was killed */
                s->eof = true;
                return 0;
        }
        s->n_read += (uint64_t) k;
        if (s->n_read >= s->size)
                s->eof = true;
        if (s->o.tail)
                tail_add(s->o.tail, to, (size_t) k);

        if (s->overflowing) {
                for (size_t i = 0; i < (size_t) k; i += line_stream_skip(s, to + i, (size_t) k - i))
                        ;
                s->skipping = to[k - 1] != '\n';
        } else {
                if (s->skipping) {
                        size_t skipped = line_stream_skip(s, to, (size_t) k);

                        memmove(to, to + skipped, (size_t) k - skipped);
                        k -= (ssize_t) skipped;
                }
                s->end += (size_t) k;
        }
        return s->eof ? 0 : 1;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        LineStream *s = userdata;

        (void) line_stream_read(s);
        line_stream_process(s);
        return 0;
}

int line_stream_new(sd_event *event, Journal *journal, int fd_consume, const LineStreamOptions *options, LineStream **ret) {
        _cleanup_close_ int fd = fd_consume;
        _cleanup_(line_stream_freep) LineStream *s = calloc(1, sizeof(LineStream));
        int r;

        if (!s)
                return -ENOMEM;
        s->journal = journal;
        s->o = *options;
        s->fd = TAKE_FD(fd);
        s->waiter = (JournalWaiter) { .func = on_journal_writable, .userdata = s };
        s->size = UINT64_MAX;
        s->tokens = s->o.allowance * ALLOWANCE_BURST;
        s->tokens_usec = now_usec();
        s->buf = malloc(s->o.line_max + READ_SIZE);
        if (!s->buf)
                return -ENOMEM;

        r = set_nonblock(s->fd, true);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &s->readable, s->fd, EPOLLIN, on_readable, s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

LineStream *line_stream_free(LineStream *s) {
        if (!s)
                return NULL;
        if (s->journal)
                journal_unwait(s->journal, &s->waiter);
        sd_event_source_disable_unref(s->readable);
        safe_close(s->fd);
        free(s->buf);
        free(s);
        return NULL;
}

void line_stream_set_size(LineStream *s, uint64_t size) {
        if (s->ended)
                return;
        s->size = MAX(size, s->n_read);
        if (s->n_read >= s->size) {
                s->eof = true;
                line_stream_process(s);
        }
}

void line_stream_drain(LineStream *s) {
        if (s->ended)
                return;
        for (unsigned i = 0; i < DRAIN_READS_MAX && line_stream_read(s) > 0; i++)
                (void) line_stream_send_lines(s);
        s->eof = true;
        line_stream_process(s);
}
