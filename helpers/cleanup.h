/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What is taken away when a VM has ended, when its definition is gone, and from time to time. All of it goes on after a failure, logs each, and
 * returns the first; what is not there is fine. */

#include "base/macros.h"
#include "store/store.h"

/* Network, jail and files of the last run of a VM, after any kind of death. -EBUSY, with nothing touched: it runs. Where its definition is gone
 * it also forgets the VM, but for a writable layer that was to persist. */
int cleanup_stopped(const char *vm);

/* The same for an instance that is no VM's name: of that there is only what systemd has made. */
void cleanup_instance(const char *instance);

/* Forgets one VM, which has no definition any more and does not run (-EBUSY), with its writable layer. One that is not known is fine. */
int cleanup_forget(const char *vm);

/* Forgets all VMs without a definition that do not run: rows, versions, directories; writable layers that were to persist only with_layers. */
int cleanup_gone(bool with_layers);

/* Removes what nothing refers to any more: versions older than the newest `keep` of each VM, but for the current one, left beginnings of killed
 * helpers, initramfs files, trees of programs, templates. */
int cleanup_prune(unsigned keep);
