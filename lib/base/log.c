/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

enum { LINE_BYTES_MAX = 2048 };

static const char *log_identifier = "inferno";
static LogTarget log_target = LOG_TARGET_STDERR;
static int log_max_level = LOG_INFO;
static int log_kmsg_fd = -EBADF;
static bool log_with_prefix = false;
static LogFunc log_func = NULL;
static void *log_func_userdata = NULL;

static const char *const level_names[] = { "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug" };

int log_level_from_string(const char *s) {
        if (s[0] >= '0' && s[0] <= '7' && s[1] == 0)
                return s[0] - '0';
        for (size_t i = 0; i < ELEMENTSOF(level_names); i++)
                if (strcmp(s, level_names[i]) == 0)
                        return (int) i;
        return -EINVAL;
}

const char *log_level_to_string(int level) {
        return level >= 0 && level < (int) ELEMENTSOF(level_names) ? level_names[level] : NULL;
}

/* systemd.exec(5): $JOURNAL_STREAM is "device:inode" of the descriptor that journald reads. Where a jailer has cleared the
 * environment, the name of the other end tells as much. */
static bool stderr_is_journal(void) {
        const char *e = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        if (!e) {
                struct sockaddr_un sa = {};
                socklen_t n = sizeof(sa) - 1;

                return getpeername(STDERR_FILENO, (struct sockaddr *) &sa, &n) >= 0 && sa.sun_family == AF_UNIX &&
                       strcmp(sa.sun_path, "/run/systemd/journal/stdout") == 0;
        }
        if (sscanf(e, "%llu:%llu", &dev, &ino) != 2)
                return false;
        return fstat(STDERR_FILENO, &st) >= 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_setup(const char *argv0, LogTarget target) {
        const char *slash = argv0 ? strrchr(argv0, '/') : NULL;
        const char *e = getenv("INFERNO_LOG_LEVEL");

        if (argv0 && *argv0)
                log_identifier = slash ? slash + 1 : argv0;
        log_target = target;
        log_with_prefix = stderr_is_journal();
        if (e && log_level_from_string(e) >= 0)
                log_max_level = log_level_from_string(e);
        if (target == LOG_TARGET_KMSG && log_kmsg_fd < 0)
                log_kmsg_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
}

void log_set_max_level(int level) {
        log_max_level = level;
}

int log_get_max_level(void) {
        return log_max_level;
}

void log_set_function(LogFunc func, void *userdata) {
        log_func = func;
        log_func_userdata = userdata;
}

int log_internal(int level, int error, const char *format, ...) {
        char head[64], line[LINE_BYTES_MAX];
        int saved = errno, fd = STDERR_FILENO;
        size_t n;
        va_list ap;

        if (error < 0)
                error = -error;
        errno = error;
        va_start(ap, format);
        if (vsnprintf(line, sizeof(line), format, ap) < 0)
                line[0] = 0;
        va_end(ap);
        n = strlen(line);
        if (n == sizeof(line) - 1)
                memcpy(line + n - 3, "...", 3);

        if (log_func) {
                log_func(level, line, log_func_userdata);
                errno = saved;
                return -error;
        }

        if (log_target == LOG_TARGET_KMSG && log_kmsg_fd >= 0) {
                fd = log_kmsg_fd;
                snprintf(head, sizeof(head), "<%d>%.40s[%d]: ", LOG_DAEMON | level, log_identifier, (int) getpid());
        } else if (log_with_prefix)
                snprintf(head, sizeof(head), "<%d>", level);
        else
                snprintf(head, sizeof(head), "%.40s: ", log_identifier);

        struct iovec iov[] = {
                { head, strlen(head) },
                { line, n },
                { (char *) "\n", 1 },
        };
        (void) !writev(fd, iov, ELEMENTSOF(iov));

        errno = saved;
        return -error;
}
