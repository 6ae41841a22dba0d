/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Words of a value, as systemd splits Environment= and ExecStart= (systemd.syntax(7), "Quoting"): separated by white space; single
 * and double quotes keep white space and are removed, wherever in a word they stand; C escapes work everywhere, and \s is a space.
 * "%" and "$" mean nothing. */

#include "base/macros.h"

enum { WORDS_MAX = 4096 };

/* 0 with all words in *ret, never NULL; -EINVAL with the reason in *ret_reason (static). */
int words_split(const char *s, char ***ret, const char **ret_reason);
