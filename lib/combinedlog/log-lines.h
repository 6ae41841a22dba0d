/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Lines of the combined log file, one per entry of the journal: "TIME VM SOURCE PRIORITY MESSAGE", inferno-combined-log(8). What
 * kiln had to cut is one line again, for which the pieces are kept until the last has come. */

#include "base/macros.h"
#include "base/str.h"

enum {
        LOG_LINE_MAX = 256 * 1024,      /* bytes of a message; what is longer becomes several lines */
        LOG_LINES_OPEN_MAX = 32,        /* lines that are begun; one more, and the oldest is written as far as it is there */
};

typedef struct LogEntry {
        const char *vm;
        const char *source;             /* the stream, or the program's name */
        const char *run;                /* the unit's invocation; "": not known. A line does not go on in another one's */
        int priority;                   /* LOG_EMERG to LOG_DEBUG */
        uint64_t usec;                  /* since 1970 */
        const void *message;
        size_t size;
        bool partial;                   /* the next entry of this VM and source goes on with the line */
} LogEntry;

/* All owned. The time of a line is that of its last piece, so that lines stand in the order of their times. */
typedef struct LogLine {
        char *vm, *source, *run;
        int priority;
        uint64_t usec;
        bool begun;                     /* a part of it has been written */
        StrBuf text;
} LogLine;

/* The lines that are begun, oldest first. {} is empty. */
typedef struct LogLines {
        LogLine lines[LOG_LINES_OPEN_MAX];
        size_t n;
} LogLines;

void log_lines_done(LogLines *l);
#define _cleanup_log_lines_ _cleanup_(log_lines_done)

/* Adds the lines that are whole with this entry to `out`, each with its newline: equal entries in equal order give equal bytes.
 * No memory: out->failed. */
void log_lines_add(LogLines *l, const LogEntry *e, StrBuf *out);
/* What is begun of a VM will have no end: it is written as it is. */
void log_lines_end(LogLines *l, const char *vm, StrBuf *out);

/* Begins a line as it was kept; nothing of the arguments is taken over. -ENOSPC: there are as many as there may be. -ENOMEM. */
int log_lines_restore(LogLines *l, const LogEntry *e, bool begun);

/* A line by itself. */
void log_line_format(StrBuf *out, const LogEntry *e, bool begun);
