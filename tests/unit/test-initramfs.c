/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "helpers/initramfs.h"
#include "layout/layout.h"
#include "squash-reader.h"
#include "test.h"

typedef struct Fixture {
        char root[40];
} Fixture;

static void put_init(const char *text) {
        _cleanup_free_ char *p = layout_path(LAYOUT_INIT);

        assert_ok(mkdir_parent_of_at(AT_FDCWD, p, 0755));
        assert_ok(write_file_atomic_at(AT_FDCWD, p, text, strlen(text), 0755, 0));
}

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));

        strcpy(f->root, "/tmp/test-initramfs.XXXXXX");
        assert_non_null(mkdtemp(f->root));
        assert_ok(layout_set_root(f->root));
        put_init("\177ELF of a kind");
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        assert_ok(layout_set_root(NULL));
        assert_ok(remove_tree_at(AT_FDCWD, f->root));
        free(f);
        return 0;
}

static char *store(const char *vm, const char *run_json, int expected) {
        _cleanup_free_ char *error = NULL;
        char *path = NULL;

        assert_int_equal(initramfs_store(vm, run_json, strlen(run_json), NULL, &path, &error), expected);
        return path;
}

static void test_content(void **state) {
        static const char expected[] =
                "070701" "00000001" "000041ED" "00000000" "00000000" "00000002" "00000000" "00000000" "00000000" "00000000"
                "00000000" "00000000" "00000008" "00000000" "inferno\0\0\0"
                "070701" "00000002" "00008100" "00000000" "00000000" "00000001" "00000000" "00000009" "00000000" "00000000"
                "00000000" "00000000" "00000011" "00000000" "inferno/run.json\0\0" "{\"id\":1}\n\0\0\0"
                "070701" "00000003" "000081ED" "00000000" "00000000" "00000001" "00000000" "0000000E" "00000000" "00000000"
                "00000000" "00000000" "00000005" "00000000" "init\0\0" "\177ELF of a kind\0\0"
                "070701" "00000000" "00000000" "00000000" "00000000" "00000001" "00000000" "00000000" "00000000" "00000000"
                "00000000" "00000000" "0000000B" "00000000" "TRAILER!!!\0\0\0\0";
        _cleanup_free_ char *path = store("web1", "{\"id\":1}\n", INITRAMFS_BUILT), *got = NULL, *link = layout_vm_initramfs("web1");
        struct stat st, through_link;
        size_t n;

        assert_ok(read_file_at(AT_FDCWD, path, 4096, &got, &n));
        assert_int_equal(n, sizeof(expected) - 1);
        assert_memory_equal(got, expected, n);
        assert_ok(stat(path, &st));
        assert_int_equal(st.st_mode & 07777, 0444);
        assert_ok(stat(link, &through_link));
        assert_int_equal(st.st_ino, through_link.st_ino);
}

/* Once built it is left alone; other content has another name; what somebody cut short is made again. */
static void test_reuse(void **state) {
        _cleanup_free_ char *a = store("web1", "{}", INITRAMFS_BUILT), *b = NULL, *c = NULL, *d = NULL, *e = NULL;
        struct stat st, again;

        assert_ok(stat(a, &st));
        b = store("web1", "{}", INITRAMFS_REUSED);
        assert_string_equal(a, b);
        assert_ok(stat(b, &again));
        assert_int_equal(st.st_ino, again.st_ino);

        c = store("web1", "{ }", INITRAMFS_BUILT);
        assert_string_not_equal(a, c);
        assert_ok(truncate(a, 10));
        d = store("web1", "{}", INITRAMFS_BUILT);
        assert_string_equal(a, d);

        assert_ok(truncate(a, 10));
        assert_ok(truncate(a, st.st_size));
        free(d);
        d = store("web1", "{}", INITRAMFS_BUILT);
        free(d);
        d = store("web1", "{}", INITRAMFS_REUSED);

        put_init("\177ELF of another kind");
        e = store("web1", "{}", INITRAMFS_BUILT);
        assert_string_not_equal(a, e);
}

static void put(const char *path, const char *text, size_t n) {
        _cleanup_free_ char *p = layout_path(path);

        assert_ok(mkdir_parent_of_at(AT_FDCWD, p, 0755));
        assert_ok(write_file_atomic_at(AT_FDCWD, p, text, n, 0755, 0));
}

static char *store_with(const char *vm, const BundleItem *items, int expected) {
        _cleanup_free_ char *error = NULL;
        char *path = NULL;
        int r = initramfs_store(vm, "{}", 2, items, &path, &error);

        if (r < 0)
                fail_msg("%s", error);
        assert_int_equal(r, expected);
        return path;
}

/* The one disk of programs that there is; the caller's to free(). */
static char *only_disk(void) {
        _cleanup_free_ char *pattern = layout_path(LAYOUT_INITRAMFS_DIR "/programs-*.squashfs");
        glob_t g = {};
        char *path;

        assert_int_equal(glob(pattern, 0, NULL, &g), 0);
        assert_int_equal(g.gl_pathc, 1);
        path = strdup(g.gl_pathv[0]);
        globfree(&g);
        return path;
}

static char *linked_disk(const char *vm) {
        _cleanup_free_ char *link = layout_vm_programs(vm);

        return realpath(link, NULL);
}

static const sqfs_tree_node_t *find(const sqfs_tree_node_t *n, const char *path) {
        for (const char *p = path; n && *p; p += strspn(p, "/")) {
                size_t k = strcspn(p, "/");

                for (n = n->children; n; n = n->next)
                        if (strlen((const char *) n->name) == k && memcmp(n->name, p, k) == 0)
                                break;
                p += k;
        }
        if (!n)
                fail_msg("no %s on the disk", path);
        return n;
}

