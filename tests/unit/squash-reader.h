/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* An image file read by libsquashfs, which shares no code with our writer above it. For tests, and for what they run on the test host. */

#include <sqfs/data_reader.h>
#include <sqfs/dir_reader.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/super.h>
#include <sqfs/xattr.h>
#include <sqfs/xattr_reader.h>

#include "base/macros.h"

typedef struct SquashReader {
        sqfs_super_t super;
        sqfs_file_t *file;
        sqfs_compressor_t *compressor;
        sqfs_id_table_t *ids;
        sqfs_data_reader_t *data;
        sqfs_xattr_reader_t *xattrs;
        sqfs_dir_reader_t *directories;
        sqfs_tree_node_t *root;
} SquashReader;

/* Zero, or a code of libsquashfs. */
int squash_reader_open(SquashReader *s, const char *path);
void squash_reader_done(SquashReader *s);
#define _cleanup_squash_reader_ _cleanup_(squash_reader_done)

/* What stat(2) would say of it. Of st_nlink, st_ino, st_mode, st_uid, st_gid, st_rdev, st_size and st_mtime. */
void squash_reader_stat(const sqfs_tree_node_t *n, struct stat *ret);
/* With a NUL behind it; the caller's to free(). */
char *squash_reader_target(const sqfs_tree_node_t *n);

/* Calls back for each extended attribute, in the order of the file. Zero, or a code of libsquashfs. */
typedef void (*SquashXattr)(const char *name, const void *value, size_t size, void *userdata);
int squash_reader_xattrs(SquashReader *s, const sqfs_tree_node_t *n, SquashXattr callback, void *userdata);
