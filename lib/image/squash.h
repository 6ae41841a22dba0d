/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A tree and the content of its files as a squashfs image (LZ4, extended attributes, export table): the same tree gives the same bytes. */

#include "image/layer.h"
#include "image/tree.h"

enum { SQUASH_ALIGN = 4096 };

/* Writes the image to fd, an empty file. layers[i] is what inodes of layer i point into. size_max bounds the sum of all files.
 * -EFBIG over it, or over a limit of the format. */
int squash_write(Tree *t, const LayerData *layers, size_t n_layers, uint64_t size_max, int fd,
                uint64_t *ret_size, char **ret_error);

/* The time of an image file that nobody has written to since it was sealed: whoever does, sets another. */
enum { SQUASH_MTIME_SEC = 1 };

/* Makes a written image what it is to stay: read-only, of that time, on the disk. Its name comes after that. */
int squash_seal(int fd);

/* Whether the file looks like a whole image of `size` bytes as it was sealed: what a power cut emptied or cut off does not, nor does one
 * that was written to. -EUCLEAN: it does not. */
int squash_check(int fd, uint64_t size);
