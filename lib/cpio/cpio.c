/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cpio/cpio.h"

#define TRAILER "TRAILER!!!"

static bool name_is_valid(const char *name) {
        size_t n = strlen(name);

        if (n < 1 || n >= 4096)
                return false;
        for (const char *p = name;;) {
                size_t k = strcspn(p, "/");

                if (k == 0 || (k == 1 && p[0] == '.') || (k == 2 && p[0] == '.' && p[1] == '.'))
                        return false;
                if (p[k] == 0)
                        return true;
                p += k + 1;
        }
}

static void set_error(Cpio *c, int error) {
        if (c->error >= 0)
                c->error = error;
}

static void add_piece(Cpio *c, const void *data, size_t n) {
        struct iovec *slot;

        if (n == 0 || c->error < 0)
                return;
        slot = GREEDY_APPEND(c->pieces, c->n_pieces);
        if (!slot) {
                set_error(c, -ENOMEM);
                return;
        }
        *slot = (struct iovec) { (void *) data, n };
        c->n_pieces++;
        c->size += n;
}

/* The buffer moves while it grows, so its pieces have their address in the end. */
static void add_piece_of_buffer(Cpio *c) {
        if (c->buf.failed)
                set_error(c, -ENOMEM);
        add_piece(c, NULL, c->buf.size - c->n_buf);
        c->n_buf = c->buf.size;
}

static void add_entry(Cpio *c, const char *name, mode_t mode, const void *data, size_t n) {
        bool trailer = streq(name, TRAILER);
        size_t n_name = strlen(name) + 1;

        if (!trailer && !name_is_valid(name))
                set_error(c, -EINVAL);
        if (n > UINT32_MAX)
                set_error(c, -EFBIG);
        if (c->error < 0)
                return;
        /* magic, inode, mode, uid, gid, links, mtime, size, major, minor, rmajor, rminor, name size with NUL, check: always 0 in newc */
        strbuf_addf(&c->buf, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", trailer ? 0 : ++c->n_entries,
                (unsigned) mode, 0, 0, S_ISDIR(mode) ? 2 : 1, 0, (unsigned) n, 0, 0, 0, 0, (unsigned) n_name, 0);
        strbuf_add(&c->buf, name, n_name);
        strbuf_add(&c->buf, "\0\0\0", -(c->size + c->buf.size - c->n_buf) % 4);
        if (n > 0) {
                add_piece_of_buffer(c);
                add_piece(c, data, n);
                strbuf_add(&c->buf, "\0\0\0", -n % 4);
        }
}

void cpio_add_directory(Cpio *c, const char *name, mode_t permissions) {
        add_entry(c, name, S_IFDIR | permissions, NULL, 0);
}

void cpio_add_file(Cpio *c, const char *name, mode_t permissions, const void *data, size_t n) {
        add_entry(c, name, S_IFREG | permissions, data, n);
}

int cpio_finish(Cpio *c, struct iovec **ret_pieces, size_t *ret_n, size_t *ret_size) {
        size_t at = 0;

        add_entry(c, TRAILER, 0, NULL, 0);
        add_piece_of_buffer(c);
        if (c->error < 0)
                return c->error;
        for (size_t i = 0; i < c->n_pieces; i++)
                if (!c->pieces[i].iov_base) {
                        c->pieces[i].iov_base = c->buf.data + at;
                        at += c->pieces[i].iov_len;
                }
        *ret_pieces = c->pieces;
        *ret_n = c->n_pieces;
        *ret_size = c->size;
        return 0;
}

void cpio_done(Cpio *c) {
        strbuf_done(&c->buf);
        free(c->pieces);
        *c = (Cpio) {};
}
