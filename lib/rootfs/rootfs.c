/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <sqfs/compressor.h>
#include <sqfs/data_reader.h>
#include <sqfs/dir_reader.h>
#include <sqfs/error.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/super.h>
#include <sqfs/xattr.h>
#include <sqfs/xattr_reader.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "rootfs/rootfs.h"
#include "version/ext4.h"

enum {
        BLOCK = 4096,
        NO_XATTRS = 0xffffffff,
        SPARSE_BLOCK = 0,               /* the size that a block of zeroes has in squashfs */
};

/* Of the file system beside files and directories: journal, bitmaps, inode tables, and some for whoever begins to write. */
#define ROOM_BESIDE MIB(48)
#define BYTES_PER_INODE 8192            /* as ext4_make() has it, with a block for its directory entries and what does not fit an inode */

typedef struct Source {
        const char *path;
        sqfs_file_t *file;
        sqfs_super_t super;
        sqfs_compressor_t *compressor;
        sqfs_id_table_t *ids;
        sqfs_data_reader_t *data;
        sqfs_xattr_reader_t *xattrs;
        sqfs_dir_reader_t *directories;
        sqfs_tree_node_t *root;
} Source;

static void source_done(Source *s) {
        if (s->root)
                sqfs_dir_tree_destroy(s->root);
        sqfs_destroy(s->directories);
        sqfs_destroy(s->xattrs);
        sqfs_destroy(s->data);
        sqfs_destroy(s->ids);
        sqfs_destroy(s->compressor);
        sqfs_destroy(s->file);
}
#define _cleanup_source_ _cleanup_(source_done)

/* The numbers of libsquashfs. */
static int fail_source(const Source *s, int code, char **ret_error) {
        int r = code == SQFS_ERROR_ALLOC ? -ENOMEM : code == SQFS_ERROR_IO ? -EIO : -EUCLEAN;

        return sentence(ret_error, r, "Cannot read the image file '%s': %s.", s->path, r == -EUCLEAN ? "it is damaged" : strerrordesc_np(-r));
}

static int source_open(const char *path, Source *s, char **ret_error) {
        sqfs_compressor_config_t config;
        int k;

        s->path = path;
        s->file = sqfs_open_file(path, SQFS_FILE_OPEN_READ_ONLY);
        if (!s->file)
                return fail_source(s, SQFS_ERROR_IO, ret_error);
        k = sqfs_super_read(&s->super, s->file);
        if (k == 0)
                k = sqfs_compressor_config_init(&config, s->super.compression_id, s->super.block_size, SQFS_COMP_FLAG_UNCOMPRESS);
        if (k == 0)
                k = sqfs_compressor_create(&config, &s->compressor);
        if (k != 0)
                return fail_source(s, k, ret_error);
        s->ids = sqfs_id_table_create(0);
        s->data = sqfs_data_reader_create(s->file, s->super.block_size, s->compressor, 0);
        s->xattrs = sqfs_xattr_reader_create(0);
        s->directories = sqfs_dir_reader_create(&s->super, s->compressor, s->file, 0);
        if (!s->ids || !s->data || !s->xattrs || !s->directories)
                return -ENOMEM;
        k = sqfs_id_table_read(s->ids, s->file, &s->super, s->compressor);
        if (k == 0)
                k = sqfs_data_reader_load_fragment_table(s->data, &s->super);
        if (k == 0 && !(s->super.flags & SQFS_FLAG_NO_XATTRS))
                k = sqfs_xattr_reader_load(s->xattrs, &s->super, s->file, s->compressor);
        if (k == 0)
                k = sqfs_dir_reader_get_full_hierarchy(s->directories, s->ids, NULL, 0, &s->root);
        return k == 0 ? 0 : fail_source(s, k, ret_error);
}

/* The next node in the order of a walk, directories before what is in them; NULL at the end. */
static sqfs_tree_node_t *next_node(sqfs_tree_node_t *n) {
        if (n->children)
                return n->children;
        while (n && !n->next)
                n = n->parent;
        return n ? n->next : NULL;
}

