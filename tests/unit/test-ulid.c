/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <time.h>

#include "base/parse.h"
#include "base/ulid.h"
#include "test.h"

static void test_new(void **state) {
        char a[ULID_STRING_SIZE], b[ULID_STRING_SIZE];
        uint64_t usec, now = (uint64_t) time(NULL) * USEC_PER_SEC;

        assert_ok(ulid_new(NULL, a));
        assert_ok(ulid_new(NULL, b));
        assert_true(ulid_is_valid(a));
        assert_string_not_equal(a, b);
        assert_ok(ulid_get_usec(a, &usec));
        assert_true(usec + 5 * USEC_PER_SEC > now && usec < now + 5 * USEC_PER_SEC);
}

static void test_monotonic(void **state) {
        char a[ULID_STRING_SIZE], b[ULID_STRING_SIZE];

        assert_ok(ulid_new(NULL, a));
        for (int i = 0; i < 1000; i++) {
                assert_ok(ulid_new(a, b));
                assert_true(strcmp(a, b) < 0);
                memcpy(a, b, sizeof(a));
        }
        /* The clock has been set back: carries go through all digits, into the time too. */
        assert_ok(ulid_new("6ZZZZZZZZZ0000000000000009", b));
        assert_string_equal(b, "6ZZZZZZZZZ000000000000000A");
        assert_ok(ulid_new("6ZZZZZZZZZZZZZZZZZZZZZZZZZ", b));
        assert_string_equal(b, "70000000000000000000000000");
        assert_error(ulid_new("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", b), ERANGE);
        assert_error(ulid_new("x", b), EINVAL);
}

/* The example of the specification. */
static void test_time(void **state) {
        uint64_t usec;

        assert_ok(ulid_get_usec("01ARZ3NDEKTSV4RRFFQ69G5FAV", &usec));
        assert_true(usec == UINT64_C(1469922850259) * USEC_PER_MSEC);
        assert_error(ulid_get_usec("01ARZ3NDEKTSV4RRFFQ69G5FAI", &usec), EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_new),
                cmocka_unit_test(test_monotonic),
                cmocka_unit_test(test_time),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
