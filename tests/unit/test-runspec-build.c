/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <netinet/in.h>

#include "base/fd.h"
#include "layout/layout.h"
#include "runspec/build.h"
#include "runspec/env-file.h"
#include "test.h"

#define WORDS(...) ((char **) (const char *[]) { __VA_ARGS__, NULL })
#define NONE ((char **) (const char *[]) { NULL })

static void assert_words(char **v, char *const *expected) {
        size_t i = 0;

        for (; expected && expected[i]; i++) {
                assert_non_null(v[i]);
                assert_string_equal(v[i], expected[i]);
        }
        assert_true(!v || !v[i]);
}

/* docker-run(1) and the table in Dockerfile's reference, "Understand how CMD and ENTRYPOINT interact". */
static void test_command(void **state) {
        const struct {
                char **image_entrypoint, **image_cmd, **entrypoint, **command, **expected;
        } cases[] = {
                { NULL, WORDS("c", "1"), NULL, NULL, WORDS("c", "1") },
                { WORDS("e", "1"), NULL, NULL, NULL, WORDS("e", "1") },
                { WORDS("e"), WORDS("c"), NULL, NULL, WORDS("e", "c") },
                { WORDS("e"), WORDS("c"), NULL, WORDS("x", "y"), WORDS("e", "x", "y") },
                { WORDS("e"), WORDS("c"), WORDS("n"), NULL, WORDS("n") },
                { WORDS("e"), WORDS("c"), WORDS("n"), WORDS("x"), WORDS("n", "x") },
                { WORDS("e"), WORDS("c"), NONE, WORDS("x"), WORDS("x") },
                { WORDS("e"), WORDS("c"), NONE, NULL, NULL },
                { NULL, NULL, NULL, NULL, NULL },
                { NULL, WORDS(""), NULL, NULL, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const ImageConfig image = { .entrypoint = cases[i].image_entrypoint, .cmd = cases[i].image_cmd };
                const Definition d = { .entrypoint = cases[i].entrypoint, .command = cases[i].command };
                _cleanup_strv_ char **v = NULL;
                int r = run_command_merge(&d, &image, &v);

                if (cases[i].expected) {
                        assert_ok(r);
                        assert_words(v, cases[i].expected);
                } else
                        assert_error(r, ENODATA);
        }
}

static void test_env_file(void **state) {
        const struct {
                const char *text;
                char **expected;
                unsigned line;          /* of the error; 0: none */
        } cases[] = {
                { "", NONE, 0 },
                { "A=1\nB=2", WORDS("A=1", "B=2"), 0 },
                { "A=1\r\nB=2\r\n", WORDS("A=1", "B=2"), 0 },
                { "A=1\nB=2\nA=3\n", WORDS("A=3", "B=2"), 0 },
                { "# A=1\n;B=2\n\n  # C=3\nD=4 # not a comment\n", WORDS("D=4 # not a comment"), 0 },
                { "# a comment \\\nA=1\n", NONE, 0 },
                { "  A =  1 2  \n", WORDS("A=1 2"), 0 },
                { "A=\nB=''\nC=\"\"\n", WORDS("A=", "B=", "C="), 0 },
                { "A='a \"b\" $c \\n'\n", WORDS("A=a \"b\" $c \\n"), 0 },
                { "A=\"a 'b' \\$c \\\\ \\\" \\` \\n\"\n", WORDS("A=a 'b' $c \\ \" ` \\n"), 0 },
                { "A=\"two\nlines\"\nB=x\n", WORDS("A=two\nlines", "B=x"), 0 },
                { "A=\"joined\\\nlines\"\n", WORDS("A=joinedlines"), 0 },
                { "A=joined\\\nlines\n", WORDS("A=joinedlines"), 0 },
                { "A='a' 'b'\"c\"\n", WORDS("A=abc"), 0 },
                { "A=a'b'\n", WORDS("A=a'b'"), 0 },
                { "A=50%\nB=$HOME ${X}\n", WORDS("A=50%", "B=$HOME ${X}"), 0 },
                { "no assignment\nA=1\n", WORDS("A=1"), 0 },
                { "A=1\\", WORDS("A=1"), 0 },
                { "A=\"open", WORDS("A=open"), 0 },
                { "A=1\n\nexport B=2\n", WORDS("A=1"), 3 },
                { "A=1\n1B=2\n", WORDS("A=1"), 2 },
                { "=x\n", NONE, 0 },
                { "a b=x\n", NONE, 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_strv_ char **env = NULL;
                unsigned line = 0;
                int r = env_file_parse(cases[i].text, strlen(cases[i].text), &env, &line);

                assert_int_equal(r, cases[i].line > 0 ? -EBADMSG : 0);
                assert_int_equal(line, cases[i].line);
                assert_words(env, cases[i].expected);
        }
        _cleanup_strv_ char **env = NULL;
        unsigned line;
        assert_error(env_file_parse("A=1\nB=\0x\n", 9, &env, &line), EBADMSG);
        assert_int_equal(line, 2);
}

static void test_nameservers(void **state) {
        _cleanup_strv_ char **v = NULL;

        assert_ok(run_nameservers_parse(
                "# nameserver 1.1.1.1\nsearch example.com\nnameserver 127.0.0.53\nnameserver  9.9.9.9 # quad\n\tnameserver\t8.8.8.8\r\n"
                "nameserver ::1\nnameserver 2620:fe::fe\nnameserver 9.9.9.9\nnameserver\nnameservers 1.2.3.4\nnameserver 0.0.0.0\n"
                "nameserver 1.2.3.4.5.6.7.8.9.10.11\nnameserver 10.0.0.1",
                &v));
        assert_words(v, WORDS("9.9.9.9", "8.8.8.8", "10.0.0.1"));
}

typedef struct Fixture {
        char root[40];
} Fixture;

static void put(const char *path, const char *text) {
        _cleanup_free_ char *p = layout_path(path);

        assert_ok(mkdir_parent_of_at(AT_FDCWD, p, 0755));
        assert_ok(write_file_atomic_at(AT_FDCWD, p, text, strlen(text), 0644, 0));
}

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));

        strcpy(f->root, "/tmp/test-runspec-build.XXXXXX");
        assert_non_null(mkdtemp(f->root));
        assert_ok(layout_set_root(f->root));
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        assert_ok(layout_set_root(NULL));
        assert_ok(remove_tree_at(AT_FDCWD, f->root));
        free(f);
        return 0;
}

