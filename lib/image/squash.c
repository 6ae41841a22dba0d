/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <sqfs/block.h>
#include <sqfs/block_processor.h>
#include <sqfs/block_writer.h>
#include <sqfs/compressor.h>
#include <sqfs/dir_writer.h>
#include <sqfs/error.h>
#include <sqfs/frag_table.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/meta_writer.h>
#include <sqfs/super.h>
#include <sqfs/xattr_writer.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/error.h"
#include "image/squash.h"

enum {
        BLOCK_SIZE = 128 * 1024,
        WORKERS_MAX = 16,
        BLOCKS_PER_WORKER = 10,
        FLUSH_EVERY = 8 * 1024 * 1024,
        IDS_MAX = 65536,                /* of one squashfs image: 16 bit */
        ID_SLOTS = 4 * IDS_MAX,
        XATTR_SETS_PER_BLOCK = 512,     /* 16 bytes each in a metadata block of 8 KiB */
        NO_XATTRS = 0xffffffff,
};

/* libsquashfs' file, on a descriptor, since sqfs_open_file() wants a path and loses errno. */
typedef struct OutputFile {
        sqfs_file_t base;
        int fd;
        int error;                      /* the first, negative */
        uint64_t size, flushed;
} OutputFile;

static int file_read_at(sqfs_file_t *base, sqfs_u64 offset, void *buffer, size_t size) {
        OutputFile *f = (OutputFile *) base;

        while (size > 0) {
                ssize_t k = pread(f->fd, buffer, size, (off_t) offset);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0) {
                        f->error = f->error ?: (k < 0 ? negative_errno() : -EIO);
                        return SQFS_ERROR_IO;
                }
                buffer = (char *) buffer + k;
                offset += (sqfs_u64) k;
                size -= (size_t) k;
        }
        return 0;
}

static int file_write_at(sqfs_file_t *base, sqfs_u64 offset, const void *buffer, size_t size) {
        OutputFile *f = (OutputFile *) base;

        while (size > 0) {
                ssize_t k = pwrite(f->fd, buffer, size, (off_t) offset);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0) {
                        f->error = f->error ?: (k < 0 ? negative_errno() : -EIO);
                        return SQFS_ERROR_IO;
                }
                buffer = (const char *) buffer + k;
                offset += (sqfs_u64) k;
                size -= (size_t) k;
        }
        f->size = MAX(f->size, (uint64_t) offset);
        /* The disk starts while we compress, so that the fsync() at the end has little left to do. */
        if (f->size - f->flushed >= FLUSH_EVERY) {
                (void) sync_file_range(f->fd, (off_t) f->flushed, (off_t) (f->size - f->flushed), SYNC_FILE_RANGE_WRITE);
                f->flushed = f->size;
        }
        return 0;
}

static sqfs_u64 file_get_size(const sqfs_file_t *base) {
        return ((const OutputFile *) base)->size;
}

static int file_truncate(sqfs_file_t *base, sqfs_u64 size) {
        OutputFile *f = (OutputFile *) base;

        if (ftruncate(f->fd, (off_t) size) < 0) {
                f->error = f->error ?: negative_errno();
                return SQFS_ERROR_IO;
        }
        f->size = size;
        f->flushed = MIN(f->flushed, (uint64_t) size);
        return 0;
}

static void file_destroy(sqfs_object_t *o) {
}

/* libsquashfs' LZ4 compressor, held to making things smaller: by itself it also gives out what has grown, which is legal, but which
 * unsquashfs(1) takes for corruption. */
typedef struct Compressor {
        sqfs_compressor_t base;
        sqfs_compressor_t *inner;
} Compressor;

static int compressor_wrap(sqfs_compressor_t *inner_consume, sqfs_compressor_t **ret);

static void compressor_destroy(sqfs_object_t *o) {
        sqfs_destroy(((Compressor *) o)->inner);
        free(o);
}

static sqfs_object_t *compressor_copy(const sqfs_object_t *o) {
        sqfs_compressor_t *inner = sqfs_copy(((const Compressor *) o)->inner), *copy;

        return inner && compressor_wrap(inner, &copy) >= 0 ? &copy->base : NULL;
}

