/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>
#include <sys/random.h>

#include "base/str.h"
#include "image/error.h"
#include "image/tree.h"

enum {
        ARENA_BLOCK = 256 * 1024,
        BUCKETS_MIN = 1024,
        REST_MAX = 64 * 1024,           /* of a path while symlinks in it are being followed */
        STEPS_PER_ENTRY = 256,          /* components looked up and nodes looked at, on the average over all entries */
        BYTES_PER_STEP = 16,            /* of a path that is copied while symlinks in it are being followed */
};

#define MEMORY_BASE MIB(64)
#define MEMORY_PER_ENTRY UINT64_C(512)
/* libsquashfs keeps attributes twice more, so they have a limit of their own. */
#define XATTRS_BASE MIB(1)
#define XATTRS_PER_ENTRY UINT64_C(64)

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define WHITEOUT_AUFS ".wh..wh."

typedef struct ArenaBlock ArenaBlock;
struct ArenaBlock {
        ArenaBlock *next;
        size_t used, room;
        char data[] __attribute__((aligned(16)));
};

struct Tree {
        ArenaBlock *arena;
        uint64_t memory, memory_max;
        bool memory_over;               /* an allocation went beyond */
        uint64_t xattrs, xattrs_max;    /* bytes */
        uint64_t entries_max;
        uint64_t steps, steps_max;
        uint64_t hash_seed[2];          /* so that no image can bring names that all collide */
        TreeNode **buckets;
        size_t n_buckets, n_hashed;
        TreeNode *root;
        unsigned layer;
        TreeStats stats;
};

void *tree_alloc(Tree *t, size_t n) {
        ArenaBlock *b = t->arena;
        void *p;

        n = (n + 15) & ~(size_t) 15;
        if (!b || b->room - b->used < n) {
                size_t room = MAX((size_t) ARENA_BLOCK, n);

                if (t->memory + room > t->memory_max) {
                        t->memory_over = true;
                        return NULL;
                }
                b = calloc(1, sizeof(*b) + room);
                if (!b)
                        return NULL;
                b->room = room;
                t->memory += room;
                /* A block made for one large thing goes behind the one that still has room. */
                if (t->arena && n > ARENA_BLOCK / 4) {
                        b->next = t->arena->next;
                        t->arena->next = b;
                } else {
                        b->next = t->arena;
                        t->arena = b;
                }
        }
        p = b->data + b->used;
        b->used += n;
        return p;
}

char *tree_strndup(Tree *t, const void *s, size_t n) {
        char *p = tree_alloc(t, n + 1);

        if (p && n > 0)
                memcpy(p, s, n);
        return p;
}

int tree_no_memory(Tree *t, char **ret_error) {
        if (t->memory_over)
                return image_error(ret_error, -EFBIG,
                                "the names, targets and attributes of the image take more than %" PRIu64
                                " MiB (ImageEntriesMax= bounds them)",
                                t->memory_max / MIB(1));
        return -ENOMEM;
}

int tree_add_xattr(Tree *t, TreeInode *inode, const char *name, const void *value, size_t size, char **ret_error) {
        TreeXattr *x;

        t->xattrs += strlen(name) + size;
        if (t->xattrs > t->xattrs_max)
                return image_error(ret_error, -EFBIG,
                                "the extended attributes of the image take more than %" PRIu64 " MiB (ImageEntriesMax= bounds them)",
                                t->xattrs_max / MIB(1));
        for (x = inode->xattrs; x && !streq(x->name, name); x = x->next)
                ;
        if (!x) {
                x = tree_alloc(t, sizeof(TreeXattr));
                if (!x)
                        return tree_no_memory(t, ret_error);
                x->name = tree_strndup(t, name, strlen(name));
                if (!x->name)
                        return tree_no_memory(t, ret_error);
                x->next = inode->xattrs;
                inode->xattrs = x;
        }
        x->value = tree_strndup(t, value, size);        /* the last of a name counts */
        if (!x->value)
                return tree_no_memory(t, ret_error);
        x->size = size;
        return 0;
}

