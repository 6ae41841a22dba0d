/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "ctl/completion.h"
#include "ctl/ctl.h"

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *script = NULL;
        int r;

        r = completion_script(args[0], &script);
        if (r == -EINVAL) {
                log_error("completion: \"%.50s\" is none of bash, zsh and fish.", args[0]);
                return EXIT_USAGE;
        }
        if (r < 0)
                return log_oom();
        fputs(script, stdout);
        return ctl_flush();
}

const Command command_completion = {
        .name = "completion",
        .group = GROUP_HOST,
        .synopsis = "bash|zsh|fish",
        .summary = "Print the completion of a shell",
        .min_args = 1,
        .max_args = 1,
        .run = run,
};
