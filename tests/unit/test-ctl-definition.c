/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/definition-text.h"
#include "definition/words.h"
#include "test.h"

static void test_definition_text(void **state) {
        static const char text[] = "# mine\n"
                                   "[VM]\n"
                                   "Image=a\n"
                                   "Environment=A=1 \\\n"
                                   "# between\n"
                                   "    B=2\n"
                                   " Environment = C=3\n"
                                   "\n"
                                   "[Service]\n"
                                   "Image=not this\n";
        static const struct {
                const char *section, *key, *value;
                DefinitionChange change;
                const char *text;
        } cases[] = {
                { "VM", "Image", "b", DEFINITION_REPLACE,
                  "# mine\n[VM]\nImage=b\nEnvironment=A=1 \\\n# between\n    B=2\n Environment = C=3\n\n[Service]\nImage=not this\n" },
                { "VM", "Environment", "X", DEFINITION_REPLACE, "# mine\n[VM]\nImage=a\nEnvironment=X\n\n[Service]\nImage=not this\n" },
                { "VM", "Environment", "", DEFINITION_REPLACE, "# mine\n[VM]\nImage=a\n\n[Service]\nImage=not this\n" },
                { "VM", "Environment", "D=4", DEFINITION_APPEND,
                  "# mine\n[VM]\nImage=a\nEnvironment=A=1 \\\n# between\n    B=2\n Environment = C=3\nEnvironment=D=4\n\n[Service]\nImage=not this\n" },
                { "VM", "User", "u", DEFINITION_REPLACE,
                  "# mine\n[VM]\nImage=a\nEnvironment=A=1 \\\n# between\n    B=2\n Environment = C=3\nUser=u\n\n[Service]\nImage=not this\n" },
                { "Unit", "After", "x", DEFINITION_REPLACE,
                  "# mine\n[VM]\nImage=a\nEnvironment=A=1 \\\n# between\n    B=2\n Environment = C=3\n\n[Service]\nImage=not this\n\n[Unit]\nAfter=x\n" },
                { "Unit", "After", "", DEFINITION_REPLACE, text },
        };
        _cleanup_free_ char *unended = NULL, *empty = NULL;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *changed = NULL;

                assert_ok(definition_text_set(text, cases[i].section, cases[i].key, cases[i].value, cases[i].change, &changed));
                assert_string_equal(changed, cases[i].text);
        }
        assert_ok(definition_text_set("[VM]\nImage=a", "VM", "User", "u", DEFINITION_REPLACE, &unended));
        assert_string_equal(unended, "[VM]\nImage=a\nUser=u\n");
        assert_ok(definition_text_set("", "VM", "User", "u", DEFINITION_REPLACE, &empty));
        assert_string_equal(empty, "[VM]\nUser=u\n");
}

/* What is quoted is the same word again when the definition is read. */
static void test_definition_quote(void **state) {
        static const char *const words[] = { "plain", "", "two words", "a\"b", "c'd", "e\\f", "g\nh\ti", "#no comment", "$HOME", "\001", "ä", "\\x41" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                _cleanup_free_ char *quoted = definition_quote(words[i]);
                _cleanup_strv_ char **again = NULL;
                const char *reason;

                assert_true(definition_value_is_valid(quoted));
                assert_ok(words_split(quoted, &again, &reason));
                assert_int_equal(strv_length(again), 1);
                assert_string_equal(again[0], words[i]);
        }
        assert_false(definition_value_is_valid("a\nb"));
        assert_false(definition_value_is_valid("a\\"));
        assert_false(definition_value_is_valid("\033"));
        assert_true(definition_value_is_valid("a\tb"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_definition_text),
                cmocka_unit_test(test_definition_quote),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
