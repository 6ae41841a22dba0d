/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Layers laid over each other and written down, then read back. */

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/digest.h"
#include "image/error.h"
#include "image/merge.h"
#include "image/squash.h"
#include "image/tree.h"
#include "test.h"
#include "tests/unit/image-builder.h"

enum { LAYERS_MAX = 8 };

static char directory[] = "/tmp/inferno-test-XXXXXX";

/* What became of the last image. */
static char *error;
static int result;

static int build_tars(StrBuf *tars, size_t n, uint64_t entries_max, uint64_t size_max, const char *name, char **ret_dump) {
        _cleanup_free_ char *path = strf("%s/%s", directory, name);
        _cleanup_(tree_freep) Tree *t = NULL;
        _cleanup_close_ int fd = -EBADF;
        LayerData layers[LAYERS_MAX];
        uint64_t size;
        int r = 0;

        error = (free(error), NULL);
        assert_ok(tree_new(entries_max, &t));
        for (size_t i = 0; i < n && r >= 0; i++) {
                layers[i] = (LayerData) { tars[i].data, tars[i].size };
                r = merge_layer(t, (unsigned) i, tars[i].data, tars[i].size, size_max, &error);
        }
        if (r >= 0) {
                fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
                assert_ok(fd);
                r = squash_write(t, layers, n, size_max, fd, &size, &error);
        }
        if (r >= 0) {
                assert_ok(squash_seal(fd));
                assert_ok(squash_check(fd, size));
                if (ret_dump)
                        *ret_dump = squash_dump(path);
        }
        result = r;
        return r;
}

/* The dump of an image of up to LAYERS_MAX layers; NULL where it was refused: result and error say why. */
static char *build(const TarEntry *const *layers) {
        StrBuf tars[LAYERS_MAX] = {};
        char *dump = NULL;
        size_t n;

        for (n = 0; layers[n]; n++)
                tar_make(tars + n, layers[n]);
        (void) build_tars(tars, n, 10000, MIB(64), "image", &dump);
        for (size_t i = 0; i < n; i++)
                strbuf_done(tars + i);
        return dump;
}

#define LAYER(...) ((const TarEntry[]) { __VA_ARGS__, {} })
#define BUILD(...) build((const TarEntry *const[]) { __VA_ARGS__, NULL })
#define DIR(n) { .name = n, .type = '5' }
#define FILE(n, c) { .name = n, .content = c }
#define SYMLINK(n, t) { .name = n, .type = '2', .link = t }
#define LINK(n, t) { .name = n, .type = '1', .link = t }

static void assert_image(char *dump_consume, const char *expected) {
        if (!dump_consume)
                print_message("refused: %d %s\n", result, error);
        assert_non_null(dump_consume);
        assert_string_equal(dump_consume, expected);
        free(dump_consume);
}

static void assert_refused(char *dump_consume, int expected, const char *words) {
        if (dump_consume)
                print_message("taken:\n%s", dump_consume);
        assert_null(dump_consume);
        if (result != -expected)
                print_message("said: %s\n", error);
        assert_int_equal(result, -expected);
        assert_non_null(error);
        if (!strstr(error, words))
                print_message("said: %s\n", error);
        assert_non_null(strstr(error, words));
}

static void test_kinds(void **state) {
        assert_image(BUILD(LAYER({ .name = "./", .type = '5', .mode = 0700, .uid = 1, .gid = 2, .mtime = 3 },
                                     { .name = "etc/", .type = '5', .mode = 01777, .mtime = 1700000000 },
                                     { .name = "./etc/setuid", .content = "x", .mode = 06755, .uid = 4294967294, .gid = 65536 },
                                     { .name = "/etc/fifo", .type = '6', .mode = 0600 },
                                     { .name = "etc/null", .type = '3', .mode = 0666, .major = 1, .minor = 3 },
                                     { .name = "etc/disk", .type = '4', .mode = 0660, .major = 4095, .minor = 1048575 },
                                     { .name = "etc/link", .type = '2', .link = "../outside/\xff", .uid = 7 },
                                     { .name = "etc/hard", .type = '1', .link = "./etc/setuid" },
                                     { .name = "etc/old", .mtime = -5 }, { .name = "etc/far", .mtime = INT64_C(0x1ffffffff) },
                                     { .name = "empty" }, { .name = "empty2", .type = '1', .link = "/empty" })),
                        "/ d 700 1:2 3 n3\n"
                        "empty f 644 0:0 0 n2 \"\"\n"
                        "empty2 f 644 0:0 0 n2 \"\"\n"
                        "etc d 1777 0:0 1700000000 n2\n"
                        "etc/disk b 660 0:0 0 n1 4095:1048575\n"
                        "etc/far f 644 0:0 4294967295 n1 \"\"\n"
                        "etc/fifo p 600 0:0 0 n1\n"
                        "etc/hard f 6755 4294967294:65536 0 n2 \"x\"\n"
                        "etc/link l 777 7:0 0 n1 -> ../outside/\\xff\n"
                        "etc/null c 666 0:0 0 n1 1:3\n"
                        "etc/old f 644 0:0 0 n1 \"\"\n"
                        "etc/setuid f 6755 4294967294:65536 0 n2 \"x\"\n");
}

static void test_no_layers(void **state) {
        StrBuf empty = {};
        char *dump = NULL;

        assert_image(BUILD(NULL), "/ d 755 0:0 0 n2\n");
        /* A layer of no bytes, and one of nothing but its end. */
        assert_ok(build_tars(&empty, 1, 10, MIB(1), "image", &dump));
        assert_image(dump, "/ d 755 0:0 0 n2\n");
        assert_image(BUILD(LAYER({})), "/ d 755 0:0 0 n2\n");
}

