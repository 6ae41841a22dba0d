/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Programs that the host has brought along for volumes. While the initramfs is the root directory. */

#include "base/macros.h"

enum { PROGRAM_PATH_MAX = 64, PROGRAM_SAID_MAX = 400 };

/* The bundled one, or else one in /usr/sbin or /sbin. -ENOENT. */
int program_find(const char *name, char path[static PROGRAM_PATH_MAX]);
/* Runs argv[0] to its end, with `input`, less than a pipe holds, on its standard input. Returns its exit status, EXIT_SIGNAL_BASE and the signal's number where
 * that has ended it; `said` is the beginning of what it said, in one line. */
int program_run(const char *const argv[], const void *input, size_t n, char said[static PROGRAM_SAID_MAX]);