static const NetAddress address = { .guest_string = "172.16.0.6", .host_string = "172.16.0.5" };

static void test_build(void **state) {
        static const char expected[] =
                "{\"cwd\":\"/srv/app\",\"env\":[\"PATH=/bin\",\"A=def\",\"B=file \\\"q\\\" 100%\",\"C=\\n$x\"],"
                "\"etc_hosts\":[{\"host\":\"db\",\"ip\":\"10.0.0.1\"},{\"host\":\"six\",\"ip\":\"fd00::1\"}],"
                "\"etc_resolv\":{\"nameservers\":[\"10.9.8.7\"]},\"files\":[],\"hostname\":\"web-1\",\"id\":\"web_1\","
                "\"ips\":[{\"gateway\":\"172.16.0.5\",\"ip\":\"172.16.0.6\",\"mask\":30}],"
                "\"log\":{\"debug\":false,\"format\":\"raw\",\"timestamp\":false},"
                "\"mounts\":{\"programs\":{\"device\":\"/dev/vde\",\"fs_type\":\"squashfs\"},\"root\":{\"device\":\"/dev/vda\",\"fs_type\":\"squashfs\",\"mount_point\":\"/\",\"options\":\"ro\"},"
                "\"upper\":{\"device\":\"/dev/vdb\",\"ephemeral\":false,\"fs_type\":\"ext4\"},\"volumes\":["
                "{\"device\":\"/dev/vdc\",\"discard\":true,\"fs_type\":\"ext4\",\"mkfs\":true,\"mount_point\":\"/data\",\"name\":\"data1\",\"options\":\"noatime,nodev\",\"read_only\":false},"
                "{\"device\":\"/dev/vdd\",\"discard\":false,\"fs_type\":\"ext4\",\"mkfs\":false,\"mount_point\":\"/srv\",\"name\":\"data2\",\"read_only\":true}]},"
                "\"process\":{\"args\":[\"-c\",\"echo %i $HOME\"],\"cmd\":\"sh\"},\"stop_signal\":3,\"user\":\"app:app\","
                "\"vsock_api_port\":10002,\"vsock_exit_port\":10001,\"vsock_key_port\":10003,\"vsock_stdout_port\":10000}\n";
        const ImageConfig image = {
                .env = WORDS("PATH=/bin", "A=image", "broken", "=x"),
                .cmd = WORDS("sh", "-c", "echo %i $HOME"),
                .user = (char *) "app:app",
                .working_dir = (char *) "srv/app",
                .stop_signal = (char *) "SIGQUIT",
                .rootfs_type = (char *) "squashfs",
        };
        const Definition d = {
                .name = (char *) "web_1",
                .hostname = (char *) "web-1",
                .image = (char *) "x",
                .environment = WORDS("C=\n$x", "A=def"),
                .environment_files = WORDS("/etc/app.env", "-/etc/missing.env"),
                .add_hosts = WORDS("db:10.0.0.1", "six:fd00::1"),
                .root = ROOT_PERSISTENT,
                .volumes = (VolumeUse[]) {
                        { .name = (char *) "data1", .mount_point = (char *) "/data", .options = (char *) "noatime,nodev",
                          .make_fs = true, .discard = true },
                        { .name = (char *) "data2", .mount_point = (char *) "/srv", .read_only = true, .make_fs = true },
                },
                .n_volumes = 2,
        };
        _cleanup_(run_spec_freep) RunSpec *s = NULL;
        _cleanup_free_ char *error = NULL, *text = NULL;
        char json_error[JSON_ERROR_MAX];

        put("/etc/app.env", "A=file\nB=\"file \\\"q\\\" 100%\"\n");
        put("/etc/resolv.conf", "nameserver 127.0.0.53\n");
        put("/run/systemd/resolve/resolv.conf", "nameserver 10.9.8.7\n");
        assert_ok(run_spec_build(&d, &image, &address, &s, &error));
        assert_ok(run_spec_format(s, &text, json_error));
        assert_string_equal(text, expected);
}

