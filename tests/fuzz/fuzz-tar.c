/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tar streams: what they are does not depend on how they are cut, every value is in its bounds, and what was read is read again from what is written of it. */

#include <stdlib.h>
#include <string.h>

#include "base/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Summary {
        uint64_t hash;                  /* of all members, and of the bytes of their content */
        int last;                       /* TAR_MORE, TAR_END, or the failure */
} Summary;

static void add(Summary *s, const void *data, size_t n) {
        for (size_t i = 0; i < n; i++)
                s->hash = (s->hash ^ ((const unsigned char *) data)[i]) * UINT64_C(1099511628211);
}

static void check(const TarMember *m) {
        bool link = m->type == TAR_HARD_LINK || m->type == TAR_SYMLINK;

        if (m->type < TAR_FILE || m->type > TAR_FIFO || !*m->path || strlen(m->path) > TAR_PATH_MAX || strlen(m->link) > TAR_PATH_MAX)
                abort();
        if (link != (*m->link != 0) || m->mode > 07777 || m->uid == UINT32_MAX || m->gid == UINT32_MAX)
                abort();
        if ((m->type != TAR_FILE && m->size > 0) || m->size > INT64_MAX || m->mtime.tv_nsec < 0 || m->mtime.tv_nsec >= (long) NSEC_PER_SEC)
                abort();
}

static void check_written(const TarMember *m) {
        _cleanup_tar_reader_ TarReader t = {};
        _cleanup_strbuf_ StrBuf b = {};
        const char *data, *content;
        size_t n, n_content;
        TarMember again;

        tar_add_member(&b, m);
        data = b.data;
        n = b.size;
        if (b.failed || tar_reader_next(&t, &data, &n, &again, &content, &n_content) != TAR_MEMBER || n != 0)
                abort();
        if (again.type != m->type || strcmp(again.path, m->path) != 0 || strcmp(again.link, m->link) != 0 || again.mode != m->mode ||
            again.uid != m->uid || again.gid != m->gid || again.size != m->size || again.mtime.tv_sec != m->mtime.tv_sec || again.mtime.tv_nsec != m->mtime.tv_nsec)
                abort();
}

static Summary parse(const char *data, size_t size, size_t step) {
        _cleanup_tar_reader_ TarReader t = {};
        uint64_t left = 0;
        Summary s = {};

        for (size_t at = 0; at < size && s.last == TAR_MORE; at += step) {
                size_t n = MIN(step, size - at), n_content;
                const char *d = data + at, *content;
                TarMember m;

                while ((s.last = tar_reader_next(&t, &d, &n, &m, &content, &n_content)) == TAR_MEMBER || s.last == TAR_DATA)
                        if (s.last == TAR_MEMBER) {
                                check(&m);
                                check_written(&m);
                                if (left > 0)
                                        abort();
                                left = m.size;
                                add(&s, m.path, strlen(m.path) + 1);
                                add(&s, m.link, strlen(m.link) + 1);
                                add(&s, &m.size, sizeof(m.size));
                                add(&s, &m.mtime.tv_sec, sizeof(m.mtime.tv_sec));
                        } else {
                                if (n_content == 0 || n_content > left)
                                        abort();
                                left -= n_content;
                                add(&s, content, n_content);
                        }
                if ((s.last == TAR_MORE && n > 0) || (s.last == TAR_END && left > 0))
                        abort();
        }
        return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Summary a, b;

        if (size < 2)
                return 0;
        a = parse((const char *) data + 1, size - 1, size);
        b = parse((const char *) data + 1, size - 1, data[0] + 1U);
        if (a.last != b.last || a.hash != b.hash)
                abort();
        return 0;
}
