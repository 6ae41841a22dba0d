/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "ctl/guest-exec.h"

#define TIMEOUT_USEC (30 * USEC_PER_SEC)

static bool arg_interactive, arg_terminal;
static const char *arg_user, *arg_directory;
static char **arg_environment;
static uint64_t arg_timeout = TIMEOUT_USEC;

#define COMMON_OPTIONS                                                                                                                          \
        { "user", 'u', CTL_OPTION_STRING, &arg_user, "USER", "As this user of the image, \"NAME\", \"UID\", \"USER:GROUP\", instead of the workload's" }, \
        { "workdir", 'w', CTL_OPTION_STRING, &arg_directory, "DIR", "In this directory of the guest, instead of the workload's" },                 \
        { "env", 'e', CTL_OPTION_LIST, &arg_environment, "NAME=VALUE", "With this in its environment, beside the workload's; may be given again" }, \
        { "timeout", 0, CTL_OPTION_USEC, &arg_timeout, "TIME", "How long the guest may take to begin, 30 s if not given" }

static const CtlOption exec_options[] = {
        { "interactive", 'i', CTL_OPTION_FLAG, &arg_interactive, NULL, "Pass standard input on" },
        { "tty", 't', CTL_OPTION_FLAG, &arg_terminal, NULL, "On a terminal in the guest" },
        COMMON_OPTIONS,
        {},
};

static const CtlOption shell_options[] = {
        COMMON_OPTIONS,
        {},
};

static int check_options(const Command *command) {
        STRV_FOREACH(e, arg_environment)
                if (**e == '=' || !strchr(*e, '=')) {
                        log_error("\"%.100s\" is not NAME=VALUE, as --env= wants it.", *e);
                        return EXIT_USAGE;
                }
        if (arg_directory && *arg_directory != '/') {
                log_error("\"%.100s\" is no absolute path, as --workdir= wants it.", arg_directory);
                return EXIT_USAGE;
        }
        if (arg_terminal && arg_interactive && !isatty(STDIN_FILENO)) {
                log_error("infernoctl %s wants a terminal as its standard input; \"infernoctl exec -i\" takes anything.", command->name);
                return EXIT_USAGE;
        }
        return 0;
}

/* What kind of terminal there is, only the user's own can say. */
static int add_term(void) {
        const char *term = getenv("TERM");

        STRV_FOREACH(e, arg_environment)
                if (startswith(*e, "TERM="))
                        return 0;
        return strv_consume(&arg_environment, strf("TERM=%s", isempty(term) ? "dumb" : term));
}

static int run_in_guest(Ctl *c, const char *vm, char *const *argv) {
        _cleanup_free_ char *error = NULL;
        int r;

        r = check_options(c->command);
        if (r == 0)
                r = ctl_check_running(c, vm);
        if (r == 0 && arg_terminal)
                r = add_term();
        if (r != 0)
                return r;
        const GuestExec e = {
                .argv = argv,
                .env = arg_environment,
                .cwd = arg_directory,
                .user = arg_user,
                .input = arg_interactive,
                .terminal = arg_terminal,
                .in_fd = STDIN_FILENO,
                .out_fd = STDOUT_FILENO,
                .err_fd = STDERR_FILENO,
                .timeout_usec = arg_timeout,
        };
        r = guest_exec(vm, &e, &error);
        if (r < 0)
                return ctl_log_sentence(r, error);
        if (error)
                log_error("%s", error);
        return r;
}

static int run_exec(Ctl *c, char **args, size_t n_args) {
        return run_in_guest(c, args[0], args + 1);
}

/* sh is asked for bash, so that one connection is enough. */
static int run_shell(Ctl *c, char **args, size_t n_args) {
        static char *const argv[] = {
                (char *) "sh", (char *) "-c", (char *) "command -v bash >/dev/null 2>&1 && exec bash || exec sh", NULL,
        };
        int r;

        arg_interactive = arg_terminal = true;
        r = run_in_guest(c, args[0], argv);
        if (r == EXIT_COMMAND_NOT_FOUND)
                log_error("The image of VM '%s' has no shell. infernoctl exec runs what it has; Bundle= of its definition brings programs of the host.", args[0]);
        return r;
}

const Command command_exec = {
        .name = "exec",
        .group = GROUP_GUESTS,
        .synopsis = "NAME [--] COMMAND…",
        .summary = "Run a command in a VM, beside its workload, and end with its exit code",
        .details = "Ctrl-C and other signals are passed on; twice, or ^] three times within a second on a terminal, ends infernoctl, and so the command.",
        .min_args = 2,
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_VM,
        .flags = COMMAND_ROOT | COMMAND_REST,
        .options = exec_options,
        .run = run_exec,
};

const Command command_shell = {
        .name = "shell",
        .group = GROUP_GUESTS,
        .synopsis = "NAME",
        .summary = "Open a shell in a VM: its image's bash or sh",
        .details = "^] three times within a second leaves it, whatever the guest does.",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_VM,
        .flags = COMMAND_ROOT,
        .options = shell_options,
        .run = run_shell,
};
