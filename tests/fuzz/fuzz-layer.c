/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdlib.h>
#include <string.h>

#include "image/merge.h"
#include "image/tree.h"

enum { ENTRIES_MAX = 500 };

#define SIZE_MAX_BYTES MIB(1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Mutations that do not fit the checksum would not get far. */
static void fix_checksums(uint8_t *p, size_t n) {
        for (; n >= 512; p += 512, n -= 512) {
                unsigned sum = 0;

                if (memcmp(p + 257, "ustar", 5) != 0)
                        continue;
                memset(p + 148, ' ', 8);
                for (size_t i = 0; i < 512; i++)
                        sum += p[i];
                for (size_t i = 0; i < 6; i++)
                        p[153 - i] = (uint8_t) ('0' + (sum >> (3 * i) & 7));
        }
}

/* What every tree must be, whatever made it. */
static void check(const TreeNode *dir, size_t size, unsigned depth) {
        const TreeNode *last = NULL;

        if (!S_ISDIR(dir->inode->mode) || depth > TREE_DEPTH_MAX)
                abort();
        for (const TreeNode *c = dir->children; c; last = c, c = c->next) {
                const TreeInode *i = c->inode;
                uint64_t end = 0;

                if (c->parent != dir || c->name_length == 0 || strlen(c->name) != c->name_length || strchr(c->name, '/') ||
                    strcmp(c->name, ".") == 0 || strcmp(c->name, "..") == 0 || (last && strcmp(last->name, c->name) >= 0))
                        abort();
                if (S_ISDIR(i->mode)) {
                        check(c, size, depth + 1);
                        continue;
                }
                if (i->n_links == 0 || c->children || i->size > SIZE_MAX_BYTES)
                        abort();
                for (uint32_t e = 0; e < i->n_extents; e++) {
                        const TreeExtent *x = i->extents + e;

                        if (x->logical < end || x->logical + x->size > i->size || x->position + x->size > size)
                                abort();
                        end = x->logical + x->size;
                }
                if (S_ISLNK(i->mode) && (!i->target || strlen(i->target) > TREE_PATH_MAX))
                        abort();
        }
}

/* The first two bytes say how many blocks are the lower of two layers. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(tree_freep) Tree *t = NULL;
        _cleanup_free_ uint8_t *copy = NULL;
        uint32_t n_inodes;
        char *error = NULL;
        size_t lower;

        if (size < 2)
                return 0;
        lower = MIN(((size_t) data[0] << 8 | data[1]) * 512, size - 2);
        copy = malloc(size);
        if (!copy)
                return 0;
        memcpy(copy, data + 2, size - 2);
        fix_checksums(copy, size - 2);
        if (tree_new(ENTRIES_MAX, &t) < 0)
                abort();
        if ((merge_layer(t, 0, copy, lower, SIZE_MAX_BYTES, &error) < 0 || merge_layer(t, 1, copy + lower, size - 2 - lower, SIZE_MAX_BYTES, &error) < 0) && !error)
                abort();
        if (tree_finish(t, &n_inodes) < 0 || n_inodes > ENTRIES_MAX + 1)
                abort();
        check(tree_root(t), size, 0);
        free(error);
        return 0;
}
