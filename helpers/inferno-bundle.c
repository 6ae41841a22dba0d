/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Programs with all that their loader needs. inferno-bundle(8). */

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "bundle/bundle.h"
#include "helpers/program.h"

static const char usage[] =
        "inferno-bundle [OPTIONS…] list PROGRAM… | copy PROGRAM… DIR\n"
        "\n"
        "Finds all that programs need to run by themselves: loader and libraries, the interpreter of a script. Nothing is run for that.\n"
        "\n"
        "  list PROGRAM…      Print the paths of all files and symlinks that are needed, one a line.\n"
        "  copy PROGRAM… DIR  Put them below DIR, which is made, or empty.\n"
        "\n"
        "      --link       copy: hard links to the system's own files where that can be\n"
        "      --root=DIR   Take the programs below DIR instead of /\n"
        "  -h, --help       Show this help\n"
        "      --version    Show the version\n"
        "\n"
        "See inferno-bundle(8).\n";

static bool may_link;

/* The first n words. */
static int resolve(char **words, size_t n, Bundle **ret) {
        _cleanup_free_ BundleItem *items = calloc(n + 1, sizeof(BundleItem));
        _cleanup_free_ char *error = NULL;
        int r;

        if (!items)
                return log_oom();
        for (size_t i = 0; i < n; i++) {
                if (words[i][0] != '/') {
                        log_error("Not an absolute path: '%s'.", words[i]);
                        return EXIT_USAGE;
                }
                items[i] = (BundleItem) { BUNDLE_PROGRAM, words[i], NULL };
        }
        r = bundle_resolve(items, ret, &error);
        if (r < 0)
                log_error("%s", error ?: "Out of memory.");
        return r;
}

static int run_list(char **words) {
        _cleanup_(bundle_freep) Bundle *b = NULL;
        const BundleEntry *e;
        size_t n;
        int r;

        r = resolve(words, strv_length(words), &b);
        if (r != 0)
                return r;
        e = bundle_entries(b, &n);
        for (size_t i = 0; i < n; i++)
                puts(e[i].target);
        return fflush(stdout) < 0 ? log_error_errno(errno, "Cannot write the list: %m") : 0;
}

static int run_copy(char **words) {
        size_t n = strv_length(words);
        _cleanup_(bundle_freep) Bundle *b = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *dir = words[n - 1];
        int r;

        if (n < 2) {
                log_error("'copy' needs programs, and then a directory. See --help.");
                return EXIT_USAGE;
        }
        r = resolve(words, n - 1, &b);
        if (r != 0)
                return r;
        r = mkdir_parents_at(AT_FDCWD, dir, 0755);
        if (r < 0)
                return log_error_errno(r, "Cannot make '%s': %m", dir);
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return log_error_errno(errno, "Cannot open '%s': %m", dir);
        r = bundle_place(b, fd, may_link);
        if (r == -EEXIST)
                return log_error_errno(r, "There are files in '%s' already: give an empty directory.", dir);
        if (r == -ESTALE)
                return log_error_errno(r, "A file was changed while it was copied: remove '%s' and try again.", dir);
        return r < 0 ? log_error_errno(r, "Cannot copy to '%s': %m", dir) : 0;
}

static int set_link(void) {
        may_link = true;
        return 0;
}

static const HelperVerb verbs[] = {
        { "list", "PROGRAM…", .run_words = run_list },
        { "copy", "PROGRAM…", .run_words = run_copy },
        {},
};

static const HelperOption options[] = {
        { "--link", .flag = set_link },
        {},
};

int main(int argc, char **argv) {
        return helper_main(argc, argv, usage, verbs, options);
}
