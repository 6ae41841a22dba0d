/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cpio/cpio.h"
#include "test.h"

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
        assert_ok(cpio_finish(&c, &s, &n));
        assert_int_equal(n, sizeof(expected));
        assert_memory_equal(s, expected, n);
}

static void test_reserve(void **state) {
        _cleanup_cpio_ Cpio a = {}, b = {};
        _cleanup_free_ char *s = NULL, *t = NULL;
        static char data[100000];
        size_t n, m;
        void *p;

        memset(data, 'x', sizeof(data));
        cpio_add_file(&a, "init", 0755, data, sizeof(data) - 1);
        cpio_add_file(&a, "empty", 0600, NULL, 0);
        p = cpio_reserve_file(&b, "init", 0755, sizeof(data) - 1);
        assert_non_null(p);
        memcpy(p, data, sizeof(data) - 1);
        assert_non_null(cpio_reserve_file(&b, "empty", 0600, 0));
        assert_ok(cpio_finish(&a, &s, &n));
        assert_ok(cpio_finish(&b, &t, &m));
        assert_int_equal(n, m);
        assert_int_equal(n % 4, 0);
        assert_memory_equal(s, t, n);
}

static void test_names(void **state) {
        static const char *const bad[] = { "", "/a", "a/", "a//b", ".", "./a", "..", "a/../b", "a/." };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_cpio_ Cpio c = {};
                char *s;
                size_t n;

                cpio_add_file(&c, bad[i], 0644, "x", 1);
                cpio_add_directory(&c, "good", 0755);
                assert_error(cpio_finish(&c, &s, &n), EINVAL);
        }
}

static void test_too_large(void **state) {
        _cleanup_cpio_ Cpio c = {};
        char *s;
        size_t n;

        assert_null(cpio_reserve_file(&c, "f", 0644, (size_t) UINT32_MAX + 1));
        assert_error(cpio_finish(&c, &s, &n), EFBIG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),
                cmocka_unit_test(test_reserve),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_too_large),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
