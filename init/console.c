/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "init/console.h"

static int kmsg_fd = -EBADF;
static bool debug_enabled = false;

void console_open(void) {
        kmsg_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
}

void console_set_debug(bool debug) {
        debug_enabled = debug;
}

/* One line of the kernel's log is one write(2). */
static void _printf_(2, 0) say(unsigned level, const char *format, va_list ap) {
        char line[1024];
        int n, k;

        n = snprintf(line, sizeof(line), "<%u>inferno-init: ", level);
        k = vsnprintf(line + n, sizeof(line) - (size_t) n - 1, format, ap);
        if (k < 0)
                return;
        n = (int) strlen(line);
        line[n++] = '\n';
        (void) !write(kmsg_fd >= 0 ? kmsg_fd : STDERR_FILENO, line, (size_t) n);
}

void console_fatal(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        say(2, format, ap);
        va_end(ap);
}

void console_debug(const char *format, ...) {
        va_list ap;

        if (!debug_enabled)
                return;
        va_start(ap, format);
        say(7, format, ap);
        va_end(ap);
}
