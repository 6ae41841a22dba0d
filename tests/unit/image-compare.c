/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "tests/unit/image-compare.h"
#include "tests/unit/squash-reader.h"

enum {
        LIST_MAX = 65536,               /* of names and of values of extended attributes: xattr(7) */
        PIECE = 1024 * 1024,
};

/* A file with several names. */
typedef struct Linked {
        uint64_t ours, theirs;          /* inode numbers */
        char *path;
} Linked;

typedef struct Compare {
        SquashReader reader;
        StrBuf *differences;
        size_t n_entries;
        Linked *linked;
        size_t n_linked, room;
        uint8_t *buffer, *their_buffer;
        int error;
} Compare;

/* A path, then what differs, with names as they are but for control characters. */
static void differs(Compare *c, const char *path, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void differs(Compare *c, const char *path, const char *format, ...) {
        char text[512];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        for (const char *p = path; *p; p++)
                strbuf_addf(c->differences, (unsigned char) *p < 0x20 ? "\\x%02x" : "%c", (unsigned char) *p);
        strbuf_addf(c->differences, ": %s\n", text);
}

static void failed(Compare *c, const char *path, int r) {
        differs(c, path, "cannot be read: %s", strerror(-r));
        c->error = c->error ?: r;
}

static void compare_content(Compare *c, const sqfs_tree_node_t *n, uint64_t size, const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0) {
                failed(c, path, negative_errno());
                return;
        }
        for (uint64_t at = 0; at < size;) {
                sqfs_s32 k = sqfs_data_reader_read(c->reader.data, n->inode, at, c->buffer, (sqfs_u32) MIN(size - at, (uint64_t) PIECE));

                if (k <= 0) {
                        failed(c, path, -EIO);
                        return;
                }
                if (read_full(fd, c->their_buffer, (size_t) k) != k || memcmp(c->buffer, c->their_buffer, (size_t) k) != 0) {
                        differs(c, path, "the content is another from some byte behind %" PRIu64 " on", at);
                        return;
                }
                at += (uint64_t) k;
        }
}

typedef struct XattrCompare {
        Compare *c;
        const char *path;
        size_t n;
} XattrCompare;

static void compare_xattr(const char *name, const void *value, size_t size, void *userdata) {
        XattrCompare *x = userdata;
        ssize_t n = lgetxattr(x->path, name, x->c->their_buffer, PIECE);

        x->n++;
        if (n < 0)
                differs(x->c, x->path, "has no %s", name);
        else if ((size_t) n != size || memcmp(x->c->their_buffer, value, size) != 0)
                differs(x->c, x->path, "%s is another", name);
}

static void compare_xattrs(Compare *c, const sqfs_tree_node_t *n, const char *path) {
        XattrCompare x = { c, path, 0 };
        size_t n_theirs = 0;
        char list[LIST_MAX];
        ssize_t k;

        if (squash_reader_xattrs(&c->reader, n, compare_xattr, &x) != 0) {
                failed(c, path, -EIO);
                return;
        }
        k = llistxattr(path, list, sizeof(list));
        for (ssize_t i = 0; i < k; i += (ssize_t) strlen(list + i) + 1)
                n_theirs += !streq(list + i, "security.selinux");       /* of the host that has unpacked it */
        if (n_theirs != x.n)
                differs(c, path, "%zu extended attributes, not %zu", x.n, n_theirs);
}

static int remember(Compare *c, const struct stat *ours, const struct stat *theirs, const char *path) {
        if (c->n_linked == c->room) {
                Linked *p = reallocarray(c->linked, MAX(c->room * 2, (size_t) 64), sizeof(Linked));

                if (!p)
                        return -ENOMEM;
                c->linked = p;
                c->room = MAX(c->room * 2, (size_t) 64);
        }
        c->linked[c->n_linked] = (Linked){ ours->st_ino, theirs->st_ino, strdup(path) };
        return c->linked[c->n_linked++].path ? 0 : -ENOMEM;
}

static int compare_linked(const void *a, const void *b) {
        const Linked *x = a, *y = b;

        if (x->ours != y->ours)
                return x->ours < y->ours ? -1 : 1;
        return strcmp(x->path, y->path);
}

