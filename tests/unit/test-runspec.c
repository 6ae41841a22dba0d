/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "runspec/runspec.h"
#include "test.h"

#define MOUNTS "\"mounts\":{\"root\":{\"device\":\"/dev/vda\",\"fs_type\":\"squashfs\"},\"upper\":{\"device\":\"/dev/vdb\",\"fs_type\":\"ext4\"}}"
#define LEAST "\"id\":\"a\",\"hostname\":\"a\",\"process\":{\"cmd\":\"true\"}," MOUNTS

static void test_defaults(void **state) {
        _cleanup_(run_spec_freep) RunSpec *s = NULL;
        char error[JSON_ERROR_MAX];

        assert_ok(run_spec_parse("{" LEAST "}", strlen("{" LEAST "}"), &s, error));
        assert_string_equal(s->cwd, "/");
        assert_string_equal(s->user, "");
        assert_null(s->args);
        assert_int_equal(s->stop_signal, 15);
        assert_int_equal(s->vsock_stdout_port, 10000);
        assert_int_equal(s->vsock_exit_port, 10001);
        assert_int_equal(s->vsock_api_port, 10002);
        assert_false(s->debug);
}

/* The document as the guest gets it: the contract of docs/architecture.md, byte for byte. */
static void test_golden(void **state) {
        static const char expected[] =
                "{\"cwd\":\"/srv\",\"env\":[\"A=\\\"$B\\\" 100%\\nx\"],\"etc_hosts\":[{\"host\":\"db\",\"ip\":\"172.16.0.6\"}],"
                "\"etc_resolv\":{\"nameservers\":[\"9.9.9.9\"]},\"files\":[{\"content\":\"hello\\n\",\"mode\":420,\"path\":\"/etc/motd\"}],"
                "\"hostname\":\"web1\",\"id\":\"web1\",\"ips\":[{\"gateway\":\"172.16.0.1\",\"ip\":\"172.16.0.2\",\"mask\":30}],"
                "\"log\":{\"debug\":false,\"format\":\"raw\",\"timestamp\":false},"
                "\"mounts\":{\"programs\":{\"device\":\"/dev/vdd\",\"fs_type\":\"squashfs\"},"
                "\"root\":{\"device\":\"/dev/vda\",\"fs_type\":\"squashfs\",\"mount_point\":\"/\",\"options\":\"ro\"},"
                "\"upper\":{\"device\":\"/dev/vdb\",\"ephemeral\":true,\"fs_type\":\"ext4\",\"whole\":true},\"volumes\":[{\"device\":\"/dev/vdc\","
                "\"discard\":true,\"encrypted\":{\"cipher\":\"aes-xts-plain64\",\"key_size\":64,\"uuid\":\"0e5b6c2f-9d0d-4f8e-8d4e-0f6f3a1f2b3c\"},"
                "\"fs_type\":\"ext4\",\"mkfs\":true,\"mount_point\":\"/data\",\"name\":\"data1\",\"options\":\"noatime\",\"read_only\":true}]},"
                "\"process\":{\"args\":[\"-g\",\"daemon off;\"],\"cmd\":\"nginx\"},\"stop_signal\":3,\"user\":\"www-data\","
                "\"vsock_api_port\":10002,\"vsock_exit_port\":10001,\"vsock_key_port\":10003,\"vsock_stdout_port\":10000}\n";
        _cleanup_(run_spec_freep) RunSpec *s = NULL, *t = NULL;
        _cleanup_free_ char *text = NULL, *again = NULL;
        char error[JSON_ERROR_MAX];

        assert_ok(run_spec_parse(expected, strlen(expected), &s, error));
        assert_string_equal(s->args[1], "daemon off;");
        assert_string_equal(s->env[0], "A=\"$B\" 100%\nx");
        assert_string_equal(s->ips[0].gateway, "172.16.0.1");
        assert_int_equal(s->files[0].mode, 0644);
        assert_int_equal(s->n_volumes, 1);
        assert_string_equal(s->volumes[0].mount_point, "/data");
        assert_true(s->volumes[0].read_only);
        assert_true(s->volumes[0].make_fs);
        assert_true(s->volumes[0].discard);
        assert_true(s->upper_whole);
        assert_int_equal(s->volumes[0].luks_key_bytes, 64);
        assert_string_equal(s->programs.device, "/dev/vdd");
        assert_ok(run_spec_format(s, &text, error));
        assert_string_equal(text, expected);
        assert_ok(run_spec_parse(text, strlen(text), &t, error));
        assert_ok(run_spec_format(t, &again, error));
        assert_string_equal(again, expected);
}

