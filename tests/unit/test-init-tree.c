/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/etc.h"
#include "init/tree.h"
#include "test.h"

/* The image is below "root"; "outside" is what must stay as it is. */
typedef struct Fixture {
        char dir[32];
        int fd, root_fd;
} Fixture;

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));

        (void) umask(0);
        strcpy(f->dir, "/tmp/test-init-tree.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(mkdirat(f->fd, "root", 0755));
        assert_ok(mkdirat(f->fd, "outside", 0755));
        f->root_fd = openat(f->fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->root_fd >= 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        assert_int_equal(unlinkat(f->fd, "outside", AT_REMOVEDIR), 0);  /* it is empty still */
        safe_close(f->root_fd);
        safe_close(f->fd);
        assert_ok(remove_tree_at(AT_FDCWD, f->dir));
        free(f);
        return 0;
}

static void assert_content(int dir_fd, const char *path, const char *expected) {
        _cleanup_free_ char *s = NULL;
        size_t n;

        assert_ok(read_file_at(dir_fd, path, 4096, &s, &n));
        assert_string_equal(s, expected);
}

static void test_write(void **state) {
        Fixture *f = *state;
        struct stat st;

        assert_ok(tree_write_file(f->root_fd, "/etc/hosts", 0644, "a\n", 2));
        assert_content(f->root_fd, "etc/hosts", "a\n");
        assert_ok(tree_write_file(f->root_fd, "/etc/hosts", 0600, "b", 1));
        assert_content(f->root_fd, "etc/hosts", "b");
        assert_ok(fstatat(f->root_fd, "etc/hosts", &st, 0));
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_ok(tree_write_file(f->root_fd, "/a/b/c/d", 0755, "", 0));
        assert_content(f->root_fd, "a/b/c/d", "");
        assert_ok(tree_write_file(f->root_fd, "/top", 0644, "t", 1));
        assert_content(f->root_fd, "top", "t");
}

/* What an image can plant in the way. */
static void test_symlinks(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *outside = strf("%s/outside", f->dir), *outside_file = strf("%s/outside/file", f->dir);
        struct stat st;

        assert_ok(symlinkat(outside, f->root_fd, "etc"));
        assert_error(tree_write_file(f->root_fd, "/etc/hosts", 0644, "a", 1), ENOENT);
        assert_ok(unlinkat(f->root_fd, "etc", 0));

        assert_ok(symlinkat("../../../../..", f->root_fd, "etc"));
        assert_ok(tree_write_file(f->root_fd, "/etc/hosts", 0644, "a", 1));
        assert_content(f->root_fd, "hosts", "a");
        assert_ok(unlinkat(f->root_fd, "etc", 0));

        assert_ok(mkdirat(f->root_fd, "real", 0755));
        assert_ok(symlinkat("/real", f->root_fd, "etc"));
        assert_ok(symlinkat(outside_file, f->root_fd, "real/hosts"));
        assert_ok(tree_write_file(f->root_fd, "/etc/hosts", 0644, "b", 1));
        assert_ok(fstatat(f->root_fd, "real/hosts", &st, AT_SYMLINK_NOFOLLOW));
        assert_true(S_ISREG(st.st_mode));
        assert_content(f->root_fd, "real/hosts", "b");

        assert_ok(symlinkat("loop", f->root_fd, "loop"));
        assert_error(tree_write_file(f->root_fd, "/loop/x", 0644, "b", 1), ELOOP);
}

static void test_other_types(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *s = NULL;
        size_t n;

        assert_ok(mkdirat(f->root_fd, "etc", 0755));
        assert_ok(mkfifoat(f->root_fd, "etc/hosts", 0644));
        assert_ok(mkfifoat(f->root_fd, "etc/passwd", 0644));
        assert_ok(mkdirat(f->root_fd, "etc/resolv.conf", 0755));
        assert_error(tree_read_file(f->root_fd, "/etc/passwd", 4096, &s, &n), EBADF);
        assert_error(tree_read_file(f->root_fd, "/etc/resolv.conf", 4096, &s, &n), EISDIR);
        assert_error(tree_read_file(f->root_fd, "/etc/group", 4096, &s, &n), ENOENT);
        assert_ok(tree_write_file(f->root_fd, "/etc/hosts", 0644, "a", 1));
        assert_content(f->root_fd, "etc/hosts", "a");
        assert_error(tree_write_file(f->root_fd, "/etc/resolv.conf", 0644, "a", 1), EISDIR);
        assert_error(tree_write_file(f->root_fd, "/etc/hosts/x", 0644, "a", 1), ENOTDIR);
        assert_ok(tree_read_file(f->root_fd, "/etc/hosts", 1, &s, &n));
        assert_string_equal(s, "a");
        free(TAKE_PTR(s));
        assert_error(tree_read_file(f->root_fd, "/etc/hosts", 0, &s, &n), EFBIG);
}

static void test_directories(void **state) {
        Fixture *f = *state;
        int fd;

        fd = tree_open_directory(f->root_fd, "/", 0755);
        assert_true(fd >= 0);
        safe_close(fd);
        fd = tree_open_directory(f->root_fd, "/srv/www/../data", 0750);
        assert_true(fd >= 0);
        assert_int_equal(tree_directory_is_empty(fd), 1);
        assert_ok(mkdirat(fd, "x", 0755));
        assert_int_equal(tree_directory_is_empty(fd), 0);
        safe_close(fd);
        assert_ok(faccessat(f->root_fd, "srv/data/x", F_OK, 0));
        assert_ok(symlinkat("/nowhere", f->root_fd, "dangling"));
        assert_error(tree_open_directory(f->root_fd, "/dangling", 0755), ENOENT);
}

static void test_mount_points(void **state) {
        Fixture *f = *state;
        struct stat st;
        int fd;

        assert_ok(symlinkat("../outside", f->root_fd, "dev"));
        assert_ok(write_file_atomic_at(f->root_fd, "proc", "x", 1, 0644, 0));
        for (size_t i = 0; i < 3; i++) {
                const char *name = ((const char *[]) { "dev", "proc", "sys" })[i];

                fd = tree_open_mount_point(f->root_fd, name, 0555);
                assert_true(fd >= 0);
                safe_close(fd);
                assert_ok(fstatat(f->root_fd, name, &st, AT_SYMLINK_NOFOLLOW));
                assert_true(S_ISDIR(st.st_mode));
        }
}

static void test_etc(void **state) {
        static const char text[] =
                "{\"id\":\"web1\",\"hostname\":\"web1\",\"process\":{\"cmd\":\"true\"},\"mounts\":{\"root\":{\"device\":\"/dev/vda\","
                "\"fs_type\":\"squashfs\"},\"upper\":{\"device\":\"/dev/vdb\",\"fs_type\":\"ext4\"}},"
                "\"ips\":[{\"ip\":\"172.16.0.2\",\"gateway\":\"172.16.0.1\",\"mask\":30}],"
                "\"etc_hosts\":[{\"host\":\"db\",\"ip\":\"172.16.0.6\"}],\"etc_resolv\":{\"nameservers\":[\"9.9.9.9\",\"2620:fe::fe\"]},"
                "\"files\":[{\"path\":\"/run/secrets/key\",\"mode\":256,\"content\":\"k\"}]}";
        _cleanup_(run_spec_freep) RunSpec *spec = NULL;
        char error[JSON_ERROR_MAX];
        Fixture *f = *state;
        Failure failure;

        assert_ok(run_spec_parse(text, strlen(text), &spec, error));
        assert_ok(etc_set_up(spec, f->root_fd, &failure));
        assert_content(f->root_fd, "etc/hostname", "web1\n");
        assert_content(f->root_fd, "etc/resolv.conf", "nameserver 9.9.9.9\nnameserver 2620:fe::fe\n");
        assert_content(f->root_fd, "etc/hosts",
                "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n"
                "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n172.16.0.2\tweb1\n172.16.0.6\tdb\n");
        assert_content(f->root_fd, "run/secrets/key", "k");

        assert_ok(unlinkat(f->root_fd, "etc/hosts", 0));
        assert_ok(mkdirat(f->root_fd, "etc/hosts", 0755));
        assert_error(etc_set_up(spec, f->root_fd, &failure), EISDIR);
        assert_string_equal(failure.message, "cannot write \"/etc/hosts\" into the image: Is a directory");
        assert_int_equal(failure.exit_code, 125);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_write, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_symlinks, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_other_types, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_directories, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_mount_points, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_etc, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
