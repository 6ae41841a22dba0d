/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/fd.h"
#include "base/sha256.h"
#include "image/digest.h"
#include "image/error.h"
#include "image/oci.h"
#include "test.h"
#include "tests/unit/image-builder.h"
#include "tests/unit/squash-reader.h"

/* Compression. */

static void pack_gzip(StrBuf *b, const void *data, size_t n) {
        z_stream z = { .next_in = (Bytef *) data, .avail_in = (uInt) n };
        size_t room;
        char *out;

        assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
        room = deflateBound(&z, n) + 64;
        out = malloc(room);
        assert_non_null(out);
        z.next_out = (Bytef *) out;
        z.avail_out = (uInt) room;
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        strbuf_add(b, out, z.total_out);
        deflateEnd(&z);
        free(out);
}

static void pack_zstd(StrBuf *b, const void *data, size_t n) {
        size_t room = ZSTD_compressBound(n), k;
        char *out = malloc(room);

        assert_non_null(out);
        k = ZSTD_compress(out, room, data, n, 3);
        assert_false(ZSTD_isError(k));
        strbuf_add(b, out, k);
        free(out);
}

void pack(StrBuf *b, const void *data, size_t n, Packing packing, size_t piece) {
        if (packing == PACK_NONE)
                strbuf_add(b, data, n);
        else if (packing == PACK_GZIP)
                pack_gzip(b, data, n);
        else if (packing == PACK_ZSTD)
                pack_zstd(b, data, n);
        else
                for (size_t i = 0; i < n; i += piece)
                        (packing == PACK_GZIP_MEMBERS ? pack_gzip : pack_zstd)(b, (const char *) data + i, MIN(piece, n - i));
        assert_false(b->failed);
}

/* Layouts. */

static void write_text(const char *dir, const char *name, const void *data, size_t n) {
        _cleanup_free_ char *path = strf("%s/%s", dir, name);

        assert_ok(write_file_atomic_at(AT_FDCWD, path, data, n, 0644, 0));
}

void layout_make(TestLayout *l, const char *dir) {
        _cleanup_free_ char *blobs = strf("%s/blobs/sha256", dir);

        *l = (TestLayout) { .path = strdup(dir), .config = "{}" };
        assert_ok(mkdir_parents_at(AT_FDCWD, blobs, 0755));
        write_text(dir, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", 30);
}

void layout_done(TestLayout *l) {
        free(l->path);
        strbuf_done(&l->layers);
        strbuf_done(&l->diff_ids);
}

void layout_add_blob(TestLayout *l, const void *data, size_t n, char ret[80]) {
        _cleanup_free_ char *name = NULL;

        digest_of(data, n, ret);
        name = strf("blobs/sha256/%s", digest_hex(ret));
        write_text(l->path, name, data, n);
}

void layout_add_layer(TestLayout *l, const StrBuf *tar, Packing packing) {
        _cleanup_strbuf_ StrBuf blob = {};
        char digest[80], diff_id[80];
        const char *suffix = packing == PACK_NONE ? "" : packing == PACK_ZSTD || packing == PACK_ZSTD_FRAMES ? "zstd" : "gzip";

        pack(&blob, tar->data, tar->size, packing, 700);
        layout_add_blob(l, blob.data ?: "", blob.size, digest);
        digest_of(tar->data ?: "", tar->size, diff_id);
        strbuf_addf(&l->layers, "%s{\"mediaType\":\"%s%s%s\",\"digest\":\"%s\",\"size\":%zu}", l->layers.size > 0 ? "," : "",
                        l->docker ? "application/vnd.docker.image.rootfs.diff.tar" : "application/vnd.oci.image.layer.v1.tar",
                        *suffix ? l->docker ? "." : "+" : "", suffix, digest, blob.size);
        strbuf_addf(&l->diff_ids, "%s\"%s\"", l->diff_ids.size > 0 ? "," : "", diff_id);
}

void layout_add_entries(TestLayout *l, const TarEntry *entries) {
        _cleanup_strbuf_ StrBuf tar = {};

        tar_make(&tar, entries);
        layout_add_layer(l, &tar, PACK_GZIP);
}

void layout_write_index(TestLayout *l, const char *text) {
        write_text(l->path, "index.json", text, strlen(text));
}

void layout_finish(TestLayout *l) {
        _cleanup_free_ char *config = NULL, *manifest = NULL, *index = NULL;

        config = strf("{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":%s,\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}",
                        oci_architecture(), l->config, l->diff_ids.data ?: "");
        layout_add_blob(l, config, strlen(config), l->config_digest);
        manifest = strf("{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[%s]}",
                        l->docker ? "application/vnd.docker.distribution.manifest.v2+json" : "application/vnd.oci.image.manifest.v1+json",
                        l->docker ? "application/vnd.docker.container.image.v1+json" : "application/vnd.oci.image.config.v1+json", l->config_digest,
                        strlen(config), l->layers.data ?: "");
        layout_add_blob(l, manifest, strlen(manifest), l->manifest_digest);
        index = strf("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu,"
                     "\"annotations\":{\"org.opencontainers.image.ref.name\":\"latest\"}}]}",
                        l->docker ? "application/vnd.docker.distribution.manifest.v2+json" : "application/vnd.oci.image.manifest.v1+json",
                        l->manifest_digest, strlen(manifest));
        layout_write_index(l, index);
}

