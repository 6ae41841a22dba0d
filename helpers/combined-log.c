/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <systemd/sd-messages.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sentence.h"
#include "base/str.h"
#include "combinedlog/log-client.h"
#include "helpers/combined-log.h"
#include "helpers/log-file.h"
#include "layout/layout.h"
#include "vmjournal/vm-journal.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER SYSTEMD, "/org/freedesktop/systemd1", SYSTEMD ".Manager"
#define FILE_NAME LAYOUT_COMBINED_LOG_DIR "/" LAYOUT_COMBINED_LOG
#define PROGRAM "inferno-combined-log"

enum {
        BATCH_ENTRIES = 1000,           /* between two looks at everything else */
        BATCH_SIZE = 1024 * 1024,
        SOURCE_MAX = 128,
};

/* journald has a file for each user, and sd_journal_next(3) looks at one after the other: what comes into one that was looked at, or into a new one, is passed over
 * for ever once a younger entry of another was taken. So an entry is taken when it was so old already at the last look at all of them. */
#define SETTLE_USEC (1 * USEC_PER_SEC)
#define IDLE_USEC (30 * USEC_PER_SEC)
#define SAVE_USEC (5 * USEC_PER_SEC)            /* how much is compared again when we are killed */
#define CLIENT_USEC (5 * USEC_PER_SEC)
#define RETRY_USEC_MIN (1 * USEC_PER_SEC)
#define RETRY_USEC_MAX (60 * USEC_PER_SEC)

struct CombinedLog {
        int lock_fd, client_fd;
        sd_event *event;
        sd_journal *journal;
        LogState state;
        LogFile file;

        bool at_entry;                  /* the journal stands at an entry that has not been read yet */
        bool looked;                    /* at all of its files, at horizon_usec + SETTLE_USEC; entries up to the horizon may be taken */
        uint64_t horizon_usec;
        bool waiting;                   /* for an entry to be old enough */
        bool sought;                    /* it is known whether something is missing behind the cursor that was saved */
        bool caught_up;                 /* its end was reached once */
        bool woken;                     /* by a VM */
        bool unsaved;
        bool new_file;                  /* the state that is saved is about another one */
        int save_error, write_error;    /* that have been logged */
        uint64_t retry_usec;

        sd_event_source *journal_source, *read, *settle, *save, *retry, *idle;
        sd_event_source *listen, *client, *client_timer;
};

CombinedLog *combined_log_free(CombinedLog *c) {
        if (!c)
                return NULL;
        sd_event_source *const sources[] = { c->journal_source, c->read,   c->settle, c->save,        c->retry,
                                             c->idle,           c->listen, c->client, c->client_timer };

        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                sd_event_source_disable_unref(sources[i]);
        sd_event_unref(c->event);
        sd_journal_close(c->journal);
        log_file_done(&c->file);
        log_state_done(&c->state);
        safe_close(c->client_fd);
        safe_close(c->lock_fd);
        free(c);
        return NULL;
}

static uint64_t now_realtime(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / NSEC_PER_USEC;
}

