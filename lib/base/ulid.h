/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* ULIDs (github.com/ulid/spec): 48 bits of milliseconds, 80 random ones, in 26 characters of Crockford's base 32, so that they sort by time. */

#include "base/macros.h"

enum { ULID_STRING_SIZE = 26 + 1 };

/* A new one that is greater than `previous` (NULL: none): within one millisecond, or with a clock that was set back, it is previous + 1, as
 * the specification's "monotonicity" has it. -EINVAL: previous is no ULID; -ERANGE: there is none behind it. */
int ulid_new(const char *previous, char ret[static ULID_STRING_SIZE]);

/* The time in it, microseconds since 1970. -EINVAL. */
int ulid_get_usec(const char *ulid, uint64_t *ret);