static void test_whiteouts(void **state) {
        const TarEntry *base = LAYER(DIR("a"), FILE("a/x", "1"), FILE("a/y", "2"), DIR("b"), FILE("b/z", "3"), FILE("c", "4"));

        /* The example of layer.md: names go, and so do whole directories; what is not there may be named. */
        assert_image(BUILD(base, LAYER(FILE(".wh.c", ""), FILE("a/.wh.x", ""), FILE(".wh.b", ""), FILE(".wh.nothing", ""),
                                               FILE("none/.wh.nothing", ""), FILE("d", "5"))),
                        "/ d 755 0:0 0 n3\na d 755 0:0 0 n2\na/y f 644 0:0 0 n1 \"2\"\nd f 644 0:0 0 n1 \"5\"\n");
        /* Only lower layers are hidden, wherever in its own layer the marker stands. */
        assert_image(BUILD(base, LAYER(FILE(".wh.a", ""), FILE(".wh.b", ""), FILE(".wh.c", ""), FILE("a/new", "6"), FILE("c", "7"))),
                        "/ d 755 0:0 0 n3\na d 755 0:0 0 n2\na/new f 644 0:0 0 n1 \"6\"\nc f 644 0:0 0 n1 \"7\"\n");
        assert_image(BUILD(base, LAYER(FILE("a/new", "6"), FILE("c", "7"), FILE(".wh.a", ""), FILE(".wh.b", ""), FILE(".wh.c", ""))),
                        "/ d 755 0:0 0 n3\na d 755 0:0 0 n2\na/new f 644 0:0 0 n1 \"6\"\nc f 644 0:0 0 n1 \"7\"\n");
        /* In one layer alone it hides nothing. */
        assert_image(BUILD(LAYER(FILE("a", "1"), FILE(".wh.a", ""))), "/ d 755 0:0 0 n2\na f 644 0:0 0 n1 \"1\"\n");
        /* A directory of lower layers that is recreated below a marker is new. */
        assert_image(BUILD(LAYER({ .name = "a", .type = '5', .mode = 0700, .uid = 9 }, FILE("a/x", "1")), LAYER(FILE("a/y", "2"), FILE(".wh.a", ""))),
                        "/ d 755 0:0 0 n3\na d 755 0:0 0 n2\na/y f 644 0:0 0 n1 \"2\"\n");
        /* Any type of marker, also a hard link. */
        assert_image(BUILD(base, LAYER({ .name = ".wh.a", .type = '3' }, { .name = ".wh.b", .type = '5' }, LINK(".wh.c", "a"))), "/ d 755 0:0 0 n2\n");
        assert_image(BUILD(LAYER(DIR(".wh..wh.plnk"), FILE(".wh..wh.plnk/1", "x"), FILE(".wh..wh.aufs", "x"))), "/ d 755 0:0 0 n2\n");
        assert_refused(BUILD(LAYER(FILE("a/.wh.", ""))), EBADMSG, "entry \"a/.wh.\": a whiteout without a name");
        assert_refused(BUILD(base, LAYER(FILE("a/.wh...", ""))), EBADMSG, "whiteout of \".\" or \"..\"");
        assert_refused(BUILD(LAYER(FILE(".wh.a/b", ""))), EBADMSG, "stands below a whiteout");
        assert_refused(BUILD(LAYER(FILE(".wh..wh..opq/b", ""))), EBADMSG, "stands below a whiteout");
        assert_refused(BUILD(LAYER(FILE(".wh..", ""))), EBADMSG, "whiteout of \".\" or \"..\"");
        assert_refused(BUILD(LAYER(DIR(".wh./"))), EBADMSG, "a whiteout without a name");
}

static void test_opaque(void **state) {
        const TarEntry *base = LAYER(DIR("a"), DIR("a/b"), DIR("a/b/c"), FILE("a/b/c/bar", "1"), { .name = "a", .type = '5', .mode = 0711 });
        const char *expected = "/ d 755 0:0 0 n3\na d 711 0:0 0 n3\na/b d 755 0:0 0 n3\na/b/c d 755 0:0 0 n2\na/b/c/foo f 644 0:0 0 n1 \"2\"\n";

        assert_image(BUILD(base, LAYER(FILE("a/.wh..wh..opq", ""), DIR("a/b"), DIR("a/b/c"), FILE("a/b/c/foo", "2"))), expected);
        assert_image(BUILD(base, LAYER(DIR("a/b"), DIR("a/b/c"), FILE("a/b/c/foo", "2"), FILE("a/.wh..wh..opq", ""))), expected);
        assert_image(BUILD(base, LAYER(FILE("a/b/c/foo", "2"), FILE("a/.wh..wh..opq", ""))), expected);
        assert_image(BUILD(base, LAYER(FILE(".wh..wh..opq", ""))), "/ d 755 0:0 0 n2\n");
        assert_image(BUILD(base, LAYER(FILE("none/.wh..wh..opq", ""), FILE("a/b/c/bar/.wh..wh..opq", ""), FILE("a/b/.wh..wh..opq", ""))),
                        "/ d 755 0:0 0 n3\na d 711 0:0 0 n3\na/b d 755 0:0 0 n2\n");
}

static void test_replacement(void **state) {
        const TarEntry *dir = LAYER(DIR("a"), FILE("a/x", "1")), *file = LAYER(FILE("a", "2")), *link = LAYER(SYMLINK("a", "b"));

        assert_image(BUILD(dir, file), "/ d 755 0:0 0 n2\na f 644 0:0 0 n1 \"2\"\n");
        assert_image(BUILD(dir, link), "/ d 755 0:0 0 n2\na l 777 0:0 0 n1 -> b\n");
        assert_image(BUILD(dir, file, dir), "/ d 755 0:0 0 n3\na d 755 0:0 0 n2\na/x f 644 0:0 0 n1 \"1\"\n");
        assert_image(BUILD(dir, file, LAYER(DIR("a"))), "/ d 755 0:0 0 n3\na d 755 0:0 0 n2\n");
        /* A directory over a symlink to one replaces the symlink. */
        assert_image(BUILD(LAYER(DIR("b"), FILE("b/x", "1"), SYMLINK("a", "b")), LAYER(DIR("a"), FILE("a/y", "2"))),
                        "/ d 755 0:0 0 n4\na d 755 0:0 0 n2\na/y f 644 0:0 0 n1 \"2\"\nb d 755 0:0 0 n2\nb/x f 644 0:0 0 n1 \"1\"\n");
        /* The last of several entries of a name counts. A directory that comes again keeps what is in it. */
        assert_image(BUILD(LAYER(FILE("a", "1"), FILE("a", "22"), DIR("d"), FILE("d/x", "3"), { .name = "d/", .type = '5', .mode = 0700 })),
                        "/ d 755 0:0 0 n3\na f 644 0:0 0 n1 \"22\"\nd d 700 0:0 0 n2\nd/x f 644 0:0 0 n1 \"3\"\n");
        /* Missing parents. */
        assert_image(BUILD(LAYER(FILE("a/b/c", "1"))), "/ d 755 0:0 0 n3\na d 755 0:0 0 n3\na/b d 755 0:0 0 n2\na/b/c f 644 0:0 0 n1 \"1\"\n");
        assert_refused(BUILD(LAYER(FILE("a", "1"), FILE("a/b", "2"))), EBADMSG, "entry \"a/b\": leads through \"a\", which is no directory");
        assert_refused(BUILD(LAYER(FILE(".", "1"))), EBADMSG, "root of the image");
}

