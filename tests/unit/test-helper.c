/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/exit-codes.h"
#include "helpers/program.h"
#include "layout/layout.h"
#include "test.h"

static char seen[64];
static bool forced;

static int run_up(const char *argument) {
        snprintf(seen, sizeof(seen), "up %s", argument);
        return 0;
}

static int run_list(const char *argument) {
        snprintf(seen, sizeof(seen), "list %s", argument ?: "all");
        return -ENOENT;
}

static int run_prune(const char *argument) {
        assert_null(argument);
        return EXIT_BUSY;
}

static int set_keep(const char *value) {
        return streq(value, "2") ? 0 : -EINVAL;
}

static int set_force(void) {
        forced = true;
        return 0;
}

static const HelperVerb verbs[] = {
        { "up", "VM", run_up },
        { "list", "[VM]", run_list },
        { "prune", NULL, run_prune },
        {},
};
static const HelperOption options[] = {
        { "--keep", .set = set_keep },
        { "--force", .flag = set_force },
        {},
};

#define CALL(...)                                                                                       \
        ({                                                                                              \
                const char *_argv[] = { "inferno-test", __VA_ARGS__, NULL };                            \
                seen[0] = 0;                                                                            \
                helper_main((int) ELEMENTSOF(_argv) - 1, (char **) _argv, "usage\n", verbs, options);   \
        })

static void test_verbs(void **state) {
        assert_int_equal(CALL("up", "web1"), 0);
        assert_string_equal(seen, "up web1");
        assert_int_equal(CALL("list"), exit_code_from_errno(-ENOENT));
        assert_string_equal(seen, "list all");
        assert_int_equal(CALL("list", "web1"), exit_code_from_errno(-ENOENT));
        assert_string_equal(seen, "list web1");
        assert_int_equal(CALL("prune"), EXIT_BUSY);
        assert_int_equal(CALL("up", "--", "web1"), 0);
        assert_string_equal(seen, "up web1");
}

static void test_wrong(void **state) {
        assert_int_equal(CALL("up"), EXIT_USAGE);
        assert_int_equal(CALL("up", "../x"), EXIT_USAGE);
        assert_int_equal(CALL("up", "a", "b"), EXIT_USAGE);
        assert_int_equal(CALL("up", "--", "--help"), EXIT_USAGE);
        assert_int_equal(CALL("up", "--", "-x"), EXIT_USAGE);
        assert_int_equal(CALL("prune", "a"), EXIT_USAGE);
        assert_int_equal(CALL("dance"), EXIT_USAGE);
        assert_int_equal(CALL("--dance", "up", "a"), EXIT_USAGE);
        assert_int_equal(CALL("--keep=x", "prune"), EXIT_USAGE);
        assert_int_equal(CALL("--keep", "prune"), EXIT_USAGE);
        assert_int_equal(CALL("--force=1", "prune"), EXIT_USAGE);
        assert_int_equal(CALL("--root=x", "prune"), EXIT_USAGE);
        assert_string_equal(seen, "");
}

static void test_options(void **state) {
        assert_int_equal(CALL("--keep=2", "--force", "prune"), EXIT_BUSY);
        assert_true(forced);
        assert_int_equal(CALL("up", "web1", "--root=/usr/lib/"), 0);
        assert_string_equal(layout_root(), "/usr/lib");
        assert_int_equal(CALL("up", "web1", "--root=/nonexistent"), EXIT_NOT_FOUND);
        assert_string_equal(seen, "");
        layout_set_root(NULL);
        assert_int_equal(CALL("--help"), 0);
        assert_int_equal(CALL("--version"), 0);
        assert_string_equal(seen, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verbs),
                cmocka_unit_test(test_wrong),
                cmocka_unit_test(test_options),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
