/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <limits.h>
#include <signal.h>
#include <strings.h>

#include "base/parse.h"
#include "base/str.h"

int parse_u64(const char *s, uint64_t *ret) {
        uint64_t v = 0;

        if (!*s)
                return -EINVAL;
        for (; *s; s++) {
                if (*s < '0' || *s > '9')
                        return -EINVAL;
                if (__builtin_mul_overflow(v, UINT64_C(10), &v) || __builtin_add_overflow(v, (uint64_t) (*s - '0'), &v))
                        return -ERANGE;
        }
        *ret = v;
        return 0;
}

int parse_uint(const char *s, unsigned *ret) {
        uint64_t v;
        int r = parse_u64(s, &v);

        if (r < 0)
                return r;
        if (v > UINT_MAX)
                return -ERANGE;
        *ret = (unsigned) v;
        return 0;
}

int parse_boolean(const char *s) {
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++)
                if (strcasecmp(s, yes[i]) == 0)
                        return 1;
        for (size_t i = 0; i < ELEMENTSOF(no); i++)
                if (strcasecmp(s, no[i]) == 0)
                        return 0;
        return -EINVAL;
}

/* "digits[.digits]" at *s times `unit`, truncated; moves *s behind it. The fraction counts to nine digits. */
static int parse_scaled(const char **s, uint64_t *ret_whole, uint64_t *ret_nano) {
        const char *p = *s;
        uint64_t v = 0, nano = 0, digit = UINT64_C(100000000);

        if (!isdigit((unsigned char) *p))
                return -EINVAL;
        for (; isdigit((unsigned char) *p); p++)
                if (__builtin_mul_overflow(v, UINT64_C(10), &v) || __builtin_add_overflow(v, (uint64_t) (*p - '0'), &v))
                        return -ERANGE;
        if (*p == '.') {
                p++;
                if (!isdigit((unsigned char) *p))
                        return -EINVAL;
                for (; isdigit((unsigned char) *p); p++, digit /= 10)
                        nano += digit * (uint64_t) (*p - '0');
        }
        *s = p;
        *ret_whole = v;
        *ret_nano = nano;
        return 0;
}

static int scale(uint64_t whole, uint64_t nano, uint64_t unit, uint64_t *ret) {
        uint64_t v, f;

        if (__builtin_mul_overflow(whole, unit, &v))
                return -ERANGE;
        f = (uint64_t) ((unsigned __int128) nano * unit / NSEC_PER_SEC);
        if (__builtin_add_overflow(v, f, &v))
                return -ERANGE;
        *ret = v;
        return 0;
}

int parse_size(const char *s, uint64_t *ret) {
        static const char suffixes[] = "BKMGTP";
        uint64_t whole, nano, unit = 1;
        int r;

        r = parse_scaled(&s, &whole, &nano);
        if (r < 0)
                return r;
        if (*s) {
                const char *u = strchr(suffixes, *s);

                if (!u || s[1])
                        return -EINVAL;
                unit <<= 10 * (u - suffixes);
        }
        return scale(whole, nano, unit, ret);
}

int parse_usec(const char *s, uint64_t *ret) {
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {
                { "us", 1 }, { "usec", 1 }, { "ms", 1000 }, { "msec", 1000 },
                { "s", USEC_PER_SEC }, { "sec", USEC_PER_SEC }, { "second", USEC_PER_SEC }, { "seconds", USEC_PER_SEC },
                { "m", 60 * USEC_PER_SEC }, { "min", 60 * USEC_PER_SEC }, { "minute", 60 * USEC_PER_SEC },
                { "minutes", 60 * USEC_PER_SEC },
                { "h", 3600 * USEC_PER_SEC }, { "hr", 3600 * USEC_PER_SEC }, { "hour", 3600 * USEC_PER_SEC },
                { "hours", 3600 * USEC_PER_SEC },
                { "d", 86400 * USEC_PER_SEC }, { "day", 86400 * USEC_PER_SEC }, { "days", 86400 * USEC_PER_SEC },
                { "w", 604800 * USEC_PER_SEC }, { "week", 604800 * USEC_PER_SEC }, { "weeks", 604800 * USEC_PER_SEC },
        };
        uint64_t total = 0;

        if (streq(s, "infinity")) {
                *ret = UINT64_MAX;
                return 0;
        }
        s += strspn(s, " \t");
        if (!*s)
                return -EINVAL;
        while (*s) {
                uint64_t whole, nano, unit = USEC_PER_SEC, v;
                size_t n;
                int r;

                r = parse_scaled(&s, &whole, &nano);
                if (r < 0)
                        return r;
                s += strspn(s, " \t");
                n = strcspn(s, " \t0123456789.");
                if (n > 0) {
                        unit = 0;
                        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                                if (strlen(units[i].name) == n && strncmp(s, units[i].name, n) == 0)
                                        unit = units[i].usec;
                        if (unit == 0)
                                return -EINVAL;
                        s += n;
                }
                r = scale(whole, nano, unit, &v);
                if (r < 0)
                        return r;
                if (__builtin_add_overflow(total, v, &total) || total == UINT64_MAX)
                        return -ERANGE;
                s += strspn(s, " \t");
        }
        *ret = total;
        return 0;
}

