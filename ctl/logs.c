/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>
#include <poll.h>
#include <syslog.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/sentence.h"
#include "base/str.h"
#include "ctl/logs.h"
#include "ctl/table.h"
#include "json/json.h"
#include "vmjournal/vm-journal.h"

typedef struct Logs {
        const LogQuery *query;
        sd_journal *journal;
        bool terminal;
        uint64_t printed;
        char *open_line;                /* "VM STREAM" of a line that has been printed in part */
} Logs;

static void logs_done(Logs *l) {
        free(l->open_line);
        sd_journal_close(l->journal);
}

static int add_matches(sd_journal *j, const LogQuery *q) {
        int r = 0;

        if (!q->vms && !q->streams)
                r = vm_journal_match_all(j);
        STRV_FOREACH(vm, q->vms)
                if (r >= 0)
                        r = vm_journal_match(j, *vm, !q->streams);
        if (r >= 0)
                r = sd_journal_add_conjunction(j);
        STRV_FOREACH(stream, q->streams)
                if (r >= 0)
                        r = vm_journal_match_field(j, "INFERNO_STREAM", *stream);
        if (r < 0 || (q->priority_min == LOG_EMERG && q->priority_max == LOG_DEBUG))
                return r;
        r = sd_journal_add_conjunction(j);
        for (int p = q->priority_min; r >= 0 && p <= q->priority_max; p++) {
                const char value[] = { (char) ('0' + p), 0 };

                r = vm_journal_match_field(j, "PRIORITY", value);
        }
        return r;
}

/* With "fit" control characters are shown as what they are, but for tabs. */
static void add_fit(StrBuf *b, const char *s, size_t n) {
        while (n > 0) {
                size_t k = strnlen(s, n), tab;
                _cleanup_free_ char *part = NULL, *text = NULL;

                tab = k > 0 ? (size_t) ((const char *) (memchr(s, '\t', k) ?: s + k) - s) : 0;
                part = strndup(s, tab);
                text = part ? text_escape(part) : NULL;
                if (!text) {
                        b->failed = true;
                        return;
                }
                strbuf_adds(b, text);
                s += tab;
                n -= tab;
                if (n > 0) {
                        strbuf_adds(b, *s == '\t' ? "\t" : "\\x00");
                        s++;
                        n--;
                }
        }
}

char *logs_format_message(const void *message, size_t n, size_t indent, bool fit) {
        _cleanup_strbuf_ StrBuf b = {};
        const char *s = message;
        char *text;

        strbuf_add(&b, "", 0);
        for (;;) {
                const char *newline = memchr(s, '\n', n);
                size_t k = newline ? (size_t) (newline - s) : n;

                if (fit)
                        add_fit(&b, s, k);
                else
                        strbuf_add(&b, s, k);
                if (!newline || k + 1 == n)
                        break;
                strbuf_addf(&b, "\n%*s", (int) indent, "");
                s += k + 1;
                n -= k + 1;
        }
        return strbuf_finish(&b, &text, NULL) < 0 ? NULL : text;
}

static int add_base64(json_t *j, const char *key, const void *data, size_t n) {
        _cleanup_free_ char *text = malloc(BASE64_SIZE(n) + 1);

        if (!text)
                return -ENOMEM;
        base64_encode(data, n, text);
        return json_object_set_new(j, key, json_stringn(text, BASE64_SIZE(n)));
}

static json_t *json_field(sd_journal *journal, const char *name) {
        const char *data;
        size_t n;

        return vm_journal_get(journal, name, &data, &n) ? json_string_lossy(data, n) : json_null();
}

