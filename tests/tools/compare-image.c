/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* compare-image IMAGE-FILE FOLDER: prints where they differ, one line each; the last line says how many entries were compared. Exit status 1 where
 * they differ. */

#include <stdio.h>

#include "tests/unit/image-compare.h"

int main(int argc, char **argv) {
        _cleanup_strbuf_ StrBuf differences = {};
        size_t n = 0;
        int r;

        if (argc != 3) {
                fputs("usage: compare-image IMAGE-FILE FOLDER\n", stderr);
                return 2;
        }
        r = image_compare(argv[1], argv[2], &differences, &n);
        if (differences.data)
                fputs(differences.data, stdout);
        printf("%zu entries\n", n);
        return r < 0 || differences.size > 0 || differences.failed ? 1 : 0;
}