static TreeNode *new_node(Tree *t, const char *name, size_t n) {
        TreeNode *node = tree_alloc(t, sizeof(TreeNode) + n + 1);

        if (node) {
                memcpy(node->name, name, n);
                node->name_length = (uint16_t) n;
        }
        return node;
}

static TreeInode *new_directory_inode(Tree *t) {
        TreeInode *i = tree_alloc(t, sizeof(TreeInode));

        if (i)
                i->mode = S_IFDIR | 0755;
        return i;
}

int tree_new(uint64_t entries_max, Tree **ret) {
        _cleanup_(tree_freep) Tree *t = calloc(1, sizeof(Tree));

        if (!t)
                return -ENOMEM;
        entries_max = MIN(entries_max, (uint64_t) UINT32_MAX / 2);
        t->entries_max = entries_max;
        t->memory_max = MEMORY_BASE + entries_max * MEMORY_PER_ENTRY;
        t->xattrs_max = XATTRS_BASE + entries_max * XATTRS_PER_ENTRY;
        t->steps_max = (entries_max + 4096) * STEPS_PER_ENTRY;
        if (getrandom(t->hash_seed, sizeof(t->hash_seed), 0) != sizeof(t->hash_seed))
                return negative_errno();
        t->n_buckets = BUCKETS_MIN;
        t->buckets = calloc(t->n_buckets, sizeof(TreeNode *));
        t->root = new_node(t, "", 0);
        if (!t->buckets || !t->root)
                return -ENOMEM;
        t->root->inode = new_directory_inode(t);
        if (!t->root->inode)
                return -ENOMEM;
        *ret = TAKE_PTR(t);
        return 0;
}

Tree *tree_free(Tree *t) {
        if (!t)
                return NULL;
        while (t->arena) {
                ArenaBlock *b = t->arena;

                t->arena = b->next;
                free(b);
        }
        free(t->buckets);
        free(t);
        return NULL;
}

TreeNode *tree_root(Tree *t) {
        return t->root;
}

TreeStats *tree_stats(Tree *t) {
        return &t->stats;
}

void tree_begin_layer(Tree *t) {
        t->layer++;
}

static uint64_t mix(uint64_t a, uint64_t b) {
        unsigned __int128 x = (unsigned __int128) a * b;

        return (uint64_t) x ^ (uint64_t) (x >> 64);
}

static size_t bucket_of(const Tree *t, const TreeNode *parent, const char *name, size_t n) {
        uint64_t h = mix((uint64_t) (uintptr_t) parent ^ t->hash_seed[0], t->hash_seed[1] | 1);

        while (n > 0) {
                uint64_t word = 0;
                size_t k = MIN(n, sizeof(word));

                memcpy(&word, name, k);
                h = mix(h ^ word ^ t->hash_seed[0], (t->hash_seed[1] | 1) + k);
                name += k;
                n -= k;
        }
        return h & (t->n_buckets - 1);
}

static TreeNode *find_child(Tree *t, const TreeNode *parent, const char *name, size_t n) {
        for (TreeNode *c = t->buckets[bucket_of(t, parent, name, n)]; c; c = c->hash_next)
                if (c->parent == parent && c->name_length == n && memcmp(c->name, name, n) == 0)
                        return c;
        return NULL;
}

static int grow_buckets(Tree *t) {
        size_t n_old = t->n_buckets;
        TreeNode **old = t->buckets, **new = calloc(n_old * 2, sizeof(TreeNode *));

        if (!new)
                return -ENOMEM;
        t->buckets = new;
        t->n_buckets = n_old * 2;
        for (size_t i = 0; i < n_old; i++)
                while (old[i]) {
                        TreeNode *n = old[i];
                        TreeNode **b = new + bucket_of(t, n->parent, n->name, n->name_length);

                        old[i] = n->hash_next;
                        n->hash_next = *b;
                        *b = n;
                }
        free(old);
        return 0;
}