static void test_refused(void **state) {
        static const struct {
                int error;
                const char *text, *message;
        } cases[] = {
                { EBADMSG, "", "line" },
                { EBADMSG, "[]", "not an object" },
                { EBADMSG, "{\"hostname\":\"a\",\"process\":{\"cmd\":\"true\"}," MOUNTS "}", "\"id\" is missing" },
                { EBADMSG, "{" LEAST ",\"id\":\"b\"}", "duplicate" },
                { EBADMSG, "{" LEAST ",\"colour\":1}", "unknown key \"colour\"" },
                { EBADMSG, "{" LEAST ",\"env\":[\"A\"]}", "\"A\" is not NAME=VALUE" },
                { EBADMSG, "{" LEAST ",\"env\":[\"=x\"]}", "NAME=VALUE" },
                { EBADMSG, "{" LEAST ",\"env\":[1]}", "element 0 is not a string" },
                { EBADMSG, "{" LEAST ",\"env\":[\"A=\\u0000\"]}", "\\u0000" },
                { EBADMSG, "{" LEAST ",\"cwd\":\"srv\"}", "absolute" },
                { EBADMSG, "{" LEAST ",\"ips\":[{\"ip\":\"1.2.3.4\",\"mask\":33}]}", "entry 0" },
                { EBADMSG, "{" LEAST ",\"ips\":[{\"ip\":\"::1\",\"mask\":30}]}", "entry 0" },
                { EBADMSG, "{" LEAST ",\"ips\":[{\"mask\":30}]}", "\"ip\" is missing" },
                { EBADMSG, "{" LEAST ",\"etc_resolv\":{\"nameservers\":[\"1.1.1.1\\noptions x\"]}}", "not an address" },
                { EBADMSG, "{" LEAST ",\"etc_hosts\":[{\"host\":\"a b\",\"ip\":\"1.1.1.1\"}]}", "entry 0" },
                { EBADMSG, "{" LEAST ",\"files\":[{\"path\":\"/a\",\"mode\":4096,\"content\":\"\"}]}", "entry 0" },
                { EBADMSG, "{" LEAST ",\"files\":[{\"path\":\"a\",\"mode\":1,\"content\":\"\"}]}", "entry 0" },
                { EBADMSG, "{" LEAST ",\"vsock_api_port\":10000}", "two purposes" },
                { EBADMSG, "{" LEAST ",\"stop_signal\":65}", "1 to 64" },
                { EBADMSG, "{" LEAST ",\"stop_signal\":-1}", "stop_signal" },
                { EBADMSG, "{\"id\":\"a\",\"hostname\":\"a\",\"process\":{\"cmd\":\"\"}," MOUNTS "}", "command is empty" },
                { EBADMSG, "{\"id\":\"../a\",\"hostname\":\"a\",\"process\":{\"cmd\":\"x\"}," MOUNTS "}", "name of a VM" },
                { EBADMSG,
                  "{\"id\":\"a\",\"hostname\":\"a\",\"process\":{\"cmd\":\"x\"},\"mounts\":{\"root\":{\"device\":\"/dev/vda\",\"fs_type\":\"squashfs\"},"
                  "\"upper\":{\"device\":\"/dev/vdb\",\"fs_type\":\"ext4\"},\"volumes\":[{}]}}", "volumes" },
                { EBADMSG,
                  "{\"id\":\"a\",\"hostname\":\"a\",\"process\":{\"cmd\":\"x\"},\"mounts\":{\"root\":{\"device\":\"/dev/vda\",\"fs_type\":\"squashfs\"},"
                  "\"upper\":{\"device\":\"/dev/vdb\",\"fs_type\":\"ext4\"},\"volumes\":[{\"device\":\"/dev/vdc\",\"name\":\"x\",\"mount_point\":\"/\",\"fs_type\":\"ext4\"}]}}",
                  "entry 0 of \"volumes\"" },
                { EBADMSG,
                  "{\"id\":\"a\",\"hostname\":\"a\",\"process\":{\"cmd\":\"x\"},\"mounts\":{\"root\":{\"device\":\"/dev/vda\",\"fs_type\":\"squashfs\"},"
                  "\"upper\":{\"device\":\"/dev/vdb\",\"fs_type\":\"ext4\"},\"programs\":{\"device\":\"vdc\",\"fs_type\":\"squashfs\"}}}",
                  "\"programs\" is not a device" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                RunSpec *s = NULL;
                char error[JSON_ERROR_MAX] = "";

                assert_error(run_spec_parse(cases[i].text, strlen(cases[i].text), &s, error), cases[i].error);
                if (!strstr(error, cases[i].message))
                        fail_msg("case %zu: \"%s\" does not say \"%s\"", i, error, cases[i].message);
        }
}

static void test_format_refuses(void **state) {
        _cleanup_(run_spec_freep) RunSpec *s = NULL;
        char error[JSON_ERROR_MAX], *text;

        assert_ok(run_spec_parse("{" LEAST "}", strlen("{" LEAST "}"), &s, error));
        assert_ok(strv_extend(&s->env, "A=\xff"));
        assert_error(run_spec_format(s, &text, error), EBADMSG);
        assert_non_null(strstr(error, "UTF-8"));
        free(s->env[0]);
        s->env[0] = strdup("A");
        assert_error(run_spec_format(s, &text, error), EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_golden),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_format_refuses),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
