/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tar streams read and written, however they are cut, and against wrong ones. */

#include "base/tar.h"
#include "test.h"
#include "tests/unit/tar-builder.h"

/* All members of a stream, a line each, with their content; "!" and the error at the end of a wrong one, "." at that of a whole one. */
static char *list(const char *data, size_t size, size_t step) {
        _cleanup_tar_reader_ TarReader t = {};
        StrBuf b = {};
        char *text;

        for (size_t at = 0; at < size; at += step) {
                const char *d = data + at, *content;
                size_t n = MIN(step, size - at), n_content;
                TarMember m;
                int r;

                while ((r = tar_reader_next(&t, &d, &n, &m, &content, &n_content)) != TAR_MORE) {
                        if (r == TAR_MEMBER)
                                strbuf_addf(&b, "\n%c %s%s%s %o %u:%u %llu %lld.%09ld ", (char) m.type, m.path, *m.link ? "->" : "", m.link, m.mode, m.uid,
                                                m.gid, (unsigned long long) m.size, (long long) m.mtime.tv_sec, m.mtime.tv_nsec);
                        else if (r == TAR_DATA)
                                strbuf_add(&b, content, n_content);
                        else {
                                strbuf_addf(&b, "\n%s", r == TAR_END ? "." : t.error);
                                assert_ok(strbuf_finish(&b, &text, NULL));
                                return text;
                        }
                }
        }
        assert_ok(strbuf_finish(&b, &text, NULL));
        return text;
}

static void check(const StrBuf *b, const char *wanted) {
        for (size_t step = 1; step < 3 * b->size; step = step * 3 + 1) {
                _cleanup_free_ char *text = list(b->data, b->size, step);

                assert_string_equal(text, wanted);
        }
}

static void check_entries(const TarEntry *entries, const char *wanted) {
        _cleanup_strbuf_ StrBuf b = {};

        tar_make(&b, entries);
        check(&b, wanted);
}

static void test_read(void **state) {
        const TarEntry entries[] = {
                { .name = "./", .type = '5', .mtime = 7 },
                { .name = "old/", .mode = 0700 },
                { .name = "a", .content = "hello", .uid = 3000000, .gid = 5, .mtime = -3 },
                { .name = "b", .type = '1', .link = "a" },
                { .name = "c", .type = '2', .link = "../x y" },
                { .name = "d", .type = '3', .major = 1, .minor = 3 },
                { .name = "e", .type = '6', .mode = 06755 },
                { .name = "f", .pax = "path=long\nmtime=1.25\nuid=7\ngid=8\nsize=3\nSCHILY.xattr.user.a=b", .content = "abc" },
                { .name = "g", .type = '2', .link = "x", .pax = "linkpath=far\nmtime=-1.5" },
                { .name = "h", .pax = "mtime=12" },
                {},
        };

        check_entries(entries,
                        "\n5 ./ 755 0:0 0 7.000000000 \n5 old/ 700 0:0 0 0.000000000 \n0 a 644 3000000:5 5 -3.000000000 hello\n1 b->a 644 0:0 0 0.000000000 "
                        "\n2 c->../x y 644 0:0 0 0.000000000 \n3 d 644 0:0 0 0.000000000 \n6 e 6755 0:0 0 0.000000000 \n0 long 644 7:8 3 1.250000000 abc"
                        "\n2 g->far 644 0:0 0 -2.500000000 \n0 h 644 0:0 0 12.000000000 \n.");
}

static void test_gnu(void **state) {
        _cleanup_strbuf_ StrBuf b = {};
        char name[151], wanted[512];

        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = 0;
        tar_add_header(&b, 'L', "././@LongLink", sizeof(name));
        tar_add_padded(&b, name, sizeof(name));
        tar_add_header(&b, 'K', "././@LongLink", sizeof(name));
        tar_add_padded(&b, name, sizeof(name));
        tar_add(&b, &(TarEntry) { .name = "nnn", .type = '2', .link = "nnn" });
        tar_end(&b);
        snprintf(wanted, sizeof(wanted), "\n2 %s->%s 644 0:0 0 0.000000000 \n.", name, name);
        check(&b, wanted);
}

/* What a size above 8 GiB looks like in its two forms; of the content nothing is there. */
static void test_large(void **state) {
        const TarEntry entries[][2] = {
                { { .name = "a", .size_field = "\200\0\0\0\0\0\0\2\0\0\0\1" } },
                { { .name = "a", .pax = "size=8589934593" } },
        };

        for (size_t i = 0; i < ELEMENTSOF(entries); i++) {
                _cleanup_strbuf_ StrBuf b = {};

                tar_add(&b, entries[i]);
                check(&b, "\n0 a 644 0:0 8589934593 0.000000000 ");
        }
}