static int add_child(Tree *t, TreeNode *parent, const char *name, size_t n, TreeNode **ret, char **ret_error) {
        TreeNode *node, **b;
        int r;

        if (parent->depth >= TREE_DEPTH_MAX)
                return image_error(ret_error, -EFBIG, "deeper than %d directories", TREE_DEPTH_MAX);
        if (t->n_hashed >= t->n_buckets) {
                r = grow_buckets(t);
                if (r < 0)
                        return r;
        }
        node = new_node(t, name, n);
        if (!node)
                return tree_no_memory(t, ret_error);
        node->parent = parent;
        node->depth = (uint16_t) (parent->depth + 1);
        node->next = parent->children;
        if (node->next)
                node->next->previous = node;
        parent->children = node;
        b = t->buckets + bucket_of(t, parent, name, n);
        node->hash_next = *b;
        *b = node;
        t->n_hashed++;
        *ret = node;
        return 0;
}

static void unhash(Tree *t, TreeNode *node) {
        TreeNode **p = t->buckets + bucket_of(t, node->parent, node->name, node->name_length);

        while (*p != node)
                p = &(*p)->hash_next;
        *p = node->hash_next;
        t->n_hashed--;
}

/* Takes the children of a directory out of the tree, all the way down. Depth is bounded by TREE_DEPTH_MAX. */
static void remove_children(Tree *t, TreeNode *node) {
        for (TreeNode *c = node->children; c; c = c->next) {
                remove_children(t, c);
                unhash(t, c);
        }
        node->children = NULL;
}

static void remove_node(Tree *t, TreeNode *node) {
        remove_children(t, node);
        unhash(t, node);
        if (node->previous)
                node->previous->next = node->next;
        else
                node->parent->children = node->next;
        if (node->next)
                node->next->previous = node->previous;
}

static int count_entry(Tree *t, char **ret_error) {
        if (++t->stats.n_entries > t->entries_max)
                return image_error(ret_error, -EFBIG,
                                "the image has more than %" PRIu64 " entries (ImageEntriesMax=)",
                                t->entries_max);
        return 0;
}

/* An image bounds its entries, not how long it takes to place one: whatever is not proportional to the size of a layer goes by here. */
static int take_steps(Tree *t, uint64_t n, char **ret_error) {
        t->steps += n;
        if (t->steps > t->steps_max)
                return image_error(ret_error, -EFBIG,
                                "the paths, symlinks and whiteouts of the image take too many steps to follow "
                                "(ImageEntriesMax= bounds them)");
        return 0;
}

static void touch(Tree *t, TreeNode *node) {
        /* A touched node's ancestors are touched. */
        for (; node && node->touched != t->layer; node = node->parent)
                node->touched = t->layer;
}

typedef enum WalkFlags {
        WALK_MAKE = 1 << 0,     /* missing directories are made */
} WalkFlags;

enum { WALK_MISSING = 1 };

/* Follows a path from the root as a process in a chroot would: symlinks lead no further than the root. The result is a directory.
 * WALK_MISSING: without WALK_MAKE, there is none. */