static bool is_file(const sqfs_tree_node_t *n) {
        return n->inode->base.type == SQFS_INODE_FILE || n->inode->base.type == SQFS_INODE_EXT_FILE;
}

/* --- size --- */

/* Files with several names count as often: that is on the safe side. */
static uint64_t data_blocks(const Source *s, const sqfs_tree_node_t *n) {
        sqfs_u64 size = 0, blocks = 1;
        size_t k;

        (void) sqfs_inode_get_file_size(n->inode, &size);
        k = sqfs_inode_get_file_block_count(n->inode);
        for (size_t i = 0; i < k; i++)
                if (n->inode->extra[i] != SPARSE_BLOCK)
                        blocks += s->super.block_size / BLOCK;
        /* And the tail, which stands with others'. */
        return k == 0 ? size / BLOCK + 1 : blocks + (size % s->super.block_size) / BLOCK + 1;
}

int rootfs_size(const char *image, uint64_t *ret, char **ret_error) {
        _cleanup_source_ Source s = {};
        uint64_t blocks = 0, inodes = 0;
        int r;

        r = source_open(image, &s, ret_error);
        if (r < 0)
                return r;
        for (sqfs_tree_node_t *n = s.root; n; n = next_node(n)) {
                blocks += is_file(n) ? data_blocks(&s, n) : 1;
                inodes++;
        }
        blocks += inodes * (BYTES_PER_INODE / BLOCK);
        *ret = (blocks * BLOCK * 17 / 16 + ROOM_BESIDE + MIB(1) - 1) / MIB(1) * MIB(1);
        return 0;
}

/* --- writing --- */

typedef struct Writer {
        Source source;
        const char *device;
        ext2_filsys fs;
        ext2_ino_t *inodes;             /* of the squashfs inode of that number; 0: not there yet */
        char *buffer;                   /* a block of squashfs */
        char **error;
} Writer;

static void writer_done(Writer *w) {
        if (w->fs)
                ext2fs_free(w->fs);
        free(w->inodes);
        free(w->buffer);
        source_done(&w->source);
}
#define _cleanup_writer_ _cleanup_(writer_done)

static int fail(Writer *w, errcode_t code, const char *name) {
        int r = code == EXT2_ET_NO_MEMORY ? -ENOMEM :
                code == EXT2_ET_BLOCK_ALLOC_FAIL || code == EXT2_ET_INODE_ALLOC_FAIL || code == ENOSPC ? -ENOSPC :
                code == EXT2_ET_EA_NO_SPACE ? -EOPNOTSUPP :
                code > 0 && code < 256 ? -(int) code :
                                         -EIO;

        return sentence(w->error, r, "Cannot write \"%.200s\" of the image file '%s' into '%s': %s.", name, w->source.path, w->device,
                        r == -EOPNOTSUPP ? "its extended attributes are more than ext4 can hold" : error_message(code));
}

static mode_t type_of(const sqfs_tree_node_t *n) {
        switch (n->inode->base.type) {
        case SQFS_INODE_DIR:
        case SQFS_INODE_EXT_DIR:
                return S_IFDIR;
        case SQFS_INODE_FILE:
        case SQFS_INODE_EXT_FILE:
                return S_IFREG;
        case SQFS_INODE_SLINK:
        case SQFS_INODE_EXT_SLINK:
                return S_IFLNK;
        case SQFS_INODE_BDEV:
        case SQFS_INODE_EXT_BDEV:
                return S_IFBLK;
        case SQFS_INODE_CDEV:
        case SQFS_INODE_EXT_CDEV:
                return S_IFCHR;
        case SQFS_INODE_SOCKET:
        case SQFS_INODE_EXT_SOCKET:
                return S_IFSOCK;
        default:
                return S_IFIFO;
        }
}

static int entry_type(mode_t type) {
        switch (type) {
        case S_IFREG:
                return EXT2_FT_REG_FILE;
        case S_IFBLK:
                return EXT2_FT_BLKDEV;
        case S_IFCHR:
                return EXT2_FT_CHRDEV;
        case S_IFSOCK:
                return EXT2_FT_SOCK;
        default:
                return EXT2_FT_FIFO;
        }
}

