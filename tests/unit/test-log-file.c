/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include "base/fd.h"
#include "helpers/log-file.h"
#include "layout/layout.h"
#include "test.h"

/* A tree with an empty folder of the log, which is the working directory. */
static int setup(void **state) {
        static char root[64];
        _cleanup_free_ char *dir = NULL;

        strcpy(root, "/tmp/test-log-file.XXXXXX");
        if (!mkdtemp(root) || layout_set_root(root) < 0)
                return -1;
        dir = layout_path(LAYOUT_COMBINED_LOG_DIR);
        *state = root;
        return dir && mkdir_parents_at(AT_FDCWD, dir, 0755) >= 0 ? chdir(dir) : -1;
}

static int teardown(void **state) {
        layout_set_root(NULL);
        return chdir("/") < 0 ? -1 : remove_tree_at(AT_FDCWD, *state);
}

static void check_file(const char *name, const char *content) {
        _cleanup_free_ char *text = NULL;

        assert_ok(read_file_at(AT_FDCWD, name, MIB(1), &text, NULL));
        assert_string_equal(text, content);
}

static void append(LogFile *f, const char *text) {
        strbuf_adds(&f->out, text);
        assert_ok(log_file_flush(f));
}

/* What a writer leaves that was killed when it had written `saved`, saved that, and then written `more`. */
static void leave(LogState *s, const char *saved, const char *more) {
        _cleanup_log_file_ LogFile f = LOG_FILE_INIT;

        assert_ok(log_file_open(&f, &(LogState) {}));
        append(&f, saved);
        assert_ok(log_file_sync(&f, s));
        append(&f, more);
}

static void test_append(void **state) {
        _cleanup_log_file_ LogFile f = LOG_FILE_INIT;
        _cleanup_log_state_ LogState s = {};
        struct stat st;

        assert_ok(write_file_atomic_at(AT_FDCWD, LAYOUT_COMBINED_LOG, "somebody's", 10, 0600, 0));
        assert_ok(log_file_open(&f, &s));
        append(&f, "one\n");
        check_file(LAYOUT_COMBINED_LOG, "somebody's\none\n");
        assert_ok(log_file_sync(&f, &s));
        assert_int_equal(s.length, 15);
        assert_ok(log_file_clear(&f));
        append(&f, "two\n");
        check_file(LAYOUT_COMBINED_LOG, "two\n");
        assert_ok(unlink(LAYOUT_COMBINED_LOG));
        assert_int_equal(log_file_follow(&f), 1);
        assert_int_equal(log_file_follow(&f), 0);
        append(&f, "three\n");
        check_file(LAYOUT_COMBINED_LOG, "three\n");
        assert_ok(stat(LAYOUT_COMBINED_LOG, &st));
        assert_int_equal(st.st_mode & 07777 & ~0027, 0640);
}

