/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Whoever works on a VM (its network, its initramfs, its versions, what it leaves) holds its lock. */

/* Takes it, waiting. Returns a descriptor; closing it unlocks. */
int vm_lock(const char *vm);
/* The same without waiting: -EBUSY. */
int vm_try_lock(const char *vm);
