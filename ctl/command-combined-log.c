/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* logs status, restart and clear: the file that inferno-combined-log(8) writes for those who ship logs. */

#include <inttypes.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/sentence.h"
#include "base/str.h"
#include "combinedlog/log-client.h"
#include "combinedlog/log-state.h"
#include "ctl/ask.h"
#include "ctl/bus.h"
#include "ctl/ctl.h"
#include "layout/layout.h"
#include "vmjournal/vm-journal.h"

#define FILE_NAME LAYOUT_COMBINED_LOG_DIR "/" LAYOUT_COMBINED_LOG

enum { BEHIND_MAX = 10000 };            /* from there on it does not matter how many */

static bool arg_yes;

static const CtlOption clear_options[] = {
        { "yes", 'y', CTL_OPTION_FLAG, &arg_yes, NULL, "Do not ask" },
        {},
};

typedef struct LogStatus {
        char *enabled, *socket, *service;       /* the states that systemd has */
        uint64_t size, behind;                  /* UINT64_MAX: not known */
        uint64_t usec;                          /* of the last entry; 0: none */
} LogStatus;

static void log_status_done(LogStatus *s) {
        free(s->enabled);
        free(s->socket);
        free(s->service);
}

static int not_enabled(void) {
        log_error("The combined log is not enabled: systemctl enable --now " LAYOUT_COMBINED_LOG_SOCKET_UNIT);
        return CTL_NOT_RUNNING;
}

static bool is_on(const char *state) {
        return !streq(state, "inactive") && !streq(state, "failed");
}

static int get_units(Ctl *c, LogStatus *s) {
        _cleanup_free_ char *error = NULL;
        int r;

        r = ctl_need_bus(c);
        if (r != 0)
                return r;
        r = bus_get_file_state(c->bus, LAYOUT_COMBINED_LOG_SOCKET_UNIT, &s->enabled, &error);
        if (r >= 0)
                r = bus_get_active_state(c->bus, LAYOUT_COMBINED_LOG_SOCKET_UNIT, &s->socket, &error);
        if (r >= 0)
                r = bus_get_active_state(c->bus, LAYOUT_COMBINED_LOG_UNIT, &s->service, &error);
        return r < 0 ? ctl_log_sentence(r, error) : 0;
}

/* How many entries of VMs the journal has behind what is in the file. */
static int count_behind(const char *cursor, uint64_t *ret, char **ret_error) {
        sd_journal *j = NULL;
        uint64_t n = 0;
        int r;

        r = vm_journal_open(&j, ret_error);
        if (r < 0)
                return r;
        r = vm_journal_match_all(j);
        if (r >= 0)
                r = sd_journal_seek_cursor(j, cursor);
        if (r >= 0)
                r = sd_journal_next(j);
        /* Where it is not in the journal any more, this one is behind it. */
        if (r > 0 && sd_journal_test_cursor(j, cursor) > 0)
                r = sd_journal_next(j);
        while (r > 0 && n < BEHIND_MAX) {
                _cleanup_free_ char *vm = vm_journal_entry_vm(j);

                n += !!vm;
                r = sd_journal_next(j);
        }
        sd_journal_close(j);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot read the journal");
        *ret = n;
        return 0;
}

static int get_file(LogStatus *s) {
        _cleanup_free_ char *path = layout_path(FILE_NAME), *error = NULL;
        _cleanup_log_state_ LogState state = {};
        struct stat st;
        int r;

        if (!path)
                return log_oom();
        s->size = s->behind = UINT64_MAX;
        if (lstat(path, &st) >= 0)
                s->size = (uint64_t) st.st_size;
        else if (errno != ENOENT)
                return log_error_errno(errno, "Cannot look at '%s': %m", path);
        /* One that runs writes down how far it is; one that does not has done so when it ended. */
        r = is_on(s->service) ? combined_log_ask(COMBINED_LOG_SYNC, &error) : 0;
        if (r < 0 && error)
                log_warning("%s", error);
        r = log_state_load(&state);
        if (r == -ENOENT)
                return 0;
        if (r == -EBADMSG)
                return log_error_errno(r, "'%s' is damaged: it is made anew when the next VM starts.", LAYOUT_COMBINED_LOG_STATE);
        if (r < 0)
                return log_error_errno(r, "Cannot read '%s': %m", LAYOUT_COMBINED_LOG_STATE);
        s->usec = state.cursor ? state.usec : 0;
        error = (free(error), NULL);
        r = state.cursor ? count_behind(state.cursor, &s->behind, &error) : 0;
        return r < 0 ? ctl_log_sentence(r, error) : 0;
}

