/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "init/launch.h"
#include "test.h"

static void test_parse(void **state) {
        static const char expected[] = "#!/inferno/lib/init\n/inferno/loader/bin/tool\n%\n--argv0\n%\n/inferno/files/usr/bin/tool\n";
        char text[] = "#!/inferno/lib/init\n/inferno/loader/bin/tool\n%\n--argv0\n%\n/inferno/files/usr/bin/tool\n";
        char name[] = "/usr/bin/mine", one[] = "-x", two[] = "%", *arguments[] = { one, two, NULL };
        static const char *const wanted[] = { "/usr/bin/mine", "--argv0", "/usr/bin/mine", "/inferno/files/usr/bin/tool", "-x", "%" };
        _cleanup_free_ char **argv = NULL;
        const char *file;

        assert_ok(launch_parse(text, strlen(expected), name, arguments, &file, &argv));
        assert_string_equal(file, "/inferno/loader/bin/tool");
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                assert_string_equal(argv[i], wanted[i]);
        assert_null(argv[ELEMENTSOF(wanted)]);
}

static void test_refused(void **state) {
        static const char *const texts[] = {
                "", "#!", "#!/inferno/lib/init\n", "#!/inferno/lib/init\n/file\n", "#!/inferno/lib/init\nfile\n%\n", "/inferno/lib/init\n/file\n%\n",
                "#!/inferno/lib/init\n/file\n%\nno end",
        };
        char name[] = "x", *arguments[] = { NULL }, nul[] = "#!/x\n/file\n%\n\0\n";
        char **argv = NULL;
        const char *file;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_free_ char *text = strdup(texts[i]);

                assert_error(launch_parse(text, strlen(text), name, arguments, &file, &argv), EBADMSG);
        }
        assert_error(launch_parse(nul, sizeof(nul) - 1, name, arguments, &file, &argv), EBADMSG);
        assert_null(argv);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse), cmocka_unit_test(test_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
