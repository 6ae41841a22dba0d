/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/guest.h"
#include "json/json.h"

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *error = NULL, *body = NULL;
        _cleanup_json_ json_t *answer = NULL;
        int signo = parse_signal(args[1]), r;

        if (signo < 0) {
                log_error("\"%.100s\" is no signal: wanted is a name like HUP or SIGHUP, or a number of 1 to 64.", args[1]);
                return EXIT_USAGE;
        }
        r = ctl_check_running(c, args[0]);
        if (r != 0)
                return r;
        body = strf("{\"signal\":%d}\n", signo);
        if (!body)
                return -ENOMEM;
        r = guest_call(args[0], "POST", "/v1/signal", body, GUEST_TIMEOUT_USEC, &answer, &error);
        return r < 0 ? ctl_log_sentence(r, error) : 0;
}

const Command command_signal = {
        .name = "signal",
        .group = GROUP_GUESTS,
        .synopsis = "NAME SIGNAL",
        .summary = "Send a signal to the main process of a VM's workload",
        .min_args = 2,
        .max_args = 2,
        .first = CTL_WORD_VM,
        .rest = CTL_WORD_SIGNAL,
        .flags = COMMAND_ROOT,
        .run = run,
};