/* One object a line, so that readers need not wait for the end. What is no text is there as it is, too. */
static int print_json(const Logs *l, const char *vm, uint64_t usec) {
        sd_journal *journal = l->journal;
        _cleanup_free_ char *priority = vm_journal_copy(journal, "PRIORITY");
        _cleanup_json_ json_t *j = json_pack("{s:I,s:s,s:o,s:o,s:o,s:o,s:o}", "time", (json_int_t) usec, "vm", vm,
                                             "stream", json_field(journal, "INFERNO_STREAM"), "identifier", json_field(journal, "SYSLOG_IDENTIFIER"),
                                             "priority", priority ? json_integer(atoi(priority)) : json_null(),
                                             "image", json_field(journal, "INFERNO_IMAGE"), "version", json_field(journal, "INFERNO_VERSION"));
        const char *message;
        size_t n;

        if (!j)
                return -ENOMEM;
        if (vm_journal_is(journal, "INFERNO_PARTIAL", "1") && json_object_set_new(j, "partial", json_true()) < 0)
                return -ENOMEM;
        if (!vm_journal_get(journal, "MESSAGE", &message, &n)) {
                message = "";
                n = 0;
        }
        if (json_object_set_new(j, "message", json_string_lossy(message, n)) < 0)
                return -ENOMEM;
        if (json_string_length(json_object_get(j, "message")) != n || memcmp(json_string_value(json_object_get(j, "message")), message, n) != 0)
                if (add_base64(j, "message_base64", message, n) < 0)
                        return -ENOMEM;
        if (json_dumpf(j, stdout, JSON_COMPACT) < 0 || putchar('\n') < 0)
                return -EIO;
        return 0;
}

/* A line that kiln had to write down in several entries is one again, unless another's came between. */
static int print_text(Logs *l, const char *vm, uint64_t usec) {
        sd_journal *j = l->journal;
        _cleanup_free_ char *source = vm_journal_copy(j, "INFERNO_STREAM") ?: vm_journal_copy(j, "SYSLOG_IDENTIFIER") ?: strdup("?"),
                            *fit = source ? text_escape(source) : NULL, *time = format_time(usec), *who = NULL;
        bool partial = vm_journal_is(j, "INFERNO_PARTIAL", "1");
        const char *message;
        size_t n;

        who = fit ? strjoin(vm, " ", fit) : NULL;
        if (!who || !time)
                return -ENOMEM;
        if (!streq_ptr(who, l->open_line))
                printf("%s%s %s: ", l->open_line ? "\n" : "", time, who);
        if (vm_journal_get(j, "MESSAGE", &message, &n)) {
                size_t indent = strlen(time) + strlen(who) + 3;

                if (!l->terminal && !memchr(message, '\n', n))
                        (void) fwrite(message, 1, n, stdout);
                else {
                        _cleanup_free_ char *text = logs_format_message(message, n, indent, l->terminal);

                        if (!text)
                                return -ENOMEM;
                        fputs(text, stdout);
                }
        }
        if (!partial)
                putchar('\n');
        free(l->open_line);
        l->open_line = partial ? TAKE_PTR(who) : NULL;
        return 0;
}

/* 1: the entry is one that was asked for. 0: not. -ESTALE: it and all behind it are too late. */
static int is_wanted(const Logs *l, uint64_t *ret_usec, char **ret_vm) {
        int r;

        r = sd_journal_get_realtime_usec(l->journal, ret_usec);
        if (r < 0)
                return r == -EBADMSG || r == -EADDRNOTAVAIL ? 0 : r;
        if (*ret_usec > l->query->until)
                return -ESTALE;
        if (*ret_usec < l->query->since)
                return 0;
        *ret_vm = vm_journal_entry_vm(l->journal);
        return !!*ret_vm;
}

/* From where we are to the end of what there is. 1: until= is reached. */
static int print_entries(Logs *l) {
        int r;

        while ((r = sd_journal_next(l->journal)) > 0) {
                _cleanup_free_ char *vm = NULL;
                uint64_t usec;

                r = is_wanted(l, &usec, &vm);
                if (r == -ESTALE)
                        return 1;
                if (r > 0) {
                        r = l->query->json ? print_json(l, vm, usec) : print_text(l, vm, usec);
                        l->printed++;
                }
                if (r < 0)
                        return r;
                if (ferror(stdout))
                        return -EIO;
        }
        return r;
}

