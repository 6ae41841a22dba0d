/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/guest-files.h"

#define TIMEOUT_USEC (60 * USEC_PER_SEC)

static bool arg_archive, arg_follow;
static const char *arg_user;
static uint64_t arg_timeout = TIMEOUT_USEC;

static const CtlOption options[] = {
        { "archive", 'a', CTL_OPTION_FLAG, &arg_archive, NULL, "Keep the numbers of owners, and set-id bits" },
        { "follow-link", 'L', CTL_OPTION_FLAG, &arg_follow, NULL, "Where SRC is a symlink, copy what it points to" },
        { "user", 'u', CTL_OPTION_STRING, &arg_user, "USER", "Copied files are this user's of the image, instead of the workload's" },
        { "timeout", 0, CTL_OPTION_USEC, &arg_timeout, "TIME", "How long the guest may take to begin, and to go on, 60 s if not given" },
        {},
};

/* "NAME:PATH", "-", or a path here, which has a "/" before its first ":" if it has one. The name is cut off in place. 0 or an exit code. */
static int parse_side(char *arg, CopySide *ret) {
        char *colon = strchr(arg, ':');

        if (streq(arg, "-")) {
                *ret = (CopySide) {};
                return 0;
        }
        if (!colon || memchr(arg, '/', (size_t) (colon - arg))) {
                if (!*arg) {
                        log_error("cp: \"\" is no path.");
                        return EXIT_USAGE;
                }
                *ret = (CopySide) { .path = arg };
                return 0;
        }
        *colon = 0;
        if (!vm_name_is_valid(arg)) {
                log_error("\"%.100s\" is no name of a VM: " VM_NAME_WANTED ". A file here whose name has a \":\" is \"./%.100s:%.100s\".", arg, arg, colon + 1);
                return EXIT_USAGE;
        }
        if (!colon[1]) {
                log_error("cp: there is no path behind \"%s:\"; the root directory is \"%s:/\".", arg, arg);
                return EXIT_USAGE;
        }
        *ret = (CopySide) { .vm = arg, .path = colon + 1 };
        return 0;
}

static int check_sides(const GuestCopy *copy) {
        if (!copy->from.vm && !copy->to.vm) {
                log_error("cp: one of the two has to be in a VM, NAME:PATH.");
                return EXIT_USAGE;
        }
        if (arg_user && !copy->to.vm) {
                log_error("cp: --user= is for files that go into a VM.");
                return EXIT_USAGE;
        }
        if (!copy->to.vm && !copy->to.path && isatty(STDOUT_FILENO)) {
                log_error("cp: a tar archive is nothing for a terminal: direct standard output to a file or into tar(1).");
                return EXIT_USAGE;
        }
        return 0;
}

static int run(Ctl *c, char **args, size_t n_args) {
        GuestCopy copy = { .archive = arg_archive, .follow = arg_follow, .user = arg_user, .timeout_usec = arg_timeout };
        int r;

        r = parse_side(args[0], &copy.from);
        if (r == 0)
                r = parse_side(args[1], &copy.to);
        if (r == 0)
                r = check_sides(&copy);
        if (r == 0 && copy.from.vm)
                r = ctl_check_running(c, copy.from.vm);
        if (r == 0 && copy.to.vm)
                r = ctl_check_running(c, copy.to.vm);
        return r != 0 ? r : guest_copy(&copy);
}

const Command command_cp = {
        .name = "cp",
        .group = GROUP_GUESTS,
        .synopsis = "SRC DST",
        .summary = "Copy files into a VM or out of it; NAME:PATH is in a VM",
        .details = "\"-\" is a tar archive on standard input or output. A directory is copied into DST if that is one, \"DIR/.\" copies what is in it.",
        .min_args = 2,
        .max_args = 2,
        .first = CTL_WORD_FILE,
        .rest = CTL_WORD_FILE,
        .flags = COMMAND_ROOT,
        .options = options,
        .run = run,
};