static void test_hard_links(void **state) {
        /* The content outlives the name it was linked from. */
        assert_image(BUILD(LAYER(FILE("a", "1")), LAYER(LINK("b", "a")), LAYER(FILE(".wh.a", ""))), "/ d 755 0:0 0 n2\nb f 644 0:0 0 n1 \"1\"\n");
        assert_image(BUILD(LAYER(FILE("a", "1"), LINK("b", "a")), LAYER(FILE("a", "2"))),
                        "/ d 755 0:0 0 n2\na f 644 0:0 0 n1 \"2\"\nb f 644 0:0 0 n1 \"1\"\n");
        assert_image(BUILD(LAYER(FILE("d/a", "1"), LINK("d", "d/a"))), "/ d 755 0:0 0 n2\nd f 644 0:0 0 n1 \"1\"\n");
        /* Its own metadata counts for nothing; a symlink is linked, not followed, but those on the way are. */
        assert_image(BUILD(LAYER(DIR("d"), FILE("d/a", "1"), SYMLINK("s", "/d"), SYMLINK("t", "d/a"), { .name = "b", .type = '1', .link = "s/a", .mode = 0777, .uid = 5 },
                                     LINK("u", "t"))),
                        "/ d 755 0:0 0 n3\nb f 644 0:0 0 n2 \"1\"\nd d 755 0:0 0 n2\nd/a f 644 0:0 0 n2 \"1\"\ns l 777 0:0 0 n1 -> /d\n"
                        "t l 777 0:0 0 n2 -> d/a\nu l 777 0:0 0 n2 -> d/a\n");
        assert_image(BUILD(LAYER({ .name = "p", .type = '6' }, LINK("q", "p"), { .name = "z", .type = '3', .major = 1, .minor = 5 }, LINK("y", "z"))),
                        "/ d 755 0:0 0 n2\np p 644 0:0 0 n2\nq p 644 0:0 0 n2\ny c 644 0:0 0 n2 1:5\nz c 644 0:0 0 n2 1:5\n");
        assert_image(BUILD(LAYER(FILE("a", "1"), LINK("a", "a"))), "/ d 755 0:0 0 n2\na f 644 0:0 0 n1 \"1\"\n");

        assert_refused(BUILD(LAYER(LINK("b", "a"))), EBADMSG, "entry \"b\": a hard link to \"a\", which does not exist");
        assert_refused(BUILD(LAYER(LINK("b", "none/a"))), EBADMSG, "does not exist");
        assert_refused(BUILD(LAYER(LINK("b", "../../etc/passwd"))), EBADMSG, "has a component \"..\"");
        assert_refused(BUILD(LAYER(LINK("b", "/etc/passwd"))), EBADMSG, "does not exist");
        assert_refused(BUILD(LAYER(DIR("a"), LINK("b", "a"))), EBADMSG, "hard link to the directory");
        assert_refused(BUILD(LAYER(LINK("b", "."))), EBADMSG, "hard link to the directory");
        assert_refused(BUILD(LAYER(FILE("a", "1"), { .name = "b", .type = '1', .link = "a", .content = "2", .pax = "comment=x" })), EBADMSG, "content of its own");
}

static void test_symlinked_parents(void **state) {
        /* As in a chroot: /lib is usr/lib, whoever writes through it. */
        assert_image(BUILD(LAYER(DIR("usr"), DIR("usr/lib"), SYMLINK("lib", "usr/lib")), LAYER(FILE("lib/x", "1")), LAYER(FILE("lib/.wh.y", ""))),
                        "/ d 755 0:0 0 n3\nlib l 777 0:0 0 n1 -> usr/lib\nusr d 755 0:0 0 n3\nusr/lib d 755 0:0 0 n2\nusr/lib/x f 644 0:0 0 n1 \"1\"\n");
        assert_image(BUILD(LAYER(DIR("d"), FILE("d/x", "1"), SYMLINK("s", "d")), LAYER(FILE("s/.wh.x", ""))), "/ d 755 0:0 0 n3\nd d 755 0:0 0 n2\ns l 777 0:0 0 n1 -> d\n");
        /* Planted by one layer, written through by the next: it stays inside. */
        assert_image(BUILD(LAYER(SYMLINK("etc", "../../../../tmp/../outside"), SYMLINK("dev", "/")), LAYER(FILE("etc/passwd", "1"), FILE("dev/dev2", "2"))),
                        "/ d 755 0:0 0 n4\ndev l 777 0:0 0 n1 -> /\ndev2 f 644 0:0 0 n1 \"2\"\netc l 777 0:0 0 n1 -> ../../../../tmp/../outside\n"
                        "outside d 755 0:0 0 n2\noutside/passwd f 644 0:0 0 n1 \"1\"\ntmp d 755 0:0 0 n2\n");
        assert_refused(BUILD(LAYER(SYMLINK("a", "b"), SYMLINK("b", "a"), FILE("a/x", "1"))), EBADMSG, "leads through more than 40 symlinks");
        assert_refused(BUILD(LAYER(SYMLINK("a", "a/a"), FILE("a/x", "1"))), EBADMSG, "symlinks");
        assert_refused(BUILD(LAYER(FILE("f", ""), SYMLINK("a", "f"), FILE("a/x", "1"))), EBADMSG, "no directory");
}

