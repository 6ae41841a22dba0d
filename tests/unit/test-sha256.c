/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/sha256.h"
#include "test.h"

static void assert_digest(const char *data, size_t n, size_t step, const char *expected) {
        char hex[SHA256_HEX_SIZE];
        Sha256 h;

        sha256_init(&h);
        for (size_t i = 0; i < n; i += step)
                sha256_update(&h, data + i, MIN(step, n - i));
        sha256_finish_hex(&h, hex);
        assert_string_equal(hex, expected);
}

/* The examples of FIPS 180-4's appendix, and every place of the length field around the end of a block. */
static void test_vectors(void **state) {
        static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        _cleanup_free_ char *million = malloc(1000000);

        assert_non_null(million);
        memset(million, 'a', 1000000);
        assert_digest("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_digest("abc", 3, 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        for (size_t step = 1; step <= 57; step++)
                assert_digest(two, sizeof(two) - 1, step, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        assert_digest(million, 1000000, 65536, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
        assert_digest(million, 55, 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
        assert_digest(million, 56, 7, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
        assert_digest(million, 64, 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
}

static void test_string(void **state) {
        char a[SHA256_HEX_SIZE], b[SHA256_HEX_SIZE];
        Sha256 h;

        sha256_init(&h);
        sha256_update_string(&h, "ab");
        sha256_update_string(&h, "c");
        sha256_finish_hex(&h, a);
        sha256_init(&h);
        sha256_update_string(&h, "a");
        sha256_update_string(&h, "bc");
        sha256_finish_hex(&h, b);
        assert_string_not_equal(a, b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_vectors),
                cmocka_unit_test(test_string),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
