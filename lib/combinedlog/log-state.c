/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <syslog.h>

#include "base/fd.h"
#include "base/parse.h"
#include "combinedlog/log-state.h"
#include "layout/layout.h"

/* What the file looks like; behind "line" stand that many bytes of VM, source, run and text, and a newline:
 *
 *      inferno-combined-log 1
 *      cursor CURSOR
 *      time USEC
 *      file INODE BORN LENGTH
 *      line PRIORITY USEC BEGUN VM SOURCE RUN TEXT
 *      …
 *      end
 */
#define MAGIC "inferno-combined-log 1"

enum {
        CURSOR_MAX = 512,
        WORD_MAX = 1024,                /* a name, a program, an invocation */
        STATE_FILE_MAX = (LOG_LINES_OPEN_MAX + 1) * (LOG_LINE_MAX + 4 * WORD_MAX),
};

typedef struct Reader {
        const char *p, *end;
} Reader;

void log_state_done(LogState *s) {
        free(s->cursor);
        log_lines_done(&s->lines);
        *s = (LogState) {};
}

/* The line that is next, without its newline, if it begins with this word and a blank; what follows those becomes *ret. 1, 0;
 * -EBADMSG, -ENOMEM. */
static int read_line(Reader *r, const char *word, char **ret) {
        const char *newline = memchr(r->p, '\n', (size_t) (r->end - r->p));
        size_t k = strlen(word);
        char *rest;

        if (!newline)
                return -EBADMSG;
        if ((size_t) (newline - r->p) <= k || memcmp(r->p, word, k) != 0 || r->p[k] != ' ')
                return 0;
        if (memchr(r->p, 0, (size_t) (newline - r->p)))
                return -EBADMSG;
        rest = strndup(r->p + k + 1, (size_t) (newline - r->p) - k - 1);
        if (!rest)
                return -ENOMEM;
        r->p = newline + 1;
        *ret = rest;
        return 1;
}

/* A line of n numbers. 1, 0; -EBADMSG, -ENOMEM. */
static int read_numbers(Reader *reader, const char *word, uint64_t *ret, size_t n) {
        _cleanup_free_ char *rest = NULL;
        char *p;
        int r;

        r = read_line(reader, word, &rest);
        if (r <= 0)
                return r;
        p = rest;
        for (size_t i = 0; i < n; i++) {
                char *number = strsep(&p, " ");

                if (!number || parse_u64(number, ret + i) < 0)
                        return -EBADMSG;
        }
        return p ? -EBADMSG : 1;
}

static bool cursor_is_valid(const char *s) {
        size_t n = strlen(s);

        for (const char *p = s; *p; p++)
                if (*p <= ' ' || *p >= 0x7f)
                        return false;
        return n > 0 && n <= CURSOR_MAX;
}

/* So many bytes as a string of at most `max`. */
static int read_bytes(Reader *r, uint64_t n, uint64_t max, char **ret) {
        if (n > max || n > (uint64_t) (r->end - r->p))
                return -EBADMSG;
        *ret = malloc(n + 1);
        if (!*ret)
                return -ENOMEM;
        memcpy(*ret, r->p, n);
        (*ret)[n] = 0;
        r->p += n;
        return 0;
}

/* 1, 0: what is next is no line that was begun. */
static int read_log_line(Reader *reader, LogLines *lines) {
        enum { PRIORITY, USEC, BEGUN, VM, SOURCE, RUN, TEXT, _N };
        _cleanup_free_ char *vm = NULL, *source = NULL, *run = NULL, *text = NULL;
        uint64_t numbers[_N];
        int r;

        r = read_numbers(reader, "line", numbers, _N);
        if (r <= 0)
                return r;
        if (numbers[PRIORITY] > LOG_DEBUG || numbers[BEGUN] > 1)
                return -EBADMSG;
        r = read_bytes(reader, numbers[VM], WORD_MAX, &vm);
        if (r >= 0)
                r = read_bytes(reader, numbers[SOURCE], WORD_MAX, &source);
        if (r >= 0)
                r = read_bytes(reader, numbers[RUN], WORD_MAX, &run);
        if (r >= 0)
                r = read_bytes(reader, numbers[TEXT], LOG_LINE_MAX, &text);
        if (r < 0)
                return r;
        if (reader->p == reader->end || *reader->p++ != '\n' || !vm_name_is_valid(vm))
                return -EBADMSG;

        const LogEntry e = {
                .vm = vm,
                .source = source,
                .run = run,
                .priority = (int) numbers[PRIORITY],
                .usec = numbers[USEC],
                .message = text,
                .size = numbers[TEXT],
        };
        r = log_lines_restore(lines, &e, numbers[BEGUN]);
        return r == -ENOSPC ? -EBADMSG : r < 0 ? r : 1;
}