static int walk(Tree *t, const char *path, size_t n, WalkFlags flags, TreeNode **ret, char **ret_error) {
        _cleanup_free_ char *rest = NULL;
        TreeNode *at = t->root;
        unsigned n_links = 0;
        int r;

        for (;;) {
                TreeNode *child;
                size_t k;

                while (n > 0 && *path == '/') {
                        path++;
                        n--;
                }
                if (n == 0)
                        break;
                r = take_steps(t, 1, ret_error);
                if (r < 0)
                        return r;
                for (k = 0; k < n && path[k] != '/'; k++)
                        ;
                if (k == 1 && path[0] == '.')
                        child = at;
                else if (k == 2 && path[0] == '.' && path[1] == '.')
                        child = at->parent ?: at;
                else
                        child = find_child(t, at, path, k);
                if (!child) {
                        if (!(flags & WALK_MAKE))
                                return WALK_MISSING;
                        if (k > TREE_NAME_MAX)
                                return image_error(ret_error, -EBADMSG,
                                                "leads through a name of more than %d bytes", TREE_NAME_MAX);
                        r = count_entry(t, ret_error);
                        if (r < 0)
                                return r;
                        r = add_child(t, at, path, k, &child, ret_error);
                        if (r < 0)
                                return r;
                        child->inode = new_directory_inode(t);
                        if (!child->inode) {
                                remove_node(t, child);
                                return tree_no_memory(t, ret_error);
                        }
                        child->defined = t->layer;
                        touch(t, child);
                }
                path += k;
                n -= k;

                if (S_ISLNK(child->inode->mode)) {
                        char *longer;
                        int m;

                        if (++n_links > TREE_LINKS_MAX)
                                return image_error(ret_error, -EBADMSG,
                                                "leads through more than %d symlinks", TREE_LINKS_MAX);
                        if (n + strlen(child->inode->target) + 1 > REST_MAX)
                                return image_error(ret_error, -EBADMSG,
                                                "leads through symlinks to a path of more than %d bytes",
                                                REST_MAX);
                        m = asprintf(&longer, "%s/%.*s", child->inode->target, (int) n, path);
                        if (m < 0)
                                return -ENOMEM;
                        r = take_steps(t, (uint64_t) m / BYTES_PER_STEP, ret_error);
                        if (r < 0) {
                                free(longer);
                                return r;
                        }
                        free(rest);
                        rest = longer;
                        path = rest;
                        n = (size_t) m;
                        if (*path == '/')
                                at = t->root;
                } else if (S_ISDIR(child->inode->mode))
                        at = child;
                else {
                        char q[IMAGE_QUOTE_MAX];

                        if (!(flags & WALK_MAKE))
                                return WALK_MISSING;
                        return image_error(ret_error, -EBADMSG,
                                        "leads through \"%s\", which is no directory",
                                        image_quote(child->name, q));
                }
        }
        *ret = at;
        return 0;
}

enum { SPLIT_SKIP = 1 };

/* The bookkeeping of aufs in the top directory: every name with this prefix but the one that image-spec has taken from it. */
static bool is_of_aufs(const char *name, size_t n) {
        return n >= strlen(WHITEOUT_AUFS) && memcmp(name, WHITEOUT_AUFS, strlen(WHITEOUT_AUFS)) == 0 &&
               !(n == strlen(WHITEOUT_OPAQUE) && memcmp(name, WHITEOUT_OPAQUE, n) == 0);
}

/* Checks a path of an entry and finds its last component: path[0 … *ret_parent) is what stands before. The root has no last component.
 * SPLIT_SKIP: bookkeeping of aufs, which is no part of the image. */
