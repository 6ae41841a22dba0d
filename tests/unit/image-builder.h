/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* For tests of lib/image: tar archives made byte by byte (so that wrong ones can be made, too), compressed layers, OCI layouts, and
 * a reader of image files that gives them as text. */

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

typedef enum Packing { PACK_NONE, PACK_GZIP, PACK_GZIP_MEMBERS, PACK_ZSTD, PACK_ZSTD_FRAMES } Packing;

/* Appends the data as a blob would have it. PACK_…S: in pieces of `piece` bytes. */
void pack(StrBuf *b, const void *data, size_t n, Packing packing, size_t piece);

/* A layout in a folder of its own. Documents and layers are added as blobs; what a test wants to be wrong it writes itself. */
typedef struct TestLayout {
        char *path;
        StrBuf layers;                  /* JSON descriptors, separated by commas */
        StrBuf diff_ids;
        const char *config;             /* value of "config", "{}" */
        bool docker;                    /* media types of schema 2 */
        char manifest_digest[80], config_digest[80];
} TestLayout;

void layout_make(TestLayout *l, const char *dir);
void layout_done(TestLayout *l);
#define _cleanup_layout_ _cleanup_(layout_done)
/* Writes blobs/sha256/<hex>, returns "sha256:<hex>" in ret. */
void layout_add_blob(TestLayout *l, const void *data, size_t n, char ret[80]);
void layout_add_layer(TestLayout *l, const StrBuf *tar, Packing packing);
void layout_add_entries(TestLayout *l, const TarEntry *entries);
/* Configuration, manifest and index.json for this machine. */
void layout_finish(TestLayout *l);
void layout_write_index(TestLayout *l, const char *text);

/* The content of an image file, one line an entry, sorted by path: "TYPE MODE UID:GID MTIME NLINK PATH[ -> TARGET][ MAJOR:MINOR][ SIZE SHA256-8][ {xattrs}]". Names are
 * escaped as in messages. By libsquashfs' reader, which shares no code with the writer above it. */
char *squash_dump(const char *path);
