/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The root file system of a VM with RootBackend=lvm-thin, before each of its runs. */

#include "definition/definition.h"
#include "image/image.h"

/* Makes the image's volume where it is missing, and the VM's snapshot of it: anew, or, where it is kept, once; as large as RootSize=. The VM
 * does not run, and is locked.
 * -ENOSPC: the pool is, or would be, full. */
int root_volume_prepare(const Definition *d, const ImageConfig *image, char **ret_error);