static int split(const char *path, size_t *ret_parent, const char **ret_name, size_t *ret_n, char **ret_error) {
        const char *name = path;
        size_t n = 0, n_components = 0;

        if (*path == 0)
                return image_error(ret_error, -EBADMSG, "has no name");
        if (strlen(path) > TREE_PATH_MAX)
                return image_error(ret_error, -EFBIG, "longer than %d bytes", TREE_PATH_MAX);
        for (const char *p = path; *p;) {
                size_t k = strcspn(p, "/");

                if (k == 2 && p[0] == '.' && p[1] == '.')
                        return image_error(ret_error, -EBADMSG, "has a component \"..\"");
                if (k > TREE_NAME_MAX)
                        return image_error(ret_error, -EBADMSG, "has a component of more than %d bytes", TREE_NAME_MAX);
                if (k > 0 && !(k == 1 && p[0] == '.')) {
                        if (n_components == 1 && is_of_aufs(name, n))
                                return SPLIT_SKIP;
                        if (n > 0 && strncmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
                                return image_error(ret_error, -EBADMSG, "stands below a whiteout");
                        name = p;
                        n = k;
                        n_components++;
                }
                p += k + strspn(p + k, "/");
        }
        if (n_components == 1 && is_of_aufs(name, n))
                return SPLIT_SKIP;
        *ret_parent = (size_t) (name - path);
        *ret_name = name;
        *ret_n = n;
        return 0;
}

/* Hides what lower layers have at and below `node`; what the layer itself has brought stays, so that it does not matter whether a
 * marker stands before or behind it. */
static int hide_lower(Tree *t, TreeNode *node, bool keep_itself, char **ret_error) {
        int r;

        r = take_steps(t, 1, ret_error);
        if (r < 0)
                return r;
        if (!keep_itself && node->touched != t->layer) {
                remove_node(t, node);
                return 0;
        }
        for (TreeNode *c = node->children, *next; c; c = next) {
                next = c->next;
                r = hide_lower(t, c, false, ret_error);
                if (r < 0)
                        return r;
        }
        if (!keep_itself && node->defined != t->layer) {
                /* Here only because of something of this layer below it: with the lower one gone it is a parent that was missing. */
                node->inode = new_directory_inode(t);
                if (!node->inode)
                        return tree_no_memory(t, ret_error);
                node->defined = t->layer;
        }
        return 0;
}

static int whiteout(Tree *t, const char *path, size_t parent_n, const char *name, size_t n, char **ret_error) {
        bool opaque = n == strlen(WHITEOUT_OPAQUE) && memcmp(name, WHITEOUT_OPAQUE, n) == 0;
        TreeNode *parent, *node;
        int r;

        name += strlen(WHITEOUT_PREFIX);
        n -= strlen(WHITEOUT_PREFIX);
        if (n == 0)
                return image_error(ret_error, -EBADMSG, "a whiteout without a name");
        if ((n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.'))
                return image_error(ret_error, -EBADMSG, "a whiteout of \".\" or \"..\"");
        r = walk(t, path, parent_n, 0, &parent, ret_error);
        if (r != 0)
                return r < 0 ? r : 0;
        if (opaque)
                return hide_lower(t, parent, true, ret_error);
        node = find_child(t, parent, name, n);
        return node ? hide_lower(t, node, false, ret_error) : 0;
}

/* Puts the inode at the place, whatever stood there; a directory over a directory keeps the children. */
static int put(Tree *t, const char *path, size_t parent_n, const char *name, size_t n, TreeInode *inode, char **ret_error) {
        TreeNode *parent, *node;
        int r;

        if (n == 0) {
                if (!S_ISDIR(inode->mode))
                        return image_error(ret_error, -EBADMSG,
                                        "would make the root of the image something else than a directory");
                node = t->root;
        } else {
                r = walk(t, path, parent_n, WALK_MAKE, &parent, ret_error);
                if (r < 0)
                        return r;
                node = find_child(t, parent, name, n);
                if (!node) {
                        r = add_child(t, parent, name, n, &node, ret_error);
                        if (r < 0)
                                return r;
                } else if (!S_ISDIR(inode->mode))
                        remove_children(t, node);
        }
        node->inode = inode;
        node->defined = t->layer;
        touch(t, node);
        return 0;
}

int tree_add(Tree *t, const char *path, TreeInode *inode, char **ret_error) {
        size_t parent_n, n;
        const char *name;
        int r;

        r = count_entry(t, ret_error);
        if (r < 0)
                return r;
        r = split(path, &parent_n, &name, &n, ret_error);
        if (r != 0)
                return r < 0 ? r : 0;
        if (n >= strlen(WHITEOUT_PREFIX) && memcmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
                return whiteout(t, path, parent_n, name, n, ret_error);
        return put(t, path, parent_n, name, n, inode, ret_error);
}

int tree_add_link(Tree *t, const char *path, const char *target, char **ret_error) {
        size_t parent_n, n, target_parent_n, target_n;
        const char *name, *target_name;
        TreeNode *parent, *node = NULL;
        char q[IMAGE_QUOTE_MAX];
        int r;

        r = count_entry(t, ret_error);
        if (r < 0)
                return r;
        r = split(path, &parent_n, &name, &n, ret_error);
        if (r != 0)
                return r < 0 ? r : 0;
        if (n >= strlen(WHITEOUT_PREFIX) && memcmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
                return whiteout(t, path, parent_n, name, n, ret_error);

        r = split(target, &target_parent_n, &target_name, &target_n, ret_error);
        if (r < 0)
                return image_error_prefix(ret_error, r, "the target \"%s\" of the hard link", image_quote(target, q));
        if (r == 0) {
                /* As link(2) does, the last component is taken as it is, be it a symlink. */
                r = walk(t, target, target_parent_n, 0, &parent, ret_error);
                if (r < 0)
                        return image_error_prefix(ret_error, r, "the target \"%s\" of the hard link",
                                        image_quote(target, q));
                if (r == 0)
                        node = target_n == 0 ? t->root : find_child(t, parent, target_name, target_n);
        }
        if (!node)
                return image_error(ret_error, -EBADMSG, "a hard link to \"%s\", which does not exist",
                                image_quote(target, q));
        if (S_ISDIR(node->inode->mode))
                return image_error(ret_error, -EBADMSG, "a hard link to the directory \"%s\"", image_quote(target, q));
        return put(t, path, parent_n, name, n, node->inode, ret_error);
}

static int compare_nodes(const void *a, const void *b) {
        const TreeNode *x = *(TreeNode *const *) a, *y = *(TreeNode *const *) b;
        int r = memcmp(x->name, y->name, MIN(x->name_length, y->name_length));

        return r != 0 ? r : (int) x->name_length - (int) y->name_length;
}

/* Room for sorting is taken once, for the largest directory so far. */
static int sort_children(TreeNode *dir, TreeNode ***array, size_t *room) {
        size_t n = 0;

        for (TreeNode *c = dir->children; c; c = c->next) {
                if (n == *room) {
                        size_t more = MAX(*room * 2, (size_t) 64);
                        TreeNode **p = reallocarray(*array, more, sizeof(TreeNode *));

                        if (!p)
                                return -ENOMEM;
                        *array = p;
                        *room = more;
                }
                (*array)[n++] = c;
        }
        if (n < 2)
                return 0;
        qsort(*array, n, sizeof(TreeNode *), compare_nodes);
        for (size_t i = 0; i < n; i++) {
                (*array)[i]->previous = i > 0 ? (*array)[i - 1] : NULL;
                (*array)[i]->next = i + 1 < n ? (*array)[i + 1] : NULL;
        }
        dir->children = (*array)[0];
        return 0;
}

static int finish_directory(TreeNode *dir, TreeNode ***array, size_t *room, uint32_t *n_inodes) {
        int r;

        r = sort_children(dir, array, room);
        if (r < 0)
                return r;
        dir->inode->n_links++;
        dir->inode->number = ++*n_inodes;
        for (TreeNode *c = dir->children; c; c = c->next) {
                if (S_ISDIR(c->inode->mode)) {
                        dir->inode->n_subdirs++;
                        r = finish_directory(c, array, room, n_inodes);
                        if (r < 0)
                                return r;
                } else {
                        if (c->inode->n_links++ == 0)
                                c->inode->number = ++*n_inodes;
                }
        }
        return 0;
}

int tree_finish(Tree *t, uint32_t *ret_n_inodes) {
        _cleanup_free_ TreeNode **array = NULL;
        uint32_t n_inodes = 0;
        size_t room = 0;
        int r;

        r = finish_directory(t->root, &array, &room, &n_inodes);
        if (r < 0)
                return r;
        *ret_n_inodes = n_inodes;
        return 0;
}
