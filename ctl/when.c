/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <time.h>

#include "base/parse.h"
#include "base/str.h"
#include "ctl/when.h"

/* n digits; moves *s behind them. */
static bool take_number(const char **s, unsigned n, int *ret) {
        int v = 0;

        for (unsigned i = 0; i < n; i++) {
                if ((*s)[i] < '0' || (*s)[i] > '9')
                        return false;
                v = v * 10 + ((*s)[i] - '0');
        }
        *s += n;
        *ret = v;
        return true;
}

static bool take_char(const char **s, char c) {
        if (**s != c)
                return false;
        (*s)++;
        return true;
}

/* "YYYY-MM-DD" */
static bool take_date(const char **s, struct tm *tm) {
        int year, month;

        if (!take_number(s, 4, &year) || !take_char(s, '-') || !take_number(s, 2, &month) || !take_char(s, '-') || !take_number(s, 2, &tm->tm_mday))
                return false;
        tm->tm_year = year - 1900;
        tm->tm_mon = month - 1;
        return true;
}

/* "HH:MM", ":SS", ".ffffff": digits behind the sixth count for nothing. */
static bool take_clock(const char **s, struct tm *tm, uint64_t *ret_usec) {
        *ret_usec = 0;
        if (!take_number(s, 2, &tm->tm_hour) || !take_char(s, ':') || !take_number(s, 2, &tm->tm_min))
                return false;
        if (!take_char(s, ':'))
                return true;
        if (!take_number(s, 2, &tm->tm_sec))
                return false;
        if (!take_char(s, '.'))
                return true;
        if (**s < '0' || **s > '9')
                return false;
        for (uint64_t unit = USEC_PER_SEC / 10; **s >= '0' && **s <= '9'; (*s)++, unit /= 10)
                *ret_usec += unit * (uint64_t) (**s - '0');
        return true;
}

/* The 30th of February and 25:00 are none, which mktime(3) would make others of. */
static int to_usec(struct tm *tm, bool utc, uint64_t usec, uint64_t *ret) {
        struct tm wanted = *tm;
        time_t t;

        tm->tm_isdst = -1;
        t = utc ? timegm(tm) : mktime(tm);
        if (t < 0 || tm->tm_mday != wanted.tm_mday || tm->tm_mon != wanted.tm_mon || wanted.tm_hour > 23 || wanted.tm_min > 59 || wanted.tm_sec > 59)
                return -EINVAL;
        *ret = (uint64_t) t * USEC_PER_SEC + usec;
        return 0;
}

static int parse_calendar(const char *s, uint64_t now, uint64_t *ret) {
        static const struct {
                const char *name;
                int days;
        } days[] = { { "today", 0 }, { "yesterday", -1 }, { "tomorrow", 1 } };
        size_t n = strlen(s);
        bool utc = n > 4 && streq(s + n - 4, " UTC"), date = false;
        time_t t = (time_t) (now / USEC_PER_SEC);
        uint64_t usec = 0;
        struct tm tm;

        if (!(utc ? gmtime_r(&t, &tm) : localtime_r(&t, &tm)))
                return -EINVAL;
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        for (size_t i = 0; i < ELEMENTSOF(days) && !date; i++)
                if (startswith(s, days[i].name)) {
                        s += strlen(days[i].name);
                        date = true;
                        /* Over the end of a month, and to a day that is longer or shorter: noon is in each. */
                        tm.tm_mday += days[i].days;
                        tm.tm_hour = 12;
                        tm.tm_isdst = -1;
                        if ((utc ? timegm(&tm) : mktime(&tm)) < 0)
                                return -EINVAL;
                        tm.tm_hour = 0;
                }
        if (!date && s[0] && s[1] && s[2] != ':') {
                if (!take_date(&s, &tm))
                        return -EINVAL;
                date = true;
        }
        if (!date || ((*s == ' ' || *s == 'T') && s[1] >= '0' && s[1] <= '9')) {
                s += date;
                if (!take_clock(&s, &tm, &usec))
                        return -EINVAL;
        }
        return streq(s, utc ? " UTC" : "") ? to_usec(&tm, utc, usec, ret) : -EINVAL;
}

static int parse_relative(const char *span, bool forward, uint64_t now, uint64_t *ret) {
        uint64_t v;

        if (parse_usec(span, &v) < 0 || v == UINT64_MAX)
                return -EINVAL;
        if (forward)
                return __builtin_add_overflow(now, v, ret) ? -EINVAL : 0;
        *ret = now > v ? now - v : 0;
        return 0;
}

int parse_when(const char *s, uint64_t now, uint64_t *ret) {
        size_t n = strlen(s);

        if (streq(s, "now")) {
                *ret = now;
                return 0;
        }
        if (*s == '@')
                return s[1] ? parse_relative(s + 1, true, 0, ret) : -EINVAL;
        if (*s == '-' || *s == '+')
                return parse_relative(s + 1, *s == '+', now, ret);
        if (n > 4 && streq(s + n - 4, " ago")) {
                _cleanup_free_ char *span = strndup(s, n - 4);

                return span ? parse_relative(span, false, now, ret) : -ENOMEM;
        }
        return parse_calendar(s, now, ret);
}