/* A name for an inode; the directory gets one more block where it is full. */
static errcode_t add_name(Writer *w, ext2_ino_t dir, const char *name, ext2_ino_t ino, int type) {
        errcode_t e = ext2fs_link(w->fs, dir, name, ino, type);

        if (e == EXT2_ET_DIR_NO_SPACE) {
                e = ext2fs_expand_dir(w->fs, dir);
                if (e == 0)
                        e = ext2fs_link(w->fs, dir, name, ino, type);
        }
        return e;
}

/* mke2fs has made lost+found. */
static errcode_t make_directory(Writer *w, ext2_ino_t dir, const char *name, ext2_ino_t *ret) {
        errcode_t e;

        if (dir == EXT2_ROOT_INO && streq(name, "lost+found"))
                return ext2fs_lookup(w->fs, dir, name, (int) strlen(name), NULL, ret);
        e = ext2fs_new_inode(w->fs, dir, LINUX_S_IFDIR, NULL, ret);
        if (e == 0)
                e = ext2fs_mkdir(w->fs, dir, *ret, name);
        if (e == EXT2_ET_DIR_NO_SPACE) {
                e = ext2fs_expand_dir(w->fs, dir);
                if (e == 0)
                        e = ext2fs_mkdir(w->fs, dir, *ret, name);
        }
        return e;
}

static errcode_t make_symlink(Writer *w, ext2_ino_t dir, const sqfs_tree_node_t *n, ext2_ino_t *ret) {
        _cleanup_free_ char *target = strndup((const char *) n->inode->extra, n->inode->data.slink.target_size);
        errcode_t e;

        if (!target)
                return EXT2_ET_NO_MEMORY;
        e = ext2fs_new_inode(w->fs, dir, LINUX_S_IFLNK, NULL, ret);
        if (e == 0)
                e = ext2fs_symlink(w->fs, dir, *ret, (const char *) n->name, target);
        if (e == EXT2_ET_DIR_NO_SPACE) {
                e = ext2fs_expand_dir(w->fs, dir);
                if (e == 0)
                        e = ext2fs_symlink(w->fs, dir, *ret, (const char *) n->name, target);
        }
        return e;
}

static errcode_t write_content(Writer *w, const sqfs_tree_node_t *n, ext2_ino_t ino, int *ret_source) {
        uint32_t step = w->source.super.block_size;
        ext2_file_t file;
        sqfs_u64 size;
        errcode_t e;

        (void) sqfs_inode_get_file_size(n->inode, &size);
        if (size == 0)
                return 0;
        e = ext2fs_file_open2(w->fs, ino, NULL, EXT2_FILE_WRITE, &file);
        for (sqfs_u64 offset = 0; e == 0 && offset < size; offset += step) {
                sqfs_s32 k = sqfs_data_reader_read(w->source.data, n->inode, offset, w->buffer, step);
                unsigned written = 0;

                if (k <= 0) {
                        *ret_source = k < 0 ? k : SQFS_ERROR_CORRUPTED;
                        break;
                }
                if (w->buffer[0] == 0 && memcmp(w->buffer, w->buffer + 1, (size_t) k - 1) == 0)
                        continue;       /* a hole */
                e = ext2fs_file_llseek(file, offset, EXT2_SEEK_SET, NULL);
                if (e == 0)
                        e = ext2fs_file_write(file, w->buffer, (unsigned) k, &written);
                if (e == 0 && written != (unsigned) k)
                        e = EXT2_ET_SHORT_WRITE;
        }
        if (e == 0)
                e = ext2fs_file_set_size2(file, (ext2_off64_t) size);
        if (e == 0)
                return ext2fs_file_close(file);
        return e;
}