static void test_wrong(void **state) {
        static const struct {
                TarEntry entry;
                const char *error;
        } cases[] = {
                { { .name = "a", .type = 'S' }, "it has a sparse file, which is not supported; make it without --sparse" },
                { { .name = "a", .pax = "GNU.sparse.major=1" }, "it has a sparse file, which is not supported; make it without --sparse" },
                { { .name = "a", .type = 'M' }, "it has a member of a kind that is not known" },
                { { .name = "a", .type = '5', .content = "x" }, "a member that is no file has content" },
                { { .name = "a", .type = '1', .link = "b", .content = "x" }, "a member that is no file has content" },
                { { .name = "a", .type = '2' }, "a link points to nothing, or something else than a link to something" },
                { { .name = "a", .link = "b" }, "a link points to nothing, or something else than a link to something" },
                { { .name = "a", .size_field = "-0000000001" }, "a header has a number that is none" },
                { { .name = "a", .size_field = "\377\377\377\377\377\377\377\377\377\377\377\377" }, "a header has a number that is none" },
                { { .name = "a", .size_field = "\200\377\377\377\377\377\377\377\377\377\377\377" }, "a header has a number that is none" },
                { { .name = "a", .size_field = "\200\0\0\0\177\377\377\377\377\377\377\377" }, "a member is larger than anything can be" },
                { { .name = "a", .pax = "size=9223372036854775808" }, "an extended header has a value that is none, or is too long" },
                { { .name = "a", .pax = "size=-1" }, "an extended header has a value that is none, or is too long" },
                { { .name = "a", .pax = "uid=4294967295" }, "an extended header has a value that is none, or is too long" },
                { { .name = "a", .pax = "mtime=1.5x" }, "an extended header has a value that is none, or is too long" },
                { { .name = "a", .pax = "path=" }, "an extended header has a value that is none, or is too long" },
                { { .name = "a", .pax = "path=x\npath=y" }, "two extended headers say the same thing of one member" },
                { { .name = "a", .uid = 0xffffffff }, "a member's owner has no number that can be one" },
                { { .name = "" }, "a member has no name" },
        };
        _cleanup_strbuf_ StrBuf b = {};

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *wanted = strf("\n%s", cases[i].error);

                check_entries((const TarEntry[]) { cases[i].entry, {} }, wanted);
        }

        /* A name with a NUL in it, one that is too long, extended headers without end, or without a member. */
        tar_add_header(&b, 'x', "pax", 10);
        tar_add_padded(&b, "10 path=a\0b\n", 10);
        check(&b, "\nan extended header is malformed");
        strbuf_done(&b);
        tar_add_header(&b, 'x', "pax", 11);
        tar_add_padded(&b, "11 path=a\0\n", 11);
        check(&b, "\nan extended header has a value that is none, or is too long");
        strbuf_done(&b);
        tar_add_header(&b, 'L', "long", TAR_EXTENSION_MAX + 1);
        check(&b, "\nan extended header is too long");
        strbuf_done(&b);
        tar_add_header(&b, 'L', "long", 5000);
        for (size_t i = 0; i < 10; i++)
                tar_add_padded(&b, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", 100);
        check(&b, "\na long name is empty or too long");
        strbuf_done(&b);
        tar_add_header(&b, 'x', "pax", 10);
        tar_add_padded(&b, "10 path=a\n", 10);
        tar_end(&b);
        check(&b, "\nit ends behind an extended header");
        strbuf_done(&b);
        tar_add_header(&b, 'g', "pax", 10);
        tar_add_padded(&b, "10 path=a\n", 10);
        check(&b, "\na global header says what concerns single members");
        strbuf_done(&b);
        /* What git-archive(1) writes is nobody's concern. */
        tar_add_header(&b, 'g', "pax", 13);
        tar_add_padded(&b, "13 comment=a\n", 13);
        tar_end(&b);
        check(&b, "\n.");
        strbuf_done(&b);
        for (size_t i = 0; i < 16; i++)
                tar_add_padded(&b, "no archive at all, however long it goes on", 42);
        check(&b, "\nit is no tar archive, or a damaged one");
        strbuf_done(&b);
        tar_end(&b);
        b.size -= 512;
        tar_add(&b, &(TarEntry) { .name = "behind" });
        check(&b, "\nit goes on behind its end");
}

static void test_write(void **state) {
        char path[TAR_PATH_MAX + 1], wanted[3 * TAR_PATH_MAX];
        const TarMember members[] = {
                { .type = TAR_FILE, .path = "a", .link = "", .mode = 04755, .uid = 1, .gid = 2, .mtime = { 5, 0 } },
                { .type = TAR_SYMLINK, .path = "b", .link = path, .mode = 0777, .mtime = { -2, 500000000 } },
                { .type = TAR_FILE, .path = path, .link = "", .uid = UINT32_MAX - 1, .gid = 2097152, .mtime = { -1, 1 } },
                { .type = TAR_DIRECTORY, .path = "c/", .link = "", .mode = 01777, .mtime = { INT64_C(1) << 40, 999999999 } },
                { .type = TAR_FILE, .path = "d", .link = "", .mtime = { -7, 0 } },
                { .type = TAR_FILE, .path = "e", .link = "", .size = UINT64_C(1) << 40 },
        };
        _cleanup_strbuf_ StrBuf b = {};

        memset(path, 'p', TAR_PATH_MAX);
        path[TAR_PATH_MAX] = 0;
        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                tar_add_member(&b, members + i);
        snprintf(wanted, sizeof(wanted),
                        "\n0 a 4755 1:2 0 5.000000000 \n2 b->%s 777 0:0 0 -2.500000000 \n0 %s 0 4294967294:2097152 0 -1.000000001 "
                        "\n5 c/ 1777 0:0 0 1099511627776.999999999 \n0 d 0 0:0 0 -7.000000000 \n0 e 0 0:0 1099511627776 0.000000000 ",
                        path, path);
        check(&b, wanted);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_read),
                cmocka_unit_test(test_gnu),
                cmocka_unit_test(test_large),
                cmocka_unit_test(test_wrong),
                cmocka_unit_test(test_write),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
