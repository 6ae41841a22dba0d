/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Copies of files between guests and this host: a tar stream (base/tar-files.h) over a session of guest-exec.h, one end of which is packed or unpacked here, by a process
 * of its own, or comes from somebody's tar(1). */

#include "base/macros.h"

typedef struct CopySide {
        const char *vm;                 /* NULL: this host */
        const char *path;               /* of this host NULL: the tar stream of our standard input or output */
} CopySide;

typedef struct GuestCopy {
        CopySide from, to;              /* at least one of them in a guest; not both streams */
        bool archive;                   /* owners and set-id bits are kept, instead of: the guest's workload's or `user`'s, or ours */
        bool follow;                    /* a symlink that from.path itself is */
        const char *user;
        uint64_t timeout_usec;          /* for a guest to begin, and to go on */
} GuestCopy;

/* Copies. Returns 0, EXIT_FAILED or 128 + n, where signal n has ended it; what has gone wrong is logged. */
int guest_copy(const GuestCopy *c);
