/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The way from / to a jail's root, checked component by component: whoever could replace one of them could have the jailer, which is root,
 * copy, mount and make device nodes where they like (CVE-2026-1386). */

#include "jailer/options.h"

/* Opens <base>/<name of the program>/<id>/root, making what is missing below the base. Refused (-EPERM, -ELOOP, -ENOTDIR; logged): a component
 * that is a symlink; that is not root's, but for the last, which may also be the jail's user's; or that others could write to (a sticky
 * directory like /tmp will do above the base). Returns the descriptor. */
int jail_path_open(const JailerOptions *o);
