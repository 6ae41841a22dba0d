/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Programs that infernoctl runs: Inferno's helpers, editors. */

#include "base/macros.h"

/* Runs a program with our standard descriptors and waits for it. argv[0] is its path, or a name to be looked for in $PATH. Returns its exit code, 128 + n
 * where a signal ended it, or a negative errno that has been logged. */
int program_run(const char *const *argv);

/* The same of a helper of Inferno, by its name: "inferno-image", with up to three arguments; NULL: no more. */
int helper_run(const char *name, const char *a, const char *b, const char *c);