static void compressor_get_configuration(const sqfs_compressor_t *c, sqfs_compressor_config_t *ret) {
        const Compressor *w = (const Compressor *) c;

        w->inner->get_configuration(w->inner, ret);
}

static int compressor_write_options(sqfs_compressor_t *c, sqfs_file_t *file) {
        Compressor *w = (Compressor *) c;

        return w->inner->write_options(w->inner, file);
}

static int compressor_read_options(sqfs_compressor_t *c, sqfs_file_t *file) {
        Compressor *w = (Compressor *) c;

        return w->inner->read_options(w->inner, file);
}

static sqfs_s32 compressor_do_block(
                sqfs_compressor_t *c, const sqfs_u8 *in, sqfs_u32 size, sqfs_u8 *out, sqfs_u32 out_size) {
        Compressor *w = (Compressor *) c;

        /* 0 means that it did not fit, and is stored as it is. */
        return size > 1 ? w->inner->do_block(w->inner, in, size, out, MIN(out_size, size - 1)) : 0;
}

static int compressor_wrap(sqfs_compressor_t *inner_consume, sqfs_compressor_t **ret) {
        Compressor *w = calloc(1, sizeof(*w));

        if (!w) {
                sqfs_destroy(inner_consume);
                return -ENOMEM;
        }
        w->base = (sqfs_compressor_t) {
                .base = { .destroy = compressor_destroy, .copy = compressor_copy },
                .get_configuration = compressor_get_configuration,
                .write_options = compressor_write_options,
                .read_options = compressor_read_options,
                .do_block = compressor_do_block,
        };
        w->inner = inner_consume;
        *ret = &w->base;
        return 0;
}

typedef struct Squash {
        Tree *tree;
        const LayerData *layers;
        OutputFile file;
        sqfs_super_t super;
        sqfs_compressor_t *compressor;
        sqfs_block_writer_t *block_writer;
        sqfs_frag_table_t *fragments;
        sqfs_block_processor_t *processor;
        sqfs_id_table_t *ids;
        sqfs_xattr_writer_t *xattrs;
        sqfs_meta_writer_t *inode_writer, *directory_writer;
        sqfs_dir_writer_t *directories;

        TreeInode **files;              /* regular files with content */
        size_t n_files;
        TreeInode **all;                /* every inode, by number - 1 */
        uint32_t n_inodes;
        uint32_t n_xattr_sets;
        struct {
                uint32_t id;
                uint32_t index;         /* plus 1; 0: free */
        } *id_slots;
        size_t n_ids;
        char **ret_error;
} Squash;

static int squash_failure(Squash *s, int error, const char *what) {
        if (error == SQFS_ERROR_ALLOC)
                return -ENOMEM;
        if (error == SQFS_ERROR_IO && s->file.error < 0)
                return image_error_errno(s->ret_error, s->file.error, "cannot write the image file");
        if (error == SQFS_ERROR_OVERFLOW)
                return image_error(s->ret_error, -EFBIG, "squashfs has no room for its %s", what);
        return image_error(s->ret_error, -EIO, "libsquashfs cannot write its %s (error %d)", what, error);
}

static unsigned n_workers(void) {
        cpu_set_t set;

        if (sched_getaffinity(0, sizeof(set), &set) < 0)
                return 2;
        return (unsigned) MIN(CPU_COUNT(&set), WORKERS_MAX);
}

