/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <syslog.h>

#include "test.h"
#include "vmm/command-line.h"
#include "vmm/qemu-command.h"

#define BOOT "\"boot-source\":{\"kernel_image_path\":\"/vmlinux\"}"
#define DRIVE(id, more) "{\"drive_id\":\"" id "\",\"path_on_host\":\"/" id "\",\"is_root_device\":false" more "}"

static int parse(const char *text, VmmConfig **ret, char *error) {
        return vmm_config_parse(text, strlen(text), ret, error);
}

static void test_minimal(void **state) {
        _cleanup_(vmm_config_freep) VmmConfig *c = NULL;
        char error[JSON_ERROR_MAX];

        assert_ok(parse("{" BOOT ",\"drives\":[],\"what-firecracker-may-learn\":{\"a\":1}}", &c, error));
        assert_string_equal(c->kernel_image_path, "/vmlinux");
        assert_null(c->boot_args);
        assert_int_equal(c->vcpu_count, 1);
        assert_int_equal(c->mem_size_mib, 128);
        assert_int_equal(c->n_drives, 0);
        assert_false(c->vsock);
        assert_false(c->entropy);
}

static void test_root_comes_first(void **state) {
        _cleanup_(vmm_config_freep) VmmConfig *c = NULL;
        char error[JSON_ERROR_MAX];

        assert_ok(parse("{" BOOT ",\"drives\":[" DRIVE("a", "") "," DRIVE("b", "") ","
                        "{\"drive_id\":\"r\",\"path_on_host\":\"/r\",\"is_root_device\":true,\"is_read_only\":true,\"partuuid\":null}]}",
                        &c, error));
        assert_string_equal(c->drives[0].drive_id, "r");
        assert_string_equal(c->drives[1].drive_id, "a");
        assert_string_equal(c->drives[2].drive_id, "b");
}