static void test_names(void **state) {
        char deep[2 * 1500 + 1], name[256 + 1], *dump;

        assert_image(BUILD(LAYER(FILE("a\nb", "1"), FILE("\xff\xfe", "2"), { .name = "pax", .content = "3", .pax = "path=e\xcc\x81" },
                                     { .name = "pax", .content = "4", .pax = "path=\xff\xc3" },
                                     { .name = "l", .type = '2', .link = "x", .pax = "linkpath=\xc3\xa9\xff" }, FILE("a\"b\\", "5"))),
                        "/ d 755 0:0 0 n2\na\\x0ab f 644 0:0 0 n1 \"1\"\na\\x22b\\x5c f 644 0:0 0 n1 \"5\"\ne\\xcc\\x81 f 644 0:0 0 n1 \"3\"\n"
                        "l l 777 0:0 0 n1 -> \\xc3\\xa9\\xff\n\\xff\\xc3 f 644 0:0 0 n1 \"4\"\n\\xff\\xfe f 644 0:0 0 n1 \"2\"\n");

        /* The first link of an archive, with nothing in its header proper. */
        assert_image(BUILD(LAYER({ .name = "l", .type = '2', .link = "", .pax = "linkpath=\xff" })), "/ d 755 0:0 0 n2\nl l 777 0:0 0 n1 -> \\xff\n");
        assert_image(BUILD(LAYER(FILE("\xff", "1"), { .name = "l", .type = '1', .link = "", .pax = "linkpath=\xff" })),
                        "/ d 755 0:0 0 n2\nl f 644 0:0 0 n2 \"1\"\n\\xff f 644 0:0 0 n2 \"1\"\n");

        memset(name, 'n', sizeof(name));
        name[255] = 0;
        dump = BUILD(LAYER(FILE(name, "1"), SYMLINK("l", name), LINK("h", name)));
        assert_non_null(dump);
        free(dump);
        name[255] = 'n';
        name[256] = 0;
        assert_refused(BUILD(LAYER(FILE(name, "1"))), EBADMSG, "more than 255 bytes");

        for (size_t i = 0; i < 1500; i++)
                memcpy(deep + 2 * i, "d/", 2);
        deep[2 * 1500] = 0;
        dump = BUILD(LAYER(DIR(deep)), LAYER(FILE(".wh.d", "")));
        assert_image(dump, "/ d 755 0:0 0 n2\n");
}

static void test_depth(void **state) {
        _cleanup_strbuf_ StrBuf path = {}, tar = {};
        char *dump = NULL;

        for (size_t i = 0; i < 1100; i++)
                strbuf_adds(&path, "d/");
        tar_add(&tar, &(TarEntry) { .name = path.data, .type = '5' });
        tar_add(&tar, &(TarEntry) { .name = "s", .type = '2', .link = path.data });
        path.size = 0;
        strbuf_adds(&path, "s/");
        for (size_t i = 0; i < 1100; i++)
                strbuf_adds(&path, "d/");
        tar_add(&tar, &(TarEntry) { .name = path.data, .type = '5' });
        tar_end(&tar);
        (void) build_tars(&tar, 1, 10000, MIB(1), "image", &dump);
        assert_refused(dump, EFBIG, "deeper than 2048 directories");
}

static void test_xattrs(void **state) {
        _cleanup_strbuf_ StrBuf tar = {}, pax = {};
        char *dump = NULL, big[70000];

        assert_image(BUILD(LAYER({ .name = "a", .content = "1", .pax = "SCHILY.xattr.user.x=1\nSCHILY.xattr.security.capability=\x01\x02\nSCHILY.xattr.trusted.t=" },
                                     { .name = "b", .type = '2', .link = "a", .pax = "LIBARCHIVE.xattr.user.%C3%A9=eHk=" },
                                     { .name = "c", .type = '5', .pax = "SCHILY.xattr.user.x=1" },
                                     { .name = "d", .pax = "SCHILY.xattr.system.posix_acl_access=x\nSCHILY.xattr.security.selinux=y\nSCHILY.xattr.trusted.overlay.opaque=y" },
                                     { .name = "e", .type = '6', .pax = "SCHILY.xattr.user.x=1" }, { .name = "f", .type = '3', .major = 5, .pax = "SCHILY.xattr.user.x=2" })),
                        "/ d 755 0:0 0 n3\na f 644 0:0 0 n1 \"1\" {user.x=1,security.capability=\\x01\\x02}\nb l 777 0:0 0 n1 -> a {user.\xc3\xa9=xy}\n"
                        "c d 755 0:0 0 n2 {user.x=1}\nd f 644 0:0 0 n1 \"\"\ne p 644 0:0 0 n1 {user.x=1}\nf c 644 0:0 0 n1 5:0 {user.x=2}\n");
        /* A directory that comes again brings its own. */
        assert_image(BUILD(LAYER({ .name = "c", .type = '5', .pax = "SCHILY.xattr.user.x=1" }), LAYER({ .name = "c", .type = '5', .pax = "SCHILY.xattr.user.y=2" })),
                        "/ d 755 0:0 0 n3\nc d 755 0:0 0 n2 {user.y=2}\n");

        memset(big, 'v', sizeof(big));
        tar_add_pax_record(&pax, "SCHILY.xattr.user.big", big, 65537);
        tar_add_header(&tar, 'x', "pax", pax.size);
        tar_add_padded(&tar, pax.data, pax.size);
        tar_add_header(&tar, '0', "a", 0);
        tar_end(&tar);
        (void) build_tars(&tar, 1, 10, MIB(1), "image", &dump);
        assert_refused(dump, EBADMSG, "extended attribute \"user.big\"");
}

