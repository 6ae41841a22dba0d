/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Our image file of a layout against what umoci unpacks of the same one: for what image-spec leaves no choice about, and umoci gets right. Skipped where
 * umoci is not installed, or we are not root. */

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/image.h"
#include "layout/layout.h"
#include "test.h"
#include "tests/unit/image-builder.h"
#include "tests/unit/image-compare.h"

enum { SKIPPED = 77 };

typedef struct Fixture {
        char *dir, *layout_path, *reference;
        Store *store;
        TestLayout layout;
} Fixture;

static int set_up(void **state) {
        char template[] = "/var/tmp/inferno-test-XXXXXX";      /* not a tmpfs, which has no extended attributes of users */
        Fixture *f = calloc(1, sizeof(Fixture));

        f->dir = strdup(mkdtemp(template));
        f->layout_path = strf("%s/layout", f->dir);
        f->reference = strf("oci:%s", f->layout_path);
        assert_ok(layout_set_root(f->dir));
        assert_ok(store_open(&f->store, NULL));
        layout_make(&f->layout, f->layout_path);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        store_free(f->store);
        layout_done(&f->layout);
        assert_ok(remove_tree_at(AT_FDCWD, f->dir));
        free(f->dir);
        free(f->layout_path);
        free(f->reference);
        free(f);
        return layout_set_root(NULL);
}

static int umoci(const Fixture *f, const char *bundle) {
        _cleanup_free_ char *command = strf("umoci unpack --image %s:latest %s/%s 2>&1", f->layout_path, f->dir, bundle);

        return system(command);
}

/* With a root of its own in the lowest layer: what a root that no layer has is like, image-spec does not say. */
static const TarEntry root[] = { { .name = "./", .type = '5', .mode = 0755, .mtime = 1000 }, {} };

static void compare(Fixture *f) {
        SiteConfig site = { .image_size_max = GIB(1), .image_entries_max = 10000 };
        _cleanup_image_config_ ImageConfig c = {};
        _cleanup_strbuf_ StrBuf differences = {};
        _cleanup_free_ char *error = NULL, *tree = strf("%s/bundle/rootfs", f->dir);
        size_t n;

        layout_finish(&f->layout);
        if (image_ensure(f->store, f->reference, PULL_MISSING, &site, NULL, &c, &error) < 0)
                fail_msg("%s", error);
        assert_int_equal(umoci(f, "bundle"), 0);
        assert_ok(image_compare(c.rootfs_path, tree, &differences, &n));
        if (differences.size > 0)
                fail_msg("%s", differences.data);
        assert_true(n > 1);
}

#define LAYER(...) ((const TarEntry[]) { __VA_ARGS__, {} })
#define COMPARE(f, ...) compare_layers(f, (const TarEntry *const[]) { root, __VA_ARGS__, NULL })
#define DIR(n) { .name = n, .type = '5', .mtime = 1 }
#define FILE(n, c) { .name = n, .content = c, .mtime = 2 }
#define SYMLINK(n, t) { .name = n, .type = '2', .link = t, .mtime = 3 }
#define LINK(n, t) { .name = n, .type = '1', .link = t, .mtime = 2 }
/* umoci sets a directory's time when it meets its entry, and again as it works in it. */
#define AGAIN(n) { .name = n, .type = '5', .mtime = 1 }

static void compare_layers(Fixture *f, const TarEntry *const *layers) {
        for (; *layers; layers++)
                layout_add_entries(&f->layout, *layers);
        compare(f);
}

static void test_kinds(void **state) {
        COMPARE(*state, LAYER(DIR("d"), { .name = "d/suid", .content = "x", .mode = 06755, .uid = 100000, .gid = 4294967294, .mtime = 1700000000 },
                                        { .name = "d/fifo", .type = '6', .mode = 0600, .mtime = 5 }, { .name = "d/null", .type = '3', .mode = 0666, .major = 1, .minor = 3, .mtime = 5 },
                                        { .name = "d/disk", .type = '4', .mode = 0660, .uid = 65536, .major = 253, .minor = 70000, .mtime = 5 },
                                        { .name = "d/sticky", .type = '5', .mode = 01777, .mtime = 5 }, { .name = "d/link", .type = '2', .link = "../../outside", .uid = 70000, .mtime = 5 },
                                        LINK("d/hard", "d/suid"), LINK("d/fifo2", "d/fifo"), LINK("d/link2", "d/link")));
}

