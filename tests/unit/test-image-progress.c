/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "image/oci.h"
#include "image/progress.h"
#include "test.h"

#define DIGEST "sha256:2cf3eeeba8501111111111111111111111111111111111111111111111111111"

static void assert_line(Progress *p, const char *line, ImageLayerState state, uint64_t done, uint64_t size) {
        assert_true(progress_take_line(p, line));
        assert_int_equal(p->layers[0].state, state);
        assert_int_equal(p->layers[0].done, done);
        assert_int_equal(p->layers[0].size, size);
}

static void test_lines(void **state) {
        Progress p = {};

        assert_line(&p, "Copying blob 2cf3eeeba850 [--------] 0.0b / 8.0MiB", IMAGE_LAYER_GETTING, 0, MIB(8));
        assert_line(&p, "Copying blob 2cf3eeeba850 [==>-----] 1.5MiB / 8.0MiB", IMAGE_LAYER_GETTING, KIB(1536), MIB(8));
        /* as skopeo of 2023 and later has it */
        assert_line(&p, "Copying blob 2cf3eeeba850 [==>-----] 2.0MiB / 8.0MiB | 3.1 MiB/s", IMAGE_LAYER_GETTING, MIB(2), MIB(8));
        assert_line(&p, "Copying blob 2cf3eeeba850 done  ", IMAGE_LAYER_HERE, MIB(2), MIB(8));
        assert_false(progress_take_line(&p, "Copying blob 2cf3eeeba850 done  "));
        assert_int_equal(p.n, 1);
        progress_done(&p);
        assert_line(&p, "Copying blob 2cf3eeeba850 skipped: already exists  ", IMAGE_LAYER_HERE, 0, 0);
        progress_done(&p);
}

static void test_known_size(void **state) {
        Progress p = {};
        ImageLayer *l = progress_layer(&p, DIGEST);

        assert_non_null(l);
        assert_string_equal(l->id, "2cf3eeeba850");
        l->size = 8000000;
        assert_line(&p, "Copying blob 2cf3eeeba850 [==>-----] 1.0KiB / 7.6MiB", IMAGE_LAYER_GETTING, 1024, 8000000);
        assert_line(&p, "Copying blob 2cf3eeeba850 [========] 7.7MiB / 7.6MiB", IMAGE_LAYER_GETTING, 8000000, 8000000);
        assert_int_equal(p.n, 1);
        progress_done(&p);
}

static void test_other_lines(void **state) {
        static const char *const lines[] = {
                "", "Getting image source signatures", "Writing manifest to image destination",
                "Copying config 3b46d991af [===] 607.0b / 607.0b",
                "Copying blob 2cf3eeeba85 done", "Copying blob 2cf3eeebaXXX done", "Copying blob 2cf3eeeba850", "Copying blob 2cf3eeeba850 [==>",
                "Copying blob 2cf3eeeba850 [=>-] 1.0MiB / ", "Copying blob 2cf3eeeba850 [=>-] 1.0MiB / 1.0XiB",
                "Copying blob 2cf3eeeba850 [=>-] 9999999999999.0MiB / 1.0b",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                Progress p = {};

                assert_false(progress_take_line(&p, lines[i]));
                assert_true(p.n == 0 || (p.layers[0].state == IMAGE_LAYER_WAITING && p.layers[0].size == 0));
                progress_done(&p);
        }
}

static void test_bound(void **state) {
        Progress p = {};

        for (unsigned i = 0; i < OCI_LAYERS_MAX + 10u; i++) {
                char line[64];

                snprintf(line, sizeof(line), "Copying blob %012x done", i);
                assert_int_equal(progress_take_line(&p, line), i < OCI_LAYERS_MAX);
        }
        assert_int_equal(p.n, OCI_LAYERS_MAX);
        progress_done(&p);
}

static void test_terminal(void **state) {
        static const char text[] = "one\r\n\033[3A\033[Jtwo \a\x01 three\nfour";
        static const char *const expected[] = { "one", "two  three" };
        TerminalLines t = {};
        size_t n = 0;

        for (const char *c = text; *c; c++) {
                const char *line = terminal_lines_take(&t, *c);

                if (line) {
                        assert_true(n < ELEMENTSOF(expected));
                        assert_string_equal(line, expected[n++]);
                }
        }
        assert_int_equal(n, ELEMENTSOF(expected));
        for (size_t i = 0; i < 10 * PROGRESS_LINE_MAX; i++)
                assert_null(terminal_lines_take(&t, 'x'));
        assert_int_equal(strlen(terminal_lines_take(&t, '\n')), PROGRESS_LINE_MAX - 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_known_size),
                cmocka_unit_test(test_other_lines),
                cmocka_unit_test(test_bound),
                cmocka_unit_test(test_terminal),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
