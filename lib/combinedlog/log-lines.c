/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <time.h>

#include "base/log.h"
#include "combinedlog/log-lines.h"

static void line_done(LogLine *line) {
        free(line->vm);
        free(line->source);
        free(line->run);
        strbuf_done(&line->text);
        *line = (LogLine) {};
}

void log_lines_done(LogLines *l) {
        for (size_t i = 0; i < l->n; i++)
                line_done(l->lines + i);
        l->n = 0;
}

static void remove_line(LogLines *l, size_t i) {
        line_done(l->lines + i);
        l->n--;
        memmove(l->lines + i, l->lines + i + 1, (l->n - i) * sizeof(*l->lines));
}

static void add_time(StrBuf *out, uint64_t usec) {
        time_t t = (time_t) (usec / USEC_PER_SEC);
        struct tm tm;

        if (!gmtime_r(&t, &tm))
                tm = (struct tm) { .tm_year = 70, .tm_mday = 1 };
        strbuf_addf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                    tm.tm_min, tm.tm_sec, (unsigned) (usec % USEC_PER_SEC));
}

/* Also what some readers take for the end of a line: NEL (a control character of C1), U+2028 and U+2029. */
static bool is_unfit(const unsigned char *s, size_t k) {
        if (k == 1)
                return (s[0] < ' ' && s[0] != '\t') || s[0] == 0x7f;
        return (s[0] == 0xc2 && s[1] < 0xa0) || (s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9));
}

/* Control characters and what is no UTF-8 as "\x1b", byte by byte; with `blanks` those as well, so that it is one word. */
static void add_escaped(StrBuf *out, const char *text, size_t n, bool blanks) {
        const unsigned char *s = (const unsigned char *) text, *plain = s, *end = s + n;

        while (s < end) {
                size_t k = utf8_sequence(s, (size_t) (end - s));

                if (k > 0 && !is_unfit(s, k) && !(blanks && (*s == ' ' || *s == '\t'))) {
                        s += k;
                        continue;
                }
                strbuf_add(out, plain, (size_t) (s - plain));
                for (plain = s + MAX(k, (size_t) 1); s < plain; s++)
                        strbuf_addf(out, "\\x%02x", *s);
        }
        strbuf_add(out, plain, (size_t) (s - plain));
}

void log_line_format(StrBuf *out, const LogEntry *e, bool begun) {
        add_time(out, e->usec);
        strbuf_adds(out, " ");
        add_escaped(out, e->vm, strlen(e->vm), true);
        strbuf_adds(out, " ");
        add_escaped(out, *e->source ? e->source : "?", strlen(*e->source ? e->source : "?"), true);
        strbuf_adds(out, begun ? "+ " : " ");
        strbuf_adds(out, log_level_to_string(e->priority) ?: "info");
        strbuf_adds(out, " ");
        add_escaped(out, e->message, e->size, false);
        strbuf_adds(out, "\n");
}

/* The first n bytes of what is there of a line become one. */
static void write_part(LogLine *line, size_t n, StrBuf *out) {
        const LogEntry e = {
                .vm = line->vm,
                .source = line->source,
                .priority = line->priority,
                .usec = line->usec,
                .message = line->text.data ?: "",
                .size = n,
        };

        log_line_format(out, &e, line->begun);
        line->begun = true;
        line->text.size -= n;
        if (line->text.size > 0)
                memmove(line->text.data, line->text.data + n, line->text.size);
}

/* Where to cut: not within a character. */
static size_t part_size(const StrBuf *text) {
        for (size_t back = 1; back < 4; back++) {
                size_t at = LOG_LINE_MAX - back, k = utf8_sequence(text->data + at, text->size - at);

                if (k > back)
                        return at;
                if (k > 0)
                        break;
        }
        return LOG_LINE_MAX;
}

static LogLine *find(LogLines *l, const char *vm, const char *source) {
        for (size_t i = 0; i < l->n; i++)
                if (streq(l->lines[i].vm, vm) && streq(l->lines[i].source, source))
                        return l->lines + i;
        return NULL;
}

/* The rest of a line; nothing where all of it has been written. */
static void finish_line(LogLines *l, size_t i, StrBuf *out) {
        LogLine *line = l->lines + i;

        if (line->text.size > 0 || !line->begun)
                write_part(line, line->text.size, out);
        remove_line(l, i);
}

static LogLine *begin(LogLines *l, const LogEntry *e) {
        LogLine line = { .vm = strdup(e->vm), .source = strdup(e->source), .run = strdup(e->run) };

        if (!line.vm || !line.source || !line.run) {
                line_done(&line);
                return NULL;
        }
        l->lines[l->n] = line;
        return l->lines + l->n++;
}

void log_lines_add(LogLines *l, const LogEntry *e, StrBuf *out) {
        LogLine *line = find(l, e->vm, e->source);

        if (line && !streq(line->run, e->run)) {
                finish_line(l, (size_t) (line - l->lines), out);
                line = NULL;
        }
        if (!line && !e->partial && e->size <= LOG_LINE_MAX) {
                log_line_format(out, e, false);
                return;
        }
        if (!line) {
                if (l->n == LOG_LINES_OPEN_MAX)
                        finish_line(l, 0, out);
                line = begin(l, e);
                if (!line) {
                        out->failed = true;
                        return;
                }
        }
        line->priority = e->priority;
        line->usec = e->usec;
        strbuf_add(&line->text, e->message, e->size);
        if (line->text.failed) {
                out->failed = true;
                return;
        }
        while (line->text.size > LOG_LINE_MAX)
                write_part(line, part_size(&line->text), out);
        if (!e->partial)
                finish_line(l, (size_t) (line - l->lines), out);
}

void log_lines_end(LogLines *l, const char *vm, StrBuf *out) {
        for (size_t i = 0; i < l->n;)
                if (streq(l->lines[i].vm, vm))
                        finish_line(l, i, out);
                else
                        i++;
}

int log_lines_restore(LogLines *l, const LogEntry *e, bool begun) {
        LogLine *line;

        if (l->n == LOG_LINES_OPEN_MAX)
                return -ENOSPC;
        line = begin(l, e);
        if (!line)
                return -ENOMEM;
        line->priority = e->priority;
        line->usec = e->usec;
        line->begun = begun;
        strbuf_add(&line->text, e->message, e->size);
        return line->text.failed ? -ENOMEM : 0;
}
