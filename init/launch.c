/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/wire.h"
#include "init/launch.h"

/* The next line without its end, NULL where there is none. */
static char *next_line(char **text) {
        char *line = *text, *end = strchr(line, '\n');

        if (!end)
                return NULL;
        *end = 0;
        *text = end + 1;
        return line;
}

int launch_parse(char *text, size_t n, char *called_as, char *const *arguments, const char **ret_file, char ***ret_argv) {
        _cleanup_free_ char **argv = NULL;
        size_t n_lines = 0, k = 0;
        char *line, *file;

        if (strlen(text) != n || !startswith(text, "#!"))
                return -EBADMSG;
        for (const char *p = text; *p; p++)
                n_lines += *p == '\n';
        argv = calloc(n_lines + strv_length(arguments) + 1, sizeof(char *));
        if (!argv)
                return -ENOMEM;
        (void) next_line(&text);
        file = next_line(&text);
        if (!file || file[0] != '/')
                return -EBADMSG;
        while ((line = next_line(&text)))
                argv[k++] = streq(line, WIRE_CALLED_AS) ? called_as : line;
        if (k == 0 || *text)
                return -EBADMSG;
        STRV_FOREACH(a, arguments)
                argv[k++] = *a;
        *ret_file = file;
        *ret_argv = TAKE_PTR(argv);
        return 0;
}

int launch_run(int argc, char **argv) {
        _cleanup_free_ char *text = NULL, **words = NULL;
        const char *file;
        size_t n;
        int r;

        r = read_file_at(AT_FDCWD, argv[1], LAUNCH_FILE_MAX, &text, &n);
        if (r >= 0)
                r = launch_parse(text, n, argv[1], argv + 2, &file, &words);
        if (r >= 0) {
                (void) execv(file, words);
                r = negative_errno();
        }
        errno = -r;
        dprintf(STDERR_FILENO, "%s: %m\n", argv[1]);
        return r == -ENOENT ? EXIT_COMMAND_NOT_FOUND : EXIT_CANNOT_EXEC;
}