static void print_status(const LogStatus *s) {
        _cleanup_free_ char *size = s->size == UINT64_MAX ? NULL : format_bytes(s->size),
                            *time = s->usec == 0 ? NULL : format_time(s->usec);

        printf("Socket: %s (%s)\nService: %s\nFile: " FILE_NAME "\nSize: %s\nLast entry: %s\n", s->socket,
               isempty(s->enabled) ? "not installed" : s->enabled, s->service, size ?: "-", time ?: "-");
        if (s->behind == UINT64_MAX)
                printf("Behind: -\n");
        else
                printf("Behind: %" PRIu64 "%s entries\n", s->behind, s->behind == BEHIND_MAX ? " or more" : "");
}

/* null: not known. */
static json_t *number(uint64_t n) {
        return n <= INT64_MAX ? json_integer((json_int_t) n) : json_null();
}

static int run_status(Ctl *c, char **args, size_t n_args) {
        _cleanup_(log_status_done) LogStatus s = {};
        int r;

        r = get_units(c, &s);
        if (r == 0)
                r = get_file(&s);
        if (r != 0)
                return r;
        if (c->format == CTL_JSON)
                r = ctl_print_json(json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:o}", "socket", s.socket,
                                             "enabled", s.enabled, "service", s.service, "file", FILE_NAME,
                                             "size", number(s.size), "last_entry", s.usec == 0 ? json_null() : number(s.usec),
                                             "behind", number(s.behind)));
        else {
                print_status(&s);
                r = ctl_flush();
        }
        return r < 0 ? r : is_on(s.socket) ? 0 : CTL_NOT_RUNNING;
}

static int run_restart(Ctl *c, char **args, size_t n_args) {
        _cleanup_(bus_jobs_freep) BusJobs *jobs = NULL;
        _cleanup_(log_status_done) LogStatus s = {};
        _cleanup_free_ char *error = NULL;
        const char *result;
        int r;

        r = get_units(c, &s);
        if (r != 0)
                return r;
        if (!is_on(s.socket))
                return not_enabled();
        r = bus_jobs_new(c->bus, &jobs, &error);
        if (r >= 0)
                r = bus_jobs_add_unit(jobs, "RestartUnit", LAYOUT_COMBINED_LOG_UNIT, &error);
        if (r >= 0)
                r = bus_jobs_wait(jobs, UINT64_MAX);
        if (r < 0)
                return ctl_log_sentence(r, error);
        result = bus_jobs_result(jobs, LAYOUT_COMBINED_LOG_UNIT);
        if (streq(result, "done"))
                return 0;
        log_error("'" LAYOUT_COMBINED_LOG_UNIT "' could not be restarted (%s): see systemctl status " LAYOUT_COMBINED_LOG_UNIT,
                  result);
        return EXIT_FAILED;
}

/* 0: yes. Or an exit code. */
static int confirm(void) {
        if (arg_yes)
                return 0;
        if (!can_ask()) {
                log_error("logs clear: there is no terminal to ask at: say --yes.");
                return EXIT_USAGE;
        }
        return ask("Remove all that is in '" FILE_NAME "'? It stays in the journal.", false) ? 0 : EXIT_FAILED;
}

/* Whoever writes the file empties it, so that no line is cut, nor comes again: systemd starts it for our request. */
static int run_clear(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *error = NULL;
        int r = confirm();

        if (r != 0)
                return r;
        r = combined_log_ask(COMBINED_LOG_CLEAR, &error);
        if (r == -ENOENT || r == -ECONNREFUSED)
                return not_enabled();
        return r < 0 ? ctl_log_sentence(r, error) : 0;
}

const Command command_logs_status = {
        .name = "logs status",
        .group = GROUP_VMS,
        .synopsis = "",
        .summary = "Show how the combined log file is: where it is enabled, how large, and how far behind the journal",
        .flags = COMMAND_FORMAT | COMMAND_ROOT,
        .run = run_status,
};

const Command command_logs_restart = {
        .name = "logs restart",
        .group = GROUP_VMS,
        .synopsis = "",
        .summary = "Restart what writes the combined log file",
        .flags = COMMAND_ROOT,
        .run = run_restart,
};

const Command command_logs_clear = {
        .name = "logs clear",
        .group = GROUP_VMS,
        .synopsis = "",
        .summary = "Empty the combined log file",
        .details = "What was in it stays in the journal.",
        .flags = COMMAND_ROOT,
        .options = clear_options,
        .run = run_clear,
};
