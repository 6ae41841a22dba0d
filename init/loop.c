/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>
#include <time.h>

#include "init/loop.h"

uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

int loop_open(Loop *l) {
        *l = (Loop) { .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
        return l->epoll_fd < 0 ? negative_errno() : 0;
}

int loop_set(Loop *l, LoopSource *s, uint32_t events) {
        struct epoll_event e = { .events = events, .data.ptr = s };

        if (s->added && s->events == events)
                return 0;
        if (epoll_ctl(l->epoll_fd, s->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &e) < 0)
                return negative_errno();
        s->added = true;
        s->events = events;
        return 0;
}

void loop_remove(Loop *l, LoopSource *s) {
        if (s->added)
                (void) epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
        s->added = false;
}

void loop_disarm(Loop *l, LoopTimer *t) {
        if (!t->armed)
                return;
        for (LoopTimer **p = &l->timers; *p; p = &(*p)->next)
                if (*p == t) {
                        *p = t->next;
                        break;
                }
        t->armed = false;
}

void loop_arm(Loop *l, LoopTimer *t, uint64_t usec_from_now) {
        LoopTimer **p = &l->timers;

        loop_disarm(l, t);
        t->at = now_usec() + usec_from_now;
        while (*p && (*p)->at <= t->at)
                p = &(*p)->next;
        t->next = *p;
        *p = t;
        t->armed = true;
}

int loop_turn(Loop *l) {
        struct epoll_event e;
        int timeout = -1, n;

        if (l->timers) {
                uint64_t now = now_usec(), at = l->timers->at;

                timeout = at <= now ? 0 : (int) MIN((at - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC, (uint64_t) INT_MAX);
        }
        n = epoll_wait(l->epoll_fd, &e, 1, timeout);
        if (n < 0 && errno != EINTR)
                return negative_errno();
        if (l->timers && l->timers->at <= now_usec()) {
                LoopTimer *t = l->timers;

                /* The event, if there was one, is level-triggered and comes again. */
                loop_disarm(l, t);
                t->func(t);
        } else if (n > 0) {
                LoopSource *s = e.data.ptr;

                s->func(s, e.events);
        }
        return 0;
}
