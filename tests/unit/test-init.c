/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/wire.h"
#include "init/netlink.h"
#include "init/status.h"
#include "json/json.h"
#include "test.h"

static void test_lines(void **state) {
        const ExitStatus s = {
                .exit_code = 137,
                .signal = 9,
                .oom_killed = true,
                .message = "a \"b\"\n",
                .stdout_bytes = 12,
                .stderr_bytes = UINT64_C(5000000000),
        };
        _cleanup_free_ char *booted = status_format_booted(), *started = status_format_started(42), *exited = status_format_exited(&s);

        assert_string_equal(booted, "{\"state\":\"booted\"}\n");
        assert_string_equal(started, "{\"pid\":42,\"state\":\"started\"}\n");
        assert_string_equal(exited,
                "{\"exit_code\":137,\"message\":\"a \\\"b\\\"\\n\",\"oom_killed\":true,\"signal\":9,\"state\":\"exited\","
                "\"stderr_bytes\":5000000000,\"stdout_bytes\":12}\n");
}

/* Whatever the message is, the line is one, valid, and not too long. */
static void test_long_messages(void **state) {
        static const char *const pieces[] = { "a", "\x01", "\"", "\xff", "\xc3\xa4", "\n" };

        for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
                _cleanup_strbuf_ StrBuf b = {};
                _cleanup_free_ char *line = NULL;
                _cleanup_json_ json_t *j = NULL;
                char error[JSON_ERROR_MAX];

                while (b.size < 5000)
                        strbuf_adds(&b, pieces[i]);
                line = status_format_exited(&(ExitStatus) { .exit_code = 125, .message = b.data });
                assert_non_null(line);
                assert_true(strlen(line) <= WIRE_STATUS_LINE_MAX);
                assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
                assert_ok(json_parse(line, strlen(line), WIRE_STATUS_LINE_MAX, &j, error));
                assert_true(json_string_length(json_object_get(j, "message")) >= 500);
        }
}

/* The bytes that iproute2 sends for "link set up", "addr add 172.16.0.2/30 broadcast +", "route add default via 172.16.0.1". */
static void test_netlink(void **state) {
        static const uint8_t expected[] = {
                32, 0, 0, 0, RTM_NEWLINK, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,
                48, 0, 0, 0, RTM_NEWADDR, 0, 5, 6, 2, 0, 0, 0, 0, 0, 0, 0,
                AF_INET, 30, 0, 0, 2, 0, 0, 0,
                8, 0, IFA_LOCAL, 0, 172, 16, 0, 2,
                8, 0, IFA_ADDRESS, 0, 172, 16, 0, 2,
                8, 0, IFA_BROADCAST, 0, 172, 16, 0, 3,
                44, 0, 0, 0, RTM_NEWROUTE, 0, 5, 6, 3, 0, 0, 0, 0, 0, 0, 0,
                AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0, 0, 0, 0,
                8, 0, RTA_GATEWAY, 0, 172, 16, 0, 1,
                8, 0, RTA_OIF, 0, 2, 0, 0, 0,
        };
        NetlinkBatch b = {};

        netlink_link_up(&b, 2);
        netlink_add_address(&b, 2, (struct in_addr) { inet_addr("172.16.0.2") }, 30);
        netlink_add_default_route(&b, 2, (struct in_addr) { inet_addr("172.16.0.1") });
        assert_false(b.failed);
        assert_int_equal(b.n, 3);
        assert_int_equal(b.size, sizeof(expected));
        assert_memory_equal(b.bytes, expected, sizeof(expected));
}

static void test_netlink_full(void **state) {
        NetlinkBatch b = {};

        for (unsigned i = 0; i < 1000; i++)
                netlink_add_address(&b, 2, (struct in_addr) { i }, 32);
        assert_true(b.failed);
        assert_true(b.size <= sizeof(b.bytes));
}

/* In a network namespace of its own, where there is nothing but a loopback interface that is down. */
static void test_network(void **state) {
        RunAddress address = { .ip = (char *) "172.16.0.2", .gateway = (char *) "172.16.0.1", .mask = 30 };
        RunSpec without = {}, with = { .ips = &address, .n_ips = 1 };
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                struct ifreq ifr = { .ifr_name = "lo" };
                Failure f = {};
                int fd;

                if (unshare(CLONE_NEWNET) < 0)
                        _exit(77);
                fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
                if (network_set_up(&without, &f) < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0 || !(ifr.ifr_flags & IFF_UP))
                        _exit(1);
                if (network_set_up(&with, &f) != -ENODEV || !streq(f.message, "no network interface eth0: No such device"))
                        _exit(2);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WEXITSTATUS(status) == 77)
                skip();
        assert_int_equal(status, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_long_messages),
                cmocka_unit_test(test_netlink),
                cmocka_unit_test(test_netlink_full),
                cmocka_unit_test(test_network),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
