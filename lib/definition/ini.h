/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The syntax of systemd.syntax(7): sections, assignments, comments, continuation lines. Knows no key. */

#include "base/macros.h"

enum {
        INI_FILE_MAX = 1024 * 1024,     /* bytes of a file */
        INI_LINE_MAX = 64 * 1024,       /* bytes of a line, its continuation lines included */
};

/* Each callback may end the parse by a negative errno. The line is the one on which the assignment begins. */
typedef struct IniHandler {
        /* A section header. */
        int (*section)(void *userdata, unsigned line, const char *name);
        /* Below a header. Key and value are stripped of white space, valid UTF-8, without control characters but for tab. The value may be empty. */
        int (*assignment)(void *userdata, unsigned line, const char *key, const char *value);
        /* Something that is not the syntax: a sentence for people. The parse goes on with the next line. Line 0: the whole file. */
        int (*problem)(void *userdata, unsigned line, const char *message);
} IniHandler;

/* Takes `text` apart in place. text[size] must be there and writable. Returns 0 or what a callback returned. */
int ini_parse(char *text, size_t size, const IniHandler *handler, void *userdata);

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool utf8_is_valid(const char *s);
