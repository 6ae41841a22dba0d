/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <limits.h>

#include "net/address.h"
#include "test.h"

static void test_parse(void **state) {
        NetRange r;

        assert_ok(net_range_parse("172.16.0.0/12", &r));
        assert_int_equal(r.network, 0xac100000);
        assert_int_equal(r.prefix, 12);
        assert_int_equal(net_range_subnets(&r), 262144);
        assert_ok(net_range_parse("10.0.0.0/8", &r));
        assert_int_equal(net_range_subnets(&r), 4194304);
        assert_ok(net_range_parse("192.168.7.4/30", &r));
        assert_int_equal(net_range_subnets(&r), 1);
        assert_ok(net_range_parse("128.0.0.0/8", &r));
        assert_ok(net_range_parse("223.0.0.0/8", &r));
}

static void test_parse_refuses(void **state) {
        static const char *const bad[] = {
                "", "/", "172.16.0.0", "172.16.0.0/", "/12", "172.16.0/12", "172.16.0.0/12 ", " 172.16.0.0/12", "172.16.0.0/+12",
                "172.16.0.0/12/1", "0172.16.0.0/12", "256.0.0.0/12", "::1/64", "172.16.0.1/12", "192.168.7.5/30",
                "0.0.0.0/8", "127.0.0.0/8", "127.1.0.0/16", "169.254.0.0/16", "169.0.0.0/8", "224.0.0.0/8", "240.0.0.0/12",
                "172.16.0.0.0.0.0.0.0.0.0.0.0/12",
        };
        NetRange r = { .prefix = 99 };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (net_range_parse(bad[i], &r) != -EINVAL)
                        fail_msg("'%s' was taken", bad[i]);
        assert_error(net_range_parse("0.0.0.0/0", &r), ERANGE);
        assert_error(net_range_parse("10.0.0.0/7", &r), ERANGE);
        assert_error(net_range_parse("10.0.0.0/31", &r), ERANGE);
        assert_error(net_range_parse("10.0.0.0/99999999999", &r), ERANGE);
        assert_int_equal(r.prefix, 99);
}

static void test_address(void **state) {
        NetAddress a;
        NetRange r;

        assert_ok(net_range_parse("172.16.0.0/12", &r));
        assert_ok(net_range_address(&r, 0, &a));
        assert_string_equal(a.network_string, "172.16.0.0");
        assert_string_equal(a.host_string, "172.16.0.1");
        assert_string_equal(a.guest_string, "172.16.0.2");
        assert_string_equal(a.mac_string, "06:00:ac:10:00:02");

        assert_ok(net_range_address(&r, 64, &a));
        assert_string_equal(a.network_string, "172.16.1.0");
        assert_string_equal(a.host_string, "172.16.1.1");

        assert_ok(net_range_address(&r, 262143, &a));
        assert_string_equal(a.network_string, "172.31.255.252");
        assert_string_equal(a.guest_string, "172.31.255.254");
        assert_string_equal(a.mac_string, "06:00:ac:1f:ff:fe");
        assert_error(net_range_address(&r, 262144, &a), ERANGE);
        assert_error(net_range_address(&r, UINT_MAX, &a), ERANGE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_parse_refuses),
                cmocka_unit_test(test_address),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
