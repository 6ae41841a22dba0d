/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "kiln/clock.h"
#include "kiln/journal.h"

enum {
        QUEUE_ENTRIES_MAX = 64,
};

#define RETRY_USEC_MIN (50 * USEC_PER_MSEC)
#define RETRY_USEC_MAX (2 * USEC_PER_SEC)

typedef struct QueuedEntry {
        const JournalSource *source;
        int priority;
        char *message;
} QueuedEntry;

struct Journal {
        sd_event *event;
        const char *path;

        bool text;                      /* no journal here: lines on fds 1 and 2 */
        int fd;                         /* connected datagram socket; -EBADF while journald is away */

        bool blocked;
        uint64_t blocked_since;
        sd_event_source *writable;      /* EPOLLOUT of what blocked us, oneshot */
        sd_event_source *retry;
        uint64_t retry_usec;

        JournalWaiter *first, *last;

        /* A line on its way to a descriptor that took only a part of it. */
        char *rest;
        size_t rest_size, rest_done;
        int rest_fd;

        QueuedEntry queue[QUEUE_ENTRIES_MAX];
        size_t queue_first, queue_size;
        unsigned n_dropped;
        const JournalSource *dropped_source;
};

int journal_source_init(JournalSource *s, const char *fields, const char *prefix, int fd) {
        _cleanup_free_ char *f = strdup(fields), *p = strdup(prefix);

        if (!f || !p)
                return -ENOMEM;
        *s = (JournalSource) { .fields_size = strlen(f), .fd = fd };
        s->fields = TAKE_PTR(f);
        s->prefix = TAKE_PTR(p);
        return 0;
}

void journal_source_done(JournalSource *s) {
        free(s->fields);
        free(s->prefix);
        *s = (JournalSource) {};
}

static int journal_connect(Journal *j) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;

        if (strlen(j->path) >= sizeof(sa.sun_path))
                return -ENAMETOOLONG;
        memcpy(sa.sun_path, j->path, strlen(j->path) + 1);

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return negative_errno();
        if (connect(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0)
                return negative_errno();
        j->fd = TAKE_FD(fd);
        return 0;
}

static void journal_disconnect(Journal *j) {
        j->writable = sd_event_source_disable_unref(j->writable);
        j->fd = safe_close(j->fd);
}

