/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "layout/layout.h"
#include "test.h"
#include "unitfiles/unit-writer.h"

/* The units of a VM that is defined by these, with or without the links of [Install]. */
static void make_units(const char *name, uint64_t memory, bool install, UnitFiles *ret) {
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
        if (install)
                assert_ok(unit_files_add_install(ret, &d));
}

static void units_of(const char *name, uint64_t memory, UnitFiles *ret) {
        make_units(name, memory, true, ret);
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
        char dir[] = "/tmp/test-unitfiles.XXXXXX";
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
        char dir[] = "/tmp/test-unitfiles.XXXXXX";
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
        char dir[] = "/tmp/test-unitfiles.XXXXXX";
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

static void own_units_of(const char *name, uint64_t memory, UnitFiles *ret) {
        make_units(name, memory, false, ret);
}

static bool is_there(int fd, const char *path) {
        return faccessat(fd, path, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

static void put(int fd, const char *path, const char *text) {
        assert_ok(mkdir_parent_of_at(fd, path, 0755));
        assert_ok(write_file_atomic_at(fd, path, text, strlen(text), 0644, 0));
}

static void test_place(void **state) {
        char dir[] = "/tmp/test-unitfiles.XXXXXX";
        _cleanup_unit_files_ UnitFiles small = {}, large = {};
        _cleanup_close_ int fd = -EBADF;

        make_dir(dir, &fd);
        own_units_of("web", MIB(64), &small);
        own_units_of("web", MIB(4096), &large);
        assert_ok(unit_files_place(fd, &large));
        assert_written(&large, fd);
        assert_ok(unit_files_place(fd, &small));
        assert_written(&small, fd);
        assert_ok(unit_files_remove(fd));
        assert_ok(rmdir(dir));
}

/* What others have put under our names stays, and what a killed unit_files_place() has left goes. */
static void test_remove(void **state) {
        static const char *const others[] = {
                "inferno@own.service.d/50-inferno.conf", "inferno-own.slice", "inferno@web.service.d/60-mine.conf", "inferno@web.service.d/.#x.swp",
                "other@web.service.d/50-inferno.conf", ".#inferno.slice.abcdef", "web.service",
        };
        static const char *const leftovers[] = { ".#inferno-default-web.slice.abcdef", "inferno@killed.service.d/.#50-inferno.conf.abcdef" };
        char dir[] = "/tmp/test-unitfiles.XXXXXX";
        _cleanup_unit_files_ UnitFiles files = {};
        _cleanup_close_ int fd = -EBADF, lock_fd = -EBADF;

        make_dir(dir, &fd);
        own_units_of("web", MIB(64), &files);
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                put(fd, others[i], streq(others[i], "other@web.service.d/50-inferno.conf") ? UNIT_FILES_MARK "\n" : "# mine\n");
        for (size_t i = 0; i < ELEMENTSOF(leftovers); i++)
                put(fd, leftovers[i], "");
        assert_ok(mkdir_parents_at(fd, "inferno@dir.service.d/50-inferno.conf", 0755));
        assert_ok(unit_files_place(fd, &files));

        /* While somebody writes there, temporary files may be in use. */
        lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(flock(lock_fd, LOCK_SH));
        assert_ok(unit_files_remove(fd));
        assert_false(is_there(fd, "inferno@web.service.d/50-inferno.conf"));
        assert_false(is_there(fd, "inferno-default-web.slice"));
        for (size_t i = 0; i < ELEMENTSOF(leftovers); i++)
                assert_true(is_there(fd, leftovers[i]));
        assert_ok(mkdir_parents_at(fd, "inferno@empty.service.d", 0755));
        assert_ok(unit_files_remove(fd));
        assert_true(is_there(fd, "inferno@empty.service.d"));

        lock_fd = safe_close(lock_fd);
        assert_ok(unit_files_remove(fd));
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                assert_true(is_there(fd, others[i]));
        for (size_t i = 0; i < ELEMENTSOF(leftovers); i++)
                assert_false(is_there(fd, leftovers[i]));
        assert_false(is_there(fd, "inferno@killed.service.d"));
        assert_false(is_there(fd, "inferno@empty.service.d"));
        assert_true(is_there(fd, "inferno@dir.service.d/50-inferno.conf"));
        assert_ok(remove_tree_at(AT_FDCWD, dir));
}

/* One places again and again while another removes: nobody fails, and what stands there is whole. */
static void test_place_and_remove_at_once(void **state) {
        char dir[] = "/tmp/test-unitfiles.XXXXXX";
        _cleanup_unit_files_ UnitFiles files = {};
        _cleanup_close_ int fd = -EBADF;
        int wstatus;
        pid_t pid;

        make_dir(dir, &fd);
        own_units_of("web", MIB(64), &files);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                int r = 0;

                for (unsigned i = 0; i < 500 && r >= 0; i++)
                        r = unit_files_place(fd, &files);
                _exit(r < 0);
        }
        while (waitpid(pid, &wstatus, WNOHANG) == 0)
                assert_ok(unit_files_remove(fd));
        assert_true(WIFEXITED(wstatus) && WEXITSTATUS(wstatus) == 0);
        assert_ok(unit_files_place(fd, &files));
        assert_written(&files, fd);
        assert_ok(unit_files_remove(fd));
        assert_ok(rmdir(dir));
}

static int compare(const char *loaded, unsigned vcpu_millis, const char *tenant, uint64_t stop_timeout_usec, const char *jailer, size_t n_pass) {
        PassThrough pass[] = {
                { .section = "Install", .key = (char *) "WantedBy", .value = (char *) "multi-user.target" },
                { .section = "Slice", .key = (char *) "IOWeight", .value = (char *) "50" },
        };
        SiteConfig site = { .jailer = (char *) jailer, .vmm_overhead_ember = MIB(256) };
        Definition d = {
                .name = (char *) "web", .path = (char *) "/etc/inferno/vms/web.vm", .tenant = (char *) tenant, .vcpu_millis = vcpu_millis,
                .memory = MIB(512), .stop_timeout_usec = stop_timeout_usec, .pass = pass, .n_pass = n_pass,
        };
        _cleanup_unit_files_ UnitFiles files = {};

        if (loaded)
                return unit_files_compare(loaded, &d, &site);
        /* The digest is what its own drop-in says. */
        assert_ok(unit_files_add(&files, &d, &site));
        assert_int_equal(strlen(files.digest), UNIT_FILES_DIGEST_SIZE - 1);
        assert_non_null(strstr(files.items[0].content, files.digest));
        return unit_files_compare(files.digest, &d, &site);
}

static void test_compare(void **state) {
        const uint64_t second = USEC_PER_SEC;

        assert_int_equal(compare(NULL, 1000, "default", 10 * second, LAYOUT_JAILER, 1), UNITS_CURRENT);
        assert_int_equal(compare(NULL, 500, "acme", 60 * second, "/usr/bin/jailer", 2), UNITS_CURRENT);
        assert_int_equal(compare("0123456789abcdef", 1000, "default", 10 * second, LAYOUT_JAILER, 1), UNITS_OLDER);
        assert_int_equal(compare("", 1000, "default", 10 * second, LAYOUT_JAILER, 1), UNITS_OLDER);

        assert_int_equal(compare("template", 1000, "default", 10 * second, LAYOUT_JAILER, 0), UNITS_WITHOUT_LIMITS);
        assert_int_equal(compare("template", 2000, "default", 5 * second, LAYOUT_JAILER, 1), UNITS_WITHOUT_LIMITS);
        assert_int_equal(compare("template", 1500, "default", 10 * second, LAYOUT_JAILER, 0), UNITS_MISSING);
        assert_int_equal(compare("template", 1000, "acme", 10 * second, LAYOUT_JAILER, 0), UNITS_MISSING);
        assert_int_equal(compare("template", 1000, "default", 11 * second, LAYOUT_JAILER, 0), UNITS_MISSING);
        assert_int_equal(compare("template", 1000, "default", 10 * second, "/usr/bin/jailer", 0), UNITS_MISSING);
        assert_int_equal(compare("template", 1000, "default", 10 * second, LAYOUT_JAILER, 2), UNITS_MISSING);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_write),
                cmocka_unit_test(test_write_alike),
                cmocka_unit_test(test_two_at_once),
                cmocka_unit_test(test_place),
                cmocka_unit_test(test_remove),
                cmocka_unit_test(test_place_and_remove_at_once),
                cmocka_unit_test(test_compare),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
