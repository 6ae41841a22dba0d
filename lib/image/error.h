/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* How lib/image says what is wrong with an image: a sentence beside the errno, and names of foreign origin made printable. */

#include <inttypes.h>

#include "base/macros.h"

/* Sets *ret_error (NULL: nobody asks) to the text, in the place of an older one, and returns r. */
int image_error(char **ret_error, int r, const char *format, ...) _printf_(3, 4);
/* The same with ": " and strerror(r) behind it. */
int image_error_errno(char **ret_error, int r, const char *format, ...) _printf_(3, 4);
/* Puts the text and ": " before the sentence that *ret_error already has; without one, the text of r. Returns r. */
int image_error_prefix(char **ret_error, int r, const char *format, ...) _printf_(3, 4);
/* Puts the text behind it. Returns r. */
int image_error_suffix(char **ret_error, int r, const char *format, ...) _printf_(3, 4);

enum { IMAGE_QUOTE_MAX = 200 };

/* A name out of an image as it may stand in a message: control bytes and bytes that are no ASCII escaped as \xNN, long ones
 * shortened in the middle. */
const char *image_quote(const char *name, char buf[static IMAGE_QUOTE_MAX]);