static void test_overrides(void **state) {
        const ImageConfig image = {
                .cmd = WORDS("sh"), .user = (char *) "app", .working_dir = (char *) "/srv", .stop_signal = (char *) "SIGQUIT", .rootfs_type = (char *) "squashfs",
        };
        const Definition d = {
                .name = (char *) "web1", .hostname = (char *) "web1", .image = (char *) "x", .user = (char *) "0", .working_directory = (char *) "/",
                .stop_signal = 10, .dns = WORDS("1.1.1.1", "fd00::53"),
        };
        _cleanup_(run_spec_freep) RunSpec *s = NULL;
        _cleanup_free_ char *error = NULL;

        assert_ok(run_spec_build(&d, &image, &address, &s, &error));
        assert_string_equal(s->user, "0");
        assert_string_equal(s->cwd, "/");
        assert_int_equal(s->stop_signal, 10);
        assert_words(s->nameservers, d.dns);
        assert_true(s->upper_ephemeral);
        assert_int_equal(s->n_hosts, 0);
}

#define KEY_A "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAhbrKCMyTEEZYotg8hcU5p/5ZWxx35c9r3WrTHYnCFn"
#define KEY_B "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBhbrKCMyTEEZYotg8hcU5p/5ZWxx35c9r3WrTHYnCFn"

static void assert_ssh_error(char **keys, int code, const char *text) {
        const ImageConfig image = { .cmd = WORDS("sh"), .rootfs_type = (char *) "squashfs" };
        const Definition d = { .name = (char *) "web1", .hostname = (char *) "web1", .image = (char *) "x", .dns = WORDS("1.1.1.1"), .ssh_keys = keys };
        _cleanup_(run_spec_freep) RunSpec *s = NULL;
        _cleanup_free_ char *error = NULL;

        assert_error(run_spec_build(&d, &image, &address, &s, &error), code);
        assert_non_null(strstr(error, text));
}

