/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the search for files (bundle.c) leaves for the cache of trees (bundle-cache.c). */

#include "bundle/bundle.h"

typedef enum InputType {
        INPUT_FILE = 'f',               /* size, mtime, inode */
        INPUT_LINK = 'l',               /* mtime, inode of the symlink itself */
        INPUT_DIRECTORY = 'd',          /* mtime, inode: what is in it has been listed */
        INPUT_ABSENT = 'a',             /* was looked for and not there */
} InputType;

/* Something of the host that the result depends on, as it was before it was read. */
typedef struct BundleInput {
        InputType type;
        char *path;
        uint64_t size, mtime_nsec, inode;
} BundleInput;

struct Bundle {
        int root_fd;
        BundleEntry *entries;
        size_t n_entries;
        BundleInput *inputs;
        size_t n_inputs;

        char **config_dirs;             /* of ld.so.conf; NULL: not read yet */
};

/* The tree of the host that names are resolved in, which layout_root() names. */
int bundle_open_root(void);
/* Opens a path of the host below it, following symlinks as if it were "/". */
int bundle_open_in_root(int root_fd, const char *path, int flags);
/* Sets the fields of `input` from what is at its path now; 1, or 0 where the type is another than asked for. */
int bundle_stat_input(int root_fd, InputType type, const char *path, BundleInput *ret);
void bundle_inputs_free(BundleInput *inputs, size_t n);
