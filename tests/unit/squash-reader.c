/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <sqfs/compressor.h>
#include <sqfs/error.h>

#include "tests/unit/squash-reader.h"

int squash_reader_open(SquashReader *s, const char *path) {
        sqfs_compressor_config_t config;
        int k;

        s->file = sqfs_open_file(path, SQFS_FILE_OPEN_READ_ONLY);
        if (!s->file)
                return SQFS_ERROR_IO;
        k = sqfs_super_read(&s->super, s->file);
        if (k == 0)
                k = sqfs_compressor_config_init(&config, s->super.compression_id, s->super.block_size, SQFS_COMP_FLAG_UNCOMPRESS);
        if (k == 0)
                k = sqfs_compressor_create(&config, &s->compressor);
        if (k != 0)
                return k;
        s->ids = sqfs_id_table_create(0);
        s->data = sqfs_data_reader_create(s->file, s->super.block_size, s->compressor, 0);
        s->xattrs = sqfs_xattr_reader_create(0);
        s->directories = sqfs_dir_reader_create(&s->super, s->compressor, s->file, 0);
        if (!s->ids || !s->data || !s->xattrs || !s->directories)
                return SQFS_ERROR_ALLOC;
        k = sqfs_id_table_read(s->ids, s->file, &s->super, s->compressor);
        if (k == 0)
                k = sqfs_data_reader_load_fragment_table(s->data, &s->super);
        if (k == 0 && !(s->super.flags & SQFS_FLAG_NO_XATTRS))
                k = sqfs_xattr_reader_load(s->xattrs, &s->super, s->file, s->compressor);
        return k != 0 ? k : sqfs_dir_reader_get_full_hierarchy(s->directories, s->ids, NULL, 0, &s->root);
}

void squash_reader_done(SquashReader *s) {
        if (s->root)
                sqfs_dir_tree_destroy(s->root);
        sqfs_destroy(s->directories);
        sqfs_destroy(s->xattrs);
        sqfs_destroy(s->data);
        sqfs_destroy(s->ids);
        sqfs_destroy(s->compressor);
        sqfs_destroy(s->file);
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

static mode_t type_of(const sqfs_inode_generic_t *i) {
        switch (i->base.type) {
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
        default:
                return S_IFIFO;
        }
}

void squash_reader_stat(const sqfs_tree_node_t *n, struct stat *ret) {
        const sqfs_inode_generic_t *i = n->inode;

        *ret = (struct stat) {
                .st_ino = i->base.inode_number,
                .st_nlink = nlink_of(i),
                .st_mode = type_of(i) | (i->base.mode & 07777),
                .st_uid = n->uid,
                .st_gid = n->gid,
                .st_mtim.tv_sec = i->base.mod_time,
        };
        if (S_ISREG(ret->st_mode)) {
                sqfs_u64 size;

                (void) sqfs_inode_get_file_size(i, &size);
                ret->st_size = (off_t) size;
        } else if (S_ISLNK(ret->st_mode))
                ret->st_size = i->data.slink.target_size;
        else if (S_ISBLK(ret->st_mode) || S_ISCHR(ret->st_mode)) {
                uint32_t d = i->data.dev.devno;

                ret->st_rdev = makedev((d & 0xfff00) >> 8, (d & 0xff) | ((d >> 12) & 0xfff00));
        }
}

char *squash_reader_target(const sqfs_tree_node_t *n) {
        return strndup((const char *) n->inode->extra, n->inode->data.slink.target_size);
}

int squash_reader_xattrs(SquashReader *s, const sqfs_tree_node_t *n, SquashXattr callback, void *userdata) {
        sqfs_xattr_id_t desc;
        sqfs_u32 index;
        int k;

        k = sqfs_inode_get_xattr_index(n->inode, &index);
        if (k != 0 || index == 0xffffffff)
                return k;
        k = sqfs_xattr_reader_get_desc(s->xattrs, index, &desc);
        if (k == 0)
                k = sqfs_xattr_reader_seek_kv(s->xattrs, &desc);
        for (sqfs_u32 i = 0; k == 0 && i < desc.count; i++) {
                sqfs_xattr_entry_t *key = NULL;
                sqfs_xattr_value_t *value = NULL;

                k = sqfs_xattr_reader_read_key(s->xattrs, &key);
                if (k == 0)
                        k = sqfs_xattr_reader_read_value(s->xattrs, key, &value);
                if (k == 0)
                        callback((const char *) key->key, value->value, value->size, userdata);
                free(key);
                free(value);
        }
        return k;
}