/* Reading image files back. */

typedef struct Dump {
        SquashReader reader;
        StrBuf text;
        unsigned n_xattrs;
} Dump;

static void dump_content(Dump *d, const sqfs_inode_generic_t *i, size_t size) {
        char digest[80], q[IMAGE_QUOTE_MAX];
        char *buf;

        buf = calloc(1, size + 1);
        assert_non_null(buf);
        for (size_t at = 0; at < size;) {
                sqfs_s32 k = sqfs_data_reader_read(d->reader.data, i, at, buf + at, (sqfs_u32) MIN(size - at, (size_t) MIB(1)));

                assert_true(k > 0);
                at += (size_t) k;
        }
        if (size <= 40 && strlen(buf) == size)
                strbuf_addf(&d->text, " \"%s\"", image_quote(buf, q));
        else {
                digest_of(buf, size, digest);
                strbuf_addf(&d->text, " %zu %.8s", size, digest_hex(digest));
        }
        free(buf);
}

static void dump_xattr(const char *name, const void *value, size_t size, void *userdata) {
        const uint8_t *p = value;
        Dump *d = userdata;

        strbuf_addf(&d->text, "%s%s=", d->n_xattrs++ > 0 ? "," : " {", name);
        for (size_t i = 0; i < size; i++)
                strbuf_addf(&d->text, p[i] > 0x20 && p[i] < 0x7f ? "%c" : "\\x%02x", p[i]);
}

static char type_letter(mode_t mode) {
        return S_ISDIR(mode) ? 'd' : S_ISREG(mode) ? 'f' : S_ISLNK(mode) ? 'l' : S_ISBLK(mode) ? 'b' : S_ISCHR(mode) ? 'c' : 'p';
}

static void dump_node(Dump *d, const sqfs_tree_node_t *n, const char *prefix) {
        _cleanup_free_ char *path = strf("%s%s", prefix, (const char *) n->name), *below = NULL;
        char q[IMAGE_QUOTE_MAX];
        struct stat st;

        squash_reader_stat(n, &st);
        strbuf_addf(&d->text, "%s %c %o %u:%u %" PRIu64 " n%u", *path ? image_quote(path, q) : "/", type_letter(st.st_mode), st.st_mode & 07777,
                        st.st_uid, st.st_gid, (uint64_t) st.st_mtim.tv_sec, (unsigned) st.st_nlink);
        if (S_ISLNK(st.st_mode)) {
                _cleanup_free_ char *target = squash_reader_target(n);

                strbuf_addf(&d->text, " -> %s", image_quote(target, q));
        }
        if (S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode))
                strbuf_addf(&d->text, " %u:%u", major(st.st_rdev), minor(st.st_rdev));
        if (S_ISREG(st.st_mode))
                dump_content(d, n->inode, (size_t) st.st_size);
        d->n_xattrs = 0;
        assert_int_equal(squash_reader_xattrs(&d->reader, n, dump_xattr, d), 0);
        strbuf_adds(&d->text, d->n_xattrs > 0 ? "}\n" : "\n");
        below = *prefix || *path ? strf("%s/", path) : strdup("");
        for (const sqfs_tree_node_t *c = n->children; c; c = c->next)
                dump_node(d, c, below);
}

char *squash_dump(const char *path) {
        Dump d = {};
        char *text;

        assert_int_equal(squash_reader_open(&d.reader, path), 0);
        dump_node(&d, d.reader.root, "");
        squash_reader_done(&d.reader);
        assert_ok(strbuf_finish(&d.text, &text, NULL));
        return text;
}