int journal_new(sd_event *event, const char *socket_path, Journal **ret) {
        _cleanup_(journal_freep) Journal *j = calloc(1, sizeof(Journal));
        struct stat st;
        int r;

        if (!j)
                return -ENOMEM;
        j->event = sd_event_ref(event);
        j->path = socket_path;
        j->fd = j->rest_fd = -EBADF;
        j->retry_usec = RETRY_USEC_MIN;

        r = journal_connect(j);
        /* Not there, or only the empty file that systemd would have bound the socket to: somebody runs this by hand. */
        if (r == -ENOENT || r == -ENOTDIR || (r < 0 && stat(socket_path, &st) >= 0 && S_ISREG(st.st_mode)))
                j->text = true;
        else if (r < 0 && r != -ECONNREFUSED && r != -EAGAIN)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

Journal *journal_free(Journal *j) {
        if (!j)
                return NULL;
        while (j->first)
                journal_unwait(j, j->first);
        for (size_t i = 0; i < j->queue_size; i++)
                free(j->queue[(j->queue_first + i) % QUEUE_ENTRIES_MAX].message);
        free(j->rest);
        journal_disconnect(j);
        sd_event_source_disable_unref(j->retry);
        sd_event_unref(j->event);
        free(j);
        return NULL;
}

void journal_wait(Journal *j, JournalWaiter *w) {
        if (w->waiting)
                return;
        w->waiting = true;
        w->next = NULL;
        w->previous = j->last;
        if (j->last)
                j->last->next = w;
        else
                j->first = w;
        j->last = w;
}

void journal_unwait(Journal *j, JournalWaiter *w) {
        if (!w->waiting)
                return;
        if (w->previous)
                w->previous->next = w->next;
        else
                j->first = w->next;
        if (w->next)
                w->next->previous = w->previous;
        else
                j->last = w->previous;
        w->next = w->previous = NULL;
        w->waiting = false;
}

static void journal_flush_queue(Journal *j);

/* Something may be sent again: our own messages first, then one call for each who waits. Whoever is blocked anew has put itself at
 * the end of the queue, so that nobody starves. */
static void journal_unblocked(Journal *j) {
        j->blocked = false;
        journal_flush_queue(j);
        while (!j->blocked && j->first) {
                JournalWaiter *w = j->first;

                journal_unwait(j, w);
                w->func(w->userdata);
        }
}

static int on_writable(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        journal_unblocked(userdata);
        return 0;
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata) {
        journal_unblocked(userdata);
        return 0;
}

/* Waits with a timer: journald is away, or the kernel has no memory for us. */
static int journal_block_for_a_while(Journal *j) {
        int r;

        if (!j->retry)
                r = sd_event_add_time_relative(j->event, &j->retry, CLOCK_MONOTONIC, j->retry_usec, 10 * USEC_PER_MSEC, on_retry, j);
        else {
                r = sd_event_source_set_time_relative(j->retry, j->retry_usec);
                if (r >= 0)
                        r = sd_event_source_set_enabled(j->retry, SD_EVENT_ONESHOT);
        }
        j->retry_usec = MIN(j->retry_usec * 2, RETRY_USEC_MAX);
        return r;
}

static int journal_block_until_writable(Journal *j, int fd) {
        int r;

        if (j->writable && sd_event_source_get_io_fd(j->writable) != fd)
                j->writable = sd_event_source_disable_unref(j->writable);
        if (j->writable)
                return sd_event_source_set_enabled(j->writable, SD_EVENT_ONESHOT);
        r = sd_event_add_io(j->event, &j->writable, fd, EPOLLOUT, on_writable, j);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(j->writable, SD_EVENT_ONESHOT);
}

static void journal_now_blocked(Journal *j) {
        j->blocked = true;
        if (j->blocked_since == 0)
                j->blocked_since = now_usec();
}

static void journal_has_taken(Journal *j) {
        j->blocked_since = 0;
        j->retry_usec = RETRY_USEC_MIN;
}

uint64_t journal_blocked_usec(const Journal *j) {
        return j->blocked_since > 0 ? now_usec() - j->blocked_since : 0;
}

/* Writes on what is left of the last line. A pipe that polls writable takes PIPE_BUF bytes without blocking; a socket is asked not to. */
static int text_flush(Journal *j) {
        while (j->rest_done < j->rest_size) {
                size_t n = MIN(j->rest_size - j->rest_done, (size_t) PIPE_BUF);
                ssize_t k;

                k = send(j->rest_fd, j->rest + j->rest_done, n, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (k < 0 && errno == ENOTSOCK) {
                        struct pollfd p = { .fd = j->rest_fd, .events = POLLOUT };

                        if (poll(&p, 1, 0) == 0)
                                k = -1, errno = EAGAIN;
                        else
                                k = write(j->rest_fd, j->rest + j->rest_done, n);
                }
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0 && errno == EAGAIN) {
                        journal_now_blocked(j);
                        return journal_block_until_writable(j, j->rest_fd) < 0 ? journal_block_for_a_while(j) : 0;
                }
                if (k < 0)      /* nobody reads there any more: nobody misses it */
                        j->rest_done = j->rest_size;
                else
                        j->rest_done += (size_t) k;
        }
        j->rest = (free(j->rest), NULL);
        j->rest_done = j->rest_size = 0;
        journal_has_taken(j);
        return 0;
}

static int text_send(Journal *j, const JournalSource *s, const void *message, size_t size, bool partial) {
        _cleanup_strbuf_ StrBuf b = {};
        int r;

        if (j->rest) {
                r = text_flush(j);
                if (r < 0)
                        return r;
                if (j->rest)
                        return JOURNAL_BLOCKED;
        }
        strbuf_adds(&b, s->prefix);
        strbuf_add(&b, message, size);
        if (!partial)
                strbuf_adds(&b, "\n");
        r = strbuf_finish(&b, &j->rest, &j->rest_size);
        if (r < 0)
                return r;
        j->rest_fd = s->fd;
        return text_flush(j);
}

/* An entry that is too large for a datagram goes in a sealed memfd, its descriptor in an empty datagram. */
static ssize_t send_in_memfd(int fd, const struct iovec *iov, size_t n_iov) {
        union {
                struct cmsghdr header;
                uint8_t buf[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct msghdr msg = { .msg_control = &control, .msg_controllen = sizeof(control) };
        _cleanup_close_ int mem = memfd_create("journal-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

        if (mem < 0)
                return -1;
        for (size_t i = 0; i < n_iov; i++)
                if (write_full(mem, iov[i].iov_base, iov[i].iov_len) < 0)
                        return -1;
        if (fcntl(mem, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return -1;
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &mem, sizeof(int));
        return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int native_send(Journal *j, const JournalSource *s, int priority, const void *message, size_t size, bool partial) {
        char head[64];
        uint64_t length = htole64(size);
        ssize_t k;
        int r;

        if (j->fd < 0) {
                r = journal_connect(j);
                if (r < 0)
                        goto away;
        }

        /* MESSAGE in the form with a length, so that every byte may be in it. */
        snprintf(head, sizeof(head), "PRIORITY=%i\n%sMESSAGE\n", priority, partial ? "INFERNO_PARTIAL=1\n" : "");
        struct iovec iov[] = {
                { s->fields, s->fields_size },
                { head, strlen(head) },
                { &length, sizeof(length) },
                { (void *) message, size },
                { (char *) "\n", 1 },
        };
        struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ELEMENTSOF(iov) };

        do
                k = sendmsg(j->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (k < 0 && errno == EINTR);
        if (k < 0 && (errno == EMSGSIZE || errno == ENOBUFS))
                k = send_in_memfd(j->fd, iov, ELEMENTSOF(iov));
        if (k >= 0) {
                journal_has_taken(j);
                return 0;
        }
        if (errno == EAGAIN) {
                journal_now_blocked(j);
                r = journal_block_until_writable(j, j->fd);
                return r < 0 ? r : JOURNAL_BLOCKED;
        }

        /* Whatever else it is (the socket is a new one after journald's has been started again, memory is short), it may pass. */
        journal_disconnect(j);
away:
        journal_now_blocked(j);
        r = journal_block_for_a_while(j);
        return r < 0 ? r : JOURNAL_BLOCKED;
}

int journal_send(Journal *j, const JournalSource *s, int priority, const void *message, size_t size, bool partial) {
        if (j->blocked)
                return JOURNAL_BLOCKED;
        return j->text ? text_send(j, s, message, size, partial) : native_send(j, s, priority, message, size, partial);
}

static void journal_flush_queue(Journal *j) {
        while (j->queue_size > 0) {
                QueuedEntry *e = &j->queue[j->queue_first];

                if (journal_send(j, e->source, e->priority, e->message, strlen(e->message), false) != 0)
                        return;
                free(e->message);
                j->queue_first = (j->queue_first + 1) % QUEUE_ENTRIES_MAX;
                j->queue_size--;
        }
        if (j->n_dropped > 0) {
                char text[96];

                snprintf(text, sizeof(text), "%u messages were lost while the journal did not take any.", j->n_dropped);
                if (journal_send(j, j->dropped_source, LOG_WARNING, text, strlen(text), false) == 0)
                        j->n_dropped = 0;
        }
        if (j->rest)
                (void) text_flush(j);
}

void journal_queue(Journal *j, const JournalSource *s, int priority, const char *message) {
        QueuedEntry *e;

        if (j->queue_size == 0 && journal_send(j, s, priority, message, strlen(message), false) == 0)
                return;
        if (j->queue_size == QUEUE_ENTRIES_MAX) {
                j->n_dropped++;
                j->dropped_source = s;
                return;
        }
        e = &j->queue[(j->queue_first + j->queue_size) % QUEUE_ENTRIES_MAX];
        *e = (QueuedEntry) { s, priority, strdup(message) };
        if (e->message)
                j->queue_size++;
        else
                j->n_dropped++;
}

bool journal_is_idle(const Journal *j) {
        return j->queue_size == 0 && j->n_dropped == 0 && !j->rest;
}
