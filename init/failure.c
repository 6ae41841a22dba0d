/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>

#include "init/failure.h"

int failure_set(Failure *f, int error, const char *format, ...) {
        va_list ap;

        if (error < 0)
                error = -error;
        errno = error;
        va_start(ap, format);
        if (vsnprintf(f->message, sizeof(f->message), format, ap) < 0)
                f->message[0] = 0;
        va_end(ap);
        f->exit_code = EXIT_SETUP_FAILED;
        return -error;
}
