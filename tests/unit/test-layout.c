/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "layout/layout.h"
#include "test.h"

static void test_names(void **state) {
        _cleanup_free_ char *slice = layout_slice_name("acme-co", "web-1.x"), *unit = layout_unit_name("web-1.x"), *tap = layout_tap_name(262143);

        /* What systemd-escape prints for the same. */
        assert_string_equal(slice, "inferno-acme\\x2dco-web\\x2d1.x.slice");
        assert_string_equal(unit, "inferno@web-1.x.service");
        assert_true(strlen(tap) <= 15);
}

static void test_root(void **state) {
        _cleanup_free_ char *a = NULL, *b = NULL;

        assert_error(layout_set_root("relative"), EINVAL);
        assert_ok(layout_set_root("/tmp/x//"));
        a = layout_vm_current("web1");
        assert_string_equal(a, "/tmp/x/var/lib/inferno/vms/web1/current");
        assert_ok(layout_set_root("/"));
        b = layout_path(LAYOUT_DATABASE);
        assert_string_equal(b, "/var/lib/inferno/inferno.db");
        layout_set_root(NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_root),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
