/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One epoll(7) with deadlines. One event a turn, so that a handler may free whatever it likes. */

#include <sys/epoll.h>

#include "base/macros.h"

typedef struct Loop Loop;
typedef struct LoopSource LoopSource;
typedef struct LoopTimer LoopTimer;

/* Both are embedded in what they belong to, and zero before their first use. */
struct LoopSource {
        int fd;                                 /* borrowed */
        uint32_t events;
        bool added;
        void (*func)(LoopSource *s, uint32_t events);
        void *userdata;
};

struct LoopTimer {
        uint64_t at;                            /* µs, CLOCK_MONOTONIC */
        bool armed;
        void (*func)(LoopTimer *t);
        void *userdata;
        LoopTimer *next;
};

struct Loop {
        int epoll_fd;
        LoopTimer *timers;
};

uint64_t now_usec(void);

int loop_open(Loop *l);
/* Waits for the events; 0 waits for EPOLLHUP and EPOLLERR alone, which a caller that has seen them removes the source for. */
int loop_set(Loop *l, LoopSource *s, uint32_t events);
void loop_remove(Loop *l, LoopSource *s);
void loop_arm(Loop *l, LoopTimer *t, uint64_t usec_from_now);
void loop_disarm(Loop *l, LoopTimer *t);

/* Waits for one event or deadline and calls its handler. */
int loop_turn(Loop *l);
