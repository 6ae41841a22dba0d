/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A layer's blob, read once: its digest checked, decompressed (gzip with any number of members, zstd with any number of frames, or not at
 * all: its first bytes say, and the same digest before and after), the digest of what comes out checked against the configuration's diff_id. */

#include "base/macros.h"

/* The uncompressed layer: an unnamed file, mapped. */
typedef struct LayerData {
        void *data;                     /* NULL where size is 0 */
        size_t size;
} LayerData;

void layer_data_done(LayerData *l);

/* Reads blob_fd from its start. scratch_dir_fd: where the unnamed file is made. size_max bounds the uncompressed bytes.
 * -EBADMSG: the blob is broken, or not the one that digest, size and diff_id promise; *ret_blob_is_wrong then says whether
 * it was the blob that differed from its own digest or size, so that fetching it again may help. -EFBIG: over size_max. */
int layer_unpack(int blob_fd, const char *digest, uint64_t size, const char *diff_id, uint64_t size_max, int scratch_dir_fd,
                LayerData *ret, bool *ret_blob_is_wrong, char **ret_error);
