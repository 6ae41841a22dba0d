/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A small epoll(7) loop: descriptors and a few timers, one thread, nothing allocated per event. */

#include "base/macros.h"

typedef struct EventLoop EventLoop;
typedef struct EventSource EventSource;
typedef struct EventTimer EventTimer;

/* Called with the EPOLL* bits that came. A negative errno ends event_loop_run() with it. The source may remove itself and
 * any other one, and be freed, from within. */
typedef int (*EventFunc)(EventSource *source, uint32_t events);
typedef int (*EventTimerFunc)(EventTimer *timer);

/* Lives in its owner's struct. Zero it before use; the descriptor is borrowed. */
struct EventSource {
        EventLoop *loop;                /* NULL while not added */
        EventFunc func;
        int fd;
        uint32_t events;
};

/* Likewise. Fires once per event_timer_set(). */
struct EventTimer {
        EventLoop *loop;
        EventTimerFunc func;
        uint64_t deadline;              /* CLOCK_MONOTONIC, microseconds */
        EventTimer *next, **prev;
};

int event_loop_new(EventLoop **ret);
EventLoop *event_loop_free(EventLoop *loop);
DEFINE_TRIVIAL_CLEANUP_FUNC(EventLoop *, event_loop_free)

/* Runs until event_loop_exit() or until a function fails. Returns what was given to event_loop_exit(), or the error. */
int event_loop_run(EventLoop *loop);
/* One round: waits (at most timeout_usec, UINT64_MAX: for ever) and dispatches what has come. */
int event_loop_run_once(EventLoop *loop, uint64_t timeout_usec);
void event_loop_exit(EventLoop *loop, int code);

int event_source_add(EventSource *source, EventLoop *loop, int fd, uint32_t events, EventFunc func);
int event_source_set_events(EventSource *source, uint32_t events);
void event_source_remove(EventSource *source);

void event_timer_set(EventTimer *timer, EventLoop *loop, uint64_t deadline, EventTimerFunc func);
void event_timer_remove(EventTimer *timer);

uint64_t now_usec(void);                /* CLOCK_MONOTONIC */
