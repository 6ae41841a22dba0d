/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "layout/layout.h"
#include "test.h"
#include "thin/thin.h"

#define TABLE "253:0 253:1 128 0 1 error_if_no_space"

static void test_usage(void **state) {
        ThinUsage u;

        assert_ok(thin_usage_parse("7 112/1024 3092/30912 - rw discard_passdown error_if_no_space - 256 ", TABLE " ", &u));
        assert_int_equal(u.state, THIN_GOOD);
        assert_true(u.data_total == UINT64_C(30912) * 65536 && u.data_used == UINT64_C(3092) * 65536);
        assert_true(u.metadata_total == 1024 * 4096 && u.metadata_used == 112 * 4096);
        assert_false(u.needs_check || u.queues);
        assert_int_equal(thin_usage_percent(&u), 10);          /* 10.002 and 10.9 */

        assert_ok(thin_usage_parse("0 1000/1024 0/30912 - rw no_discard_passdown queue_if_no_space - 256", TABLE, &u));
        assert_true(u.queues);
        assert_int_equal(thin_usage_percent(&u), 97);          /* of the metadata */

        assert_ok(thin_usage_parse("3 112/1024 30912/30912 - out_of_data_space discard_passdown error_if_no_space - 256", TABLE, &u));
        assert_int_equal(u.state, THIN_FULL);
        assert_int_equal(thin_usage_percent(&u), 100);

        assert_ok(thin_usage_parse("3 1024/1024 5/30912 99 ro discard_passdown error_if_no_space needs_check 256", TABLE, &u));
        assert_int_equal(u.state, THIN_READ_ONLY);
        assert_true(u.needs_check);

        assert_ok(thin_usage_parse("Fail", TABLE, &u));
        assert_int_equal(u.state, THIN_FAILED);
        assert_string_equal(thin_state_to_string(u.state), "failed");
}

static void test_usage_refused(void **state) {
        static const char *const wrong[] = {
                "", "7", "7 112/1024 3092/30912 - rw discard_passdown",
                "7 112/0 3092/30912 - rw discard_passdown error_if_no_space - 256",
                "7 2000/1024 3092/30912 - rw discard_passdown error_if_no_space - 256",
                "7 112/1024 99999/30912 - rw discard_passdown error_if_no_space - 256",
                "7 112/1024 0/18446744073709551615 - rw discard_passdown error_if_no_space - 256",
        };
        ThinUsage u;

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_error(thin_usage_parse(wrong[i], TABLE, &u), EBADMSG);
        assert_error(thin_usage_parse("7 112/1024 3092/30912 - rw discard_passdown error_if_no_space - 256", "253:0 253:1", &u), EBADMSG);
        assert_error(thin_usage_parse("7 112/1024 3092/30912 - rw discard_passdown error_if_no_space - 256", "253:0 253:1 0 0", &u), EBADMSG);
}

static void check_name(const char *kind, const char *name, const char *snapshot, const char *expected) {
        _cleanup_free_ char *s = thin_lv_name(kind, name, snapshot);

        assert_string_equal(s, expected);
}

/* No two of ours are one of LVM's, and none has a word that LVM keeps to itself: "_tdata" and so on. */
static void test_names(void **state) {
        ThinPool p = { .group = (char *) "my-group", .name = (char *) "thin" };
        _cleanup_free_ char *path = NULL;

        check_name(THIN_VOLUME, "data", NULL, "inferno.vol.data");
        check_name(THIN_VOLUME, "a-b_c.d", NULL, "inferno.vol.a+b-c.d");
        check_name(THIN_SNAPSHOT, "a_tdata", "tmeta", "inferno.snap.a-tdata_.tmeta");
        path = thin_device_path(&p, "inferno.vol.a-b");
        assert_string_equal(path, "/dev/mapper/my--group-inferno.vol.a--b");
}

static void test_other_tree(void **state) {
        _cleanup_thin_pool_ ThinPool p = {};
        _cleanup_free_ char *error = NULL;

        assert_ok(layout_set_root("/tmp"));
        assert_error(thin_pool_load(&p, &error), EOPNOTSUPP);
        assert_string_equal(error, "LVM is this machine's, so nothing of it can be below '/tmp': leave out --root=.");
        assert_ok(layout_set_root(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_usage),
                cmocka_unit_test(test_usage_refused),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_other_tree),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
