/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The guest's mounts, by the file-descriptor based API (fsopen(2), Linux 5.2): no path of the image is ever followed to mount something.
 *
 *      /               overlay of the image (read-only) and the writable layer; both are reachable by no path. Or the layer itself, which has all of the image
 *      /proc /sys      and /sys/fs/cgroup, which the workload mounts from its own cgroup namespace (workload.c)
 *      /dev            devtmpfs, with pts, shm, mqueue, fd, stdin, stdout, stderr, core
 *      /tmp            tmpfs, unless the image has something there
 *      volumes         volumes.h
 *      /inferno        read-only, the programs of the host that were brought along, if any: that directory of their disk, whose top is mounted
 *                      entry by entry in the initramfs
 */

#include "init/failure.h"
#include "init/volumes.h"
#include "runspec/runspec.h"

typedef struct Mounts {
        int root_fd;                    /* the root directory's file system */
        int upper_fd;                   /* the writable layer's file system */
        Volumes volumes;
        bool programs;                  /* there are some in WIRE_PROGRAMS_DIR */
} Mounts;
#define MOUNTS_NULL { .root_fd = -EBADF, .upper_fd = -EBADF, .volumes = VOLUMES_NULL }

typedef struct MountOption {
        const char *key, *value;        /* value NULL: a flag */
} MountOption;

/* A mount that is nowhere yet. Options end with one without key; source and options may be NULL; attributes are MOUNT_ATTR_*. Returns its
 * descriptor; where the file system says why it cannot, that is in *failure. */
int mount_new(const char *fs_type, const char *source, const MountOption *options, unsigned attributes, Failure *failure);
/* Puts it onto an open directory. */
int mount_attach(int mount_fd, int dir_fd);

/* /dev of the initramfs, for the devices. Returns the mount. */
int mounts_open_dev(Failure *failure);
/* /proc and /sys of the initramfs, for programs in there. */
int mounts_open_kernel(Failure *failure);
/* Image and writable layer become the root directory of this process, with all that is above. dev_fd is moved there. */
int mounts_set_up(const RunSpec *spec, int dev_fd, Mounts *m, Failure *failure);
/* Has a mounted ext4 become as large as its device, which the host has made larger. Where that fails it stays as it was, and the kernel says why. */
void mount_grow_ext4(const char *device, int mount_fd);
/* Makes a mounted file system read-only, and so clean on its device. */
int mount_make_read_only(int mount_fd);
/* Writes everything back, makes the writable layer (unless it is dropped) clean, and closes the volumes, as volumes_close() wants it. */
int mounts_make_clean(Mounts *m, bool with_layer);
