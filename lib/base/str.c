/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>

#include "base/str.h"
size_t utf8_sequence(const void *bytes, size_t n) {
        const unsigned char *s = bytes;
        size_t len;

        if (n == 0)
                return 0;
        len = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
        if (len == 0 || len > n)
                return 0;
        for (size_t i = 1; i < len; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
                return 0;
        return len;
}


int free_and_strdup(char **p, const char *s) {
        char *copy = NULL;

        if (s) {
                copy = strdup(s);
                if (!copy)
                        return -ENOMEM;
        }
        free(*p);
        *p = copy;
        return 0;
}

char *strf(const char *format, ...) {
        va_list ap;
        char *s;
        int k;

        va_start(ap, format);
        k = vasprintf(&s, format, ap);
        va_end(ap);
        return k < 0 ? NULL : s;
}

char *strjoin_real(const char *s, ...) {
        va_list ap, again;
        size_t n = 1;
        char *joined, *p;

        va_start(ap, s);
        va_copy(again, ap);
        for (const char *t = s; t; t = va_arg(ap, const char *))
                n += strlen(t);
        va_end(ap);
        joined = p = malloc(n);
        for (const char *t = s; joined && t; t = va_arg(again, const char *))
                p = stpcpy(p, t);
        va_end(again);
        return joined;
}

char **strv_free(char **v) {
        STRV_FOREACH(s, v)
                free(*s);
        free(v);
        return NULL;
}

size_t strv_length(char *const *v) {
        size_t n = 0;

        STRV_FOREACH(s, v)
                n++;
        return n;
}

bool strv_contains(char *const *v, const char *s) {
        STRV_FOREACH(i, v)
                if (streq(*i, s))
                        return true;
        return false;
}

int strv_consume(char ***v, char *s_consume) {
        size_t n = strv_length(*v);
        char **w;

        if (!s_consume)
                return -ENOMEM;
        w = reallocarray(*v, n + 2, sizeof(char *));
        if (!w) {
                free(s_consume);
                return -ENOMEM;
        }
        w[n] = s_consume;
        w[n + 1] = NULL;
        *v = w;
        return 0;
}

int strv_extend(char ***v, const char *s) {
        return strv_consume(v, strdup(s));
}

char **strv_copy(char *const *v) {
        size_t n = strv_length(v);
        _cleanup_strv_ char **copy = calloc(n + 1, sizeof(char *));

        if (!copy)
                return NULL;
        for (size_t i = 0; i < n; i++) {
                copy[i] = strdup(v[i]);
                if (!copy[i])
                        return NULL;
        }
        return TAKE_PTR(copy);
}

void strbuf_add(StrBuf *b, const void *data, size_t n) {
        if (b->failed)
                return;
        if (b->room - b->size <= n) {
                size_t room = MAX(b->room * 2, b->size + n + 64);
                char *p = realloc(b->data, room);

                if (!p) {
                        b->failed = true;
                        return;
                }
                b->data = p;
                b->room = room;
        }
        if (n > 0)
                memcpy(b->data + b->size, data, n);
        b->size += n;
        b->data[b->size] = 0;
}

void strbuf_adds(StrBuf *b, const char *s) {
        strbuf_add(b, s, strlen(s));
}

void strbuf_addf(StrBuf *b, const char *format, ...) {
        _cleanup_free_ char *s = NULL;
        va_list ap;
        int k;

        va_start(ap, format);
        k = vasprintf(&s, format, ap);
        va_end(ap);
        if (k < 0) {
                s = NULL;
                b->failed = true;
        } else
                strbuf_add(b, s, (size_t) k);
}

int strbuf_finish(StrBuf *b, char **ret, size_t *ret_size) {
        strbuf_add(b, "", 0);
        if (b->failed)
                return -ENOMEM;
        if (ret_size)
                *ret_size = b->size;
        *ret = TAKE_PTR(b->data);
        *b = (StrBuf) {};
        return 0;
}

void strbuf_done(StrBuf *b) {
        free(b->data);
        *b = (StrBuf) {};
}
