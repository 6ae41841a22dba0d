/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each folder of tests/golden/generator has a tree with definitions, root/, and what --dry-run prints of it, expected. */

#include <fcntl.h>

#include "base/fd.h"
#include "generator/generator.h"
#include "layout/layout.h"
#include "test.h"

/* As --dry-run prints, with the place of the test tree taken out. */
static int collect(void *userdata, const UnitFiles *files) {
        StrBuf *b = userdata;

        for (size_t i = 0; i < files->n; i++) {
                const UnitFile *u = files->items + i;

                strbuf_addf(b, u->flags & UNIT_FILE_LINK ? "%s -> %s\n\n" : "# %s\n%s\n", u->path, u->content);
        }
        return 0;
}

static char *without(const char *text, const char *root) {
        StrBuf b = {};
        char *s;

        for (const char *p; (p = strstr(text, root)); text = p + strlen(root))
                strbuf_add(&b, text, (size_t) (p - text));
        strbuf_adds(&b, text);
        assert_ok(strbuf_finish(&b, &s, NULL));
        return s;
}

static void check_case(const char *folder, size_t problems_expected) {
        _cleanup_free_ char *root = strf("%s/tests/golden/generator/%s/root", getenv("INFERNO_SOURCE") ?: ".", folder);
        _cleanup_free_ char *path = strf("%s/tests/golden/generator/%s/expected", getenv("INFERNO_SOURCE") ?: ".", folder);
        _cleanup_free_ char *expected = NULL, *actual = NULL;
        _cleanup_strbuf_ StrBuf b = {};
        size_t problems;

        assert_ok(layout_set_root(root));
        assert_ok(generator_run(collect, &b, &problems));
        layout_set_root(NULL);
        actual = without(b.data ?: "", root);
        assert_int_equal(problems, problems_expected);
        assert_ok(read_file_at(AT_FDCWD, path, 1024 * 1024, &expected, NULL));
        assert_string_equal(actual, expected);
}

static void test_golden(void **state) {
        check_case("plain", 0);
        check_case("everything", 0);
        check_case("broken", 4);
        check_case("site-config", 0);
        check_case("wrong-site-config", 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