static void test_names(void **state) {
        char longest[256];

        memset(longest, 'n', 255);
        longest[255] = 0;
        COMPARE(*state, LAYER(FILE("a\nb", "1"), FILE("\xff\xfe", "2"), { .name = "pax", .content = "3", .pax = "path=\xff\xc3", .mtime = 2 }, FILE(longest, "4"), DIR("long"),
                                        { .name = "pax", .content = "5", .pax = "path=long/nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", .mtime = 2 },
                                        SYMLINK("l", longest), LINK("h", longest), FILE("./dot", "6"), FILE("/abs", "7"), FILE("a\\\"b c\t", "8"), FILE(".wh", "9"), FILE("x.wh.y", "10")));
}

static void test_whiteouts(void **state) {
        COMPARE(*state, LAYER(DIR("a"), FILE("a/x", "1"), FILE("a/y", "2"), DIR("b"), DIR("b/c"), FILE("b/c/z", "3"), FILE("e", "4"), FILE("keep", "5"), SYMLINK("s", "keep")),
                        LAYER(FILE(".wh.e", ""), AGAIN("a"), FILE("a/.wh.x", ""), FILE(".wh.b", ""), FILE(".wh.nothing", ""), FILE(".wh.s", ""), FILE("d", "6"), AGAIN(".")));
}

/* layer.md: lower layers' alone, be the marker before or behind what stands beside it. */
static void test_opaque_before(void **state) {
        COMPARE(*state, LAYER(DIR("a"), DIR("a/b"), FILE("a/b/old", "1"), FILE("a/old", "2"), FILE("a/both", "3")),
                        LAYER({ .name = "a", .type = '5', .mode = 0711, .mtime = 9 }, FILE("a/.wh..wh..opq", ""), DIR("a/b"), FILE("a/b/new", "4"), FILE("a/both", "5"),
                                        { .name = "a", .type = '5', .mode = 0711, .mtime = 9 }));
}

static void test_opaque_behind(void **state) {
        COMPARE(*state, LAYER(DIR("a"), DIR("a/b"), FILE("a/b/old", "1"), FILE("a/old", "2"), FILE("a/both", "3")),
                        LAYER({ .name = "a", .type = '5', .mode = 0711, .mtime = 9 }, DIR("a/b"), FILE("a/b/new", "4"), FILE("a/both", "5"), FILE("a/.wh..wh..opq", ""),
                                        DIR("a/b"), { .name = "a", .type = '5', .mode = 0711, .mtime = 9 }));
}

static void test_replaced(void **state) {
        COMPARE(*state, LAYER(DIR("a"), FILE("a/x", "1"), DIR("b"), FILE("b/x", "2"), DIR("c"), FILE("c/x", "3"), FILE("f", "4")),
                        LAYER(FILE("a", "now a file"), SYMLINK("b", "c"), DIR("f"), FILE("f/x", "5")),
                        LAYER(DIR("a"), FILE("a/y", "6"), FILE("f", "7"), AGAIN("a"), AGAIN(".")));
}

static void test_hard_links(void **state) {
        COMPARE(*state, LAYER(DIR("d"), FILE("d/a", "1"), LINK("b", "d/a"), LINK("c", "b"), FILE("e", "2"), LINK("f", "e"), FILE("g", "3")),
                        LAYER(FILE("d/.wh.a", ""), AGAIN("d"), LINK("h", "g"), FILE("e", "another"), AGAIN(".")),
                        LAYER(FILE(".wh.g", ""), AGAIN(".")));
}

static void test_duplicates(void **state) {
        COMPARE(*state, LAYER(FILE("a", "1"), FILE("a", "22"), DIR("d"), FILE("d/x", "3"), { .name = "d", .type = '5', .mode = 0700, .uid = 4, .mtime = 1 },
                                        SYMLINK("l", "a"), SYMLINK("l", "d"), FILE("k", "4"), SYMLINK("k", "a"), AGAIN(".")));
}

