/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* ext4 in files that guests will mount, made by this machine's mke2fs(8) for the guest's kernel. */

#include <sys/stat.h>

#include "base/macros.h"

typedef enum Ext4Kind {
        EXT4_EPHEMERAL,                 /* a writable layer that lives for one run */
        EXT4_KEPT,                      /* one that is kept */
        EXT4_VOLUME,
} Ext4Kind;

/* The tool, whatever tree is worked on; NULL: there is none. */
const char *ext4_find_mkfs(struct stat *ret_stat);
/* As mke2fs -O takes them. */
const char *ext4_features(Ext4Kind kind);
/* Makes a file system in a file, as large as that is. What mke2fs had to say against it goes into the error. */
int ext4_make(const char *mkfs, const char *path, Ext4Kind kind, char **ret_error);