static void test_refused(void **state) {
        static const struct {
                const char *text;
                int error;
                const char *word;       /* what the message has to name */
        } cases[] = {
                { "", EBADMSG, "" },
                { "[]", EBADMSG, "object" },
                { "{\"drives\":[]}", EBADMSG, "boot-source" },
                { "{" BOOT "}", EBADMSG, "drives" },
                { "{" BOOT ",\"drives\":{}}", EBADMSG, "drives" },
                { "{\"boot-source\":{\"kernel_image_path\":\"/v\",\"kernel\":1},\"drives\":[]}", EBADMSG, "kernel" },
                { "{\"boot-source\":{\"kernel_image_path\":\"\"},\"drives\":[]}", EBADMSG, "kernel_image_path" },
                { "{" BOOT ",\"drives\":[{\"drive_id\":\"a\"}]}", EBADMSG, "is_root_device" },
                { "{" BOOT ",\"drives\":[" DRIVE("a", ",\"colour\":1") "]}", EBADMSG, "colour" },
                { "{" BOOT ",\"drives\":[" DRIVE("a", "") "," DRIVE("a", "") "]}", EBADMSG, "twice" },
                { "{" BOOT ",\"drives\":[" DRIVE("a", ",\"cache_type\":\"Fast\"") "]}", EBADMSG, "cache_type" },
                { "{" BOOT ",\"drives\":[" DRIVE("a", ",\"io_engine\":\"Steam\"") "]}", EBADMSG, "io_engine" },
                { "{" BOOT ",\"drives\":[" DRIVE("a", ",\"socket\":\"/s\"") "]}", EOPNOTSUPP, "socket" },
                { "{" BOOT ",\"drives\":[" DRIVE("a", ",\"rate_limiter\":{\"bandwidth\":{\"size\":1}}") "]}", EBADMSG, "refill_time" },
                { "{" BOOT ",\"drives\":[" DRIVE("a", ",\"rate_limiter\":{\"speed\":{}}") "]}", EBADMSG, "speed" },
                { "{" BOOT ",\"drives\":[{\"drive_id\":\"a\",\"path_on_host\":\"/a\",\"is_root_device\":true},"
                  "{\"drive_id\":\"b\",\"path_on_host\":\"/b\",\"is_root_device\":true}]}", EBADMSG, "second root" },
                { "{" BOOT ",\"drives\":[],\"machine-config\":{\"vcpu_count\":0,\"mem_size_mib\":1}}", EBADMSG, "vcpu_count" },
                { "{" BOOT ",\"drives\":[],\"machine-config\":{\"vcpu_count\":33,\"mem_size_mib\":1}}", EBADMSG, "vcpu_count" },
                { "{" BOOT ",\"drives\":[],\"machine-config\":{\"vcpu_count\":1}}", EBADMSG, "mem_size_mib" },
                { "{" BOOT ",\"drives\":[],\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":0}}", EBADMSG, "mem_size_mib" },
                { "{" BOOT ",\"drives\":[],\"machine-config\":{\"vcpu_count\":3,\"mem_size_mib\":1,\"smt\":true}}", EBADMSG, "smt" },
                { "{" BOOT ",\"drives\":[],\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":1,\"huge_pages\":\"2M\"}}", EOPNOTSUPP, "huge_pages" },
                { "{" BOOT ",\"drives\":[],\"vsock\":{\"guest_cid\":2,\"uds_path\":\"v\"}}", EBADMSG, "guest_cid" },
                { "{" BOOT ",\"drives\":[],\"vsock\":{\"guest_cid\":3}}", EBADMSG, "uds_path" },
                { "{" BOOT ",\"drives\":[],\"network-interfaces\":[{\"iface_id\":\"e\",\"host_dev_name\":\"tap%d\"}]}", EBADMSG, "host_dev_name" },
                { "{" BOOT ",\"drives\":[],\"network-interfaces\":[{\"iface_id\":\"e\",\"host_dev_name\":\"t,script=x\"}]}", EBADMSG, "host_dev_name" },
                { "{" BOOT ",\"drives\":[],\"network-interfaces\":[{\"iface_id\":\"e\",\"host_dev_name\":\"abcdefghijklmnop\"}]}", EBADMSG, "host_dev_name" },
                { "{" BOOT ",\"drives\":[],\"network-interfaces\":[{\"iface_id\":\"e\",\"host_dev_name\":\"t\",\"guest_mac\":\"06:00:AC:10:00:0,\"}]}", EBADMSG, "guest_mac" },
                { "{" BOOT ",\"drives\":[],\"network-interfaces\":[{\"iface_id\":\"e\",\"host_dev_name\":\"t\",\"tx_rate_limiter\":{\"ops\":{\"size\":1,\"refill_time\":1}}}]}",
                  EOPNOTSUPP, "tx_rate_limiter" },
                { "{" BOOT ",\"drives\":[],\"mmds-config\":{}}", EOPNOTSUPP, "mmds-config" },
                { "{" BOOT ",\"drives\":[],\"balloon\":{\"amount_mib\":129,\"deflate_on_oom\":true}}", EBADMSG, "balloon" },
                { "{" BOOT ",\"drives\":[],\"logger\":{\"level\":\"Loud\"}}", EBADMSG, "level" },
                { "{" BOOT ",\"drives\":[],\"metrics\":{\"metrics_path\":\"m\",\"properties\":{\"a\":1}}}", EBADMSG, "properties" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(vmm_config_freep) VmmConfig *c = NULL;
                char error[JSON_ERROR_MAX] = "";

                assert_error(parse(cases[i].text, &c, error), cases[i].error);
                if (!strstr(error, cases[i].word))
                        fail_msg("\"%s\" does not name \"%s\"", error, cases[i].word);
        }
}

/* Limiters that limit nothing, and null, are as if they were not there. */
static void test_accepted(void **state) {
        static const char *const cases[] = {
                "{" BOOT ",\"drives\":[],\"network-interfaces\":[{\"iface_id\":\"e\",\"host_dev_name\":\"inf0\",\"rx_rate_limiter\":null,"
                "\"tx_rate_limiter\":{\"bandwidth\":{\"size\":0,\"refill_time\":100},\"ops\":null}}]}",
                "{" BOOT ",\"drives\":[],\"cpu-config\":null,\"mmds-config\":null,\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":1,"
                "\"cpu_template\":\"None\",\"track_dirty_pages\":true,\"huge_pages\":\"None\",\"smt\":false}}",
                "{" BOOT ",\"drives\":[],\"balloon\":{\"amount_mib\":0,\"deflate_on_oom\":true,\"stats_polling_interval_s\":0}}",
                "{" BOOT ",\"drives\":[],\"logger\":{\"log_path\":\"l\",\"level\":\"WARNING\",\"show_level\":true,\"show_log_origin\":false,\"module\":\"x\"}}",
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(vmm_config_freep) VmmConfig *c = NULL;
                char error[JSON_ERROR_MAX] = "";

                if (parse(cases[i], &c, error) < 0)
                        fail_msg("case %zu: %s", i, error);
        }
}

