/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* NAME=VALUE: files of them as EnvironmentFile= of systemd.exec(5) has them, and lists where the last one of a name wins. */

#include "base/macros.h"

enum { ENV_FILE_BYTES_MAX = 1024 * 1024 };

/* Puts NAME=VALUE into the list: in the place of the one with that name, or at the end. */
int env_set(char ***env, const char *assignment);

/* Reads the text of a file into the list, as systemd does: empty lines, lines without "=" and those that begin with "#" or ";" do not count;
 * values may be in single or double quotes, also over several lines; a backslash takes the meaning of the next character, or the end of the
 * line, away. -EBADMSG where a name is none, or for a NUL; *ret_line is where, from 1. */
int env_file_parse(const char *text, size_t n, char ***env, unsigned *ret_line);
