/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Data volumes in the guest: mounted while nothing of the image runs, made clean when nothing of it runs any more. */

#include "init/failure.h"
#include "runspec/runspec.h"

typedef struct Volumes {
        int *mount_fds;                 /* of the file systems that are to be made clean */
        size_t n;
} Volumes;

/* Mounts the file systems of all volumes, nowhere yet. While the initramfs is the root directory. */
int volumes_open(const RunSpec *spec, Volumes *v, Failure *failure);
/* Puts them where they belong below the image's root; directories that are missing are made. */
int volumes_attach(const RunSpec *spec, const Volumes *v, int root_fd, Failure *failure);
/* Writes all of them back and makes them read-only. No process may have files open. */
int volumes_make_clean(const Volumes *v);