/* --- QEMU's command line --- */

static char *command(const char *text, QemuAccelerator accelerator, int expected, char *error) {
        _cleanup_(vmm_config_freep) VmmConfig *c = NULL;
        _cleanup_strv_ char **argv = NULL;
        StrBuf b = {};
        char *s = NULL;

        if (parse(text, &c, error) < 0)
                fail_msg("%s", error);
        assert_int_equal(qemu_command(c,
                                &(QemuOptions) {
                                        .program = "/usr/bin/qemu", .id = "01J", .accelerator = accelerator, .tsc_khz = 2600000, .sandbox = true, .qmp_fd = 3,
                                        .vhost_fd = 4,
                                },
                                &argv, error),
                        expected);
        if (expected < 0)
                return NULL;
        STRV_FOREACH(a, argv)
                strbuf_addf(&b, "%s%s", *a, (*a)[0] == '-' && a[1] && a[1][0] != '-' ? " " : "\n");
        assert_ok(strbuf_finish(&b, &s, NULL));
        return s;
}

static const char whole[] =
        "{\"boot-source\":{\"kernel_image_path\":\"/vmlinux\",\"initrd_path\":\"/initrd.cpio\",\"boot_args\":\"console=ttyS0 reboot=k panic=1 quiet\"},"
        "\"machine-config\":{\"vcpu_count\":2,\"mem_size_mib\":256},"
        "\"drives\":[" DRIVE("rootfs", ",\"is_read_only\":true,\"io_engine\":\"Async\"") ","
        "{\"drive_id\":\"upper\",\"path_on_host\":\"/odd,name={\\\"\",\"is_root_device\":false,\"cache_type\":\"Writeback\","
        "\"rate_limiter\":{\"bandwidth\":{\"size\":1000000,\"refill_time\":100,\"one_time_burst\":5},\"ops\":{\"size\":50,\"refill_time\":1000}}}],"
        "\"network-interfaces\":[{\"iface_id\":\"eth0\",\"host_dev_name\":\"inf0\",\"guest_mac\":\"06:00:AC:10:00:02\",\"mtu\":1400}],"
        "\"vsock\":{\"guest_cid\":3,\"uds_path\":\"/v.sock\"},\"entropy\":{\"rate_limiter\":{\"bandwidth\":{\"size\":64,\"refill_time\":500}}},"
        "\"balloon\":{\"amount_mib\":16,\"deflate_on_oom\":true}}";