static int squash_open(Squash *s) {
        sqfs_block_processor_desc_t d = {
                .size = sizeof(d),
                .max_block_size = BLOCK_SIZE,
                .num_workers = n_workers(),
        };
        sqfs_compressor_config_t c;
        sqfs_compressor_t *lz4;
        int r, k;

        k = sqfs_compressor_config_init(&c, SQFS_COMP_LZ4, BLOCK_SIZE, 0);
        if (k == 0)
                k = sqfs_compressor_create(&c, &lz4);
        if (k != 0)
                return squash_failure(s, k, "compressor (was libsquashfs built without LZ4?)");
        r = compressor_wrap(lz4, &s->compressor);
        if (r < 0)
                return r;
        k = sqfs_super_init(&s->super, BLOCK_SIZE, 0, SQFS_COMP_LZ4);
        if (k == 0)
                k = sqfs_super_write(&s->super, &s->file.base);
        if (k != 0)
                return squash_failure(s, k, "super block");
        k = s->compressor->write_options(s->compressor, &s->file.base);
        if (k < 0)
                return squash_failure(s, k, "compressor options");
        if (k > 0)
                s->super.flags |= SQFS_FLAG_COMPRESSOR_OPTIONS;

        s->block_writer = sqfs_block_writer_create(&s->file.base, SQUASH_ALIGN, 0);
        s->fragments = sqfs_frag_table_create(0);
        s->ids = sqfs_id_table_create(0);
        s->xattrs = sqfs_xattr_writer_create(0);
        s->inode_writer = sqfs_meta_writer_create(&s->file.base, s->compressor, 0);
        s->directory_writer = sqfs_meta_writer_create(&s->file.base, s->compressor, SQFS_META_WRITER_KEEP_IN_MEMORY);
        if (!s->block_writer || !s->fragments || !s->ids || !s->xattrs || !s->inode_writer || !s->directory_writer)
                return -ENOMEM;
        s->directories = sqfs_dir_writer_create(s->directory_writer, SQFS_DIR_WRITER_CREATE_EXPORT_TABLE);
        if (!s->directories)
                return -ENOMEM;
        d.max_backlog = d.num_workers * BLOCKS_PER_WORKER;
        d.cmp = s->compressor;
        d.wr = s->block_writer;
        d.tbl = s->fragments;
        k = sqfs_block_processor_create_ex(&d, &s->processor);
        if (k != 0)
                return squash_failure(s, k, "blocks");
        return 0;
}

static void squash_done(Squash *s) {
        /* The processor first: its threads use the others. */
        sqfs_destroy(s->processor);
        sqfs_destroy(s->directories);
        sqfs_destroy(s->directory_writer);
        sqfs_destroy(s->inode_writer);
        sqfs_destroy(s->xattrs);
        sqfs_destroy(s->ids);
        sqfs_destroy(s->fragments);
        sqfs_destroy(s->block_writer);
        sqfs_destroy(s->compressor);
        for (size_t i = 0; i < s->n_files; i++)
                s->files[i]->data = (free(s->files[i]->data), NULL);
        free(s->files);
        free(s->all);
        free(s->id_slots);
}
#define _cleanup_squash_ _cleanup_(squash_done)

/* Content. */

static int compare_position(const void *a, const void *b) {
        const TreeInode *x = *(TreeInode *const *) a, *y = *(TreeInode *const *) b;
        uint64_t p = x->n_extents > 0 ? x->extents[0].position : 0, q = y->n_extents > 0 ? y->extents[0].position : 0;

        if (x->layer != y->layer)
                return x->layer < y->layer ? -1 : 1;
        if (p != q)
                return p < q ? -1 : 1;
        return x->number < y->number ? -1 : x->number > y->number;
}

