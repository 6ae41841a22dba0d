/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/digest.h"
#include "image/layer.h"
#include "test.h"
#include "tests/unit/image-builder.h"

enum { CONTENT_SIZE = 3000000 };

static char directory[] = "/tmp/inferno-test-XXXXXX";
static char content[CONTENT_SIZE];
static char content_digest[80];

static char *error;
static bool blob_is_wrong;

/* Unpacks the blob, with the digests that belong to it where none are given. */
static int unpack(const StrBuf *blob, const char *digest, uint64_t size, const char *diff_id, uint64_t size_max, LayerData *ret) {
        _cleanup_free_ char *path = strf("%s/blob", directory);
        _cleanup_close_ int fd = -EBADF, dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char own_digest[80];

        error = (free(error), NULL);
        assert_ok(write_file_atomic_at(AT_FDCWD, path, blob->data ?: "", blob->size, 0644, 0));
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_ok(fd);
        digest_of(blob->data ?: "", blob->size, own_digest);
        return layer_unpack(fd, digest ?: own_digest, size ?: blob->size, diff_id ?: content_digest, size_max, dir_fd, ret, &blob_is_wrong, &error);
}

static void assert_unpacks(const StrBuf *blob) {
        LayerData l;
        int r = unpack(blob, NULL, 0, NULL, CONTENT_SIZE, &l);

        if (r < 0)
                print_message("said: %s\n", error);
        assert_ok(r);
        assert_int_equal(l.size, CONTENT_SIZE);
        assert_memory_equal(l.data, content, CONTENT_SIZE);
        layer_data_done(&l);
}

static void assert_refused(int r, int expected, bool wrong, const char *words) {
        assert_int_equal(r, -expected);
        assert_non_null(error);
        if (!strstr(error, words))
                print_message("said: %s\n", error);
        assert_non_null(strstr(error, words));
        assert_int_equal(blob_is_wrong, wrong);
}

static void test_packings(void **state) {
        static const Packing packings[] = { PACK_NONE, PACK_GZIP, PACK_GZIP_MEMBERS, PACK_ZSTD, PACK_ZSTD_FRAMES };

        for (size_t i = 0; i < ELEMENTSOF(packings); i++)
                for (size_t piece = 4099; piece < CONTENT_SIZE; piece *= 17) {
                        _cleanup_strbuf_ StrBuf blob = {};

                        pack(&blob, content, CONTENT_SIZE, packings[i], piece);
                        assert_unpacks(&blob);
                }
}

static void test_mixed_members(void **state) {
        _cleanup_strbuf_ StrBuf blob = {};
        static const char zeros[70000];

        /* Members without content, and a tail of zeros, as some writers leave them. */
        pack(&blob, "", 0, PACK_GZIP, 0);
        pack(&blob, content, 1000, PACK_GZIP, 0);
        pack(&blob, "", 0, PACK_GZIP, 0);
        pack(&blob, content + 1000, CONTENT_SIZE - 1000, PACK_GZIP, 0);
        strbuf_add(&blob, zeros, sizeof(zeros));
        assert_unpacks(&blob);
}

static void test_skippable_frames(void **state) {
        _cleanup_strbuf_ StrBuf blob = {};

        strbuf_add(&blob, "\x52\x2a\x4d\x18\x03\0\0\0abc", 11);
        pack(&blob, content, CONTENT_SIZE, PACK_ZSTD, 0);
        strbuf_add(&blob, "\x50\x2a\x4d\x18\0\0\0\0", 8);
        assert_unpacks(&blob);
}

static void test_empty(void **state) {
        char digest[80];
        StrBuf blob = {};
        LayerData l;

        digest_of("", 0, digest);
        assert_ok(unpack(&blob, NULL, 0, digest, 0, &l));
        assert_int_equal(l.size, 0);
        layer_data_done(&l);
}

