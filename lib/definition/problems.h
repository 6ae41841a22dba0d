/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* How the parts of lib/definition add to DefinitionErrors. */

#include "definition/definition.h"

enum { PROBLEMS_MAX = 100 };    /* listed per definition; more than that help nobody */

/* One more line. `e` may be NULL. Returns -EINVAL, or -ENOMEM. */
int problems_add(DefinitionErrors *e, const char *format, ...) _printf_(2, 3);
/* The sentence for a file that could not be read: error is a negative errno. */
const char *problems_read_error(int error);
