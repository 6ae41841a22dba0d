/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "base/str.h"
#include "ctl/images.h"
#include "ctl/program.h"

static unsigned arg_keep = 2;
static bool arg_images, arg_yes;

static const CtlOption options[] = {
        { "keep", 'k', CTL_OPTION_UINT, &arg_keep, "N", "The newest N versions of each VM (2); the current one and one that it was rolled back to stay in any case" },
        { "images", 0, CTL_OPTION_FLAG, &arg_images, NULL, "Also the images that no VM needs then" },
        { "yes", 'y', CTL_OPTION_FLAG, &arg_yes, NULL, "With --images: do not ask" },
        {},
};

/* Versions first, since those need images. */
static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *keep = strf("--keep=%u", arg_keep);
        int r;

        if (!keep)
                return log_oom();
        r = helper_run("inferno-cleanup", "gone", "--keep-data", NULL);
        if (r == 0)
                r = helper_run("inferno-cleanup", "prune", keep, NULL);
        if (r != 0)
                return EXIT_FAILED;
        return arg_images ? images_prune(c, arg_yes) : 0;
}

const Command command_prune = {
        .name = "prune",
        .group = GROUP_STORAGE,
        .synopsis = "",
        .summary = "Remove old versions of VMs, and what nothing needs any more",
        .flags = COMMAND_ROOT,
        .options = options,
        .run = run,
};
