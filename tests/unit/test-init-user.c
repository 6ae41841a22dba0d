/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "init/user.h"
#include "test.h"

static const char passwd[] =
        "root:x:0:0:root:/root:/bin/sh\n"
        "# comment\n"
        "\n"
        "broken\n"
        "short:x:7\n"
        "negative:x:-1:5::/:\n"
        "postgres:x:70:71:PostgreSQL:/var/lib/postgresql:/bin/sh\n"
        "noshell:x:80:81\n"
        "relative:x:90:91::home:\n"
        "123:x:999:999::/n:\n"
        "big:x:4294967294:4294967294::/big:/bin/sh";
static const char group[] =
        "root:x:0:root\n"
        "daemon:x:1:root,postgres\n"
        "bad:x:y:postgres\n"
        "postgres:x:71:\n"
        "ssl:x:101:postgres,postgres2\n"
        "again:x:101:postgres\n"
        "other:x:102:postgres2,xpostgres";

static int resolve(const char *spec, User *u, Failure *f) {
        return user_resolve(spec, passwd, sizeof(passwd) - 1, group, sizeof(group) - 1, u, f);
}

static void assert_user(const char *spec, uid_t uid, gid_t gid, const char *home, const char *groups) {
        _cleanup_user_ User u = {};
        _cleanup_strbuf_ StrBuf b = {};
        Failure f = {};

        assert_ok(resolve(spec, &u, &f));
        for (size_t i = 0; i < u.n_groups; i++)
                strbuf_addf(&b, "%s%u", i > 0 ? "," : "", (unsigned) u.groups[i]);
        assert_int_equal(u.uid, uid);
        assert_int_equal(u.gid, gid);
        assert_string_equal(u.home, home);
        assert_string_equal(b.data, groups);
}

static void assert_name(const char *spec, const char *name, const char *shell) {
        _cleanup_user_ User u = {};
        Failure f = {};

        assert_ok(resolve(spec, &u, &f));
        assert_string_equal(u.name, name);
        assert_true(streq_ptr(u.shell, shell));
}

static void test_names_and_shells(void **state) {
        assert_name("", "root", "/bin/sh");
        assert_name("70", "postgres", "/bin/sh");
        assert_name("postgres:0", "postgres", "/bin/sh");
        assert_name("noshell", "noshell", NULL);
        assert_name("relative", "relative", NULL);
        assert_name("4294967294", "big", "/bin/sh");
        assert_name("12345", "12345", NULL);
}

static void test_found(void **state) {
        assert_user("", 0, 0, "/root", "0,1");
        assert_user("root", 0, 0, "/root", "0,1");
        assert_user("0", 0, 0, "/root", "0,1");
        assert_user("postgres", 70, 71, "/var/lib/postgresql", "71,1,101");
        assert_user("70", 70, 71, "/var/lib/postgresql", "71,1,101");
        assert_user("noshell", 80, 81, "/", "81");
        assert_user("relative", 90, 91, "/", "91");
        assert_user("big", 4294967294, 4294967294, "/big", "4294967294");
}

static void test_group(void **state) {
        assert_user("postgres:daemon", 70, 1, "/var/lib/postgresql", "1");
        assert_user("postgres:7", 70, 7, "/var/lib/postgresql", "7");
        assert_user(":ssl", 0, 101, "/root", "101");
        assert_user("postgres:", 70, 71, "/var/lib/postgresql", "71,1,101");
}

/* A number is a number, whether or not somebody is called so. */
static void test_numbers(void **state) {
        assert_user("123", 123, 0, "/", "0");
        assert_user("5000", 5000, 0, "/", "0");
        assert_user("5000:6000", 5000, 6000, "/", "6000");
}

static void test_refused(void **state) {
        static const struct {
                const char *spec, *message;
                int error;
        } cases[] = {
                { "nobody", "user \"nobody\" is not in the image's /etc/passwd", ESRCH },
                { "short", "/etc/passwd", ESRCH },
                { "negative", "/etc/passwd", ESRCH },
                { "broken", "/etc/passwd", ESRCH },
                { "4294967295", "/etc/passwd", ESRCH },
                { "-1", "/etc/passwd", ESRCH },
                { "root:nogroup", "group \"nogroup\" is not in the image's /etc/group", ESRCH },
                { "root:bad", "/etc/group", ESRCH },
                { "a:b:c", "not user or user:group", EINVAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_user_ User u = {};
                Failure f = {};

                assert_error(resolve(cases[i].spec, &u, &f), cases[i].error);
                assert_non_null(strstr(f.message, cases[i].message));
                assert_int_equal(f.exit_code, 125);
        }
}

static void test_without_files(void **state) {
        _cleanup_user_ User u = {}, v = {}, w = {};
        Failure f = {};

        assert_ok(user_resolve("", NULL, 0, NULL, 0, &u, &f));
        assert_int_equal(u.uid, 0);
        assert_string_equal(u.home, "/");
        assert_ok(user_resolve("7:8", "", 0, "", 0, &v, &f));
        assert_int_equal(v.gid, 8);
        assert_error(user_resolve("root", NULL, 0, NULL, 0, &w, &f), ESRCH);
}

static void test_many_groups(void **state) {
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_user_ User u = {};
        Failure f = {};

        for (unsigned i = 1; i < USER_GROUPS_MAX; i += 64)
                strbuf_addf(&b, "g%u:x:%u:root\n", i, i);
        assert_ok(user_resolve("root", passwd, sizeof(passwd) - 1, b.data, b.size, &u, &f));
        assert_int_equal(u.n_groups, 1 + USER_GROUPS_MAX / 64);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_found),
                cmocka_unit_test(test_names_and_shells),
                cmocka_unit_test(test_group),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_without_files),
                cmocka_unit_test(test_many_groups),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
