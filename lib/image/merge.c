/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "image/error.h"
#include "image/merge.h"

enum {
        XATTR_NAME_MAX = 255,           /* Linux' limits: xattr(7) */
        XATTR_VALUE_MAX = 65536,
        XATTR_LIST_SIZE_MAX = 65536,    /* of all names of a file */
        DEVICE_MAJOR_MAX = (1 << 12) - 1,       /* what squashfs and Linux' dev_t have room for */
        DEVICE_MINOR_MAX = (1 << 20) - 1,
        TAR_BLOCK = 512,
};

#define FILE_SIZE_MAX GIB(128)          /* libsquashfs puts the list of blocks on the stack: 4 MiB of it */

typedef struct Merge {
        Tree *tree;
        struct archive *archive;
        struct archive_entry *entry;
        const uint8_t *data;
        size_t size;
        unsigned n_given;               /* pieces that libarchive has got: the primer, the data */
        uint64_t size_max;
        unsigned layer;
} Merge;

DEFINE_TRIVIAL_CLEANUP_FUNC(struct archive *, archive_read_free)

/* A warning that a name does not convert to the locale's character set is none: names are bytes here, and libarchive then hands out
 * the bytes. Every other warning means that something in the archive was not understood. (EILSEQ is libarchive's ARCHIVE_ERRNO_FILE_FORMAT.) */
static bool is_charset_warning(struct archive *a, int status) {
        return status == ARCHIVE_WARN && archive_errno(a) == EILSEQ;
}

/* A symlink, the first entry that libarchive sees. Its tar reader (3.6) takes the target of a link for absent where no link
 * in the archive so far had one of at most 100 bytes in its header proper; Go's writer leaves that empty where the target is no ASCII. */
static const char *primer(void) {
        static char header[TAR_BLOCK] = "primer";
        unsigned sum = 0;

        if (header[156])
                return header;
        memcpy(header + 157, "target", 6);
        memcpy(header + 257, "ustar\0" "00", 8);
        header[156] = '2';
        memset(header + 148, ' ', 8);
        for (size_t i = 0; i < sizeof(header); i++)
                sum += (unsigned char) header[i];
        (void) snprintf(header + 148, 8, "%06o", sum);
        return header;
}

/* The data in one piece, so that what libarchive hands out points into it. */
static la_ssize_t give(struct archive *a, void *userdata, const void **ret) {
        Merge *m = userdata;

        switch (m->n_given++) {
        case 0:
                *ret = primer();
                return TAR_BLOCK;
        case 1:
                *ret = m->data;
                return (la_ssize_t) m->size;
        default:
                return 0;
        }
}

/* Where in our data libarchive's count of bytes is. */
static uint64_t data_position(int64_t of_archive) {
        return of_archive > TAR_BLOCK ? (uint64_t) of_archive - TAR_BLOCK : 0;
}

static int archive_failure(struct archive *a, char **ret_error) {
        if (archive_errno(a) == ENOMEM)
                return -ENOMEM;
        return image_error(ret_error, -EBADMSG, "broken tar archive: %s", archive_error_string(a) ?: "unknown reason");
}

/* What host and guest, not the image, decide about; umoci leaves out the same. overlayfs' own would be taken for its
 * bookkeeping when the image becomes a lower layer in the guest. */
static bool xattr_is_foreign(const char *name) {
        return streq(name, "security.selinux") || startswith(name, "trusted.overlay.");
}

