/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fd.h"
#include "combinedlog/log-client.h"
#include "combinedlog/log-state.h"
#include "layout/layout.h"
#include "test.h"

/* 2026-11-21 10:00:00.000042 UTC */
#define TIME (UINT64_C(1795255200) * USEC_PER_SEC + 42)
#define STAMP "2026-11-21T10:00:00.000042Z "

static void add(LogLines *l, StrBuf *out, const char *vm, const char *run, const char *message, size_t n, bool partial) {
        const LogEntry e = {
                .vm = vm,
                .source = "stdout",
                .run = run,
                .priority = LOG_INFO,
                .usec = TIME,
                .message = message,
                .size = n,
                .partial = partial,
        };

        log_lines_add(l, &e, out);
}

static void test_lines(void **state) {
        static const struct {
                const char *source, *message;
                size_t n;
                const char *line;
        } cases[] = {
                { "stdout", "plain", 5, "stdout err plain" },
                { "stdout", "", 0, "stdout err " },
                { "stdout", "{\"a\": \"b\\\"c\"}\t\xc3\xa4", 16, "stdout err {\"a\": \"b\\\"c\"}\t\xc3\xa4" },
                { "stdout", "two\nlines\r\n", 11, "stdout err two\\x0alines\\x0d\\x0a" },
                { "stdout", "a\0b\033[1m\x7f", 8, "stdout err a\\x00b\\x1b[1m\\x7f" },
                { "stdout", "\xff\xc3\xe2\x80\xa8\xe2\x80\xa6\xc2\x85", 10,
                  "stdout err \\xff\\xc3\\xe2\\x80\\xa8\xe2\x80\xa6\\xc2\\x85" },
                { "an odd\nprogram", "x", 1, "an\\x20odd\\x0aprogram err x" },
                { "", "x", 1, "? err x" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_log_lines_ LogLines l = {};
                _cleanup_strbuf_ StrBuf out = {};
                const LogEntry e = {
                        .vm = "web1",
                        .source = cases[i].source,
                        .run = "",
                        .priority = LOG_ERR,
                        .usec = TIME,
                        .message = cases[i].message,
                        .size = cases[i].n,
                };
                _cleanup_free_ char *line = strjoin(STAMP "web1 ", cases[i].line, "\n");

                log_lines_add(&l, &e, &out);
                assert_false(out.failed);
                assert_string_equal(out.data, line);
                assert_int_equal(out.size, strlen(line));
        }
}

static void test_pieces(void **state) {
        _cleanup_log_lines_ LogLines l = {};
        _cleanup_strbuf_ StrBuf out = {};

        /* Between the pieces others say something, and a character is cut in two. */
        add(&l, &out, "a", "1", "begin \xc3", 7, true);
        add(&l, &out, "b", "1", "between", 7, false);
        add(&l, &out, "b", "1", "one ", 4, true);
        add(&l, &out, "a", "1", "\xa4 middle", 8, true);
        assert_string_equal(out.data, STAMP "b stdout info between\n");
        add(&l, &out, "a", "1", " end", 4, false);
        assert_string_equal(out.data, STAMP "b stdout info between\n" STAMP "a stdout info begin \xc3\xa4 middle end\n");
        out.size = 0;

        /* The VM has started anew, or was killed: the line has no end. */
        add(&l, &out, "b", "2", "two", 3, false);
        assert_string_equal(out.data, STAMP "b stdout info one \n" STAMP "b stdout info two\n");
        out.size = 0;
        add(&l, &out, "a", "1", "cut", 3, true);
        add(&l, &out, "b", "2", "kept", 4, true);
        log_lines_end(&l, "a", &out);
        assert_string_equal(out.data, STAMP "a stdout info cut\n");
        assert_int_equal(l.n, 1);
}

static void test_bounds(void **state) {
        _cleanup_free_ char *much = malloc(LOG_LINE_MAX + 10);
        _cleanup_log_lines_ LogLines l = {};
        _cleanup_strbuf_ StrBuf out = {};
        static const char head[] = STAMP "a stdout info ", more[] = STAMP "a stdout+ info ";
        char vm[8];

        assert_non_null(much);
        memset(much, 'x', LOG_LINE_MAX + 10);
        /* As long as a line may be, and then longer: an ä stands where it would be cut. */
        add(&l, &out, "a", "1", much, LOG_LINE_MAX, false);
        assert_int_equal(out.size, strlen(head) + LOG_LINE_MAX + 1);
        out.size = 0;
        memcpy(much + LOG_LINE_MAX - 1, "\xc3\xa4", 2);
        add(&l, &out, "a", "1", much, LOG_LINE_MAX + 10, false);
        assert_int_equal(out.size, strlen(head) + LOG_LINE_MAX - 1 + 1 + strlen(more) + 11 + 1);
        assert_memory_equal(out.data + strlen(head) + LOG_LINE_MAX - 2, "x\n" STAMP "a stdout+ info \xc3\xa4xxxxxxxxx\n",
                            3 + strlen(more) + 11);
        assert_int_equal(l.n, 0);
        out.size = 0;

        /* A line without end costs no more than that. */
        for (unsigned i = 0; i < 50; i++)
                add(&l, &out, "a", "1", much, 48 * 1024, true);
        assert_true(l.n == 1 && l.lines[0].begun && l.lines[0].text.size <= LOG_LINE_MAX);
        add(&l, &out, "a", "1", "", 0, false);
        assert_int_equal(l.n, 0);
        assert_int_equal(out.data[out.size - 1], '\n');
        out.size = 0;

        /* Nor do many of them: the oldest is written. */
        for (unsigned i = 0; i <= LOG_LINES_OPEN_MAX; i++) {
                snprintf(vm, sizeof(vm), "v%u", i);
                add(&l, &out, vm, "1", "begun", 5, true);
        }
        assert_int_equal(l.n, LOG_LINES_OPEN_MAX);
        assert_string_equal(out.data, STAMP "v0 stdout info begun\n");
        assert_string_equal(l.lines[0].vm, "v1");
}

static void test_state(void **state) {
        static const char *const wrong[] = {
                "",
                "inferno-combined-log 2\ntime 1\nfile 1 0 2\nend\n",
                "inferno-combined-log 1\n",
                "inferno-combined-log 1\ntime 1\nend\n",
                "inferno-combined-log 1\ntime x\nfile 1 0 2\nend\n",
                "inferno-combined-log 1\ntime 1\nfile 1 2\nend\n",
                "inferno-combined-log 1\ntime 1\nfile 1 2 3 4\nend\n",
                "inferno-combined-log 1\ntime 1\nfile 1 0 2\n",
                "inferno-combined-log 1\ntime 1\nfile 1 0 2\nend\nmore",
                "inferno-combined-log 1\ncursor \ntime 1\nfile 1 0 2\nend\n",
                "inferno-combined-log 1\ncursor a b\ntime 1\nfile 1 0 2\nend\n",
                "inferno-combined-log 1\ntime 1\nfile 1 0 2\nline 8 1 0 1 1 1 1\naaaa\nend\n",
                "inferno-combined-log 1\ntime 1\nfile 1 0 2\nline 6 1 2 1 1 1 1\naaaa\nend\n",
                "inferno-combined-log 1\ntime 1\nfile 1 0 2\nline 6 1 0 1 1 1 2\naaaa\nend\n",
                "inferno-combined-log 1\ntime 1\nfile 1 0 2\nline 6 1 0 1 1 1 18446744073709551615\naaaa\nend\n",
                "inferno-combined-log 1\ntime 1\nfile 1 0 2\nline 6 1 0 1 1 1 1\n/aaa\nend\n",
        };
        _cleanup_log_state_ LogState s = { .cursor = strdup("s=1;i=2"), .usec = TIME, .inode = 3, .born = 5, .length = 4 },
                                     back = {}, none = {}, bare = {};
        _cleanup_free_ char *text = NULL, *again = NULL;
        _cleanup_strbuf_ StrBuf out = {};
        size_t n, m;

        add(&s.lines, &out, "web1", "run", "a\0b\nend\n", 8, true);
        add(&s.lines, &out, "web2", "", "", 0, true);
        assert_ok(log_state_format(&s, &text, &n));
        assert_ok(log_state_parse(text, n, &back));
        assert_ok(log_state_format(&back, &again, &m));
        assert_int_equal(n, m);
        assert_memory_equal(text, again, n);
        /* The line goes on where it was. */
        add(&back.lines, &out, "web1", "run", "c", 1, false);
        assert_string_equal(out.data, STAMP "web1 stdout info a\\x00b\\x0aend\\x0ac\n");

        for (size_t k = 0; k < n; k++)
                assert_error(log_state_parse(text, k, &none), EBADMSG);
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                if (log_state_parse(wrong[i], strlen(wrong[i]), &none) != -EBADMSG)
                        fail_msg("taken: %s", wrong[i]);
        assert_ok(log_state_parse("inferno-combined-log 1\ntime 0\nfile 0 0 0\nend\n", 45, &bare));
        assert_null(bare.cursor);
}

static void test_state_file(void **state) {
        char root[] = "/tmp/test-combined-log.XXXXXX";
        _cleanup_log_state_ LogState s = { .usec = 1, .inode = 2, .length = 3 }, back = {};
        _cleanup_close_ int lock_fd = -EBADF;

        assert_non_null(mkdtemp(root));
        assert_ok(layout_set_root(root));
        assert_error(log_state_load(&back), ENOENT);
        lock_fd = log_state_lock();
        assert_ok(lock_fd);
        assert_error(log_state_lock(), EBUSY);
        assert_ok(log_state_save(&s));
        assert_ok(log_state_load(&back));
        assert_true(back.inode == 2 && back.length == 3);

        /* Nobody listens: nothing happens, at once. */
        combined_log_wake();
        assert_error(combined_log_ask(COMBINED_LOG_SYNC, NULL), ENOENT);
        assert_ok(remove_tree_at(AT_FDCWD, root));
        layout_set_root(NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_pieces),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_state),
                cmocka_unit_test(test_state_file),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
