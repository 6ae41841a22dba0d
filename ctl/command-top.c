/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "ctl/bus.h"
#include "ctl/ctl.h"

static bool arg_once;
static uint64_t arg_delay = 2 * USEC_PER_SEC;

static const CtlOption options[] = {
        { "once", '1', CTL_OPTION_FLAG, &arg_once, NULL, "Print one table and end" },
        { "delay", 'd', CTL_OPTION_USEC, &arg_delay, "TIME", "How long between two looks (2s)" },
        {},
};

static const TableColumn columns[] = {
        { "NAME", "name", TABLE_TEXT },
        { "STATE", "state", TABLE_TEXT },
        { "%CPU", "cpu_percent", TABLE_NUMBER },
        { "MEMORY", "memory", TABLE_BYTES },
        { "TASKS", "tasks", TABLE_NUMBER },
        { "UP", "up_usec", TABLE_DURATION },
        {},
};

/* One VM at one moment. */
typedef struct Sample {
        char *vm, *state;
        uint64_t cpu_nsec, memory, tasks;       /* UINT64_MAX: not known */
        uint64_t up_usec;
        double cpu_percent;                     /* since the look before; negative: not known */
} Sample;

typedef struct Samples {
        Sample *items;
        size_t n;
        uint64_t at_usec;                       /* monotonic clock */
} Samples;

static void samples_done(Samples *s) {
        for (size_t i = 0; i < s->n; i++) {
                free(s->items[i].vm);
                free(s->items[i].state);
        }
        free(s->items);
        *s = (Samples) {};
}

static uint64_t now(clockid_t clock) {
        struct timespec t;

        (void) clock_gettime(clock, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / NSEC_PER_USEC;
}

/* Both are sorted by name. */
static void compute_cpu(Samples *s, const Samples *before) {
        size_t k = 0;

        for (size_t i = 0; i < s->n; i++) {
                Sample *x = s->items + i;

                x->cpu_percent = -1;
                while (k < before->n && strcmp(before->items[k].vm, x->vm) < 0)
                        k++;
                if (k == before->n || !streq(before->items[k].vm, x->vm) || x->cpu_nsec == UINT64_MAX || before->items[k].cpu_nsec > x->cpu_nsec)
                        continue;
                x->cpu_percent = (double) (x->cpu_nsec - before->items[k].cpu_nsec) / (double) NSEC_PER_USEC /
                                 (double) MAX(s->at_usec - before->at_usec, UINT64_C(1)) * 100;
        }
}

static int look(sd_bus *bus, const Samples *before, Samples *ret, char **ret_error) {
        _cleanup_(samples_done) Samples s = { .at_usec = now(CLOCK_MONOTONIC) };
        uint64_t wall = now(CLOCK_REALTIME);
        BusUnitSummary *units;
        size_t n;
        int r;

        r = bus_list_units(bus, &units, &n, ret_error);
        if (r < 0)
                return r;
        s.items = calloc(MAX(n, (size_t) 1), sizeof(Sample));
        r = s.items ? 0 : -ENOMEM;
        for (size_t i = 0; r >= 0 && i < n; i++) {
                BusUsage u;
                Sample *x = s.items + s.n;

                if (streq(units[i].active_state, "inactive") || streq(units[i].active_state, "failed"))
                        continue;
                r = bus_get_usage(bus, units[i].vm, &u, ret_error);
                if (r < 0)
                        break;
                *x = (Sample) { .vm = TAKE_PTR(units[i].vm), .state = TAKE_PTR(units[i].active_state), .cpu_nsec = u.cpu_nsec, .memory = u.memory,
                                .tasks = u.tasks, .up_usec = UINT64_MAX };
                if (u.active_enter_usec > 0 && wall > u.active_enter_usec)
                        x->up_usec = wall - u.active_enter_usec;
                s.n++;
        }
        bus_unit_summaries_free(units, n);
        if (r < 0)
                return r;
        compute_cpu(&s, before);
        *ret = s;
        s = (Samples) {};
        return 0;
}

static int print(const Ctl *c, const Samples *s, bool whole_screen) {
        _cleanup_(table_freep) Table *t = NULL;

        if (table_new(columns, &t) < 0)
                return log_oom();
        for (size_t i = 0; i < s->n; i++) {
                const Sample *x = s->items + i;

                table_add_text(t, x->vm);
                table_add_text(t, x->state);
                if (x->cpu_percent >= 0)
                        table_add(t, json_real((double) (uint64_t) (x->cpu_percent * 10 + 0.5) / 10));
                else
                        table_add_none(t);
                table_add_number(t, x->memory);
                table_add_number(t, x->tasks);
                table_add_number(t, x->up_usec);
        }
        if (whole_screen)
                fputs("\033[H\033[2J", stdout);
        return ctl_print_table(c, t);
}

/* Waits; 1: somebody has typed "q", or there will be no more. Without a terminal nobody types. */
static int pause_for(uint64_t usec, bool live) {
        struct pollfd p = { .fd = live ? STDIN_FILENO : -1, .events = POLLIN };
        const struct timespec t = { (time_t) (usec / USEC_PER_SEC), (long) (usec % USEC_PER_SEC * NSEC_PER_USEC) };
        char key;

        if (ppoll(&p, 1, &t, NULL) <= 0)
                return 0;
        return read(STDIN_FILENO, &key, 1) <= 0 || key == 'q';
}

/* %CPU needs two looks; the first of a table that is printed once is a quarter of a second before. */
static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_(samples_done) Samples before = {};
        bool live = !arg_once && c->format == CTL_TABLE && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
        _cleanup_free_ char *error = NULL;
        int r;

        r = ctl_need_bus(c);
        if (r != 0)
                return r;
        r = look(c->bus, &(Samples) {}, &before, &error);
        if (r < 0)
                return ctl_log_sentence(r, error);
        for (;;) {
                _cleanup_(samples_done) Samples s = {};

                if (pause_for(live ? arg_delay : 250 * USEC_PER_MSEC, live) > 0)
                        return 0;
                r = look(c->bus, &before, &s, &error);
                if (r < 0)
                        return ctl_log_sentence(r, error);
                r = print(c, &s, live);
                if (r < 0 || !live)
                        return r;
                samples_done(&before);
                before = s;
                s = (Samples) {};
        }
}

const Command command_top = {
        .name = "top",
        .group = GROUP_VMS,
        .synopsis = "",
        .summary = "Show what VMs use, again and again; \"q\" and Enter, or Ctrl-C, ends it",
        .details = "Where standard output is no terminal, or with --format=json, it prints one table.",
        .flags = COMMAND_FORMAT,
        .options = options,
        .run = run,
};
