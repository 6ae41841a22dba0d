/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* An image file against a tree of files, entry by entry: type, mode, owner, time (whole seconds), extended attributes, targets of symlinks, device numbers,
 * content, and which names are one file. */

#include "base/str.h"

/* One line per difference is appended. *ret_n_entries: how many were compared. A negative errno where one side cannot be read. */
int image_compare(const char *image, const char *tree, StrBuf *differences, size_t *ret_n_entries);