static void assert_on_disk(SquashReader *s, const char *path, mode_t mode, const void *content, size_t n) {
        const sqfs_tree_node_t *node = find(s->root, path);
        char data[256];
        struct stat st;

        squash_reader_stat(node, &st);
        assert_int_equal(st.st_mode, S_IFREG | mode);
        assert_int_equal(st.st_size, n);
        assert_int_equal(sqfs_data_reader_read(s->data, node->inode, 0, data, sizeof(data)), n);
        assert_memory_equal(data, content, n);
}

static const uint64_t elf_head[][8] = {
        { 0x00010102464c457f, 0, 0x00000001003e0003, 0, 0, 0, 0x0000004000000000 },     /* ELF for x86-64, no segments */
        { 0x00010102464c457f, 0, 0x0000000100b70003, 0, 0, 0, 0x0000004000000000 },     /* for AArch64 */
};
#if defined(__x86_64__)
#define ELF ((const char *) elf_head[0])
#else
#define ELF ((const char *) elf_head[1])
#endif
#define N_ELF sizeof(elf_head[0])

/* What comes along is on a disk, once for all VMs, and the archive is as it would be without. */
static void test_bundle(void **state) {
        const BundleItem items[] = { { BUNDLE_PORTABLE, "/usr/bin/tool", "/inferno/bin/tool" }, { BUNDLE_DATA, "/etc/data", "/inferno/data" },
                                     { BUNDLE_DATA, "/etc/empty", NULL }, {} };
        _cleanup_free_ char *plain = NULL, *a = NULL, *b = NULL, *disk = NULL, *link = NULL, *target = NULL;
        _cleanup_squash_reader_ SquashReader s = {};
        struct stat st;

        put("/usr/bin/tool", ELF, N_ELF);
        put("/etc/data", "12345", 5);
        put("/etc/empty", "", 0);
        plain = store("web1", "{}", INITRAMFS_BUILT);
        assert_null(linked_disk("web1"));
        a = store_with("web1", items, INITRAMFS_REUSED);
        b = store_with("web2", items, INITRAMFS_REUSED);
        assert_string_equal(plain, a);
        assert_string_equal(a, b);
        disk = only_disk();
        link = linked_disk("web2");
        assert_string_equal(link, disk);
        assert_ok(stat(disk, &st));
        assert_int_equal(st.st_mode & 07777, 0444);

        assert_int_equal(squash_reader_open(&s, disk), 0);
        assert_on_disk(&s, "inferno/files/usr/bin/tool", 0755, ELF, N_ELF);
        assert_on_disk(&s, "inferno/data", 0755, "12345", 5);
        assert_on_disk(&s, "etc/empty", 0755, "", 0);
        target = squash_reader_target(find(s.root, "inferno/bin/tool"));
        assert_string_equal(target, "../files/usr/bin/tool");

        /* Nothing any more. */
        free(store("web2", "{}", INITRAMFS_REUSED));
        assert_null(linked_disk("web2"));
}

/* A disk that is not as it was made is made again; other programs have another one, and those who bring them along. */
static void test_disk_again(void **state) {
        const BundleItem items[] = { { BUNDLE_PORTABLE, "/usr/bin/tool", "/inferno/bin/tool" }, {} };
        _cleanup_free_ char *disk = NULL, *again = NULL, *other = NULL, *first = NULL;
        _cleanup_squash_reader_ SquashReader s = {};
        struct stat st, now;

        put("/usr/bin/tool", ELF, N_ELF);
        free(store_with("web1", items, INITRAMFS_BUILT));
        disk = only_disk();
        assert_ok(stat(disk, &st));
        free(store_with("web1", items, INITRAMFS_REUSED));
        assert_ok(stat(disk, &now));
        assert_int_equal(st.st_ino, now.st_ino);

        /* As a power cut might have left it, had its name been there before its content; as somebody might have written to it. */
        assert_ok(truncate(disk, 100));
        free(store_with("web1", items, INITRAMFS_REUSED));
        assert_int_equal(squash_reader_open(&s, disk), 0);
        assert_on_disk(&s, "inferno/files/usr/bin/tool", 0755, ELF, N_ELF);
        assert_ok(stat(disk, &st));
        assert_ok(utimensat(AT_FDCWD, disk, NULL, 0));
        free(store_with("web1", items, INITRAMFS_REUSED));
        assert_ok(stat(disk, &now));
        assert_int_not_equal(st.st_ino, now.st_ino);

        put("/usr/bin/tool", ELF, N_ELF);
        first = linked_disk("web1");
        free(store_with("web2", items, INITRAMFS_REUSED));
        other = linked_disk("web2");
        again = linked_disk("web1");
        assert_string_not_equal(first, other);
        assert_string_equal(first, again);
}

static void test_refused(void **state) {
        _cleanup_free_ char *init = layout_path(LAYOUT_INIT), *path = NULL, *error = NULL;

        assert_ok(unlink(init));
        assert_error(initramfs_store("web1", "{}", 2, NULL, &path, &error), ENOENT);
        assert_non_null(strstr(error, "Is Inferno installed?"));
        free(TAKE_PTR(error));
        put_init("");
        assert_error(initramfs_store("web1", "{}", 2, NULL, &path, &error), EBADMSG);
        free(TAKE_PTR(error));
        put_init("\177ELF");
        assert_error(initramfs_store("web1", "{}", 2, (const BundleItem[]) { { BUNDLE_PORTABLE, "/absent", "/inferno/bin/absent" }, {} }, &path, &error), ENOENT);
        assert_non_null(strstr(error, "/absent' does not exist"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_content, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_reuse, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bundle, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_disk_again, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
