/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "definition/ini.h"
#include "definition/words.h"

static int digit(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* Exactly n digits to the base of 8 or 16. */
static int read_number(const char **s, unsigned n, int base, uint32_t *ret) {
        uint32_t v = 0;

        for (; n > 0; n--) {
                int d = digit(**s);

                if (d >= base)
                        return -EINVAL;
                v = v * (uint32_t) base + (uint32_t) d;
                (*s)++;
        }
        *ret = v;
        return 0;
}

static void add_utf8(StrBuf *b, uint32_t c) {
        char u[4];
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

        for (size_t i = n; i-- > 1; c >>= 6)
                u[i] = (char) (0x80 | (c & 0x3f));
        u[0] = (char) (lead[n] | c);
        strbuf_add(b, u, n);
}

/* *s stands behind a backslash, and is moved behind the escape. */
static int unescape(const char **s, StrBuf *b, const char **ret_reason) {
        static const char from[] = "abfnrtv\\\"'s", to[] = "\a\b\f\n\r\t\v\\\"' ";
        char kind = **s;
        const char *known = kind ? strchr(from, kind) : NULL;
        uint32_t v;
        int r;

        if (known) {
                strbuf_add(b, to + (known - from), 1);
                (*s)++;
                return 0;
        }
        if (kind == 'x' || kind == 'u' || kind == 'U') {
                (*s)++;
                r = read_number(s, kind == 'x' ? 2 : kind == 'u' ? 4 : 8, 16, &v);
        } else
                r = read_number(s, 3, 8, &v);
        if (r < 0) {
                *ret_reason = "unknown escape after a backslash; a backslash itself is written \\\\";
                return r;
        }
        if (v == 0) {
                *ret_reason = "an escape makes a NUL byte";
                return -EINVAL;
        }
        if (kind == 'u' || kind == 'U') {
                if (v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff)) {
                        *ret_reason = "an escape makes no Unicode character";
                        return -EINVAL;
                }
                add_utf8(b, v);
        } else {
                char c = (char) v;

                if (v > 0xff) {
                        *ret_reason = "an octal escape is larger than \\377";
                        return -EINVAL;
                }
                strbuf_add(b, &c, 1);
        }
        return 0;
}

/* One word at *s, which is no blank. */
static int split_one(const char **s, char **ret, const char **ret_reason) {
        _cleanup_strbuf_ StrBuf b = {};
        char quote = 0;
        int r;

        for (; **s && (quote || !strchr(" \t", **s));) {
                char c = *(*s)++;

                if (c == '\\') {
                        r = unescape(s, &b, ret_reason);
                        if (r < 0)
                                return r;
                } else if (c == quote)
                        quote = 0;
                else if (!quote && (c == '"' || c == '\''))
                        quote = c;
                else
                        strbuf_add(&b, &c, 1);
        }
        if (quote) {
                *ret_reason = quote == '"' ? "a double quote is not closed" : "a single quote is not closed";
                return -EINVAL;
        }
        if (b.data && !utf8_is_valid(b.data)) {
                *ret_reason = "escapes make a word that is not valid UTF-8";
                return -EINVAL;
        }
        return strbuf_finish(&b, ret, NULL);
}

int words_split(const char *s, char ***ret, const char **ret_reason) {
        _cleanup_strv_ char **words = NULL;
        size_t n = 0, room = 4;
        int r;

        words = calloc(room, sizeof(char *));
        if (!words)
                return -ENOMEM;
        for (;;) {
                s += strspn(s, " \t");
                if (!*s)
                        break;
                if (n >= WORDS_MAX) {
                        *ret_reason = "more than 4096 words";
                        return -EINVAL;
                }
                if (n + 1 >= room) {
                        char **w = reallocarray(words, room * 2, sizeof(char *));

                        if (!w)
                                return -ENOMEM;
                        words = w;
                        room *= 2;
                }
                r = split_one(&s, &words[n], ret_reason);
                if (r < 0)
                        return r;
                words[++n] = NULL;
        }
        *ret = TAKE_PTR(words);
        return 0;
}
