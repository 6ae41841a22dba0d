/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Messages of programs: to standard error, to the kernel's log (generator) or with priority prefixes for journald. */

#include <syslog.h>

#include "base/macros.h"

typedef enum LogTarget {
        LOG_TARGET_STDERR,      /* plain lines; with "<N>" prefixes where JOURNAL_STREAM says that journald reads them */
        LOG_TARGET_KMSG,        /* /dev/kmsg, for programs that run before journald does */
} LogTarget;

/* Takes the name that begins each line from argv[0], the level from $INFERNO_LOG_LEVEL (a name or 0..7). */
void log_setup(const char *argv0, LogTarget target);
void log_set_max_level(int level);

/* Hands all lines (without newline) to a function instead, as kiln does once it talks to the journal itself; NULL: back to the
 * target. The function must not log. */
typedef void (*LogFunc)(int level, const char *line, void *userdata);
void log_set_function(LogFunc func, void *userdata);

/* "err", "debug", "6", as systemd has them; -EINVAL. And back: NULL where there is no such level. */
int log_level_from_string(const char *s);
const char *log_level_to_string(int level);
int log_get_max_level(void);

/* The function behind the macros. `error` is a positive or negative errno that %m prints; returns -abs(error). */
int log_internal(int level, int error, const char *format, ...) _printf_(3, 4);

#define log_full_errno(level, error, ...)                               \
        ({                                                              \
                int _level = (level), _e = (error);                     \
                _level <= log_get_max_level()                           \
                        ? log_internal(_level, _e, __VA_ARGS__)         \
                        : (_e < 0 ? _e : -_e);                          \
        })

#define log_debug(...) log_full_errno(LOG_DEBUG, 0, __VA_ARGS__)
#define log_info(...) log_full_errno(LOG_INFO, 0, __VA_ARGS__)
#define log_notice(...) log_full_errno(LOG_NOTICE, 0, __VA_ARGS__)
#define log_warning(...) log_full_errno(LOG_WARNING, 0, __VA_ARGS__)
#define log_error(...) log_full_errno(LOG_ERR, 0, __VA_ARGS__)
#define log_debug_errno(e, ...) log_full_errno(LOG_DEBUG, e, __VA_ARGS__)
#define log_info_errno(e, ...) log_full_errno(LOG_INFO, e, __VA_ARGS__)
#define log_warning_errno(e, ...) log_full_errno(LOG_WARNING, e, __VA_ARGS__)
#define log_error_errno(e, ...) log_full_errno(LOG_ERR, e, __VA_ARGS__)
#define log_oom() log_full_errno(LOG_ERR, ENOMEM, "Out of memory.")
