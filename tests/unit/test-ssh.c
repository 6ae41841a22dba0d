/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "layout/layout.h"
#include "ssh/host-key.h"
#include "ssh/public-key.h"
#include "test.h"

#define ED25519 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINbD8wMRDqf82L0W1SKcPJr7EOaSRRPI1nk6voTXEs1u"
#define ECDSA "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBPpjA6Gz4jEpFLg3iZdaFXJ3LMzxhyNtUCLVFav4exZUHLl7CyVC0qDzyq2wv7xqKavvB1jQZCt7dZFMeT0tY8Y="

static void assert_key(const char *line, const char *expected) {
        _cleanup_free_ char *key = NULL;
        const char *reason = NULL;

        if (!expected) {
                assert_error(ssh_public_key_parse(line, strlen(line), &key, &reason), EINVAL);
                assert_non_null(reason);
                assert_null(key);
                return;
        }
        assert_ok(ssh_public_key_parse(line, strlen(line), &key, &reason));
        assert_string_equal(key, expected);
}

static void test_public_key(void **state) {
        _cleanup_free_ char *longest = malloc(SSH_KEY_LINE_MAX + 2);

        assert_key(ED25519, ED25519);
        assert_key(ED25519 " me@home", ED25519 " me@home");
        assert_key("ssh-ed25519 \t" "AAAAC3NzaC1lZDI1NTE5AAAAIEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= two  words \t", NULL);
        assert_key(ECDSA "  two  words \t", ECDSA " two  words");
        assert_key(ED25519 " f\xc3\xbcr\x01", ED25519 " f??r?");
        assert_key("", NULL);
        assert_key("ssh-ed25519", NULL);
        assert_key("ssh-dss AAAAB3NzaC1kc3MAAA==", NULL);
        assert_key("no-pty " ED25519, NULL);
        assert_key("command=\"x\" " ED25519, NULL);
        assert_key("-----BEGIN OPENSSH PRIVATE KEY-----", NULL);
        /* The type of the body is another, a character is missing, one is too many, one is none. */
        assert_key("ssh-rsa " "AAAAC3NzaC1lZDI1NTE5AAAAIAhbrKCMyTEEZYotg8hcU5p/5ZWxx35c9r3WrTHYnCFn", NULL);
        assert_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAhbrKCMyTEEZYotg8hcU5p/5ZWxx35c9r3WrTHYnCF", NULL);
        assert_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAhbrKCMyTEEZYotg8hcU5p/5ZWxx35c9r3WrTHYnCFnAAAA", NULL);
        assert_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAhbrKCMyTEEZYotg8hcU5p/5ZWxx35c9r3WrTHYnCF!", NULL);
        assert_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAhbrKCMyTEEZYotg8hcU5p/5ZWxx35c9r3WrTHYnCFn", "ssh-ed25519 "
                   "AAAAC3NzaC1lZDI1NTE5AAAAIAhbrKCMyTEEZYotg8hcU5p/5ZWxx35c9r3WrTHYnCFn");

        memset(longest, 'x', SSH_KEY_LINE_MAX + 1);
        memcpy(longest, ED25519 " ", strlen(ED25519 " "));
        longest[SSH_KEY_LINE_MAX + 1] = 0;
        assert_key(longest, NULL);
        longest[SSH_KEY_LINE_MAX] = 0;
        assert_key(longest, longest);
}

static void test_public_keys(void **state) {
        static const char good[] = "# mine\n\n" ED25519 " a\r\n  " ECDSA " b \n" ED25519 " c";
        static const char bad[] = ED25519 "\n\n# x\nno-pty " ED25519 "\n";
        _cleanup_strv_ char **keys = NULL;
        const char *reason = NULL;
        unsigned line = 77;

        assert_ok(ssh_public_keys_parse(good, strlen(good), &keys, &line, &reason));
        assert_int_equal(strv_length(keys), 2);
        assert_string_equal(keys[0], ED25519 " a");
        assert_string_equal(keys[1], ECDSA " b");

        assert_error(ssh_public_keys_parse(bad, strlen(bad), &keys, &line, &reason), EINVAL);
        assert_int_equal(line, 4);
        assert_non_null(strstr(reason, "without options"));
        assert_int_equal(strv_length(keys), 2);

        assert_error(ssh_public_keys_parse("# none\n", 7, &keys, &line, &reason), EINVAL);
        assert_int_equal(line, 0);
        assert_error(ssh_public_keys_parse("", 0, &keys, &line, &reason), EINVAL);
}

static void test_most_keys(void **state) {
        _cleanup_strv_ char **keys = NULL;

        for (unsigned i = 0; i < SSH_KEYS_MAX; i++) {
                _cleanup_free_ char *key = strf("type body%u comment", i);

                assert_ok(ssh_public_key_add(&keys, key));
        }
        assert_ok(ssh_public_key_add(&keys, "type body7"));
        assert_error(ssh_public_key_add(&keys, "type body"), E2BIG);
        assert_int_equal(strv_length(keys), SSH_KEYS_MAX);
}

static void test_host_key(void **state) {
        char root[] = "/tmp/test-ssh-XXXXXX";
        _cleanup_free_ char *error = NULL, *path = NULL, *public = NULL, *begun = NULL, *left = NULL;
        uint8_t key[SSH_HOST_KEY_SIZE], again[SSH_HOST_KEY_SIZE];
        struct stat st;

        assert_non_null(mkdtemp(root));
        assert_ok(layout_set_root(root));
        path = layout_vm_ssh_host_key("web1");
        begun = strf("%s/var/lib/inferno/vms/web1/.ssh-host-key.new", root);
        left = strjoin(begun, "/key");
        assert_error(ssh_host_key_load("web1", key, &error), ENOENT);
        assert_non_null(strstr(error, "SSHKey="));

        if (access(SSH_DROPBEARKEY, X_OK) < 0) {
                assert_error(ssh_host_key_ensure("web1", key, &error), EOPNOTSUPP);
                assert_non_null(strstr(error, "dropbear-bin"));
        } else {
                /* As one that was killed has left it. */
                assert_ok(mkdir_parents_at(AT_FDCWD, begun, 0700));
                assert_ok(write_file_atomic_at(AT_FDCWD, left, "x", 1, 0600, 0));
                assert_ok(ssh_host_key_ensure("web1", key, &error));
                assert_ok(stat(path, &st));
                assert_int_equal(st.st_mode & 07777, 0600);
                assert_int_equal(access(begun, F_OK), -1);
                assert_ok(ssh_host_key_ensure("web1", again, &error));
                assert_memory_equal(key, again, sizeof(key));
                assert_ok(ssh_host_key_load("web1", again, &error));
                assert_memory_equal(key, again, sizeof(key));
                public = ssh_host_key_public(key);
                assert_key(public, public);

                assert_ok(truncate(path, SSH_HOST_KEY_SIZE - 1));
                assert_error(ssh_host_key_ensure("web1", key, &error), EBADMSG);
                assert_non_null(strstr(error, path));
        }
        assert_ok(ssh_host_key_remove_beginnings("web1"));
        assert_ok(remove_tree_at(AT_FDCWD, root));
        layout_set_root(NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_public_key),
                cmocka_unit_test(test_public_keys),
                cmocka_unit_test(test_most_keys),
                cmocka_unit_test(test_host_key),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
