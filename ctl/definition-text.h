/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The text of definitions: made, and changed line by line, so that comments and order stay. What the lines mean is lib/definition's. */

#include "base/str.h"

/* A value of lists of words (Command=, Environment=): as it is, or in double quotes with C escapes, as systemd.syntax(7) reads it. NULL: no memory. */
char *definition_quote(const char *word);

/* Whether a value can stand behind "Key=": no control characters but tab, no "\" at its end, which would continue the line. */
bool definition_value_is_valid(const char *value);

typedef enum DefinitionChange {
        DEFINITION_REPLACE,             /* the value in place of all lines of the key; an empty one: removes them */
        DEFINITION_APPEND,              /* one more line of the key */
} DefinitionChange;

/* The text with a key changed: in place of its first line, else behind the last line of its section that says something, else in a new section at the end. */
int definition_text_set(const char *text, const char *section, const char *key, const char *value, DefinitionChange change, char **ret);
