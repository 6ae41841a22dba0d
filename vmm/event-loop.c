/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "vmm/event-loop.h"

enum { BATCH_MAX = 64 };

struct EventLoop {
        int epoll_fd;
        EventTimer *timers;             /* unsorted: there are a handful */
        struct epoll_event batch[BATCH_MAX];
        int n_batch;
        int exit_code;
        bool exiting;
};

uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

int event_loop_new(EventLoop **ret) {
        _cleanup_(event_loop_freep) EventLoop *loop = NULL;

        loop = calloc(1, sizeof(EventLoop));
        if (!loop)
                return -ENOMEM;
        loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (loop->epoll_fd < 0)
                return negative_errno();
        *ret = TAKE_PTR(loop);
        return 0;
}

EventLoop *event_loop_free(EventLoop *loop) {
        if (loop) {
                safe_close(loop->epoll_fd);
                free(loop);
        }
        return NULL;
}

void event_loop_exit(EventLoop *loop, int code) {
        loop->exiting = true;
        loop->exit_code = code;
}

static int run_timers(EventLoop *loop) {
        uint64_t now = now_usec();

        for (EventTimer *t = loop->timers; t;) {
                int r;

                if (t->deadline > now) {
                        t = t->next;
                        continue;
                }
                event_timer_remove(t);
                r = t->func(t);
                if (r < 0)
                        return r;
                t = loop->timers;       /* the list may be another one now; what has fired is off it */
        }
        return 0;
}

int event_loop_run_once(EventLoop *loop, uint64_t timeout_usec) {
        uint64_t now = now_usec(), until = timeout_usec < UINT64_MAX - now ? now + timeout_usec : UINT64_MAX;
        struct timespec ts;
        int r;

        for (EventTimer *t = loop->timers; t; t = t->next)
                until = MIN(until, t->deadline);
        if (until != UINT64_MAX) {
                uint64_t left = until > now ? until - now : 0;

                ts = (struct timespec) { (time_t) (left / USEC_PER_SEC), (long) (left % USEC_PER_SEC * NSEC_PER_USEC) };
        }

        r = epoll_pwait2(loop->epoll_fd, loop->batch, BATCH_MAX, until != UINT64_MAX ? &ts : NULL, NULL);
        if (r < 0)
                return errno == EINTR ? 0 : negative_errno();
        loop->n_batch = r;

        for (int i = 0; i < loop->n_batch && !loop->exiting; i++) {
                EventSource *source = loop->batch[i].data.ptr;

                if (!source)            /* removed by a function before it */
                        continue;
                r = source->func(source, loop->batch[i].events);
                if (r < 0)
                        return r;
        }
        loop->n_batch = 0;
        return loop->exiting ? 0 : run_timers(loop);
}

int event_loop_run(EventLoop *loop) {
        while (!loop->exiting) {
                int r = event_loop_run_once(loop, UINT64_MAX);

                if (r < 0)
                        return r;
        }
        return loop->exit_code;
}

int event_source_add(EventSource *source, EventLoop *loop, int fd, uint32_t events, EventFunc func) {
        struct epoll_event e = { .events = events, .data.ptr = source };

        if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
                return negative_errno();
        *source = (EventSource) { .loop = loop, .func = func, .fd = fd, .events = events };
        return 0;
}

int event_source_set_events(EventSource *source, uint32_t events) {
        struct epoll_event e = { .events = events, .data.ptr = source };

        if (source->events == events)
                return 0;
        if (epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &e) < 0)
                return negative_errno();
        source->events = events;
        return 0;
}

void event_source_remove(EventSource *source) {
        EventLoop *loop = source->loop;

        if (!loop)
                return;
        (void) epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
        for (int i = 0; i < loop->n_batch; i++)
                if (loop->batch[i].data.ptr == source)
                        loop->batch[i].data.ptr = NULL;
        source->loop = NULL;
}

void event_timer_set(EventTimer *timer, EventLoop *loop, uint64_t deadline, EventTimerFunc func) {
        event_timer_remove(timer);
        *timer = (EventTimer) { .loop = loop, .func = func, .deadline = deadline, .next = loop->timers, .prev = &loop->timers };
        if (timer->next)
                timer->next->prev = &timer->next;
        loop->timers = timer;
}

void event_timer_remove(EventTimer *timer) {
        if (!timer->prev)
                return;
        *timer->prev = timer->next;
        if (timer->next)
                timer->next->prev = timer->prev;
        timer->prev = NULL;
}
