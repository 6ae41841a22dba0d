/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Takes away what a VM leaves. inferno-cleanup(8). */

#include "base/exit-codes.h"
#include "base/log.h"
#include "base/parse.h"
#include "helpers/cleanup.h"
#include "helpers/program.h"

static const char usage[] =
        "inferno-cleanup [OPTIONS…] stopped VM | forget VM | gone | prune\n"
        "\n"
        "Takes away what VMs leave. What is not there is fine; after a failure the rest is done all the same.\n"
        "\n"
        "  stopped VM       Undo what the last run of VM set up, after any kind of death: its TAP and nftables elements,\n"
        "                   sockets, device nodes and the fresh writable layer in its jail. inferno@.service calls it.\n"
        "  forget VM        Forget one VM whose definition is gone and that does not run, with its writable layer.\n"
        "  gone             Forget all VMs whose definition is gone and that do not run, with their writable layers.\n"
        "  prune            Remove what nothing refers to any more: old versions, initramfs files, trees of programs.\n"
        "\n"
        "      --keep=N     With prune: keep the newest N versions of each VM (2), and always the current one\n"
        "      --keep-data  With gone: leave writable layers that were to persist where they are\n"
        "      --root=DIR   Work below DIR instead of /\n"
        "  -h, --help       Show this help\n"
        "      --version    Show the version\n"
        "\n"
        "See inferno-cleanup(8).\n";

static unsigned keep = 2;
static bool keep_data = false;

static int set_keep(const char *value) {
        return parse_uint(value, &keep);
}

static int set_keep_data(void) {
        keep_data = true;
        return 0;
}

static int run_gone(const char *argument) {
        return cleanup_gone(!keep_data);
}

static int run_prune(const char *argument) {
        return cleanup_prune(keep);
}

/* systemd runs the unit of any instance. Where that is no name of a VM, all that there can be is what systemd has made itself. */
static int run_stopped(const char *name) {
        if (vm_name_is_valid(name))
                return cleanup_stopped(name);
        cleanup_instance(name);
        log_error("\"%.100s\" is no name of a VM: " VM_NAME_WANTED ".", name);
        return EXIT_USAGE;
}

static const HelperVerb verbs[] = {
        { "stopped", "NAME", run_stopped },
        { "forget", "VM", cleanup_forget },
        { "gone", NULL, run_gone },
        { "prune", NULL, run_prune },
        {},
};

static const HelperOption options[] = {
        { "--keep", .set = set_keep },
        { "--keep-data", .flag = set_keep_data },
        {},
};

int main(int argc, char **argv) {
        return helper_main(argc, argv, usage, verbs, options);
}
