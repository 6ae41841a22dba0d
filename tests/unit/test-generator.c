/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each folder of tests/golden/generator has a tree with definitions, root/, and what --dry-run prints of it, expected. */

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "generator/generator.h"
#include "layout/layout.h"
#include "test.h"

/* As --dry-run prints, with the place of the test tree taken out. */
static int collect(void *userdata, const UnitFiles *files) {
        StrBuf *b = userdata;

        for (size_t i = 0; i < files->n; i++) {
                const UnitFile *u = files->items + i;

                strbuf_addf(b, u->flags & UNIT_FILE_LINK ? "%s -> %s\n\n" : "# %s\n%s\n", u->path, u->content);
        }
        return 0;
}

static char *without(const char *text, const char *root) {
        StrBuf b = {};
        char *s;

        for (const char *p; (p = strstr(text, root)); text = p + strlen(root))
                strbuf_add(&b, text, (size_t) (p - text));
        strbuf_adds(&b, text);
        assert_ok(strbuf_finish(&b, &s, NULL));
        return s;
}

static void check_case(const char *folder, size_t problems_expected) {
        _cleanup_free_ char *root = strf("%s/tests/golden/generator/%s/root", getenv("INFERNO_SOURCE") ?: ".", folder);
        _cleanup_free_ char *path = strf("%s/tests/golden/generator/%s/expected", getenv("INFERNO_SOURCE") ?: ".", folder);
        _cleanup_free_ char *expected = NULL, *actual = NULL;
        _cleanup_strbuf_ StrBuf b = {};
        size_t problems;

        assert_ok(layout_set_root(root));
        assert_ok(generator_run(collect, &b, &problems));
        layout_set_root(NULL);
        actual = without(b.data ?: "", root);
        assert_int_equal(problems, problems_expected);
        assert_ok(read_file_at(AT_FDCWD, path, 1024 * 1024, &expected, NULL));
        assert_string_equal(actual, expected);
}

static void test_golden(void **state) {
        check_case("plain", 0);
        check_case("everything", 0);
        check_case("broken", 4);
        check_case("site-config", 0);
        check_case("wrong-site-config", 2);
}

/* The units of a VM that is defined by these, for the tests of writing. */
static void units_of(const char *name, uint64_t memory, UnitFiles *ret) {
        PassThrough pass[] = {
                { .section = "Install", .key = (char *) "WantedBy", .value = (char *) "multi-user.target" },
                { .section = "Service", .key = (char *) "Environment", .value = NULL },
        };
        _cleanup_free_ char *filler = calloc(1, memory / MIB(1) + 1), *path = strf("/etc/inferno/vms/%s.vm", name);
        SiteConfig site = { .jailer = (char *) LAYOUT_JAILER };
        Definition d = {
                .name = (char *) name, .path = path, .tenant = (char *) "default",
                .vcpu_millis = 1000, .memory = memory, .pass = pass, .n_pass = 2,
        };

        assert_non_null(path);
        /* Different memory makes content of different length. */
        memset(filler, 'x', memory / MIB(1));
        pass[1].value = filler;
        assert_ok(unit_files_add(ret, &d, &site));
        assert_ok(unit_files_add_install(ret, &d));
}

