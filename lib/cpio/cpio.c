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

static void pad(Cpio *c) {
        strbuf_add(&c->buf, "\0\0\0", -c->buf.size % 4);
}

static void add_header(Cpio *c, const char *name, mode_t mode, size_t n_data) {
        bool trailer = streq(name, TRAILER);

        if (c->error < 0)
                return;
        if (!trailer && !name_is_valid(name)) {
                c->error = -EINVAL;
                return;
        }
        if (n_data > UINT32_MAX) {
                c->error = -EFBIG;
                return;
        }
        /* magic, inode, mode, uid, gid, links, mtime, size, major, minor, rmajor, rminor, name size with NUL, check: always 0 in newc */
        strbuf_addf(&c->buf, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", trailer ? 0 : ++c->n_entries,
                (unsigned) mode, 0, 0, S_ISDIR(mode) ? 2 : 1, 0, (unsigned) n_data, 0, 0, 0, 0, (unsigned) strlen(name) + 1, 0);
        strbuf_add(&c->buf, name, strlen(name) + 1);
        pad(c);
        if (c->buf.failed)
                c->error = -ENOMEM;
}

/* Header, room for the content, padding. Returns the room. */
static void *add_entry(Cpio *c, const char *name, mode_t mode, size_t n) {
        size_t at;

        add_header(c, name, mode, n);
        if (c->error < 0)
                return NULL;
        at = c->buf.size;
        (void) strbuf_grow(&c->buf, n);
        pad(c);
        if (c->buf.failed) {
                c->error = -ENOMEM;
                return NULL;
        }
        return c->buf.data + at;
}

void cpio_add_directory(Cpio *c, const char *name, mode_t permissions) {
        (void) add_entry(c, name, S_IFDIR | permissions, 0);
}

void cpio_add_file(Cpio *c, const char *name, mode_t permissions, const void *data, size_t n) {
        void *p = add_entry(c, name, S_IFREG | permissions, n);

        if (p && n > 0)
                memcpy(p, data, n);
}

void *cpio_reserve_file(Cpio *c, const char *name, mode_t permissions, size_t n) {
        return add_entry(c, name, S_IFREG | permissions, n);
}

int cpio_finish(Cpio *c, char **ret, size_t *ret_size) {
        add_header(c, TRAILER, 0, 0);
        if (c->error < 0)
                return c->error;
        c->n_entries = 0;
        return strbuf_finish(&c->buf, ret, ret_size);
}

void cpio_done(Cpio *c) {
        strbuf_done(&c->buf);
}