static int collect(Squash *s, TreeNode *dir, uint64_t size_max, uint64_t *total) {
        int r;

        s->all[dir->inode->number - 1] = dir->inode;
        for (TreeNode *c = dir->children; c; c = c->next) {
                TreeInode *i = c->inode;

                if (S_ISDIR(i->mode)) {
                        r = collect(s, c, size_max, total);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (s->all[i->number - 1])
                        continue;       /* another name of it */
                s->all[i->number - 1] = i;
                if (!S_ISREG(i->mode) || i->size == 0)
                        continue;
                *total += i->size;
                if (*total > size_max)
                        return image_error(s->ret_error, -EFBIG,
                                        "its files have more than %" PRIu64 " MiB in all (ImageSizeMax=)",
                                        size_max / MIB(1));
                s->files[s->n_files++] = i;
        }
        return 0;
}

static const uint8_t *content_of(const Squash *s, const TreeExtent *e, const TreeInode *i) {
        return (const uint8_t *) s->layers[i->layer].data + e->position;
}

typedef struct Candidate {
        TreeInode *inode;
        const uint8_t *content;
        uint64_t size, hash;
} Candidate;

static uint64_t hash_content(const uint8_t *p, uint64_t n, const uint64_t seed[2]) {
        uint64_t h = seed[0] ^ n;

        while (n > 0) {
                uint64_t w = 0;
                size_t k = MIN(n, (uint64_t) sizeof(w));
                unsigned __int128 x;

                memcpy(&w, p, k);
                x = (unsigned __int128) (h ^ w ^ seed[0]) * (seed[1] | 1);
                h = (uint64_t) x ^ (uint64_t) (x >> 64);
                p += k;
                n -= k;
        }
        return h;
}

static int compare_sizes(const void *a, const void *b) {
        const Candidate *x = a, *y = b;

        return x->size < y->size ? -1 : x->size > y->size;
}

/* Equal content together, and of equal content the file that is written first before the others. */
static int compare_hashes(const void *a, const void *b) {
        const Candidate *x = a, *y = b;

        if (x->hash != y->hash)
                return x->hash < y->hash ? -1 : 1;
        return compare_position(&x->inode, &y->inode);
}

/* Files with the content of another one share its blocks: `data` of the copy is then the TreeInode that is written. We look for them
 * ourselves, in what is mapped anyway and with a seeded hash, because libsquashfs would compress them first and then
 * compare by a hash that an image can be made to collide in. */
static int find_copies(Squash *s) {
        _cleanup_free_ Candidate *c = NULL;
        uint64_t seed[2];
        size_t n = 0;

        if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
                return negative_errno();
        c = calloc(s->n_files + 1, sizeof(Candidate));
        if (!c)
                return -ENOMEM;
        for (size_t i = 0; i < s->n_files; i++) {
                TreeInode *f = s->files[i];

                if (f->n_extents == 1 && f->extents[0].size == f->size)
                        c[n++] = (Candidate) { .inode = f, .content = content_of(s, f->extents, f), .size = f->size };
        }
        qsort(c, n, sizeof(Candidate), compare_sizes);
        for (size_t from = 0, to; from < n; from = to) {
                for (to = from + 1; to < n && c[to].size == c[from].size; to++)
                        ;
                if (to - from == 1)
                        continue;
                for (size_t i = from; i < to; i++)
                        c[i].hash = hash_content(c[i].content, c[i].size, seed);
                qsort(c + from, to - from, sizeof(Candidate), compare_hashes);
                for (size_t i = from + 1, first = from; i < to; i++)
                        if (c[i].hash == c[first].hash && memcmp(c[i].content, c[first].content, c[i].size) == 0)
                                c[i].inode->copy_of = c[first].inode;
                        else
                                first = i;
        }
        return 0;
}

static int append_zeros(Squash *s, uint64_t n) {
        static const uint8_t zeros[BLOCK_SIZE];

        while (n > 0) {
                size_t k = MIN(n, (uint64_t) sizeof(zeros));
                int error = sqfs_block_processor_append(s->processor, zeros, k);

                if (error != 0)
                        return error;
                n -= k;
        }
        return 0;
}

static int write_file(Squash *s, TreeInode *i) {
        uint64_t at = 0;
        int k;

        k = sqfs_block_processor_begin_file(
                        s->processor, (sqfs_inode_generic_t **) &i->data, NULL, SQFS_BLK_DONT_DEDUPLICATE);
        for (uint32_t e = 0; k == 0 && e < i->n_extents; e++) {
                const TreeExtent *x = i->extents + e;

                k = append_zeros(s, x->logical - at);
                if (k == 0)
                        k = sqfs_block_processor_append(s->processor, content_of(s, x, i), x->size);
                at = x->logical + x->size;
        }
        if (k == 0)
                k = append_zeros(s, i->size - at);
        if (k == 0)
                k = sqfs_block_processor_end_file(s->processor);
        return k != 0 ? squash_failure(s, k, "files") : 0;
}

static int write_files(Squash *s, uint64_t size_max) {
        uint64_t total = 0;
        int r, k;

        s->files = calloc((size_t) s->n_inodes + 1, sizeof(TreeInode *));
        s->all = calloc((size_t) s->n_inodes + 1, sizeof(TreeInode *));
        if (!s->files || !s->all)
                return -ENOMEM;
        r = collect(s, tree_root(s->tree), size_max, &total);
        if (r < 0)
                return r;
        /* In the order in which the layers have them: both sides are read and written forwards. */
        qsort(s->files, s->n_files, sizeof(TreeInode *), compare_position);
        r = find_copies(s);
        if (r < 0)
                return r;
        for (size_t i = 0; i < s->n_files; i++) {
                if (s->files[i]->copy_of)
                        continue;
                r = write_file(s, s->files[i]);
                if (r < 0)
                        return r;
        }
        k = sqfs_block_processor_finish(s->processor);
        return k != 0 ? squash_failure(s, k, "files") : 0;
}

/* Inodes and directories. */

static int id_index(Squash *s, uint32_t id, sqfs_u16 *ret) {
        size_t slot = (id * UINT32_C(2654435761)) % ID_SLOTS;
        int k;

        while (s->id_slots[slot].index != 0 && s->id_slots[slot].id != id)
                slot = (slot + 1) % ID_SLOTS;
        if (s->id_slots[slot].index == 0) {
                if (s->n_ids == IDS_MAX)
                        return image_error(s->ret_error, -EFBIG,
                                        "its files belong to more than %d different users and groups, which "
                                        "squashfs has no room for",
                                        IDS_MAX);
                k = sqfs_id_table_id_to_index(s->ids, id, ret);
                if (k != 0)
                        return squash_failure(s, k, "owners");
                s->n_ids++;
                s->id_slots[slot].id = id;
                s->id_slots[slot].index = *ret + 1;
        }
        *ret = (sqfs_u16) (s->id_slots[slot].index - 1);
        return 0;
}

static int write_xattrs(Squash *s, TreeInode *i) {
        int k;

        i->xattr_index = NO_XATTRS;
        if (!i->xattrs)
                return 0;
        k = sqfs_xattr_writer_begin(s->xattrs, 0);
        for (TreeXattr *x = i->xattrs; k == 0 && x; x = x->next)
                k = sqfs_xattr_writer_add(s->xattrs, x->name, x->value, x->size);
        if (k == 0)
                k = sqfs_xattr_writer_end(s->xattrs, &i->xattr_index);
        if (k != 0)
                return squash_failure(s, k, "extended attributes");
        s->n_xattr_sets = MAX(s->n_xattr_sets, i->xattr_index + 1);
        return 0;
}

/* libsquashfs 1.2 writes past the end of its table of blocks when the last block of attribute sets is just full. One set more, which
 * nothing refers to, keeps it from being so. */
static int pad_xattr_sets(Squash *s) {
        uint32_t index;
        int k;

        if (s->n_xattr_sets == 0 || s->n_xattr_sets % XATTR_SETS_PER_BLOCK != 0)
                return 0;
        k = sqfs_xattr_writer_begin(s->xattrs, 0);
        if (k == 0)
                k = sqfs_xattr_writer_add(s->xattrs, "user.inferno.unused", "", 0);
        if (k == 0)
                k = sqfs_xattr_writer_end(s->xattrs, &index);
        return k != 0 ? squash_failure(s, k, "extended attributes") : 0;
}

/* The kernel's new_encode_dev(). */
static sqfs_u32 encode_device(uint32_t major, uint32_t minor) {
        return (minor & 0xff) | (major << 8) | ((minor & ~UINT32_C(0xff)) << 12);
}

static sqfs_inode_generic_t *duplicate_inode(const sqfs_inode_generic_t *i) {
        sqfs_inode_generic_t *copy = malloc(sizeof(*i) + i->payload_bytes_used);

        if (copy) {
                memcpy(copy, i, sizeof(*i) + i->payload_bytes_used);
                copy->payload_bytes_available = i->payload_bytes_used;
        }
        return copy;
}

/* Everything but directories. *ret is the caller's. */
static int make_inode(Squash *s, TreeInode *i, sqfs_inode_generic_t **ret) {
        sqfs_inode_generic_t *q;
        size_t n = 0;

        if (S_ISREG(i->mode) && i->size > 0) {
                q = duplicate_inode(i->copy_of ? i->copy_of->data : i->data);
                if (!q)
                        return -ENOMEM;
                if (i->n_links > 1) {
                        (void) sqfs_inode_make_extended(q);
                        q->data.file_ext.nlink = i->n_links;
                } else if (q->base.type == SQFS_INODE_EXT_FILE)
                        q->data.file_ext.nlink = i->n_links;
                *ret = q;
                return 0;
        }

        if (S_ISLNK(i->mode))
                n = strlen(i->target);
        q = calloc(1, sizeof(*q) + n);
        if (!q)
                return -ENOMEM;
        switch (i->mode & S_IFMT) {
        case S_IFREG:
                q->base.type = SQFS_INODE_FILE;
                (void) sqfs_inode_set_frag_location(q, 0xffffffff, 0xffffffff);
                if (i->n_links > 1) {
                        (void) sqfs_inode_make_extended(q);
                        q->data.file_ext.nlink = i->n_links;
                }
                break;
        case S_IFLNK:
                q->base.type = SQFS_INODE_SLINK;
                q->data.slink.nlink = i->n_links;
                q->data.slink.target_size = (sqfs_u32) n;
                q->payload_bytes_available = q->payload_bytes_used = (sqfs_u32) n;
                memcpy(q->extra, i->target, n);
                break;
        case S_IFBLK:
        case S_IFCHR:
                q->base.type = S_ISBLK(i->mode) ? SQFS_INODE_BDEV : SQFS_INODE_CDEV;
                q->data.dev.nlink = i->n_links;
                q->data.dev.devno = encode_device(i->rdev_major, i->rdev_minor);
                break;
        default:
                q->base.type = SQFS_INODE_FIFO;
                q->data.ipc.nlink = i->n_links;
        }
        *ret = q;
        return 0;
}

/* squashfs has 32 bits of seconds from 1970 on: what lies outside becomes the nearest. */
static sqfs_u32 clamp_time(int64_t t) {
        return t < 0 ? 0 : t > UINT32_MAX ? UINT32_MAX : (sqfs_u32) t;
}

static int write_inode(Squash *s, TreeInode *i, sqfs_inode_generic_t *q) {
        sqfs_u32 offset;
        sqfs_u64 block;
        int r, k;

        q->base.mode = (sqfs_u16) i->mode;
        q->base.mod_time = clamp_time(i->mtime);
        q->base.inode_number = i->number;
        r = id_index(s, i->uid, &q->base.uid_idx);
        if (r < 0)
                return r;
        r = id_index(s, i->gid, &q->base.gid_idx);
        if (r < 0)
                return r;
        sqfs_meta_writer_get_position(s->inode_writer, &block, &offset);
        i->reference = (block << 16) | offset;
        k = sqfs_meta_writer_write_inode(s->inode_writer, q);
        return k != 0 ? squash_failure(s, k, "inodes") : 0;
}

static int write_other(Squash *s, TreeInode *i) {
        sqfs_inode_generic_t *q;
        int r;

        r = write_xattrs(s, i);
        if (r < 0)
                return r;
        r = make_inode(s, i, &q);
        if (r < 0)
                return r;
        if (i->xattr_index != NO_XATTRS)
                (void) sqfs_inode_set_xattr_index(q, i->xattr_index);
        r = write_inode(s, i, q);
        sqfs_free(q);
        return r;
}

/* A directory's inode says where its entries are, and these say where the inodes of the children are: children come first. */
static int write_directory(Squash *s, TreeNode *dir) {
        sqfs_inode_generic_t *q;
        TreeInode *i = dir->inode;
        int r, k;

        for (TreeNode *c = dir->children; c; c = c->next) {
                if (S_ISDIR(c->inode->mode))
                        r = write_directory(s, c);
                else if (!s->all[c->inode->number - 1])
                        continue;       /* written under another name */
                else {
                        s->all[c->inode->number - 1] = NULL;
                        r = write_other(s, c->inode);
                }
                if (r < 0)
                        return r;
        }

        r = write_xattrs(s, i);
        if (r < 0)
                return r;
        k = sqfs_dir_writer_begin(s->directories, 0);
        for (TreeNode *c = dir->children; k == 0 && c; c = c->next)
                k = sqfs_dir_writer_add_entry(s->directories, c->name, c->inode->number, c->inode->reference,
                                (sqfs_u16) c->inode->mode);
        if (k == 0)
                k = sqfs_dir_writer_end(s->directories);
        if (k != 0)
                return squash_failure(s, k, "directories");
        q = sqfs_dir_writer_create_inode(s->directories, 0, i->xattr_index,
                        dir->parent ? dir->parent->inode->number : s->n_inodes + 1);
        if (!q)
                return -ENOMEM;
        if (q->base.type == SQFS_INODE_DIR)
                q->data.dir.nlink = i->n_subdirs + 2;
        else
                q->data.dir_ext.nlink = i->n_subdirs + 2;
        r = write_inode(s, i, q);
        sqfs_free(q);
        return r;
}

static int write_tables(Squash *s) {
        TreeNode *root = tree_root(s->tree);
        int r, k;

        s->id_slots = calloc(ID_SLOTS, sizeof(*s->id_slots));
        if (!s->id_slots)
                return -ENOMEM;
        s->super.inode_count = s->n_inodes;
        s->super.inode_table_start = s->file.size;
        r = write_directory(s, root);
        if (r < 0)
                return r;
        r = pad_xattr_sets(s);
        if (r < 0)
                return r;
        k = sqfs_meta_writer_flush(s->inode_writer);
        if (k == 0)
                k = sqfs_meta_writer_flush(s->directory_writer);
        s->super.root_inode_ref = root->inode->reference;
        s->super.directory_table_start = s->file.size;
        if (k == 0)
                k = sqfs_meta_write_write_to_file(s->directory_writer);
        if (k == 0)
                k = sqfs_frag_table_write(s->fragments, &s->file.base, &s->super, s->compressor);
        if (k == 0)
                k = sqfs_dir_writer_write_export_table(s->directories, &s->file.base, s->compressor, root->inode->number,
                                root->inode->reference, &s->super);
        if (k == 0)
                k = sqfs_id_table_write(s->ids, &s->file.base, &s->super, s->compressor);
        if (k == 0)
                k = sqfs_xattr_writer_flush(s->xattrs, &s->file.base, &s->super, s->compressor);
        s->super.bytes_used = s->file.size;
        if (k == 0)
                k = sqfs_super_write(&s->super, &s->file.base);
        return k != 0 ? squash_failure(s, k, "tables") : 0;
}

int squash_write(Tree *t, const LayerData *layers, size_t n_layers, uint64_t size_max, int fd,
                uint64_t *ret_size, char **ret_error) {
        _cleanup_squash_ Squash s = {
                .tree = t,
                .layers = layers,
                .file = {
                        .base = { .base = { .destroy = file_destroy }, .read_at = file_read_at, .write_at = file_write_at,
                                        .get_size = file_get_size, .truncate = file_truncate },
                        .fd = fd,
                },
                .ret_error = ret_error,
        };
        uint64_t padded;
        int r;

        r = tree_finish(t, &s.n_inodes);
        if (r < 0)
                return r;
        r = squash_open(&s);
        if (r < 0)
                return r;
        r = write_files(&s, size_max);
        if (r < 0)
                return r;
        r = write_tables(&s);
        if (r < 0)
                return r;
        /* A block device is made of whole sectors. */
        padded = (s.file.size + SQUASH_ALIGN - 1) / SQUASH_ALIGN * SQUASH_ALIGN;
        if (ftruncate(fd, (off_t) padded) < 0)
                return image_error_errno(ret_error, negative_errno(), "cannot write the image file");
        *ret_size = padded;
        return 0;
}