/* Each way in which a writer can have been killed, by what the next one finds. */
static void test_killed(void **state) {
        static const struct {
                const char *more;               /* behind what was saved */
                const char *first, *second;     /* what the next one has to write, in two parts */
                const char *result;
        } cases[] = {
                { "", "b\nc\n", "d\n", "a\nb\nc\nd\n" },
                { "b\n", "b\nc\n", "d\n", "a\nb\nc\nd\n" },
                { "b\nc\n", "b\nc\n", "d\n", "a\nb\nc\nd\n" },
                { "b\nc\nd\n", "b\nc\n", "d\n", "a\nb\nc\nd\n" },
                { "b\nlong", "b\nlong line\n", "d\n", "a\nb\nlong line\nd\n" },
                /* A power cut has left something else there. */
                { "b\nxyz\n", "b\nc\n", "d\n", "a\nb\nc\nd\n" },
                { "b\nc\nxyz", "b\nc\n", "d\n", "a\nb\nc\nd\n" },
                /* The journal has less than the file. */
                { "b\nc\nd\ne\nf", "b\n", "c\n", "a\nb\nc\nd\ne\n" },
                { "b\nc", "b\n", "", "a\nb\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_log_file_ LogFile f = LOG_FILE_INIT;
                _cleanup_log_state_ LogState s = {};

                (void) unlink(LAYOUT_COMBINED_LOG);
                leave(&s, "a\n", cases[i].more);
                assert_ok(log_file_open(&f, &s));
                append(&f, cases[i].first);
                append(&f, cases[i].second);
                assert_ok(log_file_settle(&f));
                check_file(LAYOUT_COMBINED_LOG, cases[i].result);
        }
}

static void test_killed_and_rotated(void **state) {
        _cleanup_log_file_ LogFile f = LOG_FILE_INIT, g = LOG_FILE_INIT, h = LOG_FILE_INIT;
        _cleanup_log_state_ LogState s = {};

        leave(&s, "a\n", "b\nlo");
        assert_ok(rename(LAYOUT_COMBINED_LOG, "combined.log.1"));
        assert_ok(log_file_open(&f, &s));
        append(&f, "b\nlong\nd\n");
        check_file("combined.log.1", "a\nb\n");
        check_file(LAYOUT_COMBINED_LOG, "long\nd\n");

        /* The file of then has gone. */
        assert_ok(unlink("combined.log.1"));
        assert_ok(log_file_open(&g, &s));
        append(&g, "e\n");
        check_file(LAYOUT_COMBINED_LOG, "long\nd\ne\n");

        /* It was emptied. */
        assert_ok(log_file_sync(&g, &s));
        assert_ok(truncate(LAYOUT_COMBINED_LOG, 0));
        assert_ok(log_file_open(&h, &s));
        append(&h, "f\n");
        check_file(LAYOUT_COMBINED_LOG, "f\n");
}

/* A full disk, by RLIMIT_FSIZE: the first part of a line fits. */
static void test_full(void **state) {
        const struct rlimit small = { 6, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
        _cleanup_log_file_ LogFile f = LOG_FILE_INIT;

        (void) signal(SIGXFSZ, SIG_IGN);
        assert_ok(log_file_open(&f, &(LogState) {}));
        assert_ok(setrlimit(RLIMIT_FSIZE, &small));
        strbuf_adds(&f.out, "one\ntwo\nthree\n");
        assert_error(log_file_flush(&f), EFBIG);
        check_file(LAYOUT_COMBINED_LOG, "one\ntw");
        assert_error(log_file_flush(&f), EFBIG);
        /* Rotated meanwhile: the line is whole in the new file. */
        assert_ok(rename(LAYOUT_COMBINED_LOG, "combined.log.1"));
        assert_int_equal(log_file_follow(&f), 1);
        assert_ok(setrlimit(RLIMIT_FSIZE, &none));
        assert_ok(log_file_flush(&f));
        check_file("combined.log.1", "one\n");
        check_file(LAYOUT_COMBINED_LOG, "two\nthree\n");

        /* Emptied meanwhile: likewise. */
        assert_ok(setrlimit(RLIMIT_FSIZE, &(struct rlimit) { 12, RLIM_INFINITY }));
        strbuf_adds(&f.out, "four\n");
        assert_error(log_file_flush(&f), EFBIG);
        assert_ok(log_file_clear(&f));
        assert_ok(log_file_flush(&f));
        assert_ok(setrlimit(RLIMIT_FSIZE, &none));
        check_file(LAYOUT_COMBINED_LOG, "four\n");
}

static void test_planted(void **state) {
        _cleanup_log_file_ LogFile f = LOG_FILE_INIT, g = LOG_FILE_INIT, h = LOG_FILE_INIT;
        const LogState s = {};

        assert_ok(write_file_atomic_at(AT_FDCWD, "victim", "v\n", 2, 0600, 0));
        assert_ok(symlink("victim", LAYOUT_COMBINED_LOG));
        assert_error(log_file_open(&f, &s), ELOOP);
        assert_ok(unlink(LAYOUT_COMBINED_LOG));
        assert_ok(mkfifo(LAYOUT_COMBINED_LOG, 0600));
        assert_error(log_file_open(&g, &s), EBADF);
        assert_ok(unlink(LAYOUT_COMBINED_LOG));
        assert_int_equal(log_file_open(&g, &s), 1);
        append(&g, "again\n");
        check_file(LAYOUT_COMBINED_LOG, "again\n");
        assert_ok(unlink(LAYOUT_COMBINED_LOG));

        assert_ok(log_file_open(&h, &s));
        append(&h, "one\n");
        assert_ok(unlink(LAYOUT_COMBINED_LOG));
        assert_ok(symlink("victim", LAYOUT_COMBINED_LOG));
        assert_error(log_file_follow(&h), ELOOP);
        check_file("victim", "v\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_append, setup, teardown),
                cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_killed_and_rotated, setup, teardown),
                cmocka_unit_test_setup_teardown(test_full, setup, teardown),
                cmocka_unit_test_setup_teardown(test_planted, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
