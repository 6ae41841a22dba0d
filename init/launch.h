/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What runs the programs of Bundle= in the guest: lib/bundle/bundle.h has the lines of their files. By "#!" the kernel calls init with the name of such
 * a file and the arguments of the program. */

#include "base/macros.h"

enum { LAUNCH_FILE_MAX = 64 * 1024 };

/* The file to execute and its arguments, from the text of a program's file, which is taken apart, the name by which it was called, and what it was
 * called with. -EBADMSG: no such file. The strings are borrowed, *ret_argv is the caller's to free(). */
int launch_parse(char *text, size_t n, char *called_as, char *const *arguments, const char **ret_file, char ***ret_argv);

/* argv of a "#!" line with WIRE_LAUNCHER. Returns an exit code where it could not do it, and has said why. */
int launch_run(int argc, char **argv);