static void test_xattrs(void **state) {
        Fixture *f = *state;
        _cleanup_strbuf_ StrBuf tar = {}, pax = {};
        char value[4000];
        /* A file capability, revision 2: cap_net_raw=ep. */
        static const uint8_t capability[20] = { 1, 0, 0, 2, 0, 0x20 };

        memset(value, 'v', sizeof(value));
        value[1] = 0;
        tar_make(&tar, root);
        tar.size -= 1024;
        tar_add_pax_record(&pax, "SCHILY.xattr.security.capability", capability, sizeof(capability));
        tar_add_pax_record(&pax, "SCHILY.xattr.user.large", value, 3000);
        tar_add_pax_record(&pax, "SCHILY.xattr.user.empty", "", 0);
        tar_add_pax_record(&pax, "SCHILY.xattr.trusted.t", "a\0b\nc=d", 7);
        tar_add_header(&tar, 'x', "pax", pax.size);
        tar_add_padded(&tar, pax.data, pax.size);
        tar_add_header(&tar, '0', "ping", 0);
        tar_add(&tar, &(TarEntry) { .name = "d", .type = '5', .pax = "SCHILY.xattr.user.x=1", .mtime = 1 });
        tar_end(&tar);
        layout_add_layer(&f->layout, &tar, PACK_GZIP_MEMBERS);
        layout_add_entries(&f->layout, LAYER({ .name = "d", .type = '5', .pax = "SCHILY.xattr.user.y=2", .mtime = 1 }, { .name = "pong", .pax = "SCHILY.xattr.user.z=3", .mtime = 1 }, AGAIN(".")));
        compare(f);
}

static void test_sparse(void **state) {
        Fixture *f = *state;
        _cleanup_strbuf_ StrBuf tar = {}, pax = {}, map = {};

        tar_make(&tar, root);
        tar.size -= 1024;
        tar_add_pax_record(&pax, "GNU.sparse.major", "1", 1);
        tar_add_pax_record(&pax, "GNU.sparse.minor", "0", 1);
        tar_add_pax_record(&pax, "GNU.sparse.name", "sparse", 6);
        tar_add_pax_record(&pax, "GNU.sparse.realsize", "30000000", 8);
        tar_add_header(&tar, 'x', "pax", pax.size);
        tar_add_padded(&tar, pax.data, pax.size);
        strbuf_adds(&map, "3\n0\n4\n20000000\n5\n30000000\n0\n");
        tar_add_header(&tar, '0', "GNUSparseFile.0/sparse", 512 + 9);
        tar_add_padded(&tar, map.data, map.size);
        tar_add_padded(&tar, "headlater", 9);
        tar_add(&tar, &(TarEntry) { .name = ".", .type = '5', .mtime = 1 });
        tar_end(&tar);
        layout_add_layer(&f->layout, &tar, PACK_GZIP);
        compare(f);
}

/* Both refuse these. */
static void test_refused(void **state) {
        const TarEntry *const layers[] = {
                LAYER(LINK("b", "a")),
                LAYER(DIR("a"), LINK("b", "a")),
                LAYER(FILE("a", "1"), FILE("a/b", "2")),
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(layers); i++) {
                SiteConfig site = { .image_size_max = GIB(1), .image_entries_max = 10000 };
                _cleanup_free_ char *error = NULL, *bundle = strf("bundle%zu", i);
                ImageConfig c = {};

                layout_done(&f->layout);
                layout_make(&f->layout, f->layout_path);
                layout_add_entries(&f->layout, root);
                layout_add_entries(&f->layout, layers[i]);
                layout_finish(&f->layout);
                assert_error(image_ensure(f->store, f->reference, PULL_MISSING, &site, NULL, &c, &error), EBADMSG);
                assert_int_not_equal(umoci(f, bundle), 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_kinds, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_whiteouts, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_opaque_before, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_opaque_behind, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_replaced, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_hard_links, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_duplicates, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_xattrs, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_sparse, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        };

        if (geteuid() != 0 || system("umoci --version >/dev/null 2>&1") != 0)
                return SKIPPED;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
