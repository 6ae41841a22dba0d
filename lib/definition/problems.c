/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>

#include "base/exit-codes.h"
#include "base/log.h"
#include "base/str.h"
#include "definition/problems.h"

void definition_errors_done(DefinitionErrors *e) {
        strv_free(e->lines);
        *e = (DefinitionErrors) {};
}

int definition_errors_log(const DefinitionErrors *e, int r) {
        STRV_FOREACH(line, e->lines)
                log_error("%s", *line);
        return r;
}

int definition_exit_code(int r) {
        return r == -EINVAL || r == -ERFKILL ? EXIT_BAD_DEFINITION : exit_code_from_errno(r);
}

int problems_add(DefinitionErrors *e, const char *format, ...) {
        char **lines, *line;
        va_list ap;
        int k;

        if (!e)
                return -EINVAL;
        va_start(ap, format);
        k = vasprintf(&line, format, ap);
        va_end(ap);
        if (k < 0)
                return -ENOMEM;
        /* Names of files may have anything in them, and each problem is one line of a log. */
        for (char *c = line; *c; c++)
                if ((unsigned char) *c < 0x20 || *c == 0x7f)
                        *c = '?';
        /* Room for the line and the NULL behind it, doubled at powers of two. */
        if ((e->n_lines & (e->n_lines - 1)) == 0) {
                lines = reallocarray(e->lines, e->n_lines * 2 + 2, sizeof(char *));
                if (!lines) {
                        free(line);
                        return -ENOMEM;
                }
                e->lines = lines;
        }
        e->lines[e->n_lines++] = line;
        e->lines[e->n_lines] = NULL;
        return -EINVAL;
}

const char *problems_read_error(int error) {
        switch (-error) {
        case EISDIR:
                return "This is a directory, not a file.";
        case EBADF:
                return "This is not a regular file.";
        case EFBIG:
                return "The file is larger than 1 MiB.";
        case ELOOP:
                return "The symbolic link leads to itself.";
        case ENOLINK:
                return "The symbolic link leads to a file that does not exist.";
        case ENOTDIR:
                return "This is not a directory.";
        default:
                return strerror(error < 0 ? -error : error);
        }
}
