/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/fd.h"
#include "helpers/initramfs.h"
#include "layout/layout.h"
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
                "070701" "00000003" "000041ED" "00000000" "00000000" "00000002" "00000000" "00000000" "00000000" "00000000"
                "00000000" "00000000" "0000000C" "00000000" "inferno/lib\0\0\0"
                "070701" "00000004" "000081ED" "00000000" "00000000" "00000001" "00000000" "0000000E" "00000000" "00000000"
                "00000000" "00000000" "00000011" "00000000" "inferno/lib/init\0\0" "\177ELF of a kind\0\0"
                "070701" "00000005" "0000A1FF" "00000000" "00000000" "00000001" "00000000" "00000010" "00000000" "00000000"
                "00000000" "00000000" "00000005" "00000000" "init\0\0" "inferno/lib/init"
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

static size_t count_segments(void) {
        _cleanup_free_ char *pattern = layout_path(LAYOUT_INITRAMFS_DIR "/base-*.cpio.zst");
        glob_t g = {};
        size_t n;

        n = glob(pattern, 0, NULL, &g) == 0 ? g.gl_pathc : 0;
        globfree(&g);
        return n;
}

/* What comes along stands compressed before the rest, which is as it would be without, and is there once for all. */
static void test_bundle(void **state) {
        static const uint64_t head[][8] = {
                { 0x00010102464c457f, 0, 0x00000001003e0003, 0, 0, 0, 0x0000004000000000 },     /* ELF for x86-64, no segments */
                { 0x00010102464c457f, 0, 0x0000000100b70003, 0, 0, 0, 0x0000004000000000 },     /* for AArch64 */
        };
#if defined(__x86_64__)
        const char *elf = (const char *) head[0];
#else
        const char *elf = (const char *) head[1];
#endif
        const BundleItem items[] = { { BUNDLE_PORTABLE, "/usr/bin/tool", "/inferno/bin/tool" }, { BUNDLE_DATA, "/etc/data", "/inferno/data" }, {} };
        _cleanup_free_ char *plain = NULL, *a = NULL, *b = NULL, *c = NULL, *content = NULL, *plain_content = NULL, *unpacked = NULL;
        size_t n, n_plain, frame;

        put("/usr/bin/tool", elf, sizeof(head[0]));
        put("/etc/data", "", 0);
        plain = store("web1", "{}", INITRAMFS_BUILT);
        a = store_with("web1", items, INITRAMFS_BUILT);
        assert_string_not_equal(plain, a);
        b = store_with("web2", items, INITRAMFS_REUSED);
        assert_string_equal(a, b);
        assert_int_equal(count_segments(), 1);

        assert_ok(read_file_at(AT_FDCWD, plain, 65536, &plain_content, &n_plain));
        assert_ok(read_file_at(AT_FDCWD, a, 65536, &content, &n));
        assert_true(n > n_plain);
        assert_memory_equal(content + (n - n_plain), plain_content, n_plain);
        assert_int_equal((n - n_plain) % 4, 0);
        frame = ZSTD_findFrameCompressedSize(content, n);
        assert_false(ZSTD_isError(frame));
        for (size_t i = frame; i < n - n_plain; i++)
                assert_int_equal(content[i], 0);
        unpacked = calloc(1, 65536);
        assert_false(ZSTD_isError(ZSTD_decompress(unpacked, 65536, content, frame)));
        assert_memory_equal(unpacked, "070701", 6);
        assert_non_null(memmem(unpacked, 65536, "inferno/bin/tool\0", 17));
        assert_non_null(memmem(unpacked, 65536, "../files/usr/bin/tool", 21));
        assert_non_null(memmem(unpacked, 65536, elf, sizeof(head[0])));

        /* Another tool. */
        put("/usr/bin/tool", elf, sizeof(head[0]));
        c = store_with("web1", items, INITRAMFS_BUILT);
        assert_string_not_equal(a, c);
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
                cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
