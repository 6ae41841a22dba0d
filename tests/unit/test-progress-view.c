/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "helpers/progress-view.h"
#include "test.h"

static void assert_drawn(ProgressView *v, unsigned rows, unsigned columns, const char *expected) {
        const char *text = progress_view_draw(v, rows, columns);

        assert_non_null(text);
        assert_string_equal(text, expected);
}

static void test_layers(void **state) {
        ImageLayer layers[] = {
                { .id = "aaaaaaaaaaaa", .state = IMAGE_LAYER_HERE, .done = 0, .size = MIB(3) },
                { .id = "bbbbbbbbbbbb", .state = IMAGE_LAYER_GETTING, .done = 0, .size = MIB(8) },
                { .id = "cccccccccccc", .state = IMAGE_LAYER_WAITING },
        };
        _cleanup_(progress_view_freep) ProgressView *v = NULL;

        assert_ok(progress_view_new(&v));
        assert_string_equal(progress_view_clear(v), "");
        progress_view_set_layers(v, layers, ELEMENTSOF(layers), 10 * USEC_PER_SEC);
        assert_drawn(v, 24, 80,
                        "  aaaaaaaaaaaa  here            3.0 MiB\033[K\n"
                        "  bbbbbbbbbbbb  [                    ]     0.0 / 8.0 MiB\033[K\n"
                        "  cccccccccccc  waiting\033[K\n"
                        "\033[K\033[J");
        /* A rate is of a whole second, or more. */
        layers[1].done = MIB(1);
        progress_view_set_layers(v, layers, ELEMENTSOF(layers), 10 * USEC_PER_SEC + 500000);
        layers[1].done = MIB(4);
        progress_view_set_layers(v, layers, ELEMENTSOF(layers), 12 * USEC_PER_SEC);
        layers[0].state = IMAGE_LAYER_UNPACKING;
        progress_view_set_layers(v, layers, 2, 12 * USEC_PER_SEC + 1);
        progress_view_set_text(v, "Unpacking.");
        assert_drawn(v, 24, 80,
                        "\r\033[3A"
                        "  aaaaaaaaaaaa  unpacking       3.0 MiB\033[K\n"
                        "  bbbbbbbbbbbb  [==========          ]     4.0 / 8.0 MiB       2.0 MiB/s\033[K\n"
                        "Unpacking.\033[K\033[J");
        assert_string_equal(progress_view_clear(v), "\r\033[2A\033[J");
        assert_string_equal(progress_view_clear(v), "");
}

static void test_small_terminal(void **state) {
        _cleanup_(progress_view_freep) ProgressView *v = NULL;
        ImageLayer layers[50] = {};

        for (size_t i = 0; i < ELEMENTSOF(layers); i++) {
                snprintf(layers[i].id, sizeof(layers[i].id), "%012zu", i);
                layers[i].state = i < 10 ? IMAGE_LAYER_HERE : i < 20 ? IMAGE_LAYER_GETTING : IMAGE_LAYER_WAITING;
        }
        assert_ok(progress_view_new(&v));
        progress_view_set_layers(v, layers, ELEMENTSOF(layers), 1);
        progress_view_set_text(v, "a text that is longer than the terminal is wide");
        for (unsigned rows = 0; rows < 60; rows++)
                for (unsigned columns = 0; columns < 100; columns += 9) {
                        const char *text = progress_view_draw(v, rows, columns);
                        size_t n_lines = 1;

                        assert_non_null(text);
                        for (const char *c = text; *c; c++)
                                n_lines += *c == '\n';
                        assert_true(n_lines <= MAX(rows, 2u));
                        assert_true(rows < 52 || n_lines == 51);
                }
        assert_drawn(v, 5, 20,
                        "\r\033[50A"
                        "  000000000010     \033[K\n"
                        "  000000000011     \033[K\n"
                        "  10 of 50 layers a\033[K\n"
                        "a text that is long\033[K\033[J");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_layers),
                cmocka_unit_test(test_small_terminal),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
