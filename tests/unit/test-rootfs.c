/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images as ext4: e2fsck(8) finds nothing, and debugfs(8) what is in the image. */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/subprocess.h"
#include "image/merge.h"
#include "image/squash.h"
#include "image/tree.h"
#include "rootfs/rootfs.h"
#include "test.h"
#include "tests/unit/tar-builder.h"

#define LONG_TARGET "/a/target/that/is/longer/than/the/sixty/bytes/which/an/inode/of/ext4/has/room/for"

static char directory[] = "/tmp/inferno-test-XXXXXX";
static char *image, *device, *error;

static int setup(void **state) {
        if (!mkdtemp(directory))
                return -1;
        image = strjoin(directory, "/image");
        device = strjoin(directory, "/device");
        return image && device ? 0 : -1;
}

static int teardown(void **state) {
        free(TAKE_PTR(image));
        free(TAKE_PTR(device));
        free(TAKE_PTR(error));
        return remove_tree_at(AT_FDCWD, directory);
}

static void make_image(const TarEntry *entries) {
        _cleanup_close_ int fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        _cleanup_(tree_freep) Tree *t = NULL;
        _cleanup_strbuf_ StrBuf tar = {};
        LayerData layer;
        uint64_t size;

        tar_make(&tar, entries);
        layer = (LayerData) { tar.data, tar.size };
        assert_ok(tree_new(10000, &t));
        assert_ok(merge_layer(t, 0, tar.data, tar.size, GIB(1), &error));
        assert_ok(squash_write(t, &layer, 1, GIB(1), fd, &size, &error));
}

static int write_device(void) {
        _cleanup_close_ int fd = open(device, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        uint64_t size;

        assert_ok(rootfs_size(image, &size, &error));
        assert_ok(ftruncate(fd, (off_t) size));
        return rootfs_write(image, device, &error);
}

static void check_clean(void) {
        const char *const argv[] = { "/usr/sbin/e2fsck", "-fn", device, NULL };
        _cleanup_free_ char *out = NULL;

        if (spawn_run(argv, NULL, &out, NULL) != 0)
                fail_msg("%s", out);
}

/* What debugfs answers to a request. */
static char *ask(const char *request) {
        const char *const argv[] = { "/usr/sbin/debugfs", "-R", request, device, NULL };
        const char *const environment[] = { "DEBUGFS_PAGER=/bin/cat", "TZ=UTC", NULL };
        char *out = NULL;

        assert_int_equal(spawn_run(argv, environment, &out, NULL), 0);
        return out;
}

#define ASSERT_HAS(request, text)                                                       \
        do {                                                                            \
                _cleanup_free_ char *_out = ask(request);                               \
                if (!strstr(_out, text))                                                \
                        fail_msg("no \"%s\" in: %s", text, _out);                       \
        } while (false)

static void test_kinds(void **state) {
        static char large[300000];

        memset(large, 'x', sizeof(large));
        memset(large + 131072, 0, 131072);              /* a block of squashfs */
        make_image((const TarEntry[]) {
                { .name = "etc/", .type = '5', .mode = 0750, .uid = 70000, .gid = 5, .mtime = 1000000000 },
                { .name = "etc/passwd", .content = "root:x:0:0\n", .mode = 04755, .uid = 70001, .gid = 70002, .mtime = 1234567890, .pax = "SCHILY.xattr.user.note=kept" },
                { .name = "etc/again", .type = '1', .link = "etc/passwd" },
                { .name = "etc/empty", .content = "" },
                { .name = "large", .content = large, .content_size = sizeof(large) },
                { .name = "short", .type = '2', .link = "etc/passwd" },
                { .name = "long", .type = '2', .link = LONG_TARGET },
                { .name = "null", .type = '3', .major = 1, .minor = 3, .mode = 0666 },
                { .name = "disk", .type = '4', .major = 259, .minor = 70000 },
                { .name = "pipe", .type = '6' },
                { .name = "lost+found/", .type = '5', .mode = 0711 },
                {},
        });
        if (write_device() < 0)
                fail_msg("%s", error);
        check_clean();
        ASSERT_HAS("stat /etc", "Mode:  0750");
        ASSERT_HAS("stat /etc", "User: 70000   Group:     5");
        ASSERT_HAS("stat /etc", "mtime: 0x3b9aca00:00000000");
        ASSERT_HAS("cat /etc/passwd", "root:x:0:0\n");
        ASSERT_HAS("stat /etc/again", "Mode:  04755");
        ASSERT_HAS("stat /etc/again", "User: 70001   Group: 70002");
        ASSERT_HAS("stat /etc/again", "Links: 2");
        ASSERT_HAS("ea_get /etc/again user.note", "kept");
        ASSERT_HAS("stat /etc/empty", "Size: 0");
        ASSERT_HAS("stat /large", "Size: 300000");
        ASSERT_HAS("stat /large", "Blockcount: 336");   /* of 512 bytes: 128 KiB are a hole */
        ASSERT_HAS("stat /short", "Fast link dest: \"etc/passwd\"");
        ASSERT_HAS("cat /long", LONG_TARGET);
        ASSERT_HAS("stat /null", "Device major/minor number: 01:03");
        ASSERT_HAS("stat /disk", "Device major/minor number: 259:70000");
        ASSERT_HAS("stat /pipe", "Type: FIFO");
        ASSERT_HAS("stat /lost+found", "Mode:  0711");
}

/* More names than a block of a directory has room for, more inodes than bytes, and directories in each other. */
static void test_many(void **state) {
        enum { N = 3000 };
        _cleanup_free_ TarEntry *entries = calloc(N + 60, sizeof(TarEntry));
        static char names[N][200], deep[50][200];
        size_t n = 0;

        for (size_t i = 0; i < N; i++) {
                snprintf(names[i], sizeof(names[i]), "many/a-name-that-is-not-short-%zu", i);
                entries[n++] = (TarEntry) { .name = names[i], .content = i % 3 == 0 ? "content" : "", .type = i % 3 == 1 ? '2' : i % 3 == 2 ? '5' : '0', .link = "target" };
        }
        for (size_t i = 0; i < ELEMENTSOF(deep); i++) {
                snprintf(deep[i], sizeof(deep[i]), "%s%sd/", i > 0 ? deep[i - 1] : "", "");
                entries[n++] = (TarEntry) { .name = deep[i], .type = '5' };
        }
        make_image(entries);
        if (write_device() < 0)
                fail_msg("%s", error);
        check_clean();
        ASSERT_HAS("cat /many/a-name-that-is-not-short-2997", "content");
        ASSERT_HAS("stat /d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d", "Type: directory");
}

static void test_refused(void **state) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t size;

        make_image((const TarEntry[]) { { .name = "large", .content = "x" }, {} });
        fd = open(device, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_ok(ftruncate(fd, 64 * 1024));
        assert_true(rootfs_write(image, device, &error) < 0);
        assert_non_null(strstr(error, device));

        fd = safe_close(fd);
        fd = open(image, O_RDWR | O_TRUNC | O_CLOEXEC);
        assert_int_equal(write(fd, "no image", 8), 8);
        assert_error(rootfs_size(image, &size, &error), EUCLEAN);
        assert_non_null(strstr(error, "it is damaged"));
        assert_ok(unlink(image));
        assert_error(rootfs_size(image, &size, &error), EIO);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kinds),
                cmocka_unit_test(test_many),
                cmocka_unit_test(test_refused),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
