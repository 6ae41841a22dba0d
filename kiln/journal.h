/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Sends entries to journald's native socket (https://systemd.io/JOURNAL_NATIVE_PROTOCOL) without ever blocking and without losing
 * any: when journald is slow or away the sender is told so, keeps its entry, and is called when it is worth trying again.
 * Where there is no such socket at all (kiln by hand) entries become lines on standard output and standard error. */

#include <systemd/sd-event.h>

#include "base/macros.h"

typedef struct Journal Journal;

/* One who speaks: the fields that all of its entries share. */
typedef struct JournalSource {
        char *fields;           /* "KEY=value\n"… of the native protocol */
        size_t fields_size;
        char *prefix;           /* of lines, where there is no journal */
        int fd;                 /* likewise: STDOUT_FILENO or STDERR_FILENO */
} JournalSource;

/* `fields` is taken as it is: the caller has seen to it that no value holds a newline. */
int journal_source_init(JournalSource *s, const char *fields, const char *prefix, int fd);
void journal_source_done(JournalSource *s);

/* A place in the queue of those who wait. The callback is called once for each journal_wait(). */
typedef struct JournalWaiter JournalWaiter;
struct JournalWaiter {
        void (*func)(void *userdata);
        void *userdata;
        JournalWaiter *next, *previous;
        bool waiting;
};

/* The event loop and the path are borrowed for the Journal's life. */
int journal_new(sd_event *event, const char *socket_path, Journal **ret);
Journal *journal_free(Journal *j);
DEFINE_TRIVIAL_CLEANUP_FUNC(Journal *, journal_free)

enum { JOURNAL_BLOCKED = 1 };

/* One entry; `partial` marks a piece of a line that goes on in the next entry. 0: journald has it. JOURNAL_BLOCKED: not now; call
 * journal_wait() and send it again when called back. -ENOMEM. */
int journal_send(Journal *j, const JournalSource *s, int priority, const void *message, size_t size, bool partial);
void journal_wait(Journal *j, JournalWaiter *w);
void journal_unwait(Journal *j, JournalWaiter *w);

/* For kiln's own messages, which nobody would send again: kept (boundedly) until journald takes them. */
void journal_queue(Journal *j, const JournalSource *s, int priority, const char *message);
/* True where nothing of journal_queue()'s waits any more. */
bool journal_is_idle(const Journal *j);

/* How long journald has not taken anything, 0 while it does. */
uint64_t journal_blocked_usec(const Journal *j);
