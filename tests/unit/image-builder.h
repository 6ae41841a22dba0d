/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* For tests of lib/image: compressed layers, OCI layouts, and image files as text. */

#include "tests/unit/tar-builder.h"

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