static int arm(CombinedLog *c, sd_event_source *timer, uint64_t usec) {
        int r = sd_event_source_set_time_relative(timer, usec);

        return r < 0 ? r : sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

/* Writes down how far the file is. What it cannot write it says once, and tries again later: what is lost by that is time after
 * being killed, no entry. -EAGAIN: the file is not as the state would say, and will be saved when it is. */
static int save(CombinedLog *c) {
        int r;

        if (c->file.fd < 0 || c->file.out.size > 0 || c->file.known_fd >= 0)
                return -EAGAIN;
        r = log_file_sync(&c->file, &c->state);
        if (r >= 0)
                r = log_state_save(&c->state);
        if (r < 0) {
                if (r != c->save_error)
                        log_warning_errno(r, "Cannot write '%s': %m. What is in the file now may be looked at again later.",
                                          LAYOUT_COMBINED_LOG_STATE);
                c->save_error = r;
                (void) arm(c, c->save, SAVE_USEC);
                return r;
        }
        c->save_error = 0;
        c->unsaved = false;
        return 0;
}

static int on_save(sd_event_source *s, uint64_t usec, void *userdata) {
        (void) save(userdata);
        return 0;
}

/* The program or stream of the present entry, of a bounded length. */
static char *copy_source(sd_journal *j) {
        const char *data;
        size_t n;

        if (!vm_journal_get(j, "INFERNO_STREAM", &data, &n) && !vm_journal_get(j, "SYSLOG_IDENTIFIER", &data, &n))
                return strdup("?");
        return strndup(data, MIN(n, (size_t) SOURCE_MAX));
}

/* Of the present entry, if it is one of a VM. */
static int read_entry(CombinedLog *c) {
        sd_journal *j = c->journal;
        _cleanup_free_ char *vm = vm_journal_entry_vm(j), *source = NULL, *run = NULL, *priority = NULL;
        LogEntry e = { .vm = vm, .priority = LOG_INFO };
        const char *message;
        int r;

        if (!vm)
                return 0;
        r = sd_journal_get_realtime_usec(j, &e.usec);
        if (r < 0)
                return r == -EBADMSG || r == -EADDRNOTAVAIL ? 0 : r;
        source = copy_source(j);
        run = vm_journal_copy(j, "_SYSTEMD_INVOCATION_ID") ?: strdup("");
        priority = vm_journal_copy(j, "PRIORITY");
        if (!source || !run)
                return -ENOMEM;
        e.source = source;
        e.run = run;
        if (priority && log_level_from_string(priority) >= 0)
                e.priority = log_level_from_string(priority);
        e.partial = vm_journal_is(j, "INFERNO_PARTIAL", "1");
        /* A main process that was killed has had no time to finish its lines. */
        if (vm_journal_is(j, "_PID", "1") && vm_journal_is(j, "MESSAGE_ID", SD_MESSAGE_UNIT_PROCESS_EXIT_STR))
                log_lines_end(&c->state.lines, vm, &c->file.out);
        if (!vm_journal_get(j, "MESSAGE", &message, &e.size))
                message = "";
        e.message = message;
        log_lines_add(&c->state.lines, &e, &c->file.out);
        c->state.usec = e.usec;
        return c->file.out.failed ? -ENOMEM : 1;
}

/* Since when there is something to write for whom nothing has been written yet: the socket is there since somebody has asked for
 * the file, or since the boot. */
static uint64_t first_usec(void) {
        _cleanup_free_ char *path = layout_path(LAYOUT_COMBINED_LOG_SOCKET);
        struct stat st;

        if (!path || lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
                return now_realtime();
        return (uint64_t) st.st_ctim.tv_sec * USEC_PER_SEC + (uint64_t) st.st_ctim.tv_nsec / NSEC_PER_USEC;
}

/* What was read last is not in the journal any more: what came behind it may be missing, too, and nobody can tell. What is in the
 * file already stays, and nothing is compared with it. */
static void tell_gap(CombinedLog *c) {
        static const char text[] = "The journal has not kept all that came after the line before this one: entries may be "
                                   "missing here, or be there twice.";
        const LogEntry e = {
                .vm = "-", .source = PROGRAM, .priority = LOG_WARNING, .usec = now_realtime(), .message = text, .size = strlen(text),
        };

        log_warning("%s", text);
        log_line_format(&c->file.out, &e, false);
        c->state.inode = 0;
}

/* To behind what was read last. Where nothing was, the beginning is the state's from now on: the next boot has another socket. */
static int seek(CombinedLog *c) {
        bool first = !c->sought;
        int r;

        c->sought = true;
        c->at_entry = false;
        if (!c->state.cursor) {
                if (c->state.usec == 0)
                        c->state.usec = first_usec();
                return sd_journal_seek_realtime_usec(c->journal, c->state.usec);
        }
        r = sd_journal_seek_cursor(c->journal, c->state.cursor);
        if (r >= 0)
                r = sd_journal_next(c->journal);
        if (r < 0)
                return r;
        c->at_entry = r > 0 && sd_journal_test_cursor(c->journal, c->state.cursor) <= 0;
        if (first && (r == 0 || c->at_entry))
                tell_gap(c);
        return 0;
}

/* At all files that there are now. */
static int look(CombinedLog *c) {
        uint64_t now = now_realtime();
        int r;

        r = sd_journal_process(c->journal);
        if (r >= 0)
                r = seek(c);
        if (r < 0)
                return r;
        c->horizon_usec = now - SETTLE_USEC;
        c->looked = true;
        c->waiting = false;
        return 0;
}

/* Whether the present entry has to wait, for which there is a timer then; a look costs something, so there is one a second at most. One of a time to
 * come, when the clock was set back, waits for nothing. */
static bool is_young(CombinedLog *c) {
        uint64_t usec, now = now_realtime();

        if (sd_journal_get_realtime_usec(c->journal, &usec) < 0 || usec <= c->horizon_usec || usec > now)
                return false;
        c->waiting = true;
        (void) arm(c, c->settle, usec + SETTLE_USEC > now ? SETTLE_USEC : 0);
        return true;
}

static int next_entry(CombinedLog *c) {
        if (c->at_entry) {
                c->at_entry = false;
                return 1;
        }
        return sd_journal_next(c->journal);
}

/* Of each entry, for which one is the last is only known when the journal stands at the next. */
static int keep_cursor(CombinedLog *c) {
        char *cursor;
        int r;

        r = sd_journal_get_cursor(c->journal, &cursor);
        if (r < 0)
                return r;
        free(c->state.cursor);
        c->state.cursor = cursor;
        return 0;
}

/* 1: there may be more. 0: it is all there is. */
static int read_entries(CombinedLog *c) {
        /* What is known of the file ends at an entry, at which the state is to be saved: what comes then may go into another file. */
        unsigned n_max = c->file.known_fd >= 0 ? 1 : BATCH_ENTRIES, n = 0, n_vms = 0;
        int r;

        r = c->looked ? 0 : look(c);
        if (r < 0)
                return r;
        r = 1;
        while (n < n_max && c->file.out.size < BATCH_SIZE) {
                int k;

                r = next_entry(c);
                if (r > 0 && is_young(c))
                        r = 0;
                if (r <= 0) {
                        c->looked = false;
                        break;
                }
                n++;
                k = read_entry(c);
                if (k >= 0) {
                        n_vms += k > 0;
                        k = keep_cursor(c);
                }
                if (k < 0)
                        return k;
        }
        if (n_vms > 0) {
                int k = arm(c, c->idle, IDLE_USEC);

                if (k >= 0 && !c->unsaved)
                        k = arm(c, c->save, SAVE_USEC);
                c->unsaved = true;
                if (k < 0)
                        return k;
        }
        return r;
}

/* The disk is full, say: the journal keeps what comes meanwhile. */
static int wait_for_disk(CombinedLog *c, int error) {
        const char *why = error == -ELOOP || error == -EBADF ? "it is no regular file, remove it" : strerrordesc_np(-error);

        if (error != c->write_error)
                log_error("Cannot write '" FILE_NAME "': %s.%s%s It is tried again; until then all is in the journal.", why,
                          *errno_remedy(error) ? " " : "", errno_remedy(error));
        c->write_error = error;
        c->retry_usec = c->retry_usec == 0 ? RETRY_USEC_MIN : MIN(c->retry_usec * 2, RETRY_USEC_MAX);
        return arm(c, c->retry, c->retry_usec);
}

/* The file that has the name now. What is saved then, before anything is written, is about that one: nothing is written to it while that cannot be. */
static int follow_file(CombinedLog *c) {
        int r = c->file.fd < 0 ? log_file_open(&c->file, &c->state) : log_file_follow(&c->file), k;

        if (r < 0)
                return r;
        c->new_file = c->new_file || r > 0;
        k = c->new_file ? save(c) : 0;
        if (k < 0 && k != -EAGAIN)
                return k;
        c->new_file = k < 0;
        return r;
}

static int on_read(sd_event_source *s, void *userdata) {
        CombinedLog *c = userdata;
        bool compares;
        int r, more;

        r = follow_file(c);
        if (r < 0) {
                (void) sd_event_source_set_enabled(s, SD_EVENT_OFF);
                return wait_for_disk(c, r);
        }
        compares = c->file.known_fd >= 0;
        more = read_entries(c);
        if (more < 0) {
                log_error_errno(more, "Cannot read the journal: %m");
                return sd_event_exit(c->event, more);
        }
        r = log_file_flush(&c->file);
        if (r >= 0 && more == 0 && !c->waiting && !c->caught_up) {
                r = log_file_settle(&c->file);
                c->caught_up = true;
                /* Perhaps there is nothing to wait for: a boot without VMs. */
                (void) arm(c, c->idle, c->woken ? IDLE_USEC : 0);
        }
        if (r >= 0 && compares && c->file.known_fd < 0)
                (void) save(c);
        if (more == 0 || r < 0)
                (void) sd_event_source_set_enabled(s, SD_EVENT_OFF);
        return r < 0 ? wait_for_disk(c, r) : 0;
}

static int on_settle(sd_event_source *s, uint64_t usec, void *userdata) {
        CombinedLog *c = userdata;

        return c->write_error != 0 ? 0 : sd_event_source_set_enabled(c->read, SD_EVENT_ON);
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata) {
        CombinedLog *c = userdata;
        int r;

        r = follow_file(c);
        if (r >= 0)
                r = log_file_flush(&c->file);
        if (r < 0)
                return wait_for_disk(c, r);
        log_info("'" FILE_NAME "' is written again.");
        c->write_error = 0;
        c->retry_usec = 0;
        (void) save(c);
        return sd_event_source_set_enabled(c->read, SD_EVENT_ON);
}

static int on_journal(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        CombinedLog *c = userdata;
        int r = sd_journal_process(c->journal);

        if (r < 0) {
                log_error_errno(r, "Cannot follow the journal: %m");
                return sd_event_exit(c->event, r);
        }
        return c->write_error != 0 || c->waiting ? 0 : sd_event_source_set_enabled(c->read, SD_EVENT_ON);
}

/* Whether units of VMs are there whose guests run, or may do so for long: 2. Whether there are some on their way up or down: 1.
 * Neither: 0. */
static int look_for_vms(void) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *state;
        int r, found = 0;

        r = sd_bus_open_system(&bus);
        if (r >= 0)
                r = sd_bus_call_method(bus, MANAGER, "ListUnitsByPatterns", &error, &reply, "asas", 4, "active", "reloading",
                                       "activating", "deactivating", 1, LAYOUT_TEMPLATE_PATTERN);
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
        while (r >= 0 &&
               (r = sd_bus_message_read(reply, "(ssssssouso)", NULL, NULL, NULL, &state, NULL, NULL, NULL, NULL, NULL, NULL)) > 0)
                found = MAX(found, streq(state, "active") || streq(state, "reloading") ? 2 : 1);
        if (r < 0)
                return log_warning_errno(r, "Cannot ask systemd whether VMs run: %s", error.message ?: strerrordesc_np(-r));
        return found;
}

/* Nothing has come for a while. Every end of a VM is logged, so with one that runs there is no need to look again before
 * something comes. Whatever is logged from now on for a VM that starts comes after its first step has connected to our socket,
 * for which systemd starts us again. */
static int on_idle(sd_event_source *s, uint64_t usec, void *userdata) {
        CombinedLog *c = userdata;
        int r;

        /* There is something to be written still. */
        if (c->write_error != 0 || c->waiting || !c->caught_up)
                return arm(c, c->idle, IDLE_USEC);
        r = look_for_vms();
        if (r == 0)
                return sd_event_exit(c->event, 0);
        return r == 2 ? 0 : arm(c, c->idle, IDLE_USEC);
}

static int clear(CombinedLog *c) {
        int r = follow_file(c);

        if (r >= 0)
                r = log_file_clear(&c->file);
        if (r >= 0)
                r = log_file_flush(&c->file);
        return r < 0 ? r : save(c);
}

static void answer(CombinedLog *c, const char *request) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (streq(request, COMBINED_LOG_CLEAR))
                r = clear(c);
        else if (streq(request, COMBINED_LOG_SYNC)) {
                r = save(c);
                r = r == -EAGAIN ? 0 : r;       /* what was saved last is how far it is */
        } else
                r = -EOPNOTSUPP;
        text = r >= 0 ? strdup(COMBINED_LOG_DONE)
                      : strf("Cannot write '" FILE_NAME "' or what belongs to it: %s.", strerrordesc_np(-r));
        if (text)
                (void) send(c->client_fd, text, MIN(strlen(text), (size_t) COMBINED_LOG_PACKET_MAX), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int close_client(CombinedLog *c) {
        c->client = sd_event_source_disable_unref(c->client);
        c->client_fd = safe_close(c->client_fd);
        (void) sd_event_source_set_enabled(c->client_timer, SD_EVENT_OFF);
        return sd_event_source_set_enabled(c->listen, SD_EVENT_ON);
}

static int on_client_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        return close_client(userdata);
}

static int on_client(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        char request[COMBINED_LOG_PACKET_MAX + 1];
        CombinedLog *c = userdata;
        ssize_t n = recv(fd, request, sizeof(request) - 1, MSG_DONTWAIT);

        if (n > 0) {
                request[n] = 0;
                answer(c, request);
        }
        return close_client(c);
}

/* One at a time; most of them say nothing, they only wake us. */
static int on_listen(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        CombinedLog *c = userdata;
        int r;

        c->client_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (c->client_fd < 0)
                return 0;
        c->woken = true;
        r = sd_event_add_io(c->event, &c->client, c->client_fd, EPOLLIN, on_client, c);
        if (r >= 0)
                r = arm(c, c->client_timer, CLIENT_USEC);
        if (r < 0)
                return close_client(c);
        return sd_event_source_set_enabled(s, SD_EVENT_OFF);
}

/* logrotate has renamed the file. */
static int on_reload(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        CombinedLog *c = userdata;

        (void) sd_notify(0, "RELOADING=1");
        if (c->write_error == 0)
                (void) sd_event_source_set_enabled(c->read, SD_EVENT_ON);
        (void) sd_notify(0, "READY=1");
        return 0;
}

static int on_stop(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int open_journal(CombinedLog *c) {
        _cleanup_free_ char *error = NULL;
        int r;

        r = vm_journal_open(&c->journal, &error);
        if (r < 0) {
                log_error("%s", error ?: "Out of memory.");
                return r;
        }
        r = vm_journal_match_all(c->journal);
        /* Before looking for the end, or what comes in between would be seen late. */
        if (r >= 0)
                r = sd_journal_get_fd(c->journal);
        if (r >= 0)
                r = seek(c);
        return r < 0 ? log_error_errno(r, "Cannot read the journal: %m") : 0;
}

static int open_state(CombinedLog *c) {
        int r;

        c->lock_fd = log_state_lock();
        if (c->lock_fd == -EBUSY)
                return log_error_errno(c->lock_fd, "Another inferno-combined-log is writing '" FILE_NAME "'.");
        if (c->lock_fd < 0)
                return log_error_errno(c->lock_fd,
                                       "Cannot lock '%s': %m. Is it there, and are we root? systemd-tmpfiles --create makes it.",
                                       LAYOUT_COMBINED_LOG_STATE_DIR);
        r = log_state_load(&c->state);
        if (r == -EBADMSG)
                log_warning("'%s' is damaged: what has come since the socket is there is written, also what is in it already.",
                            LAYOUT_COMBINED_LOG_STATE);
        else if (r < 0 && r != -ENOENT)
                return log_error_errno(r, "Cannot read '%s': %m", LAYOUT_COMBINED_LOG_STATE);
        return 0;
}

static int add_timer(CombinedLog *c, sd_event_source **ret, sd_event_time_handler_t handler) {
        int r = sd_event_add_time(c->event, ret, CLOCK_MONOTONIC, UINT64_MAX, 0, handler, c);

        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int add_signal(CombinedLog *c, int signo, sd_event_signal_handler_t handler) {
        return sd_event_add_signal(c->event, NULL, signo | SD_EVENT_SIGNAL_PROCMASK, handler, c);
}

static int add_sources(CombinedLog *c) {
        int r;

        r = sd_event_new(&c->event);
        if (r >= 0)
                r = add_signal(c, SIGTERM, on_stop);
        if (r >= 0)
                r = add_signal(c, SIGINT, on_stop);
        if (r >= 0)
                r = add_signal(c, SIGHUP, on_reload);
        if (r >= 0)
                r = add_timer(c, &c->settle, on_settle);
        if (r >= 0)
                r = add_timer(c, &c->save, on_save);
        if (r >= 0)
                r = add_timer(c, &c->retry, on_retry);
        if (r >= 0)
                r = add_timer(c, &c->idle, on_idle);
        if (r >= 0)
                r = add_timer(c, &c->client_timer, on_client_timeout);
        if (r >= 0)
                r = sd_event_add_io(c->event, &c->journal_source, sd_journal_get_fd(c->journal),
                                    (uint32_t) sd_journal_get_events(c->journal), on_journal, c);
        if (r >= 0)
                r = sd_event_add_defer(c->event, &c->read, on_read, c);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->read, SD_EVENT_ON);
        /* Behind everything else, however much there is to read. */
        if (r >= 0)
                r = sd_event_source_set_priority(c->read, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0 && sd_listen_fds(false) == 1)
                r = sd_event_add_io(c->event, &c->listen, SD_LISTEN_FDS_START, EPOLLIN, on_listen, c);
        return r < 0 ? log_error_errno(r, "Cannot set up the event loop: %m") : 0;
}

/* Whoever wakes us while we cannot start would have systemd start us again at once, and again, until it gives up the socket. */
static void drop_clients(void) {
        struct pollfd p = { .fd = SD_LISTEN_FDS_START, .events = POLLIN };

        if (sd_listen_fds(false) != 1)
                return;
        while (poll(&p, 1, 0) > 0) {
                int fd = accept4(p.fd, NULL, NULL, SOCK_CLOEXEC);

                if (fd < 0)
                        return;
                safe_close(fd);
        }
}

int combined_log_new(CombinedLog **ret) {
        _cleanup_(combined_log_freep) CombinedLog *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return log_oom();
        c->lock_fd = c->client_fd = -EBADF;
        c->file = (LogFile) LOG_FILE_INIT;
        r = open_state(c);
        if (r >= 0)
                r = open_journal(c);
        if (r >= 0)
                r = add_sources(c);
        if (r < 0) {
                drop_clients();
                return r;
        }
        *ret = TAKE_PTR(c);
        return 0;
}

int combined_log_run(CombinedLog *c) {
        int r;

        (void) sd_notify(0, "READY=1");
        r = sd_event_loop(c->event);
        (void) sd_notify(0, "STOPPING=1");
        /* After an error the cursor may be behind the lines. */
        if (r >= 0)
                (void) save(c);
        return r;
}
