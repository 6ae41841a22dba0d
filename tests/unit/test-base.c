/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/subprocess.h"
#include "test.h"

static void test_parse_numbers(void **state) {
        uint64_t v = 7;
        unsigned u = 7;

        assert_ok(parse_u64("18446744073709551615", &v));
        assert_true(v == UINT64_MAX);
        assert_error(parse_u64("18446744073709551616", &v), ERANGE);
        assert_error(parse_u64("", &v), EINVAL);
        assert_error(parse_u64("-1", &v), EINVAL);
        assert_error(parse_u64(" 1", &v), EINVAL);
        assert_error(parse_u64("0x10", &v), EINVAL);
        assert_true(v == UINT64_MAX);
        assert_error(parse_uint("4294967296", &u), ERANGE);
        assert_int_equal(u, 7);
}

static void test_parse_sizes(void **state) {
        uint64_t v;

        assert_ok(parse_size("512M", &v));
        assert_true(v == MIB(512));
        assert_ok(parse_size("1.5G", &v));
        assert_true(v == MIB(1536));
        assert_ok(parse_size("100", &v));
        assert_true(v == 100);
        assert_error(parse_size("1Q", &v), EINVAL);
        assert_error(parse_size("1MB", &v), EINVAL);
        assert_error(parse_size("M", &v), EINVAL);
        assert_error(parse_size("1.", &v), EINVAL);
        assert_error(parse_size("99999999P", &v), ERANGE);
}

static void test_parse_spans(void **state) {
        uint64_t v;

        assert_ok(parse_usec("90", &v));
        assert_true(v == 90 * USEC_PER_SEC);
        assert_ok(parse_usec("1min 30s", &v));
        assert_true(v == 90 * USEC_PER_SEC);
        assert_ok(parse_usec("1min30", &v));
        assert_true(v == 90 * USEC_PER_SEC);
        assert_ok(parse_usec("0.5s", &v));
        assert_true(v == 500000);
        assert_ok(parse_usec("infinity", &v));
        assert_true(v == UINT64_MAX);
        assert_error(parse_usec("", &v), EINVAL);
        assert_error(parse_usec("5 parsecs", &v), EINVAL);
        assert_error(parse_usec("99999999999999999999", &v), ERANGE);
}

static void test_parse_signals(void **state) {
        assert_int_equal(parse_signal("SIGTERM"), 15);
        assert_int_equal(parse_signal("TERM"), 15);
        assert_int_equal(parse_signal("15"), 15);
        assert_int_equal(parse_signal("SIGRTMIN+3"), 37);
        assert_error(parse_signal("0"), EINVAL);
        assert_error(parse_signal("65"), EINVAL);
        assert_error(parse_signal("SIGNOPE"), EINVAL);
        assert_string_equal(signal_to_string(15), "SIGTERM");
        assert_string_equal(signal_to_string(37), "SIGRTMIN+3");
        assert_null(signal_to_string(0));
}

