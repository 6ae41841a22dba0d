/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A writer of newc archives (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst) in memory, to be written
 * with one write(2). Reproducible: the order of the calls is the order in the archive, inodes are counted, owner, time and device are 0. */

#include <sys/stat.h>

#include "base/macros.h"
#include "base/str.h"

/* Errors are kept until cpio_finish(): -ENOMEM, -EINVAL for a name that is empty, absolute or has "." or ".." in it, -EFBIG for what newc's
 * 32 bits cannot say. */
typedef struct Cpio {
        StrBuf buf;
        unsigned n_entries;
        int error;
} Cpio;

/* Names are relative to the root of the archive; a directory is to be added before what is in it, since the kernel makes no parents. */
void cpio_add_directory(Cpio *c, const char *name, mode_t permissions);
void cpio_add_file(Cpio *c, const char *name, mode_t permissions, const void *data, size_t n);

/* A file whose n bytes the caller puts (all of them, before the next call) where the result points. NULL on error. */
void *cpio_reserve_file(Cpio *c, const char *name, mode_t permissions, size_t n);

/* Adds the trailer and takes the archive out; its size is a multiple of four, so that another one can follow it. */
int cpio_finish(Cpio *c, char **ret, size_t *ret_size);
void cpio_done(Cpio *c);
#define _cleanup_cpio_ _cleanup_(cpio_done)
