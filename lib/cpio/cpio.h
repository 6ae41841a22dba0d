/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A writer of newc archives (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst) in pieces for one writev(2). Reproducible:
 * the order of the calls is the order in the archive, inodes are counted, owner, time and device are 0. */

#include <sys/stat.h>
#include <sys/uio.h>

#include "base/macros.h"
#include "base/str.h"

/* The last bytes of every archive. */
#define CPIO_END "TRAILER!!!\0\0\0\0"

/* Errors are kept until cpio_finish(): -ENOMEM, -EINVAL for a name that is empty, absolute or has "." or ".." in it, -EFBIG for what newc's
 * 32 bits cannot say. */
typedef struct Cpio {
        StrBuf buf;                     /* headers, padding */
        struct iovec *pieces;           /* content, and (base NULL) lengths of what comes from buf */
        size_t n_pieces;
        size_t n_buf;                   /* of buf that is in pieces already */
        size_t size;
        unsigned n_entries;
        int error;
} Cpio;

/* Names are relative to the root of the archive; a directory is to be added before what is in it, since the kernel makes no parents. */
void cpio_add_directory(Cpio *c, const char *name, mode_t permissions);
/* The content is borrowed: it must stay until the archive is written. */
void cpio_add_file(Cpio *c, const char *name, mode_t permissions, const void *data, size_t n);

/* Adds the trailer. The pieces are c's, and the caller's to change; their sum, *ret_size, is a multiple of four, so that another archive can follow. */
int cpio_finish(Cpio *c, struct iovec **ret_pieces, size_t *ret_n, size_t *ret_size);
void cpio_done(Cpio *c);
#define _cleanup_cpio_ _cleanup_(cpio_done)