static void test_names(void **state) {
        char name[66];

        assert_true(vm_name_is_valid("web1"));
        assert_true(vm_name_is_valid("a.b-c_d"));
        assert_false(vm_name_is_valid(""));
        assert_false(vm_name_is_valid(".."));
        assert_false(vm_name_is_valid("-x"));
        assert_false(vm_name_is_valid("kiln"));
        assert_false(vm_name_is_valid("a/b"));
        assert_false(vm_name_is_valid("%i"));
        assert_false(vm_name_is_valid("\xc3\xa4"));
        assert_false(vm_name_is_valid("."));
        assert_false(vm_name_is_valid("a b"));
        assert_false(vm_name_is_valid("a\\x2db"));
        assert_false(vm_name_is_valid("a\n"));
        assert_false(vm_name_is_valid("web1.service"));
        assert_false(vm_name_is_valid("web1.automount"));
        assert_true(vm_name_is_valid("web1.servicex"));
        assert_true(vm_name_is_valid("service"));
        memset(name, 'a', sizeof(name));
        name[63] = 0;
        assert_true(vm_name_is_valid(name));
        name[63] = 'a';
        name[64] = 0;
        assert_false(vm_name_is_valid(name));

        assert_true(hostname_is_valid("web-1.example.org"));
        assert_false(hostname_is_valid("-web"));
        assert_false(hostname_is_valid("web-"));
        assert_false(hostname_is_valid("a..b"));
        assert_false(hostname_is_valid("a-.b"));
        assert_true(ulid_is_valid("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        assert_false(ulid_is_valid("81ARZ3NDEKTSV4RRFFQ69G5FAV"));
        assert_false(ulid_is_valid("01arz3ndektsv4rrffq69g5fav"));
}

static void test_files(void **state) {
        char dir[] = "/tmp/test-base.XXXXXX";
        _cleanup_close_ int fd = -EBADF, outside = -EBADF;
        _cleanup_free_ char *content = NULL;
        struct stat st;
        size_t n;

        assert_non_null(mkdtemp(dir));
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(fd);

        assert_ok(mkdir_parents_at(fd, "a/b/c", 0755));
        assert_ok(write_file_atomic_at(fd, "a/b/f", "hello", 5, 0640, WRITE_FILE_SYNC));
        assert_ok(read_file_at(fd, "a/b/f", 100, &content, &n));
        assert_int_equal(n, 5);
        assert_string_equal(content, "hello");
        assert_ok(fstatat(fd, "a/b/f", &st, 0));
        assert_int_equal(st.st_mode & 07777, 0640);
        assert_error(read_file_at(fd, "a/b/f", 4, &content, &n), EFBIG);
        assert_error(read_file_at(fd, "a/b", 4, &content, &n), EISDIR);

        /* What a writer that was killed has left is the next one's, whatever it is, or goes. */
        assert_ok(symlinkat("nowhere", fd, "a/b/.#f"));
        assert_ok(write_file_atomic_at(fd, "a/b/f", "again", 5, 0640, WRITE_FILE_LOCKED));
        assert_int_equal(faccessat(fd, "a/b/.#f", F_OK, AT_SYMLINK_NOFOLLOW), -1);
        assert_ok(write_file_atomic_at(fd, "a/b/.#link", "half", 4, 0640, 0));
        assert_ok(symlink_atomic_at("f", fd, "a/b/link", WRITE_FILE_LOCKED));
        assert_int_equal(faccessat(fd, "a/b/.#link", F_OK, AT_SYMLINK_NOFOLLOW), -1);
        assert_ok(write_file_atomic_at(fd, "a/b/.#link", "half", 4, 0640, 0));
        assert_ok(remove_temporary_at(fd, "a/b/link"));
        assert_ok(remove_temporary_at(fd, "a/b/link"));
        assert_int_equal(faccessat(fd, "a/b/.#link", F_OK, AT_SYMLINK_NOFOLLOW), -1);
        assert_ok(faccessat(fd, "a/b/link", F_OK, 0));
        assert_ok(remove_temporary_at(fd, "a/none/link"));

        /* Neither a symlink nor ".." leads out, and removing a tree does not follow one. */
        assert_ok(mkdirat(fd, "outside", 0755));
        assert_ok(write_file_atomic_at(fd, "outside/keep", "x", 1, 0644, 0));
        assert_ok(symlinkat("../outside", fd, "a/link"));
        outside = openat(fd, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_error(open_beneath(outside, "link/keep", O_RDONLY, 0), ELOOP);
        assert_error(open_beneath(outside, "../outside/keep", O_RDONLY, 0), EXDEV);
        assert_ok(remove_tree_at(fd, "a"));
        assert_int_equal(faccessat(fd, "a", F_OK, 0), -1);
        assert_ok(faccessat(fd, "outside/keep", F_OK, 0));
        assert_ok(remove_tree_at(fd, "a"));
        assert_ok(remove_tree_at(AT_FDCWD, dir));
}

static void test_strbuf(void **state) {
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_free_ char *s = NULL;
        size_t n;

        for (int i = 0; i < 1000; i++)
                strbuf_addf(&b, "%d,", i);
        assert_ok(strbuf_finish(&b, &s, &n));
        assert_int_equal(n, 10 * 2 + 90 * 3 + 900 * 4);
        assert_null(b.data);
}

/* The kernel gives a ".." up where anything is renamed meanwhile, wherever that is. */
static void test_open_while_others_rename(void **state) {
        char dir[] = "/tmp/test-base.XXXXXX";
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        int status;
        pid_t pid;

        assert_non_null(mkdtemp(dir));
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(mkdir_parents_at(dir_fd, "a/b", 0755));
        assert_ok(mkdir_parents_at(dir_fd, "moving", 0755));
        pid = fork();
        assert_ok(pid);
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;) {
                        (void) renameat(dir_fd, "moving", dir_fd, "moved");
                        (void) renameat(dir_fd, "moved", dir_fd, "moving");
                }
        }
        for (int i = 0; i < 100000; i++) {
                fd = open_in_root(dir_fd, i % 2 ? "/a/b/../../a/../../../a/b" : "a/../a/../a/b/..", O_PATH | O_DIRECTORY);
                assert_ok(fd);
                fd = safe_close(fd);
        }
        assert_ok(kill(pid, SIGKILL));
        assert_true(waitpid(pid, &status, 0) == pid);
        assert_error(open_in_root(dir_fd, "a/../../../../etc/passwd", O_PATH), ENOENT);
        assert_ok(remove_tree_at(AT_FDCWD, dir));
}

static void test_base64(void **state) {
        static const struct {
                const char *plain, *text;
        } cases[] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "\xff\xfe\xfd", "//79" } };
        static const char *const wrong[] = { "Zg=", "Zg", "Z===", "====", "Zg==Zg==", "Zh==", "Zm9=", "Zm9 ", "Z-_v", "Zm\0v" };
        char text[16], plain[16];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                size_t n = strlen(cases[i].plain), m = strlen(cases[i].text);

                assert_int_equal(BASE64_SIZE(n), m);
                base64_encode(cases[i].plain, n, text);
                assert_memory_equal(text, cases[i].text, m);
                assert_int_equal(base64_decode(cases[i].text, m, plain, sizeof(plain)), n);
                assert_memory_equal(plain, cases[i].plain, n);
        }
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_error(base64_decode(wrong[i], i == ELEMENTSOF(wrong) - 1 ? 4 : strlen(wrong[i]), plain, sizeof(plain)), EINVAL);
        assert_error(base64_decode("Zm9v", 4, plain, 2), ENOBUFS);
}

