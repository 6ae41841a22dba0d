/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* tar archives made byte by byte, so that wrong ones can be made, too. */

#include "base/str.h"

/* One entry. Zero or NULL is the usual: type '0', mode 0644 (0755 of directories), content of the length of `content`. */
typedef struct TarEntry {
        const char *name;
        char type;
        const char *content;            /* a string; content_size where it is not */
        size_t content_size;
        const char *link;
        unsigned mode;
        uint64_t uid, gid;
        int64_t mtime;
        unsigned major, minor;
        const char *pax;                /* "key=value" records separated by "\n"; a value may not hold "\n" */
        const char *size_field;         /* 12 bytes in place of the size, as they are to stand there */
} TarEntry;

void tar_add(StrBuf *b, const TarEntry *e);
void tar_add_pax_record(StrBuf *b, const char *key, const void *value, size_t n);
void tar_add_header(StrBuf *b, char type, const char *name, size_t size);
void tar_add_padded(StrBuf *b, const void *data, size_t n);
void tar_end(StrBuf *b);
/* A whole archive of entries up to one without a name. */
void tar_make(StrBuf *b, const TarEntry *entries);
