/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>
#include <poll.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/sentence.h"
#include "base/str.h"
#include "ctl/logs.h"
#include "ctl/table.h"
#include "json/json.h"
#include "layout/layout.h"

/* Who else writes to the journal for a VM. */
static const char *const steps[] = {
        "inferno-image", "inferno-tap", "inferno-volume", "inferno-initramfs", "inferno-chroot", "inferno-jailer", "inferno-cleanup",
};
static const char *const streams[] = { "stdout", "stderr", "console", "vmm", "kiln", "metrics" };

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

static int add_match(sd_journal *j, const char *field, const char *value) {
        _cleanup_free_ char *match = strjoin(field, "=", value);

        return match ? sd_journal_add_match(j, match, 0) : -ENOMEM;
}

/* What its unit's processes say, and what PID 1 says of it. */
static int match_vm(sd_journal *j, const char *vm, bool with_systemd) {
        _cleanup_free_ char *unit = layout_unit_name(vm);
        int r;

        if (!unit)
                return -ENOMEM;
        r = add_match(j, "_SYSTEMD_UNIT", unit);
        if (r < 0 || !with_systemd)
                return r;
        r = sd_journal_add_disjunction(j);
        if (r >= 0)
                r = add_match(j, "UNIT", unit);
        if (r >= 0)
                r = add_match(j, "_PID", "1");
        return r >= 0 ? sd_journal_add_disjunction(j) : r;
}

/* There is no matching of a unit's template, and VMs come while we follow: so whatever may be of one, of which entry_vm() then takes what is. */
static int match_all(sd_journal *j) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(streams); i++)
                r = add_match(j, "INFERNO_STREAM", streams[i]);
        if (r >= 0)
                r = sd_journal_add_disjunction(j);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(steps); i++)
                r = add_match(j, "SYSLOG_IDENTIFIER", steps[i]);
        if (r >= 0)
                r = sd_journal_add_disjunction(j);
        return r >= 0 ? add_match(j, "_PID", "1") : r;
}

static int add_matches(sd_journal *j, const LogQuery *q) {
        int r = 0;

        if (!q->vms && !q->streams)
                r = match_all(j);
        STRV_FOREACH(vm, q->vms)
                if (r >= 0)
                        r = match_vm(j, *vm, !q->streams);
        if (r >= 0)
                r = sd_journal_add_conjunction(j);
        STRV_FOREACH(stream, q->streams)
                if (r >= 0)
                        r = add_match(j, "INFERNO_STREAM", *stream);
        if (r < 0 || (q->priority_min == LOG_EMERG && q->priority_max == LOG_DEBUG))
                return r;
        r = sd_journal_add_conjunction(j);
        for (int p = q->priority_min; r >= 0 && p <= q->priority_max; p++) {
                const char value[] = { (char) ('0' + p), 0 };

                r = add_match(j, "PRIORITY", value);
        }
        return r;
}

/* libsystemd leaves out the files that the caller may not read, without a word. */
static int check_readable(char **ret_error) {
        sd_journal *j;
        bool readable;
        int r;

        r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot open the journal");
        readable = sd_journal_has_runtime_files(j) > 0 || sd_journal_has_persistent_files(j) > 0;
        sd_journal_close(j);
        if (readable)
                return 0;
        return geteuid() == 0 ? sentence(ret_error, -ENOENT, "The journal has no files: see systemctl status systemd-journald.")
                              : sentence(ret_error, -EACCES, "The journal may be read by root and the group 'systemd-journal': try it with sudo, or have "
                                         "yourself added to that group.");
}

/* With the files of users: to journald each VM is one, by its uid. */
static int open_journal(sd_journal **ret, char **ret_error) {
        sd_journal *j;
        int r;

        r = check_readable(ret_error);
        if (r < 0)
                return r;
        r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot open the journal");
        /* Also long messages whole; what a message can be is journald's to limit. */
        r = sd_journal_set_data_threshold(j, 0);
        if (r < 0) {
                sd_journal_close(j);
                return sentence_errno(ret_error, r, "Cannot open the journal");
        }
        *ret = j;
        return 0;
}