static void test_wrong(void **state) {
        _cleanup_strbuf_ StrBuf gzip = {}, zstd = {};
        char other[80];
        LayerData l;
        int r;

        digest_of("other", 5, other);
        pack(&gzip, content, CONTENT_SIZE, PACK_GZIP, 0);
        pack(&zstd, content, CONTENT_SIZE, PACK_ZSTD, 0);

        /* Not the blob that the manifest means: another attempt to get it may help. */
        r = unpack(&gzip, other, 0, NULL, CONTENT_SIZE, &l);
        assert_refused(r, EBADMSG, true, "the blob's digest is sha256:");
        r = unpack(&gzip, NULL, gzip.size + 1, NULL, CONTENT_SIZE, &l);
        assert_refused(r, EBADMSG, true, "the manifest says");
        r = unpack(&gzip, NULL, gzip.size - 1, NULL, CONTENT_SIZE, &l);
        assert_refused(r, EBADMSG, true, "has at least");
        gzip.data[gzip.size / 2] ^= 1;
        digest_of("x", 1, other);
        r = unpack(&gzip, other, 0, NULL, CONTENT_SIZE, &l);
        assert_refused(r, EBADMSG, true, "the blob's digest is");

        /* The blob that it means, but a bad one. */
        r = unpack(&gzip, NULL, 0, NULL, CONTENT_SIZE, &l);
        assert_refused(r, EBADMSG, false, "gzip data");
        gzip.data[gzip.size / 2] ^= 1;
        gzip.data[gzip.size - 6] ^= 1;
        r = unpack(&gzip, NULL, 0, NULL, CONTENT_SIZE, &l);
        assert_refused(r, EBADMSG, false, "does not match its checksum");
        gzip.data[gzip.size - 6] ^= 1;
        r = unpack(&gzip, NULL, 0, other, CONTENT_SIZE, &l);
        assert_refused(r, EBADMSG, false, "unpacks to the digest");
        r = unpack(&gzip, NULL, 0, NULL, CONTENT_SIZE - 1, &l);
        assert_refused(r, EFBIG, false, "ImageSizeMax=");
        strbuf_add(&gzip, "something else altogether", 25);
        r = unpack(&gzip, NULL, 0, NULL, CONTENT_SIZE, &l);
        assert_refused(r, EBADMSG, false, "gzip data is broken");
        gzip.data[gzip.size - 25] = 0;
        r = unpack(&gzip, NULL, 0, NULL, CONTENT_SIZE, &l);
        assert_refused(r, EBADMSG, false, "bytes behind the end");
        gzip.size -= 25;
        for (size_t cut = 1; cut < gzip.size; cut = cut * 3 + 1) {
                gzip.size -= cut;
                r = unpack(&gzip, NULL, 0, NULL, CONTENT_SIZE, &l);
                assert_refused(r, EBADMSG, false, "gzip data is");
                gzip.size += cut;
        }

        for (size_t cut = 1; cut < zstd.size - 4; cut = cut * 3 + 1) {
                zstd.size -= cut;
                r = unpack(&zstd, NULL, 0, NULL, CONTENT_SIZE, &l);
                assert_refused(r, EBADMSG, false, "zstd data is cut off");
                zstd.size += cut;
        }
        r = unpack(&zstd, NULL, 0, NULL, CONTENT_SIZE - 1, &l);
        assert_refused(r, EFBIG, false, "ImageSizeMax=");
        strbuf_adds(&zstd, "trailing");
        r = unpack(&zstd, NULL, 0, NULL, CONTENT_SIZE, &l);
        assert_refused(r, EBADMSG, false, "zstd data is broken");
}

/* A quarter of a gigabyte out of a quarter of a megabyte stops at the limit, and the file that it goes to has not grown beyond it. */
static void test_bombs(void **state) {
        _cleanup_free_ char *zeros = calloc(1, MIB(16));
        _cleanup_strbuf_ StrBuf gzip = {}, zstd = {};
        LayerData l;
        int r;

        for (unsigned i = 0; i < 16; i++) {
                pack(&gzip, zeros, MIB(16), PACK_GZIP, 0);
                pack(&zstd, zeros, MIB(16), PACK_ZSTD, 0);
        }
        r = unpack(&gzip, NULL, 0, NULL, MIB(20), &l);
        assert_refused(r, EFBIG, false, "more than 20 MiB");
        r = unpack(&zstd, NULL, 0, NULL, MIB(20), &l);
        assert_refused(r, EFBIG, false, "more than 20 MiB");
}

static int set_up(void **state) {
        /* Words of a text, so that it compresses, but not to nothing. */
        for (size_t i = 0, x = 1; i < CONTENT_SIZE; i++) {
                x = x * 1103515245 + 12345;
                content[i] = "etaoin shrdlu\n\0."[(x >> 16) & 15];
        }
        digest_of(content, CONTENT_SIZE, content_digest);
        return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state) {
        free(error);
        return remove_tree_at(AT_FDCWD, directory);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_packings),
                cmocka_unit_test(test_mixed_members),
                cmocka_unit_test(test_skippable_frames),
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_wrong),
                cmocka_unit_test(test_bombs),
        };
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
