/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The combined log file: bytes are appended to whatever file has its name, whole lines to one file, and what a writer that was
 * killed had appended behind the recorded length is not appended again. */

#include "combinedlog/log-state.h"

typedef struct LogFile {
        int dir_fd, fd;
        uint64_t inode;
        StrBuf out;                     /* what is to be appended: whole lines */
        size_t done;                    /* of it, what has been */
        int known_fd;                   /* the file of the state, by whatever name, while it has what `out` is compared with */
        uint64_t known_at, known_end;
} LogFile;

#define LOG_FILE_INIT { .dir_fd = -EBADF, .fd = -EBADF, .known_fd = -EBADF }

void log_file_done(LogFile *f);
#define _cleanup_log_file_ _cleanup_(log_file_done)

/* Opens the file, and makes it where it is missing (0640). What the file of the state has behind its length is known. 1. -ELOOP,
 * -EBADF: no regular file … After a failure it may be tried again. */
int log_file_open(LogFile *f, const LogState *s);

/* Goes on with the file that has the name now, where that is another one. 1: it is. 0: it is not. */
int log_file_follow(LogFile *f);

/* Appends what is in `out`, but for what is known; where that differs it is cut off. After a failure, -ENOSPC, say, the next call
 * goes on where this one was. */
int log_file_flush(LogFile *f);
/* No more of what is known will come: the rest stays, but for a line that is not whole. */
int log_file_settle(LogFile *f);

/* Empties the file. What waits in `out` does still come. */
int log_file_clear(LogFile *f);
/* Makes durable what has been appended; inode and length go into the state. `out` must be empty. */
int log_file_sync(LogFile *f, LogState *s);
