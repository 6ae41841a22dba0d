/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>
#include <time.h>

#include "base/log.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/logs.h"
#include "ctl/when.h"

/* How many a follower begins with, as journalctl(1). */
enum { FOLLOW_LINES = 10 };

static bool arg_follow;
static const char *arg_since, *arg_until, *arg_priority;
static unsigned arg_lines = UINT_MAX;
static char **arg_streams;

static const char *const streams[] = { "stdout", "stderr", "console", "vmm", "kiln", "metrics", NULL };

#define WHAT_OPTIONS                                                                                                                               \
        { "since", 'S', CTL_OPTION_STRING, &arg_since, "TIME", "Nothing older: \"2026-11-21 10:00\", \"yesterday\", \"-1h\", \"@1795255200\"" },    \
        { "lines", 'n', CTL_OPTION_UINT, &arg_lines, "N", "The last N entries alone" },                                                             \
        { "stream", 0, CTL_OPTION_LIST, &arg_streams, "STREAM", "One stream of it; may be given again", CTL_WORD_CHOICE, streams },                 \
        { "priority", 'p', CTL_OPTION_STRING, &arg_priority, "LEVEL", "Only what is that grave: \"err\", \"3\", or \"warning..crit\"" }

static const CtlOption options[] = {
        { "follow", 'f', CTL_OPTION_FLAG, &arg_follow, NULL, "Go on with what comes" },
        WHAT_OPTIONS,
        { "until", 'U', CTL_OPTION_STRING, &arg_until, "TIME", "Nothing younger" },
        {},
};

static const CtlOption tail_options[] = {
        WHAT_OPTIONS,
        {},
};

static int parse_time(const char *option, const char *value, uint64_t *ret) {
        struct timespec ts;
        int r;

        if (!value)
                return 0;
        if (clock_gettime(CLOCK_REALTIME, &ts) < 0)
                return log_error_errno(errno, "Cannot read the clock: %m");
        r = parse_when(value, (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC, ret);
        if (r == -EINVAL) {
                log_error("\"%.100s\" is no time for --%s=: wanted is one like \"2026-11-21 10:00:00\", \"10:00\", \"yesterday\", \"-1h 30min\", "
                          "\"2 days ago\" or \"@1795255200\".", value, option);
                return EXIT_USAGE;
        }
        return r;
}

static int make_query(const Ctl *c, LogQuery *q) {
        int r;

        r = parse_time("since", arg_since, &q->since);
        if (r == 0)
                r = parse_time("until", arg_until, &q->until);
        if (r != 0)
                return r;
        if (arg_priority && logs_parse_priority(arg_priority, &q->priority_min, &q->priority_max) < 0) {
                log_error("\"%.100s\" is no priority: wanted is a level, emerg, alert, crit, err, warning, notice, info, debug or 0 to 7, or two with \"..\" "
                          "between.", arg_priority);
                return EXIT_USAGE;
        }
        q->streams = arg_streams;
        q->lines = arg_lines == UINT_MAX && q->follow && !arg_since ? FOLLOW_LINES : arg_lines;
        q->json = c->format == CTL_JSON;
        return 0;
}

/* What is gone may have left its journal behind. */
static int check_vms(Ctl *c, char *const *vms) {
        STRV_FOREACH(vm, vms) {
                _cleanup_free_ char *error = NULL;
                int r;

                r = logs_has(*vm, &error);
                if (r < 0)
                        return ctl_log_sentence(r, error);
                if (r == 0)
                        r = ctl_check_vm(c, *vm);
                else
                        r = 0;
                if (r != 0)
                        return r;
        }
        return 0;
}

static int print(Ctl *c, char *const *vms, bool follow) {
        LogQuery q = { .vms = vms, .priority_max = LOG_DEBUG, .until = UINT64_MAX, .follow = follow };
        _cleanup_free_ char *error = NULL;
        int r;

        r = make_query(c, &q);
        if (r == 0)
                r = check_vms(c, vms);
        if (r != 0)
                return r;
        r = logs_print(&q, NULL, &error);
        return r < 0 ? ctl_log_sentence(r, error) : 0;
}

static int run(Ctl *c, char **args, size_t n_args) {
        return print(c, n_args > 0 ? args : NULL, arg_follow);
}

static int run_tail(Ctl *c, char **args, size_t n_args) {
        return print(c, NULL, true);
}

const Command command_logs = {
        .name = "logs",
        .group = GROUP_VMS,
        .synopsis = "[NAME…]",
        .summary = "Show what VMs have logged, all or some of them",
        .details = "The journal has it; with --format=json there is one object a line. A VM named \"tail\", \"status\", \"restart\" or \"clear\" stands behind \"--\".",
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_VM,
        .rest = CTL_WORD_VM,
        .flags = COMMAND_FORMAT,
        .options = options,
        .run = run,
};

const Command command_logs_tail = {
        .name = "logs tail",
        .group = GROUP_VMS,
        .synopsis = "",
        .summary = "Follow what all VMs log, also those to come",
        .flags = COMMAND_FORMAT,
        .options = tail_options,
        .run = run_tail,
};
