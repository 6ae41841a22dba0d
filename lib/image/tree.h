/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The file system of an image in memory, without the content of its files: what remains when its layers have been applied one over the
 * other by image-spec's layer.md. Nothing here is a path of the host. */

#include <sys/stat.h>

#include "base/macros.h"

enum {
        TREE_NAME_MAX = 255,            /* of one component; squashfs and Linux have the same limit */
        TREE_PATH_MAX = 4095,           /* of an entry, and of a symlink's target */
        TREE_DEPTH_MAX = 2048,
        TREE_LINKS_MAX = 40,            /* symlinks followed for one path, as Linux has it */
};

typedef struct TreeXattr TreeXattr;
typedef struct TreeExtent TreeExtent;
typedef struct TreeInode TreeInode;
typedef struct TreeNode TreeNode;
typedef struct Tree Tree;

struct TreeXattr {
        TreeXattr *next;
        const char *name;
        const void *value;
        size_t size;
};

/* `size` bytes of a file at `logical` stand at `position` of the uncompressed layer. Between extents, and behind them, are holes. */
struct TreeExtent {
        uint64_t logical, position, size;
};

/* Owned by the tree, and never freed before it. */
struct TreeInode {
        uint32_t mode;                  /* type and permissions, as in st_mode */
        uint32_t uid, gid;
        uint32_t rdev_major, rdev_minor;
        int64_t mtime;                  /* seconds */
        uint64_t size;                  /* regular files: bytes */
        TreeXattr *xattrs;
        const char *target;             /* symlinks */

        unsigned layer;                 /* regular files: which layer the extents are of, 0 the lowest */
        uint32_t n_extents;
        TreeExtent *extents;            /* ascending, not overlapping */

        /* For who writes the tree down; zero before. */
        uint32_t number, n_links, n_subdirs, xattr_index;
        uint64_t reference;
        void *data;
        TreeInode *copy_of;             /* regular files: this one has the same content */
};

struct TreeNode {
        TreeNode *parent;               /* NULL: the root */
        TreeNode *children, *previous, *next;
        TreeNode *hash_next;
        TreeInode *inode;               /* shared among hard links */
        unsigned touched;               /* number of the last layer with an entry here or below, from 1 */
        unsigned defined;               /* number of the last layer with an entry for this very path */
        uint16_t depth;
        uint16_t name_length;
        char name[];                    /* with NUL */
};

typedef struct TreeStats {
        uint64_t n_entries;             /* entries of all layers, and directories made because they were missing */
        uint64_t n_dropped_xattrs;      /* of namespaces that squashfs does not have */
} TreeStats;

/* entries_max bounds n_entries, and with it memory and time. */
int tree_new(uint64_t entries_max, Tree **ret);
Tree *tree_free(Tree *t);
DEFINE_TRIVIAL_CLEANUP_FUNC(Tree *, tree_free)

TreeNode *tree_root(Tree *t);
TreeStats *tree_stats(Tree *t);
/* Memory that lives as long as the tree, zeroed. NULL: no memory, or more than the tree may take; tree_no_memory() says which. */
void *tree_alloc(Tree *t, size_t n);
/* The same, of `n` bytes with a NUL behind them. */
char *tree_strndup(Tree *t, const void *s, size_t n);
/* After NULL: -ENOMEM, or -EFBIG with a sentence. */
int tree_no_memory(Tree *t, char **ret_error);
/* An attribute of an inode that is not in the tree yet; one of the same name is replaced. */
int tree_add_xattr(Tree *t, TreeInode *inode, const char *name, const void *value, size_t size, char **ret_error);

/* What follows belongs to a new layer, above those before. */
void tree_begin_layer(Tree *t);

/* An entry of the layer, as its tar names it; the inode is the tree's. A whiteout marker (of any type) hides what lower layers have.
 * -EBADMSG: refused, and why; -EFBIG: over a limit. The sentence does not name the entry: the caller does. */
int tree_add(Tree *t, const char *path, TreeInode *inode, char **ret_error);
/* A hard link to what stands at `target` by now. */
int tree_add_link(Tree *t, const char *path, const char *target, char **ret_error);

/* Sorts the children of all directories by their bytes, numbers the inodes from 1 in the order of a walk, parents first, and counts links. */
int tree_finish(Tree *t, uint32_t *ret_n_inodes);
