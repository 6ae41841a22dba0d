/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The writable layer of a VM: an ext4 image file, /dev/vdb of the guest. Made by mkfs.ext4(8) once per size, cloned for each VM, and once a
 * guest has written to it never looked into on the host. */

#include <sys/types.h>

#include "base/macros.h"

typedef struct UpperSpec {
        const char *vm;
        bool persistent;                /* kept in layout_vm_upper(), otherwise fresh at each start */
        uint64_t size;                  /* bytes; rounded up to whole MiB */
        uid_t uid;                      /* who may write to it */
        gid_t gid;
} UpperSpec;

/* Puts it into the jail as JAIL_UPPER, where nothing of that name may be. A kept one grows with `size`; -EOVERFLOW where it is larger than that.
 * -ENOPKG: no mkfs.ext4. *ret_error is a sentence for people. Holder of the VM's lock only. */
int upper_prepare(const UpperSpec *spec, int root_fd, char **ret_error);

/* Removes all that keeps a writable layer of this VM. */
int upper_remove(const char *vm);

/* Removes the templates that the present mkfs.ext4 would not make, and those of none of these sizes. */
int upper_prune_templates(const uint64_t *sizes, size_t n_sizes);
