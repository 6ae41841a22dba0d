/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* How far the combined log file is: what whoever writes it knows at a moment at which the file has been flushed, in one small
 * file that is replaced as a whole.
 *
 * The file may be longer than that when its writer was killed later. Since equal entries give equal bytes, the next one compares
 * what is behind `length` with what it would write, instead of writing it again: each entry is in the file once. */

#include "combinedlog/log-lines.h"

/* All owned. */
typedef struct LogState {
        char *cursor;                   /* of the last entry that was read, sd_journal_get_cursor(3); NULL: none yet */
        uint64_t usec;                  /* of that of a VM that was read last, since 1970; without a cursor where reading is to begin; 0: not known yet */
        uint64_t inode, length;         /* of the log file, bytes; inode 0: there is none */
        uint64_t born;                  /* when that was made, nanoseconds since 1970; 0: the file system does not know */
        LogLines lines;
} LogState;

void log_state_done(LogState *s);
#define _cleanup_log_state_ _cleanup_(log_state_done)

/* The right to write file and state, for as long as the descriptor is open. -EBUSY: somebody has it. */
int log_state_lock(void);

/* -ENOENT: there is none. -EBADMSG: the file is not one of ours, or of another Inferno. */
int log_state_load(LogState *ret);
/* Durable when it returns. Holder of log_state_lock(). */
int log_state_save(const LogState *s);

/* For log_state_load() and tests. -EBADMSG, -ENOMEM. */
int log_state_parse(const char *text, size_t n, LogState *ret);
int log_state_format(const LogState *s, char **ret, size_t *ret_n);