static void test_golden(void **state) {
        static const char golden[] =
                "/usr/bin/qemu\n"
                "-name 01J\n"
                "-nodefaults\n"
                "-no-user-config\n"
                "-no-reboot\n"
                "-S\n"
                "-display none\n"
                "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny\n"
                "-machine microvm,acpi=off,rtc=on,memory-backend=memory\n"
                "-accel tcg,tb-size=64\n"
                "-cpu max,-erms,-fsrm\n"
                "-smp 2,sockets=1,cores=2,threads=1\n"
                "-m 256M\n"
                "-object memory-backend-memfd,id=memory,size=256M,share=on\n"
                "-global virtio-mmio.force-legacy=false\n"
                "-chardev socket,id=qmp,fd=3\n"
                "-mon chardev=qmp,mode=control\n"
                "-chardev stdio,id=console,signal=off\n"
                "-serial chardev:console\n"
                "-device i8042\n"
                "-blockdev {\"cache\":{\"direct\":false,\"no-flush\":true},\"discard\":\"unmap\",\"driver\":\"raw\",\"file\":{\"cache\":{\"direct\":false,\"no-flush\":true},"
                "\"discard\":\"unmap\",\"driver\":\"file\",\"filename\":\"/rootfs\",\"locking\":\"off\",\"read-only\":true},\"node-name\":\"drive0\",\"read-only\":true}\n"
                "-device virtio-blk-device,drive=drive0,werror=report,rerror=report,bus=virtio-mmio-bus.6\n"
                "-object {\"id\":\"limit1\",\"limits\":{\"bps-total\":10000000,\"bps-total-max\":10000000,\"iops-total\":50,\"iops-total-max\":50},"
                "\"qom-type\":\"throttle-group\"}\n"
                "-blockdev {\"driver\":\"throttle\",\"file\":{\"cache\":{\"direct\":false,\"no-flush\":false},\"discard\":\"unmap\",\"driver\":\"raw\",\"file\":{\"cache\":"
                "{\"direct\":false,\"no-flush\":false},\"discard\":\"unmap\",\"driver\":\"file\",\"filename\":\"/odd,name={\\\"\",\"locking\":\"off\",\"read-only\":false},"
                "\"read-only\":false},\"node-name\":\"drive1\",\"throttle-group\":\"limit1\"}\n"
                "-device virtio-blk-device,drive=drive1,werror=report,rerror=report,bus=virtio-mmio-bus.5\n"
                "-netdev tap,id=net0,ifname=inf0,script=no,downscript=no,vhost=off\n"
                "-device virtio-net-device,netdev=net0,mac=06:00:AC:10:00:02,host_mtu=1400,bus=virtio-mmio-bus.4\n"
                "-chardev socket,id=vsock,fd=4\n"
                "-device vhost-user-vsock-device,chardev=vsock,bus=virtio-mmio-bus.2\n"
                "-object rng-builtin,id=entropy\n"
                "-device virtio-rng-device,rng=entropy,max-bytes=64,period=500,bus=virtio-mmio-bus.1\n"
                "-device virtio-balloon-device,deflate-on-oom=on,free-page-reporting=off,bus=virtio-mmio-bus.0\n"
                "-kernel /vmlinux\n"
                "-initrd /initrd.cpio\n"
                "-append console=ttyS0 reboot=k panic=1 quiet i8042.noaux no_timer_check noreplace-smp tsc_early_khz=2600000 tsc=reliable\n";
        char error[JSON_ERROR_MAX];
        _cleanup_free_ char *s = command(whole, QEMU_TCG, 0, error);

        assert_string_equal(s, golden);
}

static void test_variants(void **state) {
        char error[JSON_ERROR_MAX];
        _cleanup_free_ char *kvm = command("{" BOOT ",\"drives\":[]}", QEMU_KVM, 0, error), *root = NULL, *smt = NULL, *eight = NULL;
        static const char *const order[] = { "7", "6", "5", "4", "3", "2", "1", "0" };
        const char *p;

        assert_non_null(strstr(kvm, "-accel kvm\n-cpu host\n"));
        assert_null(strstr(kvm, "-chardev socket,id=vsock"));
        assert_null(strstr(kvm, "tsc"));
        assert_non_null(strstr(kvm, "-append reboot=k panic=1 nomodule 8250.nr_uarts=0 "));

        root = command("{" BOOT ",\"drives\":[{\"drive_id\":\"r\",\"path_on_host\":\"r\",\"is_root_device\":true,\"is_read_only\":true}]}",
                        QEMU_TCG, 0, error);
        assert_non_null(strstr(root, " root=/dev/vda ro "));

        smt = command("{" BOOT ",\"drives\":[],\"machine-config\":{\"vcpu_count\":4,\"mem_size_mib\":64,\"smt\":true}}", QEMU_TCG, 0, error);
        assert_non_null(strstr(smt, "-smp 4,sockets=1,cores=2,threads=2\n"));

        /* Full: every transport once, in the order in which Linux finds them. */
        eight = command("{" BOOT ",\"drives\":[" DRIVE("a", "") "," DRIVE("b", "") "," DRIVE("c", "") "," DRIVE("d", "") "," DRIVE("e", "") ","
                        DRIVE("f", "") "," DRIVE("g", "") "],\"entropy\":{}}", QEMU_TCG, 0, error);
        p = eight;
        for (size_t i = 0; i < ELEMENTSOF(order); i++) {
                p = strstr(p, "bus=virtio-mmio-bus.");
                assert_non_null(p);
                p += strlen("bus=virtio-mmio-bus.");
                assert_int_equal(*p, *order[i]);
        }

        (void) command("{" BOOT ",\"drives\":[" DRIVE("a", "") "," DRIVE("b", "") "," DRIVE("c", "") "," DRIVE("d", "") "," DRIVE("e", "") ","
                       DRIVE("f", "") "," DRIVE("g", "") "," DRIVE("h", "") "],\"entropy\":{}}", QEMU_TCG, -E2BIG, error);
        assert_non_null(strstr(error, "9 drives"));
        (void) command("{\"boot-source\":{\"kernel_image_path\":\"/v\",\"boot_args\":\"quiet -- -x\"},\"drives\":[]}", QEMU_TCG, -EOPNOTSUPP, error);
}

