/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Public keys of SSH as id_ed25519.pub and authorized_keys have them: "TYPE BASE64 COMMENT". Options before the type are refused: what they
 * would restrict must not get in without. */

#include "base/macros.h"

enum {
        SSH_KEYS_MAX = 256,
        SSH_KEY_LINE_MAX = 4096,                /* dropbear takes lines of 4200 */
        SSH_KEY_FILE_MAX = 1024 * 1024,
};

/* Reads a line of n bytes without its end. *ret is the key with one space between its parts, whatever is not printable ASCII in the comment
 * replaced. -EINVAL: it is none, *ret_reason says what was wanted (static). */
int ssh_public_key_parse(const char *line, size_t n, char **ret, const char **ret_reason);

/* Adds a key to a list that has it not yet, by type and body. -E2BIG: it has SSH_KEYS_MAX. */
int ssh_public_key_add(char ***keys, const char *key);

/* Adds the keys of a file's text; lines that are empty or begin with "#" do not count. -EINVAL: a line is wrong, *ret_line is which, from 1, or 0 for the
 * text as a whole; *ret_reason says why (static). */
int ssh_public_keys_parse(const char *text, size_t n, char ***keys, unsigned *ret_line, const char **ret_reason);