/* The value of a field, good until the next call; false: there is none, or it cannot be read. */
static bool get_field(sd_journal *j, const char *name, const char **ret, size_t *ret_n) {
        size_t n, skip = strlen(name) + 1;
        const void *data;

        if (sd_journal_get_data(j, name, &data, &n) < 0 || n < skip)
                return false;
        *ret = (const char *) data + skip;
        *ret_n = n - skip;
        return true;
}

static bool field_is(sd_journal *j, const char *name, const char *value) {
        const char *data;
        size_t n;

        return get_field(j, name, &data, &n) && n == strlen(value) && memcmp(data, value, n) == 0;
}

static char *copy_field(sd_journal *j, const char *name) {
        const char *data;
        size_t n;

        return get_field(j, name, &data, &n) ? strndup(data, n) : NULL;
}

/* The VM that an entry is of, by what journald knows; NULL: of none. */
static char *entry_vm(sd_journal *j) {
        static const char prefix[] = "inferno@", suffix[] = ".service";
        _cleanup_free_ char *unit = copy_field(j, field_is(j, "_PID", "1") ? "UNIT" : "_SYSTEMD_UNIT");
        const char *name = unit ? startswith(unit, prefix) : NULL;
        char *vm;

        if (!name || !endswith(name, suffix))
                return NULL;
        vm = strndup(name, strlen(name) - strlen(suffix));
        if (vm && !vm_name_is_valid(vm)) {
                free(vm);
                return NULL;
        }
        return vm;
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

        return get_field(journal, name, &data, &n) ? json_string_lossy(data, n) : json_null();
}

/* One object a line, so that readers need not wait for the end. What is no text is there as it is, too. */
static int print_json(const Logs *l, const char *vm, uint64_t usec) {
        sd_journal *journal = l->journal;
        _cleanup_free_ char *priority = copy_field(journal, "PRIORITY");
        _cleanup_json_ json_t *j = json_pack("{s:I,s:s,s:o,s:o,s:o,s:o,s:o}", "time", (json_int_t) usec, "vm", vm,
                                             "stream", json_field(journal, "INFERNO_STREAM"), "identifier", json_field(journal, "SYSLOG_IDENTIFIER"),
                                             "priority", priority ? json_integer(atoi(priority)) : json_null(),
                                             "image", json_field(journal, "INFERNO_IMAGE"), "version", json_field(journal, "INFERNO_VERSION"));
        const char *message;
        size_t n;

        if (!j)
                return -ENOMEM;
        if (field_is(journal, "INFERNO_PARTIAL", "1") && json_object_set_new(j, "partial", json_true()) < 0)
                return -ENOMEM;
        if (!get_field(journal, "MESSAGE", &message, &n)) {
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
        _cleanup_free_ char *source = copy_field(j, "INFERNO_STREAM") ?: copy_field(j, "SYSLOG_IDENTIFIER") ?: strdup("?"),
                            *fit = source ? text_escape(source) : NULL, *time = format_time(usec), *who = NULL;
        bool partial = field_is(j, "INFERNO_PARTIAL", "1");
        const char *message;
        size_t n;

        who = fit ? strjoin(vm, " ", fit) : NULL;
        if (!who || !time)
                return -ENOMEM;
        if (!streq_ptr(who, l->open_line))
                printf("%s%s %s: ", l->open_line ? "\n" : "", time, who);
        if (get_field(j, "MESSAGE", &message, &n)) {
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
        *ret_vm = entry_vm(l->journal);
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

        r = open_journal(&l.journal, ret_error);
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

        r = open_journal(&j, ret_error);
        if (r < 0)
                return r;
        r = match_vm(j, vm, true);
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
