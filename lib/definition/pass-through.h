/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* [Unit], [Service], [Slice] and [Install] of a definition: which lines may go into the generated units. */

#include "base/macros.h"

/* NULL where the assignment is fine, else a sentence for people (static). */
const char *pass_through_check(const char *section, const char *key, const char *value);

/* systemd.unit(5): a plain or instantiated name of a unit of any type; no template. */
bool unit_name_is_valid(const char *s, size_t n);

/* The next name of a list in [Install], which has neither quotes nor escapes: "\x2d" is part of a name. Moves *s behind it; returns its
 * length, 0 at the end. */
size_t unit_names_next(const char **s, const char **ret);
