/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Data volumes in the guest: mounted while nothing of the image runs, made clean when nothing of it runs any more. */

#include "init/failure.h"
#include "runspec/runspec.h"

typedef struct OpenVolume {
        const RunVolume *volume;
        int mount_fd;                   /* -EBADF: it is not mounted */
        bool mapped;                    /* in /dev/mapper, under its name */
} OpenVolume;

typedef struct Volumes {
        OpenVolume *all;
        size_t n;
        int mapper_fd;
} Volumes;
#define VOLUMES_NULL { .mapper_fd = -EBADF }

/* Mounts the file systems of all volumes, nowhere yet. While the initramfs is the root directory. What was opened is in *v whether or not it fails. */
int volumes_open(const RunSpec *spec, Volumes *v, Failure *failure);
/* Puts them where they belong below the image's root; directories that are missing are made. */
int volumes_attach(const Volumes *v, int root_fd, Failure *failure);
/* Writes all of them back, unmounts and closes them; says on the console which one cannot be and why. For a process of its own: nobody else may have
 * the mounts open (volumes_forget()), no process of the image may be left, and its working directory changes. */
int volumes_close(Volumes *v);
/* Drops the mounts' descriptors, which another process has. */
void volumes_forget(Volumes *v);