static void test_spawn(void **state) {
        const char *const fails[] = { "/bin/sh", "-c", "echo out; echo first >&2; printf '  second %s\n\n' \"$WORD\" >&2; cat; exit 5", NULL };
        const char *const dies[] = { "/bin/sh", "-c", "kill -9 $$", NULL };
        const char *const prints_much[] = { "/bin/sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; echo x >&2", NULL };
        const char *const is_missing[] = { "/nonexistent/program", NULL };
        const char *const environment[] = { "WORD=word", NULL };
        _cleanup_free_ char *out = NULL, *err = NULL, *much = NULL;

        assert_int_equal(spawn_run(fails, environment, &out, &err), 5);
        assert_string_equal(out, "out\n");
        assert_string_equal(spawn_last_line(err), "second word");
        assert_int_equal(spawn_run(dies, NULL, NULL, NULL), 128 + SIGKILL);
        assert_int_equal(spawn_run(prints_much, NULL, &much, NULL), 0);
        assert_int_equal(strlen(much), SPAWN_TEXT_MAX);
        assert_error(spawn_run(is_missing, NULL, NULL, NULL), ENOENT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_spawn),
                cmocka_unit_test(test_base64),
                cmocka_unit_test(test_parse_numbers),
                cmocka_unit_test(test_parse_sizes),
                cmocka_unit_test(test_parse_spans),
                cmocka_unit_test(test_parse_signals),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_files),
                cmocka_unit_test(test_open_while_others_rename),
                cmocka_unit_test(test_strbuf),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
