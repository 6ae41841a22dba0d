/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/metrics.h"
#include "test.h"

static void assert_json(json_t *j, const char *expected) {
        _cleanup_free_ char *s = json_format(j);

        assert_string_equal(s, expected);
        json_decref(j);
}

static json_t *parse_io(const char *text) {
        json_t *o = json_object();

        metrics_parse_io(text, o);
        return o;
}

static void test_texts(void **state) {
        assert_json(metrics_parse_cpu("usage_usec 18446744073709551615\nuser_usec 5\nsystem_usec 7\nnr_periods 0\n"),
                    "{\"system_usec\":7,\"usage_usec\":9223372036854775807,\"user_usec\":5}\n");
        assert_json(metrics_parse_cpu("core_sched.user_usec 5\nuser_usec x\n"), "{}\n");
        assert_json(metrics_parse_pressure("some avg10=0.00 avg60=0.12 avg300=0.00 total=17\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=4\n"),
                    "{\"full_usec\":4,\"some_usec\":17}\n");
        assert_json(metrics_parse_pressure("some avg10=0.00 avg60=0.12 avg300=0.00 total=17\n"), "{\"some_usec\":17}\n");
        assert_json(metrics_parse_pressure(""), "{}\n");
        assert_json(metrics_parse_network("Inter-| Receive | Transmit\n lo: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n"
                                          "  eth0: 100      2    0    0    0     0          0         0      300       4    0    0    0     0       0          0\n"),
                    "{\"received_bytes\":100,\"received_packets\":2,\"sent_bytes\":300,\"sent_packets\":4}\n");
        assert_json(metrics_parse_network("eth0:1 2"), "{\"received_bytes\":1,\"received_packets\":2}\n");
        assert_json(metrics_parse_network(" lo: 1 2 0 0 0 0 0 0 3 4\n"), "{}\n");
        assert_json(parse_io("254:0 rbytes=10 wbytes=1 rios=5 wios=1 dbytes=9 dios=0\n254:16 rbytes=20 wbytes=2 rios=5\n7:0 \n"),
                    "{\"read_bytes\":30,\"written_bytes\":3}\n");
        assert_json(parse_io(""), "{\"read_bytes\":0,\"written_bytes\":0}\n");
}

/* A directory in place of the cgroup, and this machine's /proc. */
static void test_format(void **state) {
        static const char *const files[][2] = {
                { "memory.current", "4096\n" }, { "memory.stat", "anon 1000\nfile 2000\nfile_mapped 7\n" }, { "pids.current", "3\n" },
                { "cpu.stat", "usage_usec 9\n" }, { "io.stat", "254:0 rbytes=5 wbytes=6\n" }, { "memory.pressure", "some avg10=0.00 total=1\nfull avg10=0.00 total=2\n" },
        };
        char dir[] = "/tmp/metrics.XXXXXX", error[JSON_ERROR_MAX];
        _cleanup_json_ json_t *j = NULL;
        _cleanup_free_ char *s = NULL;
        Metrics m = METRICS_NULL;
        Mounts mounts = MOUNTS_NULL;
        Cgroup c = { .memory_limit = 8192 };

        assert_non_null(mkdtemp(dir));
        c.fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                assert_ok(write_file_atomic_at(c.fd, files[i][0], files[i][1], strlen(files[i][1]), 0644, 0));
        mounts.root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        metrics_open(&m);
        s = metrics_format(&m, &c, &mounts);
        assert_ok(json_parse(s, strlen(s), 65536, &j, error));
        assert_int_equal(json_integer_value(json_object_get(j, "tasks")), 3);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "memory"), "file")), 2000);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "memory"), "limit")), 8192);
        assert_true(json_integer_value(json_object_get(json_object_get(j, "memory"), "guest_total")) > 1000000);
        assert_true(json_integer_value(json_object_get(json_object_get(json_object_get(j, "disk"), "root"), "size")) > 1000000);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(json_object_get(j, "pressure"), "memory"), "full_usec")), 2);
        safe_close(m.meminfo_fd);
        safe_close(m.net_fd);
        safe_close(mounts.root_fd);
        safe_close(c.fd);
        free(s);

        /* Where the kernel has nothing of it, there is nothing. */
        m = (Metrics) METRICS_NULL;
        c = (Cgroup) CGROUP_NULL;
        mounts = (Mounts) MOUNTS_NULL;
        s = metrics_format(&m, &c, &mounts);
        assert_string_equal(s, "{\"disk\":{\"read_bytes\":0,\"volumes\":[],\"written_bytes\":0},\"memory\":{\"limit\":null}}\n");
        assert_ok(remove_tree_at(AT_FDCWD, dir));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_texts),
                cmocka_unit_test(test_format),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
