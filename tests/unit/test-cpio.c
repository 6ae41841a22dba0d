/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cpio/cpio.h"
#include "test.h"

static int finish(Cpio *c, char **ret, size_t *ret_size) {
        _cleanup_strbuf_ StrBuf b = {};
        struct iovec *pieces;
        size_t n, size;
        int r = cpio_finish(c, &pieces, &n, &size);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                strbuf_add(&b, pieces[i].iov_base, pieces[i].iov_len);
        assert_int_equal(b.size, size);
        return strbuf_finish(&b, ret, ret_size);
}

/* The bytes as the kernel's buffer-format.rst has them, written out by hand. */
static void test_golden(void **state) {
        static const char expected[] =
                "070701" "00000001" "000041ED" "00000000" "00000000" "00000002" "00000000" "00000000" "00000000" "00000000"
                "00000000" "00000000" "00000002" "00000000" "d\0"
                "070701" "00000002" "000081A4" "00000000" "00000000" "00000001" "00000000" "00000005" "00000000" "00000000"
                "00000000" "00000000" "00000004" "00000000" "d/f\0\0\0" "hello\0\0\0"
                "070701" "00000000" "00000000" "00000000" "00000000" "00000001" "00000000" "00000000" "00000000" "00000000"
                "00000000" "00000000" "0000000B" "00000000" "TRAILER!!!\0\0\0";
        _cleanup_cpio_ Cpio c = {};
        _cleanup_free_ char *s = NULL;
        size_t n;

        cpio_add_directory(&c, "d", 0755);
        cpio_add_file(&c, "d/f", 0644, "hello", 5);
        assert_ok(finish(&c, &s, &n));
        assert_int_equal(n, sizeof(expected));
        assert_memory_equal(s, expected, n);
        assert_memory_equal(s + n - (sizeof(CPIO_END) - 1), CPIO_END, sizeof(CPIO_END) - 1);
}

/* Sizes of names and content that need each padding there is, and more pieces than there is room for at first. */
static void test_padding(void **state) {
        static const char data[] = "0123456789", name[] = "abcdefghij";
        _cleanup_cpio_ Cpio c = {};
        _cleanup_free_ char *s = NULL;
        size_t n, at = 0;

        for (size_t i = 0; i < 8; i++)
                for (size_t k = 1; k < 8; k++) {
                        _cleanup_free_ char *part = strndup(name, k);

                        cpio_add_file(&c, part, 0644, data, i);
                }
        assert_ok(finish(&c, &s, &n));
        assert_int_equal(n % 4, 0);
        for (size_t i = 0; i < 8; i++)
                for (size_t k = 1; k < 8; k++) {
                        assert_memory_equal(s + at, "070701", 6);
                        assert_memory_equal(s + at + 110, name, k);
                        at += (110 + k + 1 + 3) / 4 * 4;
                        assert_memory_equal(s + at, data, i);
                        at += (i + 3) / 4 * 4;
                }
        assert_int_equal(n - at, 124);
}

static void test_names(void **state) {
        static const char *const bad[] = { "", "/a", "a/", "a//b", ".", "./a", "..", "a/../b", "a/." };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_cpio_ Cpio c = {};
                char *s;
                size_t n;

                cpio_add_file(&c, bad[i], 0644, "x", 1);
                cpio_add_directory(&c, "good", 0755);
                assert_error(finish(&c, &s, &n), EINVAL);
        }
}

static void test_too_large(void **state) {
        _cleanup_cpio_ Cpio c = {};
        char *s;
        size_t n;

        cpio_add_file(&c, "f", 0644, "", (size_t) UINT32_MAX + 1);
        assert_error(finish(&c, &s, &n), EFBIG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),
                cmocka_unit_test(test_padding),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_too_large),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
