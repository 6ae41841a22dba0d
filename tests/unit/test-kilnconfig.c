/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <signal.h>
#include <syslog.h>

#include "kilnconfig/kiln-config.h"
#include "test.h"

#define LEAST \
        "\"jail_id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"name\":\"web1\",\"image\":\"nginx\",\"version\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\"," \
        "\"vmm\":\"ember\",\"firecracker_socket_path\":\"s\",\"firecracker_config_path\":\"c\",\"firecracker_vsock_uds_path\":\"v\"," \
        "\"exit_status_path\":\"e\""

static int parse(const char *text, KilnConfig **ret, char *error) {
        return kiln_config_parse(text, strlen(text), ret, error);
}

static void test_defaults(void **state) {
        _cleanup_(kiln_config_freep) KilnConfig *c = NULL;
        char error[JSON_ERROR_MAX];

        assert_ok(parse("{" LEAST "}", &c, error));
        assert_string_equal(c->firecracker_exec_path, "/firecracker");
        assert_string_equal(c->vm_logs_socket_path, "/run/systemd/journal/socket");
        assert_null(c->vmm_log_fifo_path);
        assert_null(c->address);
        assert_int_equal(c->vsock_stdout_port, 10000);
        assert_int_equal(c->vsock_exit_port, 10001);
        assert_int_equal(c->vsock_api_port, 10002);
        assert_int_equal(c->vsock_key_port, 10003);
        assert_int_equal(c->stop_signal, SIGTERM);
        assert_int_equal(c->stop_timeout_usec, 10 * USEC_PER_SEC);
        assert_int_equal(c->log_level, LOG_INFO);
}

static void test_round_trip(void **state) {
        _cleanup_(kiln_config_freep) KilnConfig *c = NULL, *d = NULL;
        _cleanup_free_ char *a = NULL, *b = NULL;
        char error[JSON_ERROR_MAX];

        assert_ok(kiln_config_new(&c));
        assert_error(kiln_config_format(c, &a, error), EBADMSG);        /* nothing that has no default is set yet */
        assert_ok(free_and_strdup(&c->jail_id, "01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        assert_ok(free_and_strdup(&c->version, "01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        assert_ok(free_and_strdup(&c->name, "web1"));
        assert_ok(free_and_strdup(&c->image, "docker.io/library/nginx:1.25"));
        assert_ok(free_and_strdup(&c->vmm, "firecracker"));
        assert_ok(free_and_strdup(&c->address, "172.16.0.2"));
        c->uid = c->gid = 100001;
        c->log_level = LOG_DEBUG;
        c->stop_signal = SIGQUIT;
        c->stop_timeout_usec = UINT64_MAX;
        c->cpu_count = 2;
        c->memory_mb = 256;
        c->volumes = calloc(1, sizeof(KilnVolume));
        c->volumes[0] = (KilnVolume) { strdup("/dev/vdc"), strdup("/run/keys/data") };
        c->n_volumes = 1;

        assert_ok(kiln_config_format(c, &a, error));
        assert_ok(parse(a, &d, error));
        assert_string_equal(d->address, "172.16.0.2");
        assert_int_equal(d->n_volumes, 1);
        assert_string_equal(d->volumes[0].device, "/dev/vdc");
        assert_string_equal(d->volumes[0].key_path, "/run/keys/data");
        assert_string_equal(d->firecracker_vsock_uds_path, "v.sock");
        assert_string_equal(d->vmm_log_fifo_path, "vmm.log.fifo");
        assert_string_equal(d->vmm_metrics_fifo_path, "vmm.metrics.fifo");
        assert_string_equal(d->exit_status_path, "exit_status.json");
        assert_int_equal(d->uid, 100001);
        assert_int_equal(d->log_level, LOG_DEBUG);
        assert_int_equal(d->stop_signal, SIGQUIT);
        assert_true(d->stop_timeout_usec == UINT64_MAX);
        assert_int_equal(d->cpu_count, 2);
        assert_int_equal(d->memory_mb, 256);
        assert_ok(kiln_config_format(d, &b, error));
        assert_string_equal(a, b);
}

static void test_refused(void **state) {
        static const struct {
                const char *text, *error;
        } cases[] = {
                { "{}", "\"jail_id\" is missing" },
                { "{" LEAST ",\"nmae\":1}", "unknown key \"nmae\"" },
                { "{" LEAST ",\"uid\":-1}", "\"uid\": not an integer of 0 to 4294967295" },
                { "{" LEAST ",\"stop_signal\":0}", "\"stop_signal\": not a signal number of 1 to 64" },
                { "{" LEAST ",\"stop_signal\":65}", "\"stop_signal\": not a signal number of 1 to 64" },
                { "{" LEAST ",\"vsock_key_port\":10000}", "vsock port 10000 is none, or stands for two purposes" },
                { "{" LEAST ",\"vsock_key_port\":0}", "vsock port 0 is none, or stands for two purposes" },
                { "{" LEAST ",\"log\":{\"level\":\"loud\"}}", "\"log\": \"level\": \"loud\" is no log level" },
                { "{" LEAST ",\"log\":{\"lvl\":1}}", "\"log\": unknown key \"lvl\"" },
                { "{" LEAST ",\"volumes\":[{\"device\":\"vdc\",\"key_path\":\"/k\"}]}", "\"volumes\": entry 0 is not a device with the path of its key" },
                { "{" LEAST ",\"resources\":3}", "\"resources\": not an object" },
                { "{" LEAST ",\"address\":\"\\n\"}", "\"address\": empty, too long, or with control characters" },
                { "{" LEAST ",\"vmm_log_fifo_path\":\"\"}", "the path of a FIFO is empty" },
                { "{" LEAST ",\"name\":\"b\"}", NULL },
        };
        char error[JSON_ERROR_MAX];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                KilnConfig *c = NULL;

                assert_error(parse(cases[i].text, &c, error), EBADMSG);
                assert_null(c);
                if (cases[i].error)
                        assert_string_equal(error, cases[i].error);
        }
}

static void test_load(void **state) {
        char error[JSON_ERROR_MAX];
        KilnConfig *c = NULL;

        assert_error(kiln_config_load(AT_FDCWD, "/nonexistent/kiln.json", &c, error), ENOENT);
        assert_string_equal(error, "cannot read: No such file or directory");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_load),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
