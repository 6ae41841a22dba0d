/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <sqfs/compressor.h>
#include <sqfs/data_reader.h>
#include <sqfs/dir_reader.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/super.h>
#include <sqfs/xattr.h>
#include <sqfs/xattr_reader.h>

#include "base/fd.h"
#include "base/sha256.h"
#include "image/digest.h"
#include "image/error.h"
#include "image/oci.h"
#include "test.h"
#include "tests/unit/image-builder.h"

/* tar. */

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
        sqfs_super_t super;
        sqfs_file_t *file;
        sqfs_compressor_t *compressor;
        sqfs_data_reader_t *data;
        sqfs_xattr_reader_t *xattrs;
        StrBuf text;
} Dump;

static void dump_content(Dump *d, const sqfs_inode_generic_t *i) {
        char digest[80], q[IMAGE_QUOTE_MAX];
        sqfs_u64 size;
        char *buf;

        (void) sqfs_inode_get_file_size(i, &size);
        buf = calloc(1, size + 1);
        assert_non_null(buf);
        for (sqfs_u64 at = 0; at < size;) {
                sqfs_s32 k = sqfs_data_reader_read(d->data, i, at, buf + at, (sqfs_u32) MIN(size - at, (sqfs_u64) MIB(1)));

                assert_true(k > 0);
                at += (sqfs_u64) k;
        }
        if (size <= 40 && strlen(buf) == size)
                strbuf_addf(&d->text, " \"%s\"", image_quote(buf, q));
        else {
                digest_of(buf, size, digest);
                strbuf_addf(&d->text, " %" PRIu64 " %.8s", (uint64_t) size, digest_hex(digest));
        }
        free(buf);
}

static void dump_xattrs(Dump *d, const sqfs_inode_generic_t *i) {
        sqfs_xattr_id_t desc;
        sqfs_u32 index;

        assert_int_equal(sqfs_inode_get_xattr_index(i, &index), 0);
        if (index == 0xffffffff)
                return;
        assert_int_equal(sqfs_xattr_reader_get_desc(d->xattrs, index, &desc), 0);
        assert_int_equal(sqfs_xattr_reader_seek_kv(d->xattrs, &desc), 0);
        strbuf_adds(&d->text, " {");
        for (sqfs_u32 k = 0; k < desc.count; k++) {
                sqfs_xattr_entry_t *key;
                sqfs_xattr_value_t *value;

                assert_int_equal(sqfs_xattr_reader_read_key(d->xattrs, &key), 0);
                assert_int_equal(sqfs_xattr_reader_read_value(d->xattrs, key, &value), 0);
                strbuf_addf(&d->text, "%s%s=", k > 0 ? "," : "", (const char *) key->key);
                for (sqfs_u32 j = 0; j < value->size; j++)
                        strbuf_addf(&d->text, value->value[j] > 0x20 && value->value[j] < 0x7f ? "%c" : "\\x%02x", value->value[j]);
                free(key);
                free(value);
        }
        strbuf_adds(&d->text, "}");
}

static uint32_t nlink_of(const sqfs_inode_generic_t *i) {
        switch (i->base.type) {
        case SQFS_INODE_FILE:
                return 1;
        case SQFS_INODE_EXT_FILE:
                return i->data.file_ext.nlink;
        case SQFS_INODE_DIR:
                return i->data.dir.nlink;
        case SQFS_INODE_SLINK:
        case SQFS_INODE_EXT_SLINK:
                return i->data.slink.nlink;
        default:
                /* In all the others it stands first. */
                return i->data.dir_ext.nlink;
        }
}

static void dump_node(Dump *d, const sqfs_tree_node_t *n, const char *prefix) {
        const sqfs_inode_generic_t *i = n->inode;
        _cleanup_free_ char *path = strf("%s%s", prefix, (const char *) n->name), *below = NULL;
        char q[IMAGE_QUOTE_MAX];
        uint32_t dev = 0;
        char type;

        switch (i->base.type) {
        case SQFS_INODE_DIR:
        case SQFS_INODE_EXT_DIR:
                type = 'd';
                break;
        case SQFS_INODE_FILE:
        case SQFS_INODE_EXT_FILE:
                type = 'f';
                break;
        case SQFS_INODE_SLINK:
        case SQFS_INODE_EXT_SLINK:
                type = 'l';
                break;
        case SQFS_INODE_BDEV:
        case SQFS_INODE_EXT_BDEV:
                type = 'b';
                dev = i->data.dev.devno;
                break;
        case SQFS_INODE_CDEV:
        case SQFS_INODE_EXT_CDEV:
                type = 'c';
                dev = i->data.dev.devno;
                break;
        default:
                type = 'p';
        }
        strbuf_addf(&d->text, "%s %c %o %u:%u %u n%u", *path ? image_quote(path, q) : "/", type, i->base.mode & 07777, n->uid, n->gid, i->base.mod_time,
                        nlink_of(i));
        if (type == 'l') {
                _cleanup_free_ char *target = strndup((const char *) i->extra, i->data.slink.target_size);

                strbuf_addf(&d->text, " -> %s", image_quote(target, q));
        }
        if (type == 'b' || type == 'c')
                strbuf_addf(&d->text, " %u:%u", (dev & 0xfff00) >> 8, (dev & 0xff) | ((dev >> 12) & 0xfff00));
        if (type == 'f')
                dump_content(d, i);
        dump_xattrs(d, i);
        strbuf_adds(&d->text, "\n");
        below = *prefix || *path ? strf("%s/", path) : strdup("");
        for (const sqfs_tree_node_t *c = n->children; c; c = c->next)
                dump_node(d, c, below);
}

char *squash_dump(const char *path) {
        sqfs_compressor_config_t config;
        sqfs_tree_node_t *root;
        sqfs_dir_reader_t *dirs;
        sqfs_id_table_t *ids;
        Dump d = {};
        char *text;

        d.file = sqfs_open_file(path, SQFS_FILE_OPEN_READ_ONLY);
        assert_non_null(d.file);
        assert_int_equal(sqfs_super_read(&d.super, d.file), 0);
        assert_int_equal(sqfs_compressor_config_init(&config, d.super.compression_id, d.super.block_size, SQFS_COMP_FLAG_UNCOMPRESS), 0);
        assert_int_equal(sqfs_compressor_create(&config, &d.compressor), 0);
        ids = sqfs_id_table_create(0);
        assert_int_equal(sqfs_id_table_read(ids, d.file, &d.super, d.compressor), 0);
        d.data = sqfs_data_reader_create(d.file, d.super.block_size, d.compressor, 0);
        assert_int_equal(sqfs_data_reader_load_fragment_table(d.data, &d.super), 0);
        d.xattrs = sqfs_xattr_reader_create(0);
        if (!(d.super.flags & SQFS_FLAG_NO_XATTRS))
                assert_int_equal(sqfs_xattr_reader_load(d.xattrs, &d.super, d.file, d.compressor), 0);
        dirs = sqfs_dir_reader_create(&d.super, d.compressor, d.file, 0);
        assert_int_equal(sqfs_dir_reader_get_full_hierarchy(dirs, ids, NULL, 0, &root), 0);

        dump_node(&d, root, "");
        assert_ok(strbuf_finish(&d.text, &text, NULL));
        sqfs_dir_tree_destroy(root);
        sqfs_destroy(dirs);
        sqfs_destroy(d.xattrs);
        sqfs_destroy(d.data);
        sqfs_destroy(ids);
        sqfs_destroy(d.compressor);
        sqfs_destroy(d.file);
        return text;
}