int parse_mode(const char *s, unsigned *ret) {
        unsigned v = 0;
        size_t n = strlen(s);

        if (n < 1 || n > 4)
                return -EINVAL;
        for (; *s; s++) {
                if (*s < '0' || *s > '7')
                        return -EINVAL;
                v = v * 8 + (unsigned) (*s - '0');
        }
        *ret = v;
        return 0;
}

static const char *const signal_names[] = {
        [SIGHUP] = "HUP", [SIGINT] = "INT", [SIGQUIT] = "QUIT", [SIGILL] = "ILL", [SIGTRAP] = "TRAP",
        [SIGABRT] = "ABRT", [SIGBUS] = "BUS", [SIGFPE] = "FPE", [SIGKILL] = "KILL", [SIGUSR1] = "USR1",
        [SIGSEGV] = "SEGV", [SIGUSR2] = "USR2", [SIGPIPE] = "PIPE", [SIGALRM] = "ALRM", [SIGTERM] = "TERM",
        [SIGSTKFLT] = "STKFLT", [SIGCHLD] = "CHLD", [SIGCONT] = "CONT", [SIGSTOP] = "STOP", [SIGTSTP] = "TSTP",
        [SIGTTIN] = "TTIN", [SIGTTOU] = "TTOU", [SIGURG] = "URG", [SIGXCPU] = "XCPU", [SIGXFSZ] = "XFSZ",
        [SIGVTALRM] = "VTALRM", [SIGPROF] = "PROF", [SIGWINCH] = "WINCH", [SIGIO] = "IO", [SIGPWR] = "PWR",
        [SIGSYS] = "SYS",
};

/* The kernel's range; libc keeps the first two of it to itself, and images count from libc's SIGRTMIN, 34, on Linux. */
enum { RTMIN = 34, RTMAX = 64 };

int parse_signal(const char *s) {
        const char *name = startswith(s, "SIG") ?: s;
        unsigned u;

        if (parse_uint(s, &u) >= 0)
                return u >= 1 && u <= RTMAX ? (int) u : -EINVAL;
        for (size_t i = 1; i < ELEMENTSOF(signal_names); i++)
                if (signal_names[i] && streq(name, signal_names[i]))
                        return (int) i;
        if (streq(name, "RTMIN"))
                return RTMIN;
        if (streq(name, "RTMAX"))
                return RTMAX;
        if (startswith(name, "RTMIN+") && parse_uint(name + 6, &u) >= 0 && u <= RTMAX - RTMIN)
                return RTMIN + (int) u;
        if (startswith(name, "RTMAX-") && parse_uint(name + 6, &u) >= 0 && u <= RTMAX - RTMIN)
                return RTMAX - (int) u;
        return -EINVAL;
}

const char *signal_to_string(int signo) {
        static char buf[16];

        if (signo > 0 && signo < (int) ELEMENTSOF(signal_names) && signal_names[signo])
                snprintf(buf, sizeof(buf), "SIG%s", signal_names[signo]);
        else if (signo >= RTMIN && signo <= RTMAX)
                snprintf(buf, sizeof(buf), "SIGRTMIN+%d", signo - RTMIN);
        else
                return NULL;
        return buf;
}

bool vm_name_is_valid(const char *s) {
        static const char *const suffixes[] = { ".service", ".socket", ".target", ".device", ".mount", ".automount", ".swap", ".timer", ".path", ".slice",
                                                ".scope" };
        size_t n = strlen(s);

        if (n < 1 || n > 63 || !isalnum((unsigned char) s[0]) || streq(s, "kiln"))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++)
                if (endswith(s, suffixes[i]))
                        return false;
        for (; *s; s++)
                if (!isalnum((unsigned char) *s) && !strchr("_.-", *s))
                        return false;
        return true;
}

bool hostname_is_valid(const char *s) {
        size_t n = strlen(s);
        char before = '.';

        if (n < 1 || n > 64)
                return false;
        for (; *s; before = *s++)
                if (*s == '.' || *s == '-') {
                        if (before == '.' || (*s == '.' && before == '-'))
                                return false;
                } else if (!isalnum((unsigned char) *s))
                        return false;
        return before != '.' && before != '-';
}

bool env_name_is_valid(const char *s) {
        if (!isalpha((unsigned char) *s) && *s != '_')
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char) *s) && *s != '_')
                        return false;
        return true;
}

bool ulid_is_valid(const char *s) {
        if (strlen(s) != 26 || s[0] > '7')
                return false;
        return strspn(s, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == 26;
}
