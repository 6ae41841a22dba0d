/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* console, attach: the journal again, of one VM that is there, by the streams that one looks at. */

#include <limits.h>

#include "base/log.h"
#include "ctl/ctl.h"
#include "ctl/logs.h"

static bool arg_follow;

static const CtlOption options[] = {
        { "follow", 'f', CTL_OPTION_FLAG, &arg_follow, NULL, "Go on with what comes" },
        {},
};

static int print(Ctl *c, char *vm, LogQuery *q) {
        _cleanup_free_ char *error = NULL;
        int r;

        q->vms = (char *[]) { vm, NULL };
        q->priority_max = LOG_DEBUG;
        q->until = UINT64_MAX;
        q->json = c->format == CTL_JSON;
        r = logs_print(q, NULL, &error);
        return r < 0 ? ctl_log_sentence(r, error) : 0;
}

static int run_console(Ctl *c, char **args, size_t n_args) {
        LogQuery q = { .streams = (char *[]) { (char *) "console", NULL }, .lines = UINT_MAX, .follow = arg_follow };
        int r = ctl_check_vm(c, args[0]);

        return r != 0 ? r : print(c, args[0], &q);
}

static int run_attach(Ctl *c, char **args, size_t n_args) {
        LogQuery q = { .streams = (char *[]) { (char *) "stdout", (char *) "stderr", NULL }, .follow = true };
        int r = ctl_check_running(c, args[0]);

        return r != 0 ? r : print(c, args[0], &q);
}

const Command command_console = {
        .name = "console",
        .group = GROUP_GUESTS,
        .synopsis = "NAME",
        .summary = "Show what a VM's kernel and init have said on its console",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_VM,
        .flags = COMMAND_FORMAT,
        .options = options,
        .run = run_console,
};

const Command command_attach = {
        .name = "attach",
        .group = GROUP_GUESTS,
        .synopsis = "NAME",
        .summary = "Follow what a VM's workload prints, from now on",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_VM,
        .flags = COMMAND_FORMAT,
        .run = run_attach,
};