/* To before the first entry that is to be printed. */
static int seek(Logs *l) {
        const LogQuery *q = l->query;
        unsigned n = 0;
        int r;

        if (q->lines == UINT_MAX)
                return q->since > 0 ? sd_journal_seek_realtime_usec(l->journal, q->since) : sd_journal_seek_head(l->journal);
        r = q->until == UINT64_MAX ? sd_journal_seek_tail(l->journal) : sd_journal_seek_realtime_usec(l->journal, q->until);
        if (r < 0)
                return r;
        for (;;) {
                _cleanup_free_ char *vm = NULL;
                uint64_t usec;

                /* This way, what is asked for last is not one of them: the next one is where printing begins. */
                r = sd_journal_previous(l->journal);
                if (r <= 0)
                        return r < 0 ? r : sd_journal_seek_head(l->journal);
                r = is_wanted(l, &usec, &vm);
                if (r < 0 && r != -ESTALE)
                        return r;
                if (n == q->lines || (r == 0 && usec < q->since))
                        return 0;
                n += r > 0;
        }
}

/* 1: nobody reads what we print any more. */
static int wait_for_more(Logs *l) {
        struct pollfd p[] = {
                { .fd = sd_journal_get_fd(l->journal), .events = (short) sd_journal_get_events(l->journal) },
                { .fd = STDOUT_FILENO },
        };
        uint64_t until;
        int r, timeout = -1;

        if (p[0].fd < 0)
                return p[0].fd;
        r = sd_journal_get_timeout(l->journal, &until);
        if (r < 0)
                return r;
        if (until != UINT64_MAX)
                timeout = 1000;         /* inotify(7) does not work there: network file systems */
        if (poll(p, ELEMENTSOF(p), timeout) < 0)
                return errno == EINTR ? 0 : negative_errno();
        if (p[1].revents & (POLLERR | POLLHUP | POLLNVAL))
                return 1;
        r = sd_journal_process(l->journal);
        return r < 0 ? r : 0;
}

static int run(Logs *l) {
        int r;

        r = add_matches(l->journal, l->query);
        /* Before looking for the end, or what comes in between would be seen late. */
        if (r >= 0 && l->query->follow)
                r = sd_journal_get_fd(l->journal);
        if (r >= 0)
                r = seek(l);
        while (r >= 0) {
                r = print_entries(l);
                if (r >= 0 && fflush(stdout) != 0)
                        return negative_errno();
                if (r != 0 || !l->query->follow)
                        break;
                r = wait_for_more(l);
                if (r > 0)
                        return 0;
        }
        if (l->open_line && putchar('\n') < 0)
                return -EIO;
        return r < 0 ? r : 0;
}

int logs_print(const LogQuery *q, uint64_t *ret_printed, char **ret_error) {
        _cleanup_(logs_done) Logs l = { .query = q, .terminal = isatty(STDOUT_FILENO) > 0 };
        int r;

        r = vm_journal_open(&l.journal, ret_error);
        if (r < 0)
                return r;
        r = run(&l);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot print the journal");
        if (ret_printed)
                *ret_printed = l.printed;
        return 0;
}

int logs_has(const char *vm, char **ret_error) {
        sd_journal *j = NULL;
        int r;

        r = vm_journal_open(&j, ret_error);
        if (r < 0)
                return r;
        r = vm_journal_match(j, vm, true);
        if (r >= 0)
                r = sd_journal_seek_head(j);
        if (r >= 0)
                r = sd_journal_next(j);
        sd_journal_close(j);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot look into the journal of VM '%s'", vm) : r > 0;
}

int logs_parse_priority(const char *s, int *ret_min, int *ret_max) {
        const char *dots = strstr(s, "..");
        _cleanup_free_ char *first = strndup(s, dots ? (size_t) (dots - s) : strlen(s));
        int a, b;

        if (!first)
                return -ENOMEM;
        a = log_level_from_string(first);
        b = dots ? log_level_from_string(dots + 2) : LOG_EMERG;
        if (a < 0 || b < 0)
                return -EINVAL;
        *ret_min = MIN(a, b);
        *ret_max = MAX(a, b);
        return 0;
}
