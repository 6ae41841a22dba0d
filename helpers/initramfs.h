/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* initramfs/<sha256>.cpio: the guest's init, its run.json, and programs that are brought along, named by the digest of what it is made from. */

#include "bundle/bundle.h"

enum { INITRAMFS_REUSED = 0, INITRAMFS_BUILT = 1 };

/* Makes the archive of LAYOUT_INIT, run_json and the items (NULL: none), whose targets are paths in the initramfs, where it is not there yet as a whole, and points vms/<vm>/initramfs to it. Returns one of the
 * above, and the path in *ret_path. -ENOENT: init is not installed. *ret_error is a sentence, NULL where memory is out. */
int initramfs_store(const char *vm, const char *run_json, size_t n_run_json, const BundleItem *items, char **ret_path, char **ret_error);