/* As many different sets as just fill blocks of libsquashfs' table, where it has a bug. */
static void test_many_xattr_sets(void **state) {
        _cleanup_strbuf_ StrBuf tar = {};
        _cleanup_free_ char *dump = NULL;
        size_t n = 0;

        for (unsigned i = 0; i < 1536; i++) {
                char name[16], pax[40];

                (void) snprintf(name, sizeof(name), "f%04u", i);
                (void) snprintf(pax, sizeof(pax), "SCHILY.xattr.user.i=%u", i);
                tar_add(&tar, &(TarEntry) { .name = name, .pax = pax });
        }
        tar_end(&tar);
        assert_ok(build_tars(&tar, 1, 10000, MIB(1), "image", &dump));
        for (const char *p = dump; (p = strstr(p, "{user.i=")); p++)
                n++;
        assert_int_equal(n, 1536);
        assert_non_null(strstr(dump, "f1535 f 644 0:0 0 n1 \"\" {user.i=1535}\n"));
}

static void test_content(void **state) {
        static char big[1000000], other[1000000];
        char expected[512], digest[3][80];
        char *dump;

        /* Whole blocks, a tail, equal files, one that differs in its last byte, nothing but zeros. */
        for (size_t i = 0; i < sizeof(big); i++)
                big[i] = other[i] = (char) (i * 2654435761u >> 13);
        other[sizeof(other) - 1]++;
        digest_of(big, sizeof(big), digest[0]);
        digest_of(other, sizeof(other), digest[1]);
        digest_of(big, 131072, digest[2]);
        dump = BUILD(LAYER({ .name = "a", .content = big, .content_size = sizeof(big), .uid = 1 }, { .name = "b", .content = big, .content_size = sizeof(big), .uid = 2 },
                         { .name = "c", .content = other, .content_size = sizeof(other) }, { .name = "d", .content = big, .content_size = 131072 },
                         LINK("e", "b")));
        (void) snprintf(expected, sizeof(expected),
                        "/ d 755 0:0 0 n2\na f 644 1:0 0 n1 1000000 %.8s\nb f 644 2:0 0 n2 1000000 %.8s\nc f 644 0:0 0 n1 1000000 %.8s\nd f 644 0:0 0 n1 131072 %.8s\n"
                        "e f 644 2:0 0 n2 1000000 %.8s\n",
                        digest[0] + 7, digest[0] + 7, digest[1] + 7, digest[2] + 7, digest[0] + 7);
        assert_image(dump, expected);
}

static void test_sparse(void **state) {
        _cleanup_strbuf_ StrBuf tar = {}, pax = {}, map = {};
        static char whole[300000];
        char expected[256], digest[80], header[512];
        char *dump = NULL;

        /* PAX 1.0: the map stands before the data. 4 bytes at 0, 5 at 200000, a hole up to 300000. */
        memcpy(whole, "head", 4);
        memcpy(whole + 200000, "later", 5);
        digest_of(whole, sizeof(whole), digest);
        tar_add_pax_record(&pax, "GNU.sparse.major", "1", 1);
        tar_add_pax_record(&pax, "GNU.sparse.minor", "0", 1);
        tar_add_pax_record(&pax, "GNU.sparse.name", "sparse", 6);
        tar_add_pax_record(&pax, "GNU.sparse.realsize", "300000", 6);
        tar_add_header(&tar, 'x', "pax", pax.size);
        tar_add_padded(&tar, pax.data, pax.size);
        strbuf_adds(&map, "2\n0\n4\n200000\n5\n");
        tar_add_header(&tar, '0', "GNUSparseFile.0/sparse", 512 + 9);
        tar_add_padded(&tar, map.data, map.size);
        tar_add_padded(&tar, "headlater", 9);

        /* Old GNU: in the header. */
        memset(header, 0, sizeof(header));
        memcpy(header, "old", 3);
        memcpy(header + 100, "0000644\0000000000\0000000000\00000000000005\00000000000000", 48);
        header[156] = 'S';
        memcpy(header + 257, "ustar  ", 8);
        memcpy(header + 386, "00000001000\00000000000005", 24);  /* at 512, 5 bytes */
        memcpy(header + 483, "00000002000", 12);                  /* 1024 in all */
        memset(header + 148, ' ', 8);
        {
                unsigned sum = 0;

                for (size_t i = 0; i < 512; i++)
                        sum += (unsigned char) header[i];
                (void) snprintf(header + 148, 8, "%06o", sum);
        }
        strbuf_add(&tar, header, 512);
        tar_add_padded(&tar, "hello", 5);

        /* A file of zeros, of whole blocks and a tail. */
        tar_add(&tar, &(TarEntry) { .name = "zeros", .content = whole + 4, .content_size = 150000 });
        tar_end(&tar);
        (void) build_tars(&tar, 1, 10, MIB(1), "image", &dump);
        memset(whole, 0, sizeof(whole));
        {
                char old[1024] = {}, old_digest[80], zeros_digest[80];

                memcpy(old + 512, "hello", 5);
                digest_of(old, sizeof(old), old_digest);
                digest_of(whole, 150000, zeros_digest);
                (void) snprintf(expected, sizeof(expected), "/ d 755 0:0 0 n2\nold f 644 0:0 0 n1 1024 %.8s\nsparse f 644 0:0 0 n1 300000 %.8s\nzeros f 644 0:0 0 n1 150000 %.8s\n",
                                old_digest + 7, digest + 7, zeros_digest + 7);
        }
        assert_image(dump, expected);
}

