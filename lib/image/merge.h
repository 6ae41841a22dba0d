/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One layer's tar, uncompressed and in memory (mapped), laid over a tree. */

#include "image/tree.h"

/* `layer` is what the inodes' `layer` will be, from 0; size_max the largest file taken. -EBADMSG and -EFBIG with a sentence that names the entry. */
int merge_layer(Tree *t, unsigned layer, const void *data, size_t size, uint64_t size_max, char **ret_error);