int log_state_parse(const char *text, size_t n, LogState *ret) {
        static const char first[] = MAGIC "\n", last[] = "end\n";
        _cleanup_log_state_ LogState s = {};
        Reader reader = { text, text + n };
        uint64_t file[3];
        int r;

        if (n < strlen(first) || memcmp(text, first, strlen(first)) != 0)
                return -EBADMSG;
        reader.p += strlen(first);
        r = read_line(&reader, "cursor", &s.cursor);
        if (r < 0)
                return r;
        if (s.cursor && !cursor_is_valid(s.cursor))
                return -EBADMSG;
        r = read_numbers(&reader, "time", &s.usec, 1);
        if (r > 0)
                r = read_numbers(&reader, "file", file, 3);
        if (r <= 0)
                return r < 0 ? r : -EBADMSG;
        s.inode = file[0];
        s.born = file[1];
        s.length = file[2];
        while ((r = read_log_line(&reader, &s.lines)) > 0)
                ;
        if (r < 0)
                return r;
        if ((size_t) (reader.end - reader.p) != strlen(last) || memcmp(reader.p, last, strlen(last)) != 0)
                return -EBADMSG;
        *ret = s;
        s = (LogState) {};
        return 0;
}

int log_state_format(const LogState *s, char **ret, size_t *ret_n) {
        _cleanup_strbuf_ StrBuf b = {};

        strbuf_adds(&b, MAGIC "\n");
        if (s->cursor)
                strbuf_addf(&b, "cursor %s\n", s->cursor);
        strbuf_addf(&b, "time %" PRIu64 "\nfile %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", s->usec, s->inode, s->born, s->length);
        for (size_t i = 0; i < s->lines.n; i++) {
                const LogLine *l = s->lines.lines + i;

                strbuf_addf(&b, "line %d %" PRIu64 " %d %zu %zu %zu %zu\n%s%s%s", l->priority, l->usec, l->begun, strlen(l->vm),
                            strlen(l->source), strlen(l->run), l->text.size, l->vm, l->source, l->run);
                strbuf_add(&b, l->text.data ?: "", l->text.size);
                strbuf_adds(&b, "\n");
        }
        strbuf_adds(&b, "end\n");
        return strbuf_finish(&b, ret, ret_n);
}

int log_state_load(LogState *ret) {
        _cleanup_free_ char *path = layout_path(LAYOUT_COMBINED_LOG_STATE), *text = NULL;
        size_t n;
        int r;

        if (!path)
                return -ENOMEM;
        r = read_file_at(AT_FDCWD, path, STATE_FILE_MAX, &text, &n);
        if (r < 0)
                return r == -EFBIG || r == -EISDIR || r == -EBADF ? -EBADMSG : r;
        return log_state_parse(text, n, ret);
}

int log_state_save(const LogState *s) {
        _cleanup_free_ char *path = layout_path(LAYOUT_COMBINED_LOG_STATE), *text = NULL;
        size_t n;
        int r;

        if (!path)
                return -ENOMEM;
        r = log_state_format(s, &text, &n);
        return r < 0 ? r : write_file_atomic_at(AT_FDCWD, path, text, n, 0600, WRITE_FILE_SYNC | WRITE_FILE_LOCKED);
}

int log_state_lock(void) {
        _cleanup_free_ char *path = layout_path(LAYOUT_COMBINED_LOG_STATE_DIR);
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!path)
                return -ENOMEM;
        r = mkdir_parents_at(AT_FDCWD, path, 0700);
        if (r < 0)
                return r;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return negative_errno();
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : negative_errno();
        return TAKE_FD(fd);
}
