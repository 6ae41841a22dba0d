/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Bytes from a descriptor, cut into lines, to the journal. There are two kinds. The workload's streams lose nothing: while the
 * journal takes nothing they are not read, so that whoever writes them waits. What comes from a serial console or the VMM must
 * always be read, since its writer must not wait, so it has an allowance, and what is above that is dropped and counted. */

#include <systemd/sd-event.h>

#include "kiln/journal.h"
#include "kiln/tail.h"

typedef struct LineStream LineStream;

/* The stream has ended and all of it is with the journal. The function may free the stream. */
typedef void (*LineStreamEndFunc)(LineStream *s, void *userdata);

/* The priority of a line (without newline); -1: the line is for nobody. */
typedef int (*LineStreamPriorityFunc)(const char *line, size_t n);

typedef struct LineStreamOptions {
        const char *name;               /* of messages: "console" */
        const JournalSource *source;    /* borrowed */
        int priority;
        LineStreamPriorityFunc get_priority;    /* NULL: `priority` */
        size_t line_max;                /* longer lines become pieces */
        uint64_t allowance;             /* bytes a second that are kept, with a burst of ALLOWANCE_BURST seconds; 0: all, none dropped */
        Tail *tail;                     /* borrowed; NULL: none */
        LineStreamEndFunc end;
        void *userdata;
} LineStreamOptions;

enum { ALLOWANCE_BURST = 16 };

int line_stream_new(sd_event *event, Journal *journal, int fd_consume, const LineStreamOptions *options, LineStream **ret);
LineStream *line_stream_free(LineStream *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(LineStream *, line_stream_free)

/* The stream ends after that many bytes, whether or not EOF comes. May call the end function. */
void line_stream_set_size(LineStream *s, uint64_t size);

/* For streams with an allowance: the writer has gone. Reads what is there, boundedly, and ends the stream, whether or not somebody
 * else holds its other end open. May call the end function. */
void line_stream_drain(LineStream *s);