static void test_long_command_line(void **state) {
        _cleanup_free_ char *args = calloc(1, 2100), *text = NULL;
        char error[JSON_ERROR_MAX];

        memset(args, 'a', 1970);
        text = strf("{\"boot-source\":{\"kernel_image_path\":\"/v\",\"boot_args\":\"%s\"},\"drives\":[]}", args);
        free(command(text, QEMU_TCG, 0, error));
        free(text);
        text = strf("{\"boot-source\":{\"kernel_image_path\":\"/v\",\"boot_args\":\"%s\"},\"drives\":[" DRIVE("a", "") "]}", args);
        (void) command(text, QEMU_TCG, -E2BIG, error);
}

/* --- ember's own --- */

static int options(EmberOptions *ret, char *error, const char *first, ...) {
        const char *argv[32] = { "ember", first };
        int n = 2;
        va_list ap;

        va_start(ap, first);
        while ((argv[n] = va_arg(ap, const char *)))
                n++;
        va_end(ap);
        return ember_parse_command_line(n, (char *const *) argv, ret, error);
}

static void test_command_line(void **state) {
        char error[COMMAND_LINE_ERROR_MAX];
        EmberOptions o;

        assert_ok(options(&o, error, "--id", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--api-sock", "firecracker.sock", "--config-file", "firecracker.json",
                        "--start-time-us", "1", "--start-time-cpu-us", "2", "--parent-cpu-time-us", "3", "--show-level", "--level", "debug", NULL));
        assert_string_equal(o.id, "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        assert_string_equal(o.api_sock, "firecracker.sock");
        assert_string_equal(o.config_file, "firecracker.json");
        assert_string_equal(o.level, "debug");
        assert_int_equal(o.accelerator, EMBER_ACCEL_AUTO);
        assert_int_equal(o.api_payload_max, 51200);
        assert_false(o.no_api);
        assert_ok(options(&o, error, "--config-file", "f", "--no-api", "--accel", "tcg", NULL));
        assert_true(o.no_api);
        assert_int_equal(o.accelerator, EMBER_ACCEL_TCG);
        assert_ok(options(&o, error, "--nonsense", "--help", NULL));
        assert_true(o.help);
        assert_ok(options(&o, error, "--version", NULL));
        assert_true(o.version);
        assert_ok(options(&o, error, "--config-file", "f", "--", "--nonsense", NULL));

        assert_error(options(&o, error, "--nonsense", NULL), EINVAL);
        assert_error(options(&o, error, "--config-file", NULL), EINVAL);
        assert_error(options(&o, error, "--config-file", "--id", NULL), EINVAL);
        assert_error(options(&o, error, "--id", "a", NULL), EINVAL);
        assert_error(options(&o, error, "--config-file", "f", "--config-file", "g", NULL), EINVAL);
        assert_error(options(&o, error, "--config-file", "f", "--id", "a_b", NULL), EINVAL);
        assert_error(options(&o, error, "--config-file", "f", "--id", "", NULL), EINVAL);
        assert_error(options(&o, error, "--config-file", "f", "--level", "x", NULL), EINVAL);
        assert_error(options(&o, error, "--config-file", "f", "--accel", "x", NULL), EINVAL);
        assert_error(options(&o, error, "--config-file", "f", "--start-time-us", "x", NULL), EINVAL);
        assert_error(options(&o, error, "--config-file", "f", "x", NULL), EINVAL);
        assert_error(options(&o, error, "--config-file", "f", "--boot-timer", NULL), EINVAL);
        assert_error(options(&o, error, "--config-file", "f", "--metadata", NULL), EINVAL);
}

static void test_log_levels(void **state) {
        int level;

        assert_ok(vmm_log_level_from_string("Warning", &level));
        assert_int_equal(level, LOG_WARNING);
        assert_ok(vmm_log_level_from_string("OFF", &level));
        assert_int_equal(level, -1);
        assert_error(vmm_log_level_from_string("", &level), EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_minimal),
                cmocka_unit_test(test_root_comes_first),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_accepted),
                cmocka_unit_test(test_golden),
                cmocka_unit_test(test_variants),
                cmocka_unit_test(test_long_command_line),
                cmocka_unit_test(test_command_line),
                cmocka_unit_test(test_log_levels),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
