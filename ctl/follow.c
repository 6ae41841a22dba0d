/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "ctl/follow.h"
#include "ctl/table.h"
#include "layout/layout.h"

/* How long journald may take to write down what it has. */
enum { SYNC_TIMEOUT_MSEC = 10000 };

struct Follow {
        sd_journal *journal;
        sd_event_source *source;
        bool quiet;
};

Follow *follow_free(Follow *f) {
        if (!f)
                return NULL;
        sd_event_source_disable_unref(f->source);
        sd_journal_close(f->journal);
        free(f);
        return NULL;
}

static int open_journal(Follow *f, const char *vm) {
        _cleanup_free_ char *unit = layout_unit_name(vm), *match = unit ? strjoin("_SYSTEMD_UNIT=", unit) : NULL;
        int r;

        if (!match)
                return -ENOMEM;
        /* kiln writes as the VM's uid, for which journald keeps a file beside that of the system. */
        r = sd_journal_open(&f->journal, SD_JOURNAL_LOCAL_ONLY);
        if (r >= 0)
                r = sd_journal_add_match(f->journal, match, 0);
        if (r >= 0)
                r = sd_journal_get_fd(f->journal);
        if (r >= 0)
                r = sd_journal_seek_tail(f->journal);
        if (r >= 0)
                r = sd_journal_previous(f->journal);
        /* No entry yet: there is no last one that the next could follow. */
        return r == 0 ? sd_journal_seek_head(f->journal) : r;
}

int follow_new(const char *vm, bool quiet, Follow **ret, char **ret_error) {
        _cleanup_(follow_freep) Follow *f = calloc(1, sizeof(*f));
        int r;

        if (!f)
                return -ENOMEM;
        f->quiet = quiet;
        r = open_journal(f, vm);
        if (r < 0)
                return sentence(ret_error, r, "Cannot read the journal of VM '%s': %s.", vm, strerrordesc_np(-r));
        *ret = TAKE_PTR(f);
        return 0;
}

/* The value of a field; NULL: there is none. */
static char *get_field(sd_journal *j, const char *name) {
        const void *data;
        size_t n, skip = strlen(name) + 1;

        if (sd_journal_get_data(j, name, &data, &n) < 0 || n < skip)
                return NULL;
        return strndup((const char *) data + skip, n - skip);
}

/* As it is, with its NULs; on a terminal without what would work on that, but for tabs, which are harmless. */
static void print_text(FILE *f, const char *text, size_t n) {
        const char *end = text + n;

        if (!isatty(fileno(f))) {
                (void) fwrite(text, 1, n, f);
                return;
        }
        while (text < end) {
                size_t k = 0;

                while (text + k < end && text[k] && text[k] != '\t')
                        k++;
                if (k > 0) {
                        _cleanup_free_ char *part = strndup(text, k), *fit = part ? text_escape(part) : NULL;

                        fputs(fit ?: "", f);
                } else {
                        fputs(*text ? "\t" : "\\x00", f);
                        k = 1;
                }
                text += k;
        }
}

static void print_entry(const Follow *f) {
        static const char field[] = "MESSAGE=";
        _cleanup_free_ char *stream = get_field(f->journal, "INFERNO_STREAM"), *priority = get_field(f->journal, "PRIORITY"),
                            *partial = get_field(f->journal, "INFERNO_PARTIAL");
        bool of_guest = stream && (streq(stream, "stdout") || streq(stream, "stderr"));
        FILE *out = stream && streq(stream, "stdout") ? stdout : stderr;
        const void *message;
        size_t n;

        if (f->quiet && !of_guest && (priority ? atoi(priority) : LOG_INFO) > LOG_WARNING)
                return;
        if (sd_journal_get_data(f->journal, "MESSAGE", &message, &n) < 0 || n < strlen(field))
                return;
        print_text(out, (const char *) message + strlen(field), n - strlen(field));
        if (!partial)           /* the rest of a long line is the next entry */
                fputc('\n', out);
}

static int print_new(Follow *f) {
        int r;

        while ((r = sd_journal_next(f->journal)) > 0)
                print_entry(f);
        if (r >= 0 && fflush(stdout) != 0)
                return negative_errno();
        return r;
}

static int on_journal(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Follow *f = userdata;
        int r;

        r = sd_journal_process(f->journal);
        if (r >= 0)
                r = print_new(f);
        return r < 0 ? sd_event_exit(sd_event_source_get_event(s), r) : 0;
}

int follow_attach(Follow *f, sd_event *event) {
        return sd_event_add_io(event, &f->source, sd_journal_get_fd(f->journal), (uint32_t) sd_journal_get_events(f->journal), on_journal, f);
}

/* journalctl --sync: io.systemd.Journal.Synchronize over varlink(7); a message ends with NUL. */
static int synchronize(void) {
        static const char call[] = "{\"method\":\"io.systemd.Journal.Synchronize\",\"parameters\":{}}";
        const struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/io.systemd.journal" };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char answer[256];
        int r;

        if (fd < 0 || connect(fd, (const struct sockaddr *) &a, sizeof(a)) < 0)
                return negative_errno();
        r = write_full(fd, call, sizeof(call));
        if (r < 0)
                return r;
        for (;;) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                ssize_t n;

                if (poll(&p, 1, SYNC_TIMEOUT_MSEC) <= 0)
                        return -ETIMEDOUT;
                n = read(fd, answer, sizeof(answer));
                if (n <= 0 || memchr(answer, 0, (size_t) n))
                        return 0;
        }
}

/* What cannot be synchronized is printed as far as it is there. */
int follow_finish(Follow *f) {
        int r;

        (void) synchronize();
        r = sd_journal_process(f->journal);
        return r < 0 ? r : print_new(f);
}