static void test_hostile(void **state) {
        assert_refused(BUILD(LAYER(FILE("../x", "1"))), EBADMSG, "entry \"../x\": has a component \"..\"");
        assert_refused(BUILD(LAYER(FILE("a/../../x", "1"))), EBADMSG, "component \"..\"");
        assert_refused(BUILD(LAYER({ .name = "x", .uid = UINT32_MAX })), EBADMSG, "entry \"x\": its owner 4294967295");
        assert_refused(BUILD(LAYER({ .name = "x", .gid = UINT64_C(1) << 40 })), EBADMSG, "its group");
        assert_refused(BUILD(LAYER({ .name = "x", .pax = "uid=-3" })), EBADMSG, "its owner -3");
        assert_refused(BUILD(LAYER({ .name = "x", .type = '3', .major = 4096 })), EBADMSG, "device number");
        assert_refused(BUILD(LAYER({ .name = "x", .type = '3', .minor = 1048576 })), EBADMSG, "device number");
        assert_refused(BUILD(LAYER(SYMLINK("x", ""))), EBADMSG, "symlink is empty");
        /* Sizes: negative, beyond the end, beyond all. */
        assert_refused(BUILD(LAYER({ .name = "x", .size_field = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0" })), EBADMSG, "entry 1: broken tar archive");
        assert_refused(BUILD(LAYER({ .name = "x", .pax = "size=-1" })), EBADMSG, "broken tar");
        assert_refused(BUILD(LAYER({ .name = "x", .size_field = "00000004000" })), EBADMSG, "runcated");
        assert_refused(BUILD(LAYER({ .name = "x", .size_field = "77777777777" })), EFBIG, "larger than 64 MiB");
        assert_refused(BUILD(LAYER({ .name = "x", .size_field = "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff" })), EBADMSG, "broken tar");
        assert_refused(BUILD(LAYER({ .name = "x", .pax = "GNU.sparse.major=1\nGNU.sparse.minor=0\nGNU.sparse.realsize=-1", .content = "0\n" })), EBADMSG, "entry");
        assert_refused(BUILD(LAYER({ .name = "x", .pax = "GNU.sparse.map=0,1\nGNU.sparse.size=1000000000000", .content = "a" })), EFBIG, "larger than");
        /* A map that goes back. */
        assert_refused(BUILD(LAYER({ .name = "x", .pax = "GNU.sparse.map=5,1,0,1\nGNU.sparse.size=10", .content = "ab" })), EBADMSG, "sparse map");
        assert_refused(BUILD(LAYER({ .name = "x", .pax = "GNU.sparse.map=0,1,20,1\nGNU.sparse.size=10", .content = "ab" })), EBADMSG, "sparse map");
}

/* Headers that other readers take for something else. */
static void test_readers_disagree(void **state) {
        _cleanup_strbuf_ StrBuf tar = {}, pax = {};
        char *dump = NULL;

        tar_add_pax_record(&pax, "path", "etc/passwd\0.txt", 15);
        tar_add_header(&tar, 'x', "pax", pax.size);
        tar_add_padded(&tar, pax.data, pax.size);
        tar_add_header(&tar, '0', "a", 0);
        tar_end(&tar);
        (void) build_tars(&tar, 1, 10, MIB(1), "image", &dump);
        assert_refused(dump, EBADMSG, "entry \"etc/passwd\": a name with a NUL in it");

        strbuf_done(&tar);
        for (unsigned i = 0; i < 2; i++) {
                strbuf_done(&pax);
                tar_add_pax_record(&pax, "path", i == 0 ? "b" : "c", 1);
                tar_add_header(&tar, 'x', "pax", pax.size);
                tar_add_padded(&tar, pax.data, pax.size);
        }
        tar_add_header(&tar, '0', "a", 0);
        (void) build_tars(&tar, 1, 10, MIB(1), "image", &dump);
        assert_refused(dump, EBADMSG, "entry 1: broken tar archive");

        /* A file's content behind what has none. */
        assert_refused(BUILD(LAYER({ .name = "d/", .content = "1" })), EBADMSG, "entry \"d/\": has content, but is no regular file");
        assert_refused(BUILD(LAYER({ .name = "d", .type = '5', .pax = "size=512" }, FILE("smuggled", "1"))), EBADMSG, "entry \"d\": has content");
        assert_refused(BUILD(LAYER({ .name = "s", .type = '2', .link = "x", .pax = "size=512" }, FILE("smuggled", "1"))), EBADMSG, "entry \"s\": has content");

        /* One block of zeros, and then more entries. */
        strbuf_done(&tar);
        tar_add(&tar, &(TarEntry) { .name = "a" });
        tar_end(&tar);
        tar.size -= 512;
        tar_add(&tar, &(TarEntry) { .name = "b" });
        tar_end(&tar);
        (void) build_tars(&tar, 1, 10, MIB(1), "image", &dump);
        assert_refused(dump, EBADMSG, "a block of zeros in the middle");
        /* Also where there was nothing before it. */
        memset(tar.data, 0, 512);
        (void) build_tars(&tar, 1, 10, MIB(1), "image", &dump);
        assert_image(dump, "/ d 755 0:0 0 n2\n");
        dump = NULL;
        memmove(tar.data, tar.data + 512, tar.size - 512);
        tar.size -= 512;
        (void) build_tars(&tar, 1, 10, MIB(1), "image", &dump);
        assert_refused(dump, EBADMSG, "a block of zeros in the middle");
        /* It may be all that is left of the end. */
        tar.size = 512;
        assert_ok(build_tars(&tar, 1, 10, MIB(1), "image", &dump));
        free(dump);
}

static void test_odd_tars(void **state) {
        _cleanup_strbuf_ StrBuf tar = {};
        char header[512] = "old/", name[452], q[IMAGE_QUOTE_MAX], directory_name[201], directory_q[IMAGE_QUOTE_MAX], *dump = NULL;
        unsigned sum = 0;

        /* Before POSIX: no magic, a directory by its slash. */
        memcpy(header + 100, "0000751\0000000012\0000000013\00000000000000\00000000000007", 48);
        memset(header + 148, ' ', 8);
        for (size_t i = 0; i < sizeof(header); i++)
                sum += (unsigned char) header[i];
        (void) snprintf(header + 148, 8, "%06o", sum);
        strbuf_add(&tar, header, sizeof(header));
        /* GNU's long names and targets, by headers of their own; what POSIX does not know is a file; headers for all that follow say nothing here. */
        memset(name, 'n', 200);
        name[200] = '/';
        memset(name + 201, 'm', 250);
        name[451] = 0;
        tar_add_header(&tar, 'g', "pax_global_header", 0);
        tar_add_header(&tar, 'L', "././@LongLink", 452);
        tar_add_padded(&tar, name, 452);
        tar_add_header(&tar, '0', "cut", 0);
        tar_add_header(&tar, 'K', "././@LongLink", 452);
        tar_add_padded(&tar, name, 452);
        tar_add_header(&tar, '2', "l", 0);
        tar_add_header(&tar, 'K', "././@LongLink", 452);
        tar_add_padded(&tar, name, 452);
        tar_add_header(&tar, '1', "h", 0);
        tar_add(&tar, &(TarEntry) { .name = "seven", .type = '7', .content = "7" });
        tar_add(&tar, &(TarEntry) { .name = "own", .type = 'Z', .content = "z" });
        /* The header's size is zero, the record's counts. */
        tar_add(&tar, &(TarEntry) { .name = "size", .pax = "size=4", .content = "four", .size_field = "00000000000" });
        /* However paths are written. */
        tar_add(&tar, &(TarEntry) { .name = "a//b/./c" });
        tar_add(&tar, &(TarEntry) { .name = "//./abs" });
        tar_add(&tar, &(TarEntry) { .name = "dir///", .type = '5' });
        tar_end(&tar);
        (void) build_tars(&tar, 1, 100, MIB(1), "image", &dump);
        {
                _cleanup_free_ char *expected = NULL;

                memcpy(directory_name, name, 200);
                directory_name[200] = 0;
                expected = strf("/ d 755 0:0 0 n6\na d 755 0:0 0 n3\na/b d 755 0:0 0 n2\na/b/c f 644 0:0 0 n1 \"\"\nabs f 644 0:0 0 n1 \"\"\n"
                                "dir d 755 0:0 0 n2\nh f 644 0:0 0 n2 \"\"\nl l 777 0:0 0 n1 -> %s\n%s d 755 0:0 0 n2\n%s f 644 0:0 0 n2 \"\"\n"
                                "old d 751 10:11 7 n2\nown f 644 0:0 0 n1 \"z\"\nseven f 644 0:0 0 n1 \"7\"\nsize f 644 0:0 0 n1 \"four\"\n",
                                image_quote(name, q), image_quote(directory_name, directory_q), q);

                assert_image(dump, expected);
        }
}

static void test_broken_archives(void **state) {
        _cleanup_strbuf_ StrBuf tar = {};
        char *dump = NULL;

        tar_make(&tar, LAYER(FILE("a", "1"), FILE("b", "2")));
        /* Nothing behind the end counts, be it what it may. */
        tar_add_padded(&tar, "junk", 4);
        assert_ok(build_tars(&tar, 1, 10, MIB(1), "image", &dump));
        assert_image(dump, "/ d 755 0:0 0 n2\na f 644 0:0 0 n1 \"1\"\nb f 644 0:0 0 n1 \"2\"\n");
        dump = NULL;
        /* The end may be missing, but an entry may not be cut. */
        tar.size = 4 * 512;
        assert_ok(build_tars(&tar, 1, 10, MIB(1), "image", &dump));
        free(dump);
        dump = NULL;
        for (size_t n = 3 * 512 + 1; n > 2 * 512; n -= 100) {
                tar.size = n;
                (void) build_tars(&tar, 1, 10, MIB(1), "image", &dump);
                assert_refused(dump, EBADMSG, "runcated");
        }
        tar.size = 4 * 512;
        tar.data[2 * 512]++;            /* the checksum of the second header is wrong */
        (void) build_tars(&tar, 1, 10, MIB(1), "image", &dump);
        assert_refused(dump, EBADMSG, "entry 2: broken tar archive");
        memset(tar.data, 'x', 512);
        (void) build_tars(&tar, 1, 10, MIB(1), "image", &dump);
        assert_refused(dump, EBADMSG, "entry 1: broken tar archive");
}

static void test_limits(void **state) {
        _cleanup_strbuf_ StrBuf tar = {};
        char *dump = NULL, name[32];

        for (unsigned i = 0; i < 1000; i++) {
                (void) snprintf(name, sizeof(name), "d%u/f", i);
                tar_add(&tar, &(TarEntry) { .name = name, .content = name, .content_size = sizeof(name) });
        }
        tar_end(&tar);
        (void) build_tars(&tar, 1, 1999, MIB(1), "image", &dump);
        assert_refused(dump, EFBIG, "more than 1999 entries (ImageEntriesMax=)");
        (void) build_tars(&tar, 1, 2000, 31, "image", &dump);
        assert_refused(dump, EFBIG, "larger than 0 MiB");
        (void) build_tars(&tar, 1, 2000, 31999, "image", &dump);
        assert_refused(dump, EFBIG, "its files have more than");
        assert_ok(build_tars(&tar, 1, 2000, 32000, "image", &dump));
        free(dump);
}

/* What entries bring beside themselves. */
static void test_memory_limits(void **state) {
        _cleanup_strbuf_ StrBuf tar = {};
        char *dump = NULL, pax[60100], target[4001], name[32];
        int n;

        for (unsigned i = 0; i < 20; i++) {
                n = snprintf(pax, sizeof(pax), "SCHILY.xattr.user.x=%u", i);
                memset(pax + n, 'v', 60000);
                pax[n + 60000] = 0;
                (void) snprintf(name, sizeof(name), "f%u", i);
                tar_add(&tar, &(TarEntry) { .name = name, .pax = pax });
        }
        tar_end(&tar);
        (void) build_tars(&tar, 1, 100, MIB(1), "image", &dump);
        assert_refused(dump, EFBIG, "entry \"f17\": the extended attributes of the image take more than 1 MiB (ImageEntriesMax=");
        assert_ok(build_tars(&tar, 1, 10000, MIB(1), "image", &dump));
        free(dump);
        dump = NULL;

        strbuf_done(&tar);
        memset(target, 't', 4000);
        target[4000] = 0;
        for (unsigned i = 0; i < 20000; i++) {
                (void) snprintf(name, sizeof(name), "l%u", i);
                tar_add(&tar, &(TarEntry) { .name = name, .type = '2', .link = target });
        }
        tar_end(&tar);
        (void) build_tars(&tar, 1, 20000, MIB(1), "image", &dump);
        assert_refused(dump, EFBIG, "the names, targets and attributes of the image take more than 73 MiB (ImageEntriesMax=");
}

static void test_step_limit(void **state) {
        _cleanup_strbuf_ StrBuf tar = {};
        char target[4001], *dump = NULL;

        /* Each entry goes a long way in circles. */
        for (size_t i = 0; i < 4000; i += 2)
                memcpy(target + i, "./", 2);
        target[4000] = 0;
        tar_add(&tar, &(TarEntry) { .name = "s", .type = '2', .link = target });
        for (unsigned i = 0; i < 5000; i++)
                tar_add(&tar, &(TarEntry) { .name = "s/s/s/s/x" });
        tar_end(&tar);
        (void) build_tars(&tar, 1, 10000, MIB(1), "image", &dump);
        assert_refused(dump, EFBIG, "steps to follow");
}

/* Same layers, same bytes: of two runs, and whatever the order in which threads come by. */
static void test_reproducible(void **state) {
        _cleanup_free_ char *one = strf("%s/one", directory), *two = strf("%s/two", directory), *a = NULL, *b = NULL;
        _cleanup_strbuf_ StrBuf tar = {};
        char name[32], *content = malloc(400000);
        size_t an, bn;

        for (unsigned i = 0; i < 300; i++) {
                size_t n = (i * 7919u) % 400000;

                for (size_t k = 0; k < n; k++)
                        content[k] = (char) ((k * (i + 1)) >> 3);
                (void) snprintf(name, sizeof(name), "d%u/f%u", i % 7, i);
                tar_add(&tar, &(TarEntry) { .name = name, .content = content, .content_size = n, .uid = i % 3, .pax = i % 5 ? NULL : "SCHILY.xattr.user.x=1" });
        }
        free(content);
        tar_end(&tar);
        assert_ok(build_tars(&tar, 1, 10000, MIB(100), "one", NULL));
        assert_ok(build_tars(&tar, 1, 10000, MIB(100), "two", NULL));
        assert_ok(read_file_at(AT_FDCWD, one, MIB(100), &a, &an));
        assert_ok(read_file_at(AT_FDCWD, two, MIB(100), &b, &bn));
        assert_int_equal(an, bn);
        assert_memory_equal(a, b, an);
}

static void test_squash_check(void **state) {
        _cleanup_free_ char *path = strf("%s/check", directory);
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        free(BUILD(LAYER(FILE("a", "1"))));
        assert_int_equal(result, 0);
        {
                _cleanup_free_ char *image = strf("%s/image", directory);

                assert_int_equal(rename(image, path), 0);
        }
        fd = open(path, O_RDWR | O_CLOEXEC);
        assert_ok(fd);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size % 4096, 0);
        assert_ok(squash_check(fd, (uint64_t) st.st_size));
        assert_error(squash_check(fd, (uint64_t) st.st_size + 4096), EUCLEAN);
        /* Somebody has written to it. */
        assert_int_equal(pwrite(fd, "x", 1, st.st_size - 1), 1);
        assert_error(squash_check(fd, (uint64_t) st.st_size), EUCLEAN);
        /* As a power cut may leave it: long enough, and all zeros. */
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_ok(squash_seal(fd));
        assert_error(squash_check(fd, (uint64_t) st.st_size), EUCLEAN);
        assert_int_equal(ftruncate(fd, st.st_size), 0);
        assert_ok(squash_seal(fd));
        assert_error(squash_check(fd, (uint64_t) st.st_size), EUCLEAN);
}

/* Many markers over many entries, and long ways through symlinks: what each costs is bounded, not only how many there are. */
static void test_work_is_bounded(void **state) {
        _cleanup_strbuf_ StrBuf tar = {};
        char *dump = NULL, name[32], target[4001];

        for (unsigned i = 0; i < 4000; i++) {
                (void) snprintf(name, sizeof(name), "d/%u", i);
                tar_add(&tar, &(TarEntry) { .name = name });
        }
        for (unsigned i = 0; i < 1000; i++)
                tar_add(&tar, &(TarEntry) { .name = "d/.wh..wh..opq" });
        tar_end(&tar);
        (void) build_tars(&tar, 1, 6000, MIB(1), "image", &dump);
        assert_refused(dump, EFBIG, "steps to follow (ImageEntriesMax=");
        assert_ok(build_tars(&tar, 1, 100000, MIB(1), "image", &dump));
        free(dump);
        dump = NULL;

        strbuf_done(&tar);
        memset(target, '/', 4000);
        target[4000] = 0;
        memcpy(target + 3999, "s", 1);
        tar_add(&tar, &(TarEntry) { .name = "s", .type = '2', .link = "t" });
        tar_add(&tar, &(TarEntry) { .name = "t", .type = '5' });
        for (unsigned i = 0; i < 39; i++) {
                (void) snprintf(name, sizeof(name), "l%02u", i);
                (void) snprintf(target + 3997, 4, i == 0 ? "s" : "l%02u", i - 1);
                tar_add(&tar, &(TarEntry) { .name = name, .type = '2', .link = target });
        }
        for (unsigned i = 0; i < 200; i++)
                tar_add(&tar, &(TarEntry) { .name = "l38/x" });
        tar_end(&tar);
        (void) build_tars(&tar, 1, 1000, MIB(1), "image", &dump);
        assert_refused(dump, EFBIG, "steps to follow");
        assert_ok(build_tars(&tar, 1, 10000, MIB(1), "image", &dump));
        free(dump);
}

static int set_up(void **state) {
        return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state) {
        free(error);
        return remove_tree_at(AT_FDCWD, directory);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kinds),
                cmocka_unit_test(test_no_layers),
                cmocka_unit_test(test_whiteouts),
                cmocka_unit_test(test_opaque),
                cmocka_unit_test(test_replacement),
                cmocka_unit_test(test_hard_links),
                cmocka_unit_test(test_symlinked_parents),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_depth),
                cmocka_unit_test(test_xattrs),
                cmocka_unit_test(test_many_xattr_sets),
                cmocka_unit_test(test_content),
                cmocka_unit_test(test_sparse),
                cmocka_unit_test(test_hostile),
                cmocka_unit_test(test_readers_disagree),
                cmocka_unit_test(test_odd_tars),
                cmocka_unit_test(test_broken_archives),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_memory_limits),
                cmocka_unit_test(test_step_limit),
                cmocka_unit_test(test_work_is_bounded),
                cmocka_unit_test(test_reproducible),
                cmocka_unit_test(test_squash_check),
        };
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
