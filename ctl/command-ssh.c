/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "base/wire.h"
#include "ctl/ctl.h"
#include "ctl/ssh-host.h"
#include "layout/layout.h"
#include "ssh/host-key.h"

static bool arg_terminal, arg_known_hosts;
static char **arg_identities;

static const CtlOption options[] = {
        { "identity", 'i', CTL_OPTION_LIST, &arg_identities, "FILE", "The private key to show; may be given again", CTL_WORD_FILE },
        { "tty", 't', CTL_OPTION_FLAG, &arg_terminal, NULL, "On a terminal in the guest, also with a command" },
        { "known-hosts", 0, CTL_OPTION_FLAG, &arg_known_hosts, NULL, "Only print the line that known_hosts has for the VM; also of NAME.inferno" },
        {},
};

char *ssh_host_to_vm(const char *host) {
        size_t n = strlen(host);
        char *vm = endswith(host, SSH_HOST_SUFFIX) ? strndup(host, n - strlen(SSH_HOST_SUFFIX)) : strdup(host);

        if (!vm) {
                (void) log_oom();
                return NULL;
        }
        if (vm_name_is_valid(vm))
                return vm;
        log_error("\"%.100s\" is no name of a VM, nor one with \"" SSH_HOST_SUFFIX "\" behind it: " VM_NAME_WANTED ".", host);
        free(vm);
        return NULL;
}

/* As ssh looks it up: in lower case, whatever it was called with. */
static int print_known_hosts(Ctl *c, const char *host) {
        _cleanup_free_ char *vm = ssh_host_to_vm(host), *key = NULL, *error = NULL;
        uint8_t data[SSH_HOST_KEY_SIZE];
        int r;

        if (!vm)
                return EXIT_USAGE;
        r = ssh_host_key_load(vm, data, &error);
        if (r == -ENOENT) {
                int k = ctl_check_vm(c, vm);

                if (k != 0)
                        return k;
        }
        if (r < 0)
                return ctl_log_sentence(r, error);
        key = ssh_host_key_public(data);
        explicit_bzero(data, sizeof(data));
        if (!key)
                return log_oom();
        for (char *p = vm; *p; p++)
                *p = (char) tolower((unsigned char) *p);
        printf("%s" SSH_HOST_SUFFIX " %s\n", vm, key);
        return ctl_flush();
}

/* Everything that is not the user's to choose is on the command line, which wins over all files of ssh_config(5). ssh has a shell
 * run ProxyCommand, and the characters of a VM's name mean nothing to one. */
static int connect_to(const char *vm, char *const *command) {
        static const char *const pinned[] = {
                "-o", ("User=" WIRE_SSH_USER), "-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=none", "-o", "GlobalKnownHostsFile=none",
                "-o", "HostKeyAlgorithms=ssh-ed25519", "-o", "CheckHostIP=no", "-o", "UpdateHostKeys=no", "-o", "ProxyUseFdpass=no",
                "-o", "CanonicalizeHostname=no",
        };
        _cleanup_free_ char *proxy = strf("ProxyCommand=" LAYOUT_INFERNOCTL " proxy --ssh -- %s", vm);
        _cleanup_free_ char *known_hosts = strf("KnownHostsCommand=" LAYOUT_INFERNOCTL " ssh --known-hosts -- %s", vm);
        _cleanup_free_ char *host = strjoin(vm, SSH_HOST_SUFFIX);
        _cleanup_free_ const char **argv = NULL;
        size_t n = 0;

        argv = calloc(ELEMENTSOF(pinned) + 2 * strv_length(arg_identities) + strv_length(command) + 10, sizeof(char *));
        if (!proxy || !known_hosts || !host || !argv)
                return log_oom();
        argv[n++] = "ssh";
        for (size_t i = 0; i < ELEMENTSOF(pinned); i++)
                argv[n++] = pinned[i];
        argv[n++] = "-o";
        argv[n++] = proxy;
        argv[n++] = "-o";
        argv[n++] = known_hosts;
        STRV_FOREACH(file, arg_identities) {
                argv[n++] = "-i";
                argv[n++] = *file;
        }
        if (arg_terminal)
                argv[n++] = "-t";
        argv[n++] = "--";
        argv[n++] = host;
        STRV_FOREACH(word, command)
                argv[n++] = *word;
        (void) execvp(argv[0], (char *const *) argv);
        if (errno == ENOENT)
                return log_error_errno(errno, "There is no ssh(1) here: install openssh-client. 'infernoctl exec' and 'infernoctl shell' need none.");
        return log_error_errno(errno, "Cannot run ssh(1): %m");
}

static int run(Ctl *c, char **args, size_t n_args) {
        int r;

        if (arg_known_hosts)
                return print_known_hosts(c, args[0]);
        r = ctl_check_running(c, args[0]);
        return r != 0 ? r : connect_to(args[0], args + 1);
}

const Command command_ssh = {
        .name = "ssh",
        .group = GROUP_GUESTS,
        .synopsis = "NAME [--] [COMMAND…]",
        .summary = "Log in to a VM, or run a command there, by ssh(1)",
        .details = "The VM needs SSHKey= in its definition. It ends as ssh does. \"ssh NAME.inferno\" does the same, with all options of ssh.",
        .min_args = 1,
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_VM,
        .flags = COMMAND_ROOT | COMMAND_REST,
        .options = options,
        .run = run,
};
