/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* initramfs/<sha256>.cpio: the guest's init and its run.json, named by the digest of what it is made from; and the disk with the programs that are
 * brought along (programs.h). */

#include "bundle/bundle.h"

enum { INITRAMFS_REUSED = 0, INITRAMFS_BUILT = 1 };

/* Makes the archive of LAYOUT_INIT and run_json, and the disk of the items (NULL: none), whose targets are paths in the guest's initramfs, where they
 * are not there yet as a whole, and points vms/<vm>/initramfs and vms/<vm>/programs to them. Returns one of the above for the archive, and its path in
 * *ret_path. -ENOENT: init is not installed. *ret_error is a sentence, NULL where memory is out. */
int initramfs_store(const char *vm, const char *run_json, size_t n_run_json, const BundleItem *items, char **ret_path, char **ret_error);
