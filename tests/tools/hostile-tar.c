/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hostile-tar KIND [NUMBER]: writes a layer as nobody means well with it to standard output. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/tar-builder.h"

enum { FLUSH_AT = 1024 * 1024 };

static void flush(StrBuf *b) {
        if (b->failed || write_full(STDOUT_FILENO, b->data ?: "", b->size) < 0)
                exit(1);
        b->size = 0;
}

static void add(StrBuf *b, const TarEntry *e) {
        tar_add(b, e);
        if (b->size >= FLUSH_AT)
                flush(b);
}

/* Files in folders of a thousand. */
static void make_entries(StrBuf *b, uint64_t n) {
        char name[64];

        for (uint64_t i = 0; i < n; i++) {
                (void) snprintf(name, sizeof(name), "d%" PRIu64 "/file-%" PRIu64, i / 1000, i);
                add(b, &(TarEntry) { .name = name, .content = i % 2 ? "x" : "" });
        }
}

/* All in one folder, each with an attribute of its own: what libsquashfs keeps in memory. */
static void make_attributes(StrBuf *b, uint64_t n) {
        char name[64], pax[96];

        for (uint64_t i = 0; i < n; i++) {
                (void) snprintf(name, sizeof(name), "d/%" PRIu64, i);
                (void) snprintf(pax, sizeof(pax), "SCHILY.xattr.user.number=%" PRIu64, i);
                add(b, &(TarEntry) { .name = name, .pax = pax });
        }
}

/* Attributes of 64 KB: far more bytes than entries. */
static void make_large_attributes(StrBuf *b, uint64_t n) {
        char *pax = malloc(70000), name[64];
        size_t k;

        if (!pax)
                exit(1);
        for (uint64_t i = 0; i < n; i++) {
                k = (size_t) sprintf(pax, "SCHILY.xattr.user.number=%" PRIu64, i);
                memset(pax + k, 'v', 65000);
                pax[k + 65000] = 0;
                (void) snprintf(name, sizeof(name), "f%" PRIu64, i);
                add(b, &(TarEntry) { .name = name, .pax = pax });
        }
        free(pax);
}

/* One folder; names of one file that are far from each other, so that squashfs needs a header for each. */
static void make_links(StrBuf *b, uint64_t n) {
        char name[64], target[64];

        for (uint64_t i = 0; i < n; i++) {
                (void) snprintf(name, sizeof(name), "a/%" PRIu64, i);
                add(b, &(TarEntry) { .name = name });
        }
        for (uint64_t i = 0; i < n; i++) {
                (void) snprintf(name, sizeof(name), "b/%08" PRIu64, i);
                (void) snprintf(target, sizeof(target), "a/%" PRIu64, i * 7919 % n);
                add(b, &(TarEntry) { .name = name, .type = '1', .link = target });
        }
}

/* A file of `n` MiB, all hole. */
static void make_sparse(StrBuf *b, uint64_t n) {
        char pax[128];

        (void) snprintf(pax, sizeof(pax), "GNU.sparse.size=%" PRIu64 "\nGNU.sparse.map=%" PRIu64 ",1", n << 20, (n << 20) - 1);
        add(b, &(TarEntry) { .name = "sparse", .pax = pax, .content = "x" });
}

/* A file of `n` MiB of zeros, to be compressed. */
static void make_zeros(StrBuf *b, uint64_t n) {
        static const char zeros[FLUSH_AT];

        tar_add_header(b, '0', "zeros", n << 20);
        for (uint64_t i = 0; i < n; i++) {
                strbuf_add(b, zeros, sizeof(zeros));
                flush(b);
        }
}

/* More folders in folders than can be. */
static void make_deep(StrBuf *b, uint64_t n) {
        char *path = malloc(2 * n + 1);

        if (!path)
                exit(1);
        for (uint64_t i = 0; i < n; i++)
                memcpy(path + 2 * i, "d/", 2);
        path[2 * n] = 0;
        add(b, &(TarEntry) { .name = path, .type = '5' });
        free(path);
}

static const struct {
        const char *kind;
        void (*make)(StrBuf *b, uint64_t n);
} makers[] = {
        { "entries", make_entries },
        { "attributes", make_attributes },
        { "large-attributes", make_large_attributes },
        { "links", make_links },
        { "sparse", make_sparse },
        { "zeros", make_zeros },
        { "deep", make_deep },
};

static const struct {
        const char *kind;
        TarEntry entries[4];
} archives[] = {
        { "dot-dot", { { .name = "a/../../../etc/cron.d/x", .content = "x" } } },
        { "link-outside", { { .name = "x", .type = '1', .link = "../../../../etc/passwd" } } },
        { "link-absolute", { { .name = "x", .type = '1', .link = "/etc/hostname" } } },
        { "through-file", { { .name = "a" }, { .name = "a/b" } } },
        { "circle", { { .name = "a", .type = '2', .link = "b" }, { .name = "b", .type = '2', .link = "a" }, { .name = "a/x" } } },
        { "negative", { { .name = "x", .size_field = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0" } } },
        { "huge", { { .name = "x", .size_field = "77777777777" } } },
        { "cut", { { .name = "x", .size_field = "00000004000" } } },
        { "whiteout-root", { { .name = ".wh.." } } },
        { "newline", { { .name = "../a\nb" } } },
        { "planted", { { .name = "etc", .type = '2', .link = "../../../../../../var/tmp/planted" }, { .name = "abs", .type = '2', .link = "/var/tmp/planted" } } },
        { "through-planted", { { .name = "etc/passwd", .content = "x" }, { .name = "abs/shadow", .content = "x" } } },
};

int main(int argc, char **argv) {
        _cleanup_strbuf_ StrBuf b = {};

        for (size_t i = 0; argc == 2 && i < ELEMENTSOF(archives); i++)
                if (streq(argv[1], archives[i].kind)) {
                        tar_make(&b, archives[i].entries);
                        flush(&b);
                        return 0;
                }
        for (size_t i = 0; argc == 3 && i < ELEMENTSOF(makers); i++)
                if (streq(argv[1], makers[i].kind)) {
                        makers[i].make(&b, strtoull(argv[2], NULL, 10));
                        tar_end(&b);
                        flush(&b);
                        return 0;
                }
        fputs("usage: hostile-tar KIND [NUMBER]\n", stderr);
        return 2;
}
