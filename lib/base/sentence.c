/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>
#include <string.h>

#include "base/sentence.h"

int sentence(char **ret_error, int r, const char *format, ...) {
        char *old;
        va_list ap;

        if (!ret_error)
                return r;
        old = *ret_error;
        va_start(ap, format);
        if (vasprintf(ret_error, format, ap) < 0)
                *ret_error = NULL;
        va_end(ap);
        free(old);      /* after the arguments were read, for it may be one of them */
        return r;
}

const char *errno_remedy(int error) {
        switch (error < 0 ? -error : error) {
        case ENOSPC:
        case EDQUOT:
                return "Make room on its file system.";
        case EROFS:
                return "Make its file system writable.";
        case EPERM:
        case EACCES:
                return "This needs root.";
        case EMFILE:
        case ENFILE:
                return "Raise the limit on open files.";
        default:
                return "";
        }
}

int sentence_errno(char **ret_error, int r, const char *format, ...) {
        const char *remedy = errno_remedy(r), *what = strerrordesc_np(-r);
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int k;

        if (!ret_error)
                return r;
        va_start(ap, format);
        k = vasprintf(&text, format, ap);
        va_end(ap);
        if (k < 0)
                text = NULL;
        return sentence(ret_error, r, "%s: %s.%s%s", text ?: "Failed", what ?: "unknown error", *remedy ? " " : "", remedy);
}
