/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* That a VM was rolled back: the version which it starts with instead of what its definition wants, as long as its definition is the one that it was
 * then. One small file, vms/<vm>/pin, which appears and goes at once. */

#include "base/macros.h"
#include "base/ulid.h"

/* Holder of vm_lock(). `files` are those of the definition, whose content counts: Definition.files. */
int version_pin_set(const char *vm, const char *ulid, char *const *files);
/* Absent is fine. Holder of vm_lock(). */
int version_pin_clear(const char *vm);

/* 1: there is one, and it holds for a definition of these files. 0: there is one, for another definition. -ENOENT: there is none; -EBADMSG: the file is none. */
int version_pin_get(const char *vm, char *const *files, char ret_ulid[static ULID_STRING_SIZE]);
