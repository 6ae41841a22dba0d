/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>
#include <string.h>

#include "base/str.h"
#include "image/error.h"

static int set_error(char **ret_error, char *text_consume, int r) {
        if (!ret_error) {
                free(text_consume);
                return r;
        }
        free(*ret_error);
        *ret_error = text_consume;
        return r;
}

static char *vformat(const char *format, va_list ap) __attribute__((format(printf, 1, 0)));
static char *vformat(const char *format, va_list ap) {
        char *s;

        return vasprintf(&s, format, ap) < 0 ? NULL : s;
}

int image_error(char **ret_error, int r, const char *format, ...) {
        va_list ap;
        char *s;

        va_start(ap, format);
        s = vformat(format, ap);
        va_end(ap);
        return set_error(ret_error, s, r);
}

int image_error_errno(char **ret_error, int r, const char *format, ...) {
        _cleanup_free_ char *s = NULL;
        va_list ap;

        va_start(ap, format);
        s = vformat(format, ap);
        va_end(ap);
        return set_error(ret_error, s ? strf("%s: %s", s, strerror(r < 0 ? -r : r)) : NULL, r);
}

int image_error_prefix(char **ret_error, int r, const char *format, ...) {
        _cleanup_free_ char *s = NULL;
        va_list ap;

        if (!ret_error)
                return r;
        va_start(ap, format);
        s = vformat(format, ap);
        va_end(ap);
        return set_error(ret_error, s ? strf("%s: %s", s, *ret_error ? *ret_error : strerror(r < 0 ? -r : r)) : NULL, r);
}

int image_error_suffix(char **ret_error, int r, const char *format, ...) {
        _cleanup_free_ char *s = NULL;
        va_list ap;

        if (!ret_error || !*ret_error)
                return r;
        va_start(ap, format);
        s = vformat(format, ap);
        va_end(ap);
        return set_error(ret_error, s ? strf("%s%s", *ret_error, s) : NULL, r);
}

const char *image_quote(const char *name, char buf[static IMAGE_QUOTE_MAX]) {
        enum { TAIL = 40 };
        size_t n = strlen(name), out = 0;

        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char) name[i];

                /* Room for one escape, the dots, an escaped tail and the NUL. */
                if (out + 4 + 3 + 4 * (TAIL / 4) + 1 > IMAGE_QUOTE_MAX && n - i > TAIL / 4) {
                        memcpy(buf + out, "...", 3);
                        out += 3;
                        i = n - TAIL / 4;
                        c = (unsigned char) name[i];
                }
                if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
                        buf[out++] = (char) c;
                else
                        out += (size_t) snprintf(buf + out, 5, "\\x%02x", c);
        }
        buf[out] = 0;
        return buf;
}