static int take_xattrs(Merge *m, TreeInode *inode, char **ret_error) {
        size_t list_size = 0;
        const char *name;
        const void *value;
        size_t n;

        /* star and bsdtar have ACLs in records of their own. */
        if (archive_entry_acl_types(m->entry) != 0)
                tree_stats(m->tree)->n_dropped_xattrs++;
        (void) archive_entry_xattr_reset(m->entry);
        while (archive_entry_xattr_next(m->entry, &name, &value, &n) == ARCHIVE_OK) {
                char q[IMAGE_QUOTE_MAX];
                int r;

                /* A record without a value takes back what was before it (pax, "Extended Header"): there is no attribute without one. */
                if (!name || n == 0 || xattr_is_foreign(name))
                        continue;
                if (!startswith(name, "user.") && !startswith(name, "trusted.") && !startswith(name, "security.")) {
                        tree_stats(m->tree)->n_dropped_xattrs++;
                        continue;
                }
                list_size += strlen(name) + 1;
                if (strlen(name) > XATTR_NAME_MAX || strchr(name, '.')[1] == 0 || n > XATTR_VALUE_MAX ||
                                list_size > XATTR_LIST_SIZE_MAX)
                        return image_error(ret_error, -EBADMSG,
                                        "the extended attribute \"%s\" is longer than Linux allows",
                                        image_quote(name, q));
                r = tree_add_xattr(m->tree, inode, name, value, n, ret_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Where the content of the entry stands, without touching it. */
static int take_extents(Merge *m, TreeInode *inode, char **ret_error) {
        TreeExtent *extents = NULL, first;
        uint64_t end = 0;
        size_t room = 0;
        uint32_t n = 0;

        for (;;) {
                const void *p;
                int64_t offset;
                size_t k;
                int status = archive_read_data_block(m->archive, &p, &k, &offset);

                if (status == ARCHIVE_EOF)
                        break;
                if (status != ARCHIVE_OK)
                        return archive_failure(m->archive, ret_error);
                if (k == 0)
                        continue;
                if (offset < 0 || (uint64_t) offset < end || (uint64_t) offset > inode->size ||
                                k > inode->size - (uint64_t) offset)
                        return image_error(ret_error, -EBADMSG, "its sparse map is not in order");
                /* The archive is one piece of memory, of which libarchive hands out parts. */
                if ((const uint8_t *) p < m->data || (const uint8_t *) p - m->data > (ptrdiff_t) (m->size - k))
                        return -EIO;
                end = (uint64_t) offset + k;

                first = (TreeExtent){ .logical = (uint64_t) offset,
                        .position = (uint64_t) ((const uint8_t *) p - m->data),
                        .size = k };
                if (n > 0 && extents[n - 1].logical + extents[n - 1].size == first.logical &&
                    extents[n - 1].position + extents[n - 1].size == first.position) {
                        extents[n - 1].size += k;
                        continue;
                }
                if (n == room) {
                        TreeExtent *more = tree_alloc(m->tree, MAX(room * 2, (size_t) 1) * sizeof(TreeExtent));

                        if (!more)
                                return tree_no_memory(m->tree, ret_error);
                        if (n > 0)
                                memcpy(more, extents, n * sizeof(TreeExtent));
                        extents = more;
                        room = MAX(room * 2, (size_t) 1);
                }
                extents[n++] = first;
        }
        inode->extents = extents;
        inode->n_extents = n;
        return 0;
}

static int take_id(int64_t id, const char *what, uint32_t *ret, char **ret_error) {
        /* 2^32-1 is what (uid_t) -1 means to system calls: no id. */
        if (id < 0 || id >= UINT32_MAX)
                return image_error(ret_error, -EBADMSG, "its %s %" PRId64 " is none that Linux has", what, id);
        *ret = (uint32_t) id;
        return 0;
}

static int take_inode(Merge *m, TreeInode **ret, char **ret_error) {
        TreeInode *inode;
        const char *s;
        int r;

        inode = tree_alloc(m->tree, sizeof(TreeInode));
        if (!inode)
                return tree_no_memory(m->tree, ret_error);
        inode->mode = archive_entry_filetype(m->entry) | (archive_entry_perm(m->entry) & 07777);
        inode->mtime = archive_entry_mtime(m->entry);
        inode->layer = m->layer;
        r = take_id(archive_entry_uid(m->entry), "owner", &inode->uid, ret_error);
        if (r < 0)
                return r;
        r = take_id(archive_entry_gid(m->entry), "group", &inode->gid, ret_error);
        if (r < 0)
                return r;
        r = take_xattrs(m, inode, ret_error);
        if (r < 0)
                return r;

        switch (inode->mode & S_IFMT) {
        case S_IFREG:
                if (archive_entry_size(m->entry) < 0)
                        return image_error(ret_error, -EBADMSG, "its size is negative");
                inode->size = (uint64_t) archive_entry_size(m->entry);
                if (inode->size > MIN(m->size_max, FILE_SIZE_MAX))
                        return image_error(ret_error, -EFBIG, "larger than %" PRIu64 " MiB (ImageSizeMax=)",
                                        MIN(m->size_max, FILE_SIZE_MAX) / MIB(1));
                r = take_extents(m, inode, ret_error);
                if (r < 0)
                        return r;
                break;
        case S_IFLNK:
                s = archive_entry_symlink(m->entry);
                if (isempty(s) || strlen(s) > TREE_PATH_MAX)
                        return image_error(ret_error, -EBADMSG, "the target of the symlink is %s",
                                        isempty(s) ? "empty" : "too long");
                inode->target = tree_strndup(m->tree, s, strlen(s));
                if (!inode->target)
                        return tree_no_memory(m->tree, ret_error);
                inode->mode |= 0777;
                break;
        case S_IFCHR:
        case S_IFBLK:
                if (archive_entry_rdevmajor(m->entry) > DEVICE_MAJOR_MAX ||
                                archive_entry_rdevminor(m->entry) > DEVICE_MINOR_MAX)
                        return image_error(ret_error, -EBADMSG, "its device number is none that Linux has");
                inode->rdev_major = (uint32_t) archive_entry_rdevmajor(m->entry);
                inode->rdev_minor = (uint32_t) archive_entry_rdevminor(m->entry);
                break;
        case S_IFDIR:
        case S_IFIFO:
                break;
        default:
                return image_error(ret_error, -EBADMSG, "of a type that is not known here");
        }
        *ret = inode;
        return 0;
}

/* A record of an extended header, "LENGTH KEY=VALUE\n". What libarchive takes of a name with a NUL in it is what stands before that. */
static bool record_is_cut(const uint8_t *record, size_t n) {
        static const char *const keys[] = { "path=", "linkpath=", "GNU.sparse.name=" };
        const uint8_t *key = memchr(record, ' ', n);

        if (!key)
                return false;
        key++;
        n -= (size_t) (key - record);
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (n > strlen(keys[i]) && memcmp(key, keys[i], strlen(keys[i])) == 0)
                        return memchr(key, 0, n);
        return false;
}

/* What libarchive reads in a way of its own in the extended headers of an entry, so that it would be another entry for other readers: those
 * refuse it, too. It has found them well-formed otherwise. */
static int check_extended_headers(Merge *m, char **ret_error) {
        uint64_t at = data_position(archive_read_header_position(m->archive));

        while (at < m->size && m->size - at > TAR_BLOCK) {
                const uint8_t *h = m->data + at, *body = h + TAR_BLOCK;
                char size_text[13] = {};
                uint64_t size;

                if (!memchr("xXgALK", h[156], 6))
                        break;
                memcpy(size_text, h + 124, 12);
                size = strtoull(size_text, NULL, 8);
                if ((h[124] & 0x80) || size > m->size - at - TAR_BLOCK)
                        return image_error(ret_error, -EBADMSG, "an extended header of a strange size");
                at += TAR_BLOCK + (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
                if (h[156] != 'x' && h[156] != 'X')
                        continue;
                while (size > 0) {
                        uint64_t n = 0;

                        for (uint64_t i = 0; i < size && n <= size && body[i] >= '0' && body[i] <= '9'; i++)
                                n = n * 10 + (uint64_t) (body[i] - '0');
                        if (n == 0 || n > size)
                                break;
                        if (record_is_cut(body, n))
                                return image_error(ret_error, -EBADMSG, "a name with a NUL in it");
                        body += n;
                        size -= n;
                }
        }
        return 0;
}

/* An archive ends with two blocks of zeros, or where its data does. Behind a single one some readers go on, some stop, some refuse. */
static int check_end(Merge *m, char **ret_error) {
        uint64_t end = data_position(archive_filter_bytes(m->archive, 0));

        if (end - data_position(archive_read_header_position(m->archive)) == TAR_BLOCK && m->size - end >= TAR_BLOCK)
                return image_error(ret_error, -EBADMSG, "broken tar archive: a block of zeros in the middle");
        return 0;
}

static int take_entry(Merge *m, const char *path, char **ret_error) {
        const char *target = archive_entry_hardlink(m->entry);
        TreeInode *inode = NULL;
        int r;

        r = check_extended_headers(m, ret_error);
        if (r < 0)
                return r;
        /* Readers disagree on whether the bytes behind such a header are its content or the next header. */
        if ((target || archive_entry_filetype(m->entry) != AE_IFREG) && archive_entry_size(m->entry) > 0)
                return image_error(ret_error, -EBADMSG, target ? "a hard link with content of its own" :
                                                                 "has content, but is no regular file");
        if (target)
                return tree_add_link(m->tree, path, target, ret_error);
        r = take_inode(m, &inode, ret_error);
        if (r < 0)
                return r;
        return tree_add(m->tree, path, inode, ret_error);
}

int merge_layer(Tree *t, unsigned layer, const void *data, size_t size, uint64_t size_max, char **ret_error) {
        _cleanup_(archive_read_freep) struct archive *a = NULL;
        Merge m = { .tree = t, .data = data, .size = size, .size_max = size_max, .layer = layer };
        int r;

        tree_begin_layer(t);
        if (size == 0)
                return 0;

        a = archive_read_new();
        if (!a)
                return -ENOMEM;
        m.archive = a;
        if (archive_read_support_format_tar(a) != ARCHIVE_OK || archive_read_open(a, &m, NULL, give, NULL) != ARCHIVE_OK ||
            archive_read_next_header(a, &m.entry) != ARCHIVE_OK)
                return archive_failure(a, ret_error);
        for (uint64_t n = 1;; n++) {
                char q[IMAGE_QUOTE_MAX];
                const char *path;
                int status = archive_read_next_header(a, &m.entry);

                if (status == ARCHIVE_EOF)
                        return check_end(&m, ret_error);
                if (status != ARCHIVE_OK && !is_charset_warning(a, status)) {
                        r = archive_failure(a, ret_error);
                        return r == -ENOMEM ? r : image_error_prefix(ret_error, r, "entry %" PRIu64, n);
                }
                path = archive_entry_pathname(m.entry);
                if (!path)
                        return image_error(ret_error, -EBADMSG, "entry %" PRIu64 " has no name", n);
                r = take_entry(&m, path, ret_error);
                if (r < 0)
                        return r == -ENOMEM ? r : image_error_prefix(ret_error, r, "entry \"%s\"", image_quote(path, q));
        }
}
