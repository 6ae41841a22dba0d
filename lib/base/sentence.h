/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Errors that a library has more to say about than their errno: a sentence for people goes with them to the caller, which logs it. */

#include "base/macros.h"

/* Sets *ret_error to a new string (NULL where there is no memory), freeing what was there; NULL: nobody asks. Returns r. */
int sentence(char **ret_error, int r, const char *format, ...) _printf_(3, 4);

/* The same for a system call that failed: the text goes on with ": " and what the negative errno r means, and ends with the remedy if
 * there is a common one. */
int sentence_errno(char **ret_error, int r, const char *format, ...) _printf_(3, 4);

/* That remedy as a sentence, or "". */
const char *errno_remedy(int error);