/* Neither a directory nor a symlink, whose inodes libext2fs makes. */
static errcode_t make_inode(Writer *w, ext2_ino_t dir, const sqfs_tree_node_t *n, mode_t type, ext2_ino_t *ret) {
        struct ext2_inode inode = { .i_mode = (uint16_t) type, .i_links_count = 1 };
        errcode_t e;

        if (type == S_IFBLK || type == S_IFCHR) {
                uint32_t d = n->inode->data.dev.devno;
                unsigned major = (d & 0xfff00) >> 8, minor = (d & 0xff) | ((d >> 12) & 0xfff00);

                /* The kernel's old_encode_dev() and new_encode_dev(). */
                if (major < 256 && minor < 256)
                        inode.i_block[0] = major << 8 | minor;
                else
                        inode.i_block[1] = (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
        } else if (type == S_IFREG)
                inode.i_flags = EXT4_EXTENTS_FL;
        e = ext2fs_new_inode(w->fs, dir, type, NULL, ret);
        if (e == 0)
                ext2fs_inode_alloc_stats2(w->fs, *ret, 1, 0);
        if (e == 0)
                e = ext2fs_write_new_inode(w->fs, *ret, &inode);
        if (e == 0 && type == S_IFREG) {
                ext2_extent_handle_t extents;

                e = ext2fs_extent_open2(w->fs, *ret, &inode, &extents);         /* makes an empty root */
                if (e == 0) {
                        ext2fs_extent_free(extents);
                        e = ext2fs_write_inode(w->fs, *ret, &inode);
                }
        }
        return e == 0 ? add_name(w, dir, (const char *) n->name, *ret, entry_type(type)) : e;
}

static errcode_t set_attributes(Writer *w, const sqfs_tree_node_t *n, ext2_ino_t ino) {
        struct ext2_inode_large inode = {};
        errcode_t e = ext2fs_read_inode_full(w->fs, ino, (struct ext2_inode *) &inode, sizeof(inode));

        if (e != 0)
                return e;
        inode.i_mode = (uint16_t) ((inode.i_mode & LINUX_S_IFMT) | (n->inode->base.mode & 07777));
        inode.i_uid = (uint16_t) n->uid;
        inode.i_gid = (uint16_t) n->gid;
        ext2fs_set_i_uid_high(inode, (uint16_t) (n->uid >> 16));
        ext2fs_set_i_gid_high(inode, (uint16_t) (n->gid >> 16));
        inode.i_atime = inode.i_ctime = inode.i_mtime = inode.i_crtime = n->inode->base.mod_time;
        inode.i_atime_extra = inode.i_ctime_extra = inode.i_mtime_extra = inode.i_crtime_extra = 0;
        return ext2fs_write_inode_full(w->fs, ino, (struct ext2_inode *) &inode, sizeof(inode));
}

static errcode_t set_xattrs(Writer *w, const sqfs_tree_node_t *n, ext2_ino_t ino, int *ret_source) {
        struct ext2_xattr_handle *handle;
        sqfs_u32 index = NO_XATTRS;
        sqfs_xattr_id_t desc;
        errcode_t e;
        int k;

        k = sqfs_inode_get_xattr_index(n->inode, &index);
        if (k != 0 || index == NO_XATTRS) {
                *ret_source = k;
                return 0;
        }
        e = ext2fs_xattrs_open(w->fs, ino, &handle);
        if (e != 0)
                return e;
        k = sqfs_xattr_reader_get_desc(w->source.xattrs, index, &desc);
        if (k == 0)
                k = sqfs_xattr_reader_seek_kv(w->source.xattrs, &desc);
        for (sqfs_u32 i = 0; k == 0 && e == 0 && i < desc.count; i++) {
                sqfs_xattr_entry_t *key = NULL;
                sqfs_xattr_value_t *value = NULL;

                k = sqfs_xattr_reader_read_key(w->source.xattrs, &key);
                if (k == 0)
                        k = sqfs_xattr_reader_read_value(w->source.xattrs, key, &value);
                if (k == 0)
                        e = ext2fs_xattr_set(handle, (const char *) key->key, value->value, value->size);
                free(key);
                free(value);
        }
        (void) ext2fs_xattrs_close(&handle);
        *ret_source = k;
        return e;
}

/* One more name of an inode that is there. */
static errcode_t link_again(Writer *w, ext2_ino_t dir, const sqfs_tree_node_t *n, ext2_ino_t ino) {
        struct ext2_inode inode;
        errcode_t e = ext2fs_read_inode(w->fs, ino, &inode);

        if (e != 0)
                return e;
        if (++inode.i_links_count == 0)
                return EXT2_ET_TOO_MANY_REFS;
        e = ext2fs_write_inode(w->fs, ino, &inode);
        return e == 0 ? add_name(w, dir, (const char *) n->name, ino, LINUX_S_ISLNK(inode.i_mode) ? EXT2_FT_SYMLINK : entry_type(inode.i_mode & LINUX_S_IFMT)) : e;
}

static int write_node(Writer *w, const sqfs_tree_node_t *n) {
        uint32_t number = n->inode->base.inode_number;
        mode_t type = type_of(n);
        ext2_ino_t dir, *ino;
        errcode_t e = 0;
        int k = 0;

        if (number < 1 || number > w->source.super.inode_count ||
            (n->parent && n->parent->inode->base.inode_number > w->source.super.inode_count))
                return fail_source(&w->source, SQFS_ERROR_CORRUPTED, w->error);
        ino = w->inodes + number;
        dir = n->parent ? w->inodes[n->parent->inode->base.inode_number] : EXT2_ROOT_INO;
        if (*ino != 0 && type != S_IFDIR) {
                e = link_again(w, dir, n, *ino);
                return e == 0 ? 0 : fail(w, e, (const char *) n->name);
        }
        if (!n->parent)
                *ino = EXT2_ROOT_INO;
        else if (type == S_IFDIR)
                e = make_directory(w, dir, (const char *) n->name, ino);
        else if (type == S_IFLNK)
                e = make_symlink(w, dir, n, ino);
        else
                e = make_inode(w, dir, n, type, ino);
        if (e == 0 && type == S_IFREG)
                e = write_content(w, n, *ino, &k);
        if (e == 0 && k == 0)
                e = set_attributes(w, n, *ino);
        if (e == 0 && k == 0)
                e = set_xattrs(w, n, *ino, &k);
        if (k != 0)
                return fail_source(&w->source, k, w->error);
        return e == 0 ? 0 : fail(w, e, n->parent ? (const char *) n->name : "/");
}

int rootfs_write(const char *image, const char *device, char **ret_error) {
        _cleanup_writer_ Writer w = { .device = device, .error = ret_error };
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        const char *mkfs = ext4_find_mkfs(&st);
        errcode_t e;
        int r;

        if (!mkfs)
                return sentence(ret_error, -ENOPKG, "No mkfs.ext4 is there to make a root file system with: install e2fsprogs.");
        r = source_open(image, &w.source, ret_error);
        if (r >= 0)
                r = ext4_make(mkfs, device, EXT4_KEPT, ret_error);
        if (r < 0)
                return r;
        w.inodes = calloc((size_t) w.source.super.inode_count + 1, sizeof(*w.inodes));
        w.buffer = malloc(w.source.super.block_size);
        if (!w.inodes || !w.buffer)
                return -ENOMEM;
        initialize_ext2_error_table();
        e = ext2fs_open(device, EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &w.fs);
        if (e == 0)
                e = ext2fs_read_bitmaps(w.fs);
        if (e != 0)
                return fail(&w, e, "/");
        for (sqfs_tree_node_t *n = w.source.root; n; n = next_node(n)) {
                r = write_node(&w, n);
                if (r < 0)
                        return r;
        }
        e = ext2fs_close_free(&w.fs);
        if (e != 0)
                return fail(&w, e, "/");
        fd = open(device, O_RDONLY | O_CLOEXEC);
        return fd < 0 || fsync(fd) < 0 ? sentence_errno(ret_error, negative_errno(), "Cannot write to '%s'", device) : 0;
}