static void make_dir(char *template, int *ret_fd) {
        assert_non_null(mkdtemp(template));
        *ret_fd = open(template, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(*ret_fd);
}

/* Each call is a generator of its own. */
static int write_units(const UnitFiles *files, const char *dir) {
        _cleanup_(unit_writer_freep) UnitWriter *w = NULL;

        assert_ok(unit_writer_new(dir, &w));
        return unit_writer_write(w, files);
}

static void assert_written(const UnitFiles *files, int fd) {
        for (size_t i = 0; i < files->n; i++) {
                const UnitFile *u = files->items + i;
                _cleanup_free_ char *content = NULL;

                if (u->flags & UNIT_FILE_LINK) {
                        char target[256] = "";

                        assert_true(readlinkat(fd, u->path, target, sizeof(target) - 1) > 0);
                        assert_string_equal(target, u->content);
                } else {
                        assert_ok(read_file_at(fd, u->path, 1024 * 1024, &content, NULL));
                        assert_string_equal(content, u->content);
                }
        }
}

static void test_write(void **state) {
        char dir[] = "/tmp/test-generator.XXXXXX";
        _cleanup_unit_files_ UnitFiles small = {}, large = {};
        _cleanup_close_ int fd = -EBADF;

        make_dir(dir, &fd);
        units_of("web", MIB(64), &small);
        units_of("web", MIB(4096), &large);
        assert_int_equal(small.n, 3);
        /* What is there already is replaced, also by something shorter. */
        assert_ok(write_units(&large, dir));
        assert_written(&large, fd);
        assert_ok(write_units(&small, dir));
        assert_written(&small, fd);
        assert_ok(remove_tree_at(AT_FDCWD, dir));
}

/* VMs that are alike share what is written; each can be replaced without the others. */
static void test_write_alike(void **state) {
        static const char *const paths[] = { "inferno@a.service.d/50-inferno.conf", "inferno-default-a.slice" };
        _cleanup_unit_files_ UnitFiles a = {}, b = {}, c = {}, a_changed = {}, b_changed = {};
        _cleanup_(unit_writer_freep) UnitWriter *w = NULL, *again = NULL;
        char dir[] = "/tmp/test-generator.XXXXXX";
        _cleanup_close_ int fd = -EBADF;
        char target[256];
        struct stat st;

        make_dir(dir, &fd);
        units_of("a", MIB(64), &a);
        units_of("b", MIB(64), &b);
        units_of("c-d", MIB(64), &c);
        units_of("a", MIB(128), &a_changed);
        units_of("b", MIB(128), &b_changed);
        assert_ok(unit_writer_new(dir, &w));
        assert_ok(unit_writer_write(w, &a));
        assert_ok(unit_writer_write(w, &b));
        assert_ok(unit_writer_write(w, &c));
        assert_written(&a, fd);
        assert_written(&b, fd);
        assert_written(&c, fd);
        /* Absolute, for systemd passes relative links over. */
        assert_true(readlinkat(fd, "inferno@b.service.d", target, sizeof(target)) > 0);
        assert_int_equal(target[0], '/');
        assert_ok(fstatat(fd, "inferno-default-b.slice", &st, AT_SYMLINK_NOFOLLOW));
        assert_true(S_ISREG(st.st_mode) && st.st_nlink == 3);
        /* The name of its slice has an escape. */
        assert_ok(fstatat(fd, "inferno@c-d.service.d", &st, AT_SYMLINK_NOFOLLOW));
        assert_true(S_ISDIR(st.st_mode));
        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                assert_ok(faccessat(fd, paths[i], R_OK, 0));

        assert_ok(write_units(&b_changed, dir));
        assert_written(&b_changed, fd);
        assert_written(&a, fd);
        assert_ok(unit_writer_new(dir, &again));
        assert_ok(unit_writer_write(again, &a_changed));
        assert_ok(unit_writer_write(again, &b_changed));
        assert_written(&a_changed, fd);
        assert_written(&b_changed, fd);
        assert_written(&c, fd);
        assert_ok(remove_tree_at(AT_FDCWD, dir));
}

/* Two at once in one directory: each file is that of one or the other, whole. */
static void test_two_at_once(void **state) {
        char dir[] = "/tmp/test-generator.XXXXXX";
        _cleanup_unit_files_ UnitFiles small = {}, large = {};
        _cleanup_close_ int fd = -EBADF;
        int wstatus;
        pid_t pid;

        make_dir(dir, &fd);
        units_of("web", MIB(64), &small);
        units_of("web", MIB(16384), &large);
        for (unsigned round = 0; round < 100; round++) {
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0)
                        _exit(write_units(&small, dir) < 0);
                assert_ok(write_units(&large, dir));
                assert_true(waitpid(pid, &wstatus, 0) == pid && WIFEXITED(wstatus) && WEXITSTATUS(wstatus) == 0);
                for (size_t i = 0; i < small.n; i++) {
                        _cleanup_free_ char *content = NULL;

                        if (small.items[i].flags & UNIT_FILE_LINK)
                                continue;
                        assert_ok(read_file_at(fd, small.items[i].path, 1024 * 1024, &content, NULL));
                        assert_true(streq(content, small.items[i].content) || streq(content, large.items[i].content));
                }
                assert_ok(remove_tree_at(fd, "inferno@web.service.d"));
                assert_ok(unlinkat(fd, "inferno-default-web.slice", 0));
        }
        assert_ok(remove_tree_at(AT_FDCWD, dir));
}

static void test_remove(void **state) {
        char dir[] = "/tmp/test-generator.XXXXXX";
        _cleanup_unit_files_ UnitFiles files = {};
        _cleanup_close_ int fd = -EBADF;

        make_dir(dir, &fd);
        units_of("web", MIB(64), &files);
        assert_ok(write_units(&files, dir));
        assert_ok(mkdir_parents_at(fd, "inferno@own.service.d", 0755));
        assert_ok(write_file_atomic_at(fd, "inferno@own.service.d/50-inferno.conf", "# mine\n", 7, 0644, 0));
        assert_ok(write_file_atomic_at(fd, "inferno-own.slice", "", 0, 0644, 0));
        assert_ok(unit_files_remove(fd));
        assert_error(faccessat(fd, "inferno@web.service.d", F_OK, 0) < 0 ? -errno : 0, ENOENT);
        assert_error(faccessat(fd, "inferno-default-web.slice", F_OK, 0) < 0 ? -errno : 0, ENOENT);
        assert_ok(faccessat(fd, "inferno@own.service.d/50-inferno.conf", F_OK, 0));
        assert_ok(faccessat(fd, "inferno-own.slice", F_OK, 0));

        /* The administrator's drop-in beside ours stays. */
        assert_ok(write_units(&files, dir));
        assert_ok(write_file_atomic_at(fd, "inferno@web.service.d/60-mine.conf", "", 0, 0644, 0));
        assert_ok(unit_files_remove(fd));
        assert_ok(faccessat(fd, "inferno@web.service.d/60-mine.conf", F_OK, 0));
        assert_error(faccessat(fd, "inferno@web.service.d/50-inferno.conf", F_OK, 0) < 0 ? -errno : 0, ENOENT);
        assert_ok(remove_tree_at(AT_FDCWD, dir));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),
                cmocka_unit_test(test_write),
                cmocka_unit_test(test_write_alike),
                cmocka_unit_test(test_two_at_once),
                cmocka_unit_test(test_remove),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
