/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/tar-builder.h"

void tar_add_padded(StrBuf *b, const void *data, size_t n) {
        static const char zeros[512];

        strbuf_add(b, data, n);
        strbuf_add(b, zeros, (512 - n % 512) % 512);
}

/* Octal where it fits, GNU's base 256 where not. */
static void put_number(char *field, size_t n, int64_t v) {
        char text[24];

        if (v >= 0 && snprintf(text, sizeof(text), "%0*" PRIo64, (int) n - 1, (uint64_t) v) == (int) n - 1) {
                memcpy(field, text, n);
                return;
        }
        for (size_t i = n; i-- > 0; v >>= 8)
                field[i] = (char) (v & 0xff);
        field[0] |= (char) 0x80;
}

static void finish_header(StrBuf *b, char header[static 512]) {
        unsigned sum = 0;

        memset(header + 148, ' ', 8);
        for (size_t i = 0; i < 512; i++)
                sum += (unsigned char) header[i];
        (void) snprintf(header + 148, 8, "%06o", sum);
        strbuf_add(b, header, 512);
}

static void init_header(char header[static 512], char type, const char *name, size_t size, unsigned mode) {
        memset(header, 0, 512);
        memcpy(header, name, MIN(strlen(name), (size_t) 100));
        put_number(header + 100, 8, mode);
        put_number(header + 108, 8, 0);
        put_number(header + 116, 8, 0);
        put_number(header + 124, 12, (int64_t) size);
        put_number(header + 136, 12, 0);
        header[156] = type;
        memcpy(header + 257, "ustar\0" "00", 8);
}

void tar_add_header(StrBuf *b, char type, const char *name, size_t size) {
        char header[512];

        init_header(header, type, name, size, 0644);
        finish_header(b, header);
}

void tar_add_pax_record(StrBuf *b, const char *key, const void *value, size_t n) {
        size_t body = 1 + strlen(key) + 1 + n + 1, digits = 1;

        /* The length counts its own digits. */
        for (size_t limit = 10; body + digits >= limit; limit *= 10)
                digits++;
        strbuf_addf(b, "%zu %s=", body + digits, key);
        strbuf_add(b, value, n);
        strbuf_adds(b, "\n");
}

void tar_add(StrBuf *b, const TarEntry *e) {
        size_t size = e->content_size > 0 || !e->content ? e->content_size : strlen(e->content);
        char type = e->type ?: '0', header[512];
        _cleanup_strbuf_ StrBuf pax = {};

        if (strlen(e->name) > 100)
                tar_add_pax_record(&pax, "path", e->name, strlen(e->name));
        if (e->link && strlen(e->link) > 100)
                tar_add_pax_record(&pax, "linkpath", e->link, strlen(e->link));
        for (const char *p = e->pax; p && *p;) {
                size_t n = strcspn(p, "\n");
                const char *equals = strchr(p, '=');
                _cleanup_free_ char *key = strndup(p, (size_t) (equals - p));

                tar_add_pax_record(&pax, key, equals + 1, n - (size_t) (equals + 1 - p));
                p += n + (p[n] == '\n');
        }
        if (pax.size > 0) {
                tar_add_header(b, 'x', "pax", pax.size);
                tar_add_padded(b, pax.data, pax.size);
        }

        init_header(header, type, e->name, size, e->mode ? e->mode : type == '5' ? 0755 : 0644);
        put_number(header + 108, 8, (int64_t) e->uid);
        put_number(header + 116, 8, (int64_t) e->gid);
        put_number(header + 136, 12, e->mtime);
        if (e->size_field)
                memcpy(header + 124, e->size_field, 12);
        if (e->link)
                memcpy(header + 157, e->link, MIN(strlen(e->link), (size_t) 100));
        if (type == '3' || type == '4') {
                put_number(header + 329, 8, e->major);
                put_number(header + 337, 8, e->minor);
        }
        finish_header(b, header);
        tar_add_padded(b, e->content, size);
}

void tar_end(StrBuf *b) {
        static const char zeros[1024];

        strbuf_add(b, zeros, sizeof(zeros));
}

void tar_make(StrBuf *b, const TarEntry *entries) {
        for (; entries->name; entries++)
                tar_add(b, entries);
        tar_end(b);
}