/* Keys of the definition and of files, each once; what is wrong in a file is told with its line. */
static void test_ssh_keys(void **state) {
        const ImageConfig image = { .cmd = WORDS("sh"), .rootfs_type = (char *) "squashfs" };
        PublishedPort published[] = { { .host_port = 22, .guest_port = 22, .protocol = IPPROTO_UDP }, { .host_port = 2222, .guest_port = 22, .protocol = IPPROTO_TCP } };
        Definition d = {
                .name = (char *) "web1", .hostname = (char *) "web1", .image = (char *) "x", .dns = WORDS("1.1.1.1"),
                .ssh_keys = WORDS(KEY_A " me", "/root/keys"), .published = published, .n_published = 1,
        };
        _cleanup_(run_spec_freep) RunSpec *s = NULL, *again = NULL, *outside = NULL;
        _cleanup_free_ char *error = NULL, *text = NULL;
        char json_error[JSON_ERROR_MAX];

        put("/root/keys", "# two\n" KEY_B " other\n" KEY_A " again\n");
        put("/root/wrong", KEY_B "\n\nno-pty " KEY_A "\n");
        put("/root/private", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
        put("/root/none", "\n");
        assert_ok(run_spec_build(&d, &image, &address, &s, &error));
        assert_words(s->ssh_keys, WORDS(KEY_A " me", KEY_B " other"));
        assert_null(s->ssh_host_key);
        assert_string_equal(s->programs.device, "/dev/vdc");

        s->ssh_host_key = strdup("c2VjcmV0");
        assert_ok(run_spec_format(s, &text, json_error));
        assert_non_null(strstr(text, "\"ssh\":{\"authorized_keys\":[\"" KEY_A " me\",\"" KEY_B " other\"],\"host_key\":\"c2VjcmV0\",\"tcp_port\":0,\"vsock_port\":22},"));
        assert_ok(run_spec_parse(text, strlen(text), &again, json_error));
        assert_words(again->ssh_keys, s->ssh_keys);
        assert_string_equal(again->ssh_host_key, "c2VjcmV0");
        again->vsock_ssh_port = again->vsock_api_port;
        assert_error(run_spec_check(again, json_error), EBADMSG);
        again->vsock_ssh_port = 22;
        assert_ok(strv_extend(&again->ssh_keys, "a\nb"));
        assert_error(run_spec_check(again, json_error), EBADMSG);

        d.n_published = 2;
        assert_ok(run_spec_build(&d, &image, &address, &outside, &error));
        assert_int_equal(outside->ssh_tcp_port, 22);
        outside->ssh_tcp_port = 65536;
        assert_error(run_spec_check(outside, json_error), EBADMSG);

        assert_ssh_error(WORDS("/root/wrong"), EINVAL, "/root/wrong:3: SSHKey= of VM 'web1': wanted is a public key");
        assert_ssh_error(WORDS("/root/private"), EINVAL, "/root/private:1: SSHKey= of VM 'web1': this is no public key, it may well be a private one");
        assert_ssh_error(WORDS("/root/none"), EINVAL, "/root/none: SSHKey= of VM 'web1': there is no key in it");
        assert_ssh_error(WORDS("/root/gone"), ENOENT, "SSHKey=/root/gone");
}

/* Behind the volumes, whose names are those of the definition's order. */
static void test_programs(void **state) {
        const ImageConfig image = { .cmd = WORDS("sh"), .rootfs_type = (char *) "squashfs" };
        const struct {
                char **bundle;
                bool encrypted, read_only;
                const char *device;
        } cases[] = { { NULL, false, true, NULL }, { WORDS("/usr/bin/strace"), false, true, "/dev/vde" }, { NULL, true, true, "/dev/vde" },
                      { NULL, false, false, "/dev/vde" } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Definition d = {
                        .name = (char *) "web1", .hostname = (char *) "web1", .image = (char *) "x", .dns = WORDS("1.1.1.1"), .bundle = cases[i].bundle,
                        .volumes = (VolumeUse[]) {
                                { .name = (char *) "a", .mount_point = (char *) "/a", .read_only = true },
                                { .name = (char *) "b", .mount_point = (char *) "/b", .encrypted = cases[i].encrypted, .read_only = cases[i].read_only },
                        },
                        .n_volumes = 2,
                };
                _cleanup_(run_spec_freep) RunSpec *s = NULL;
                _cleanup_free_ char *error = NULL;

                assert_ok(run_spec_build(&d, &image, &address, &s, &error));
                if (cases[i].device)
                        assert_string_equal(s->programs.device, cases[i].device);
                else
                        assert_null(s->programs.device);
        }
}

static void assert_refused(const Definition *d, const ImageConfig *image, int error, const char *message) {
        _cleanup_free_ char *text = NULL;
        RunSpec *s = NULL;

        assert_error(run_spec_build(d, image, &address, &s, &text), error);
        assert_non_null(text);
        if (!strstr(text, message))
                fail_msg("\"%s\" does not say \"%s\"", text, message);
}

static void test_refused(void **state) {
        const ImageConfig image = { .cmd = WORDS("sh"), .rootfs_type = (char *) "squashfs" };
        const ImageConfig empty = { .rootfs_type = (char *) "squashfs" };
        const ImageConfig wrong_signal = { .cmd = WORDS("sh"), .rootfs_type = (char *) "squashfs", .stop_signal = (char *) "SIGNONE" };
        Definition d = { .name = (char *) "web1", .hostname = (char *) "web1", .image = (char *) "nginx" };

        assert_refused(&d, &empty, EINVAL, "Image \"nginx\" of VM 'web1' does not say what to run");
        assert_refused(&d, &wrong_signal, EBADMSG, "\"SIGNONE\"");
        d.environment_files = WORDS("/etc/missing.env");
        assert_refused(&d, &image, ENOENT, "EnvironmentFile=/etc/missing.env");
        put("/etc/wrong.env", "A=1\nexport B=1\n");
        d.environment_files = WORDS("/etc/wrong.env");
        assert_refused(&d, &image, EBADMSG, "/etc/wrong.env:2: not NAME=VALUE");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_command),
                cmocka_unit_test(test_env_file),
                cmocka_unit_test(test_nameservers),
                cmocka_unit_test_setup_teardown(test_build, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_programs, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_ssh_keys, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_overrides, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