/* With the numbers of names equal it is enough that what is one file here is one file there. */
static void compare_groups(Compare *c) {
        if (c->n_linked > 1)
                qsort(c->linked, c->n_linked, sizeof(Linked), compare_linked);
        for (size_t i = 1; i < c->n_linked; i++)
                if (c->linked[i].ours == c->linked[i - 1].ours && c->linked[i].theirs != c->linked[i - 1].theirs)
                        differs(c, c->linked[i].path, "is one file with %s here, but not there", c->linked[i - 1].path);
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static int compare_nodes(const void *a, const void *b) {
        return strcmp((const char *) (*(const sqfs_tree_node_t *const *) a)->name, (const char *) (*(const sqfs_tree_node_t *const *) b)->name);
}

static void compare_node(Compare *c, const sqfs_tree_node_t *n, const char *path);

static int compare_children(Compare *c, const sqfs_tree_node_t *dir, const char *path) {
        _cleanup_free_ const sqfs_tree_node_t **ours = NULL;
        _cleanup_strv_ char **theirs = NULL;
        _cleanup_closedir_ DIR *d = NULL;
        size_t n_ours = 0, n_theirs = 0, room = 0;
        struct dirent *de;
        int r;

        for (const sqfs_tree_node_t *n = dir->children; n; n = n->next)
                n_ours++;
        ours = calloc(n_ours + 1, sizeof(*ours));
        if (!ours)
                return -ENOMEM;
        n_ours = 0;
        for (const sqfs_tree_node_t *n = dir->children; n; n = n->next)
                ours[n_ours++] = n;
        r = dir_open_at(AT_FDCWD, path, 0, &d);
        while (r >= 0 && (r = dir_next(d, &de)) > 0) {
                if (n_theirs + 1 >= room) {
                        char **p = reallocarray(theirs, MAX(room * 2, (size_t) 64), sizeof(char *));

                        if (!p)
                                return -ENOMEM;
                        theirs = p;
                        room = MAX(room * 2, (size_t) 64);
                }
                theirs[n_theirs] = strdup(de->d_name);
                if (!theirs[n_theirs])
                        return -ENOMEM;
                theirs[++n_theirs] = NULL;
        }
        if (r < 0)
                return r;
        if (n_ours > 1)
                qsort(ours, n_ours, sizeof(*ours), compare_nodes);
        if (n_theirs > 1)
                qsort(theirs, n_theirs, sizeof(char *), compare_names);

        for (size_t i = 0, k = 0; i < n_ours || k < n_theirs;) {
                int order = i == n_ours ? 1 : k == n_theirs ? -1 : strcmp((const char *) ours[i]->name, theirs[k]);
                _cleanup_free_ char *child = strf("%s/%s", path, order <= 0 ? (const char *) ours[i]->name : theirs[k]);

                if (!child)
                        return -ENOMEM;
                if (order < 0)
                        differs(c, child, "is only in the image");
                else if (order > 0)
                        differs(c, child, "is not in the image");
                else
                        compare_node(c, ours[i], child);
                i += order <= 0;
                k += order >= 0;
        }
        return 0;
}

static void compare_node(Compare *c, const sqfs_tree_node_t *n, const char *path) {
        struct stat ours, theirs;
        int r = 0;

        c->n_entries++;
        squash_reader_stat(n, &ours);
        if (lstat(path, &theirs) < 0) {
                failed(c, path, negative_errno());
                return;
        }
        if ((ours.st_mode & S_IFMT) != (theirs.st_mode & S_IFMT)) {
                differs(c, path, "of type %o, not %o", ours.st_mode & S_IFMT, theirs.st_mode & S_IFMT);
                return;
        }
        if (ours.st_mode != theirs.st_mode)
                differs(c, path, "mode %o, not %o", ours.st_mode & 07777, theirs.st_mode & 07777);
        if (ours.st_uid != theirs.st_uid || ours.st_gid != theirs.st_gid)
                differs(c, path, "of %u:%u, not %u:%u", ours.st_uid, ours.st_gid, theirs.st_uid, theirs.st_gid);
        if (ours.st_mtim.tv_sec != theirs.st_mtim.tv_sec)
                differs(c, path, "of %" PRIi64 ", not %" PRIi64, (int64_t) ours.st_mtim.tv_sec, (int64_t) theirs.st_mtim.tv_sec);
        compare_xattrs(c, n, path);
        if (S_ISDIR(ours.st_mode))
                r = compare_children(c, n, path);
        else {
                if (ours.st_nlink != theirs.st_nlink)
                        differs(c, path, "has %u names, not %u", (unsigned) ours.st_nlink, (unsigned) theirs.st_nlink);
                if (ours.st_nlink > 1)
                        r = remember(c, &ours, &theirs, path);
        }
        if (S_ISREG(ours.st_mode)) {
                if (ours.st_size != theirs.st_size)
                        differs(c, path, "%" PRIi64 " bytes, not %" PRIi64, (int64_t) ours.st_size, (int64_t) theirs.st_size);
                else
                        compare_content(c, n, (uint64_t) ours.st_size, path);
        } else if (S_ISLNK(ours.st_mode)) {
                _cleanup_free_ char *target = squash_reader_target(n);
                ssize_t k = readlink(path, (char *) c->their_buffer, PIECE);

                if (!target || k < 0 || strlen(target) != (size_t) k || memcmp(target, c->their_buffer, (size_t) k) != 0)
                        differs(c, path, "leads to \"%s\", not \"%.*s\"", target ?: "", (int) MAX(k, 0), (const char *) c->their_buffer);
        } else if ((S_ISCHR(ours.st_mode) || S_ISBLK(ours.st_mode)) && ours.st_rdev != theirs.st_rdev)
                differs(c, path, "device %u:%u, not %u:%u", major(ours.st_rdev), minor(ours.st_rdev), major(theirs.st_rdev), minor(theirs.st_rdev));
        if (r < 0)
                failed(c, path, r);
}

int image_compare(const char *image, const char *tree, StrBuf *differences, size_t *ret_n_entries) {
        Compare c = { .differences = differences, .buffer = malloc(PIECE), .their_buffer = malloc(PIECE) };

        if (!c.buffer || !c.their_buffer)
                c.error = -ENOMEM;
        else if (squash_reader_open(&c.reader, image) != 0)
                failed(&c, image, -EBADMSG);
        else {
                compare_node(&c, c.reader.root, tree);
                compare_groups(&c);
        }
        squash_reader_done(&c.reader);
        for (size_t i = 0; i < c.n_linked; i++)
                free(c.linked[i].path);
        free(c.linked);
        free(c.buffer);
        free(c.their_buffer);
        *ret_n_entries = c.n_entries;
        return c.error;
}
