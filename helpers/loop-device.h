/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A file as a block device: loop(4). */

#include "base/macros.h"

/* The device that a file has already, or a new one: "/dev/loop0". `path` is absolute and has no symlinks. */
int loop_device_attach(const char *path, char **ret);
/* The one that it has; -ENOENT. */
int loop_device_find(const char *path, char **ret);
/* Takes it from the file, as soon as nobody uses it any more. */
int loop_device_detach(const char *device);
