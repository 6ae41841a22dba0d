/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Strings and NULL-terminated arrays of strings (Strv). */

#include <string.h>

#include "base/macros.h"

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}
static inline bool streq_ptr(const char *a, const char *b) {
        return a == b || (a && b && streq(a, b));
}
static inline bool isempty(const char *s) {
        return !s || !*s;
}
/* What follows `prefix` in s, or NULL where s does not begin with it. */
static inline const char *startswith(const char *s, const char *prefix) {
        size_t n = strlen(prefix);
        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}
static inline bool endswith(const char *s, const char *suffix) {
        size_t n = strlen(s), m = strlen(suffix);
        return n >= m && streq(s + n - m, suffix);
}

/* Length of the valid UTF-8 sequence (RFC 3629) that n bytes begin with; 0: there is none. */
size_t utf8_sequence(const void *bytes, size_t n);

/* Replaces the owned string *p by a copy of s (NULL: by NULL). */
int free_and_strdup(char **p, const char *s);
/* asprintf() that returns NULL on failure. */
char *strf(const char *format, ...) _printf_(1, 2);
/* All arguments, one after the other; NULL on failure. */
#define strjoin(...) strjoin_real(__VA_ARGS__, (const char *) NULL)
char *strjoin_real(const char *s, ...) __attribute__((sentinel));

char **strv_free(char **v);
DEFINE_TRIVIAL_CLEANUP_FUNC(char **, strv_free)
#define _cleanup_strv_ _cleanup_(strv_freep)
size_t strv_length(char *const *v);
bool strv_contains(char *const *v, const char *s);
char **strv_copy(char *const *v);
/* Appends; s_consume is freed on failure. */
int strv_consume(char ***v, char *s_consume);
int strv_extend(char ***v, const char *s);

#define STRV_FOREACH(s, v) for (typeof(*(v)) *s = (v); s && *s; s++)

/* A growing buffer of bytes; `data` always has a NUL behind `size` once something was added. A failed addition sets
 * `failed`, and all later ones do nothing, so that one check at the end is enough. */
typedef struct StrBuf {
        char *data;
        size_t size, room;
        bool failed;
} StrBuf;

void strbuf_add(StrBuf *b, const void *data, size_t n);
void strbuf_adds(StrBuf *b, const char *s);
void strbuf_addf(StrBuf *b, const char *format, ...) _printf_(2, 3);
/* Takes the content out, or -ENOMEM where an addition had failed. *ret is never NULL then. */
int strbuf_finish(StrBuf *b, char **ret, size_t *ret_size);
void strbuf_done(StrBuf *b);
#define _cleanup_strbuf_ _cleanup_(strbuf_done)
