/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "ctl/definition-file.h"
#include "ctl/definition-text.h"
#include "ctl/program.h"
#include "ctl/unit.h"

static const char *arg_image, *arg_vcpus, *arg_memory, *arg_user, *arg_command, *arg_entrypoint, *arg_working_directory, *arg_hostname, *arg_root,
                *arg_root_size, *arg_tenant, *arg_kernel, *arg_stop_signal, *arg_stop_timeout, *arg_vmm, *arg_pull, *arg_restart;
static char **arg_volumes, **arg_ports, **arg_env, **arg_env_files, **arg_dns, **arg_hosts, **arg_bundle, **arg_ssh_keys;
static bool arg_start, arg_enable;

static const char *const roots[] = { "ephemeral", "persistent", NULL };
static const char *const vmms[] = { "auto", "firecracker", "ember", NULL };
static const char *const pulls[] = { "missing", "always", "never", NULL };
static const char *const restarts[] = { "no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always", NULL };

static const CtlOption options[] = {
        { "image", 'i', CTL_OPTION_STRING, &arg_image, "REFERENCE", "The image: nginx, quay.io/org/app:1.2, oci:/PATH …", CTL_WORD_IMAGE },
        { "vcpus", 'c', CTL_OPTION_STRING, &arg_vcpus, "NUMBER", "Processors, such as 2 or 0.5" },
        { "memory", 'm', CTL_OPTION_STRING, &arg_memory, "SIZE", "Memory of the guest, such as 512M" },
        { "volume", 'v', CTL_OPTION_LIST, &arg_volumes, "VOLUME", "A data volume: NAME:/MOUNT/POINT[:OPTIONS]; may be given again", CTL_WORD_VOLUME },
        { "publish", 'p', CTL_OPTION_LIST, &arg_ports, "PORT", "A port of the host for one of the guest: [IP:]PORT:PORT[/udp]; may be given again" },
        { "env", 'e', CTL_OPTION_LIST, &arg_env, "NAME=VALUE", "A variable of the environment; may be given again" },
        { "env-file", 0, CTL_OPTION_LIST, &arg_env_files, "FILE", "A file with such; may be given again", CTL_WORD_FILE },
        { "user", 'u', CTL_OPTION_STRING, &arg_user, "USER", "As whom the workload runs: USER[:GROUP]" },
        { "command", 0, CTL_OPTION_STRING, &arg_command, "LINE", "The command in place of the image's, words quoted as in units" },
        { "entrypoint", 0, CTL_OPTION_STRING, &arg_entrypoint, "LINE", "The entry point in place of the image's" },
        { "workdir", 'w', CTL_OPTION_STRING, &arg_working_directory, "PATH", "Where the workload runs" },
        { "hostname", 0, CTL_OPTION_STRING, &arg_hostname, "NAME", "Host name of the guest" },
        { "root", 0, CTL_OPTION_STRING, &arg_root, "MODE", "What the guest writes is fresh at each start, or kept", CTL_WORD_CHOICE, roots },
        { "root-size", 0, CTL_OPTION_STRING, &arg_root_size, "SIZE", "How much that may be" },
        { "dns", 0, CTL_OPTION_LIST, &arg_dns, "ADDRESS", "A name server; may be given again" },
        { "add-host", 0, CTL_OPTION_LIST, &arg_hosts, "NAME:ADDRESS", "An entry of /etc/hosts; may be given again" },
        { "bundle", 0, CTL_OPTION_LIST, &arg_bundle, "PROGRAM", "A program of this host to bring along; may be given again", CTL_WORD_FILE },
        { "ssh-key", 0, CTL_OPTION_LIST, &arg_ssh_keys, "KEY", "Who may log in: a public key, or a file of such; may be given again", CTL_WORD_FILE },
        { "kernel", 0, CTL_OPTION_STRING, &arg_kernel, "FILE", "Another kernel for the guest", CTL_WORD_FILE },
        { "stop-signal", 0, CTL_OPTION_STRING, &arg_stop_signal, "SIGNAL", "What asks the workload to end", CTL_WORD_SIGNAL },
        { "stop-timeout", 0, CTL_OPTION_STRING, &arg_stop_timeout, "TIME", "How long it has then" },
        { "tenant", 0, CTL_OPTION_STRING, &arg_tenant, "NAME", "Whose slice the VM is in" },
        { "vmm", 0, CTL_OPTION_STRING, &arg_vmm, "VMM", "What runs the guest", CTL_WORD_CHOICE, vmms },
        { "restart", 0, CTL_OPTION_STRING, &arg_restart, "WHEN", "When systemd starts it again: Restart= of systemd.service(5)", CTL_WORD_CHOICE, restarts },
        { "pull", 0, CTL_OPTION_STRING, &arg_pull, "WHEN", "When to look for the image where it comes from", CTL_WORD_CHOICE, pulls },
        { "start", 0, CTL_OPTION_FLAG, &arg_start, NULL, "Start it, and return when the workload runs" },
        { "enable", 0, CTL_OPTION_FLAG, &arg_enable, NULL, "Have it started at boot" },
        {},
};

/* Keys that are written as they stand on the command line. */
static const struct {
        const char *key, *const *value;
} plain[] = {
        { "Image", &arg_image }, { "Pull", &arg_pull }, { "VCPUs", &arg_vcpus }, { "Memory", &arg_memory }, { "Entrypoint", &arg_entrypoint },
        { "Command", &arg_command }, { "User", &arg_user }, { "WorkingDirectory", &arg_working_directory }, { "Hostname", &arg_hostname },
        { "Root", &arg_root }, { "RootSize", &arg_root_size }, { "Kernel", &arg_kernel }, { "StopSignal", &arg_stop_signal },
        { "StopTimeout", &arg_stop_timeout }, { "Tenant", &arg_tenant }, { "VMM", &arg_vmm },
};
static const struct {
        const char *key;
        char ***values;
        bool quoted;                    /* each is one word of a list */
} lists[] = {
        { "Environment", &arg_env, true }, { "EnvironmentFile", &arg_env_files }, { "Volume", &arg_volumes }, { "Publish", &arg_ports }, { "DNS", &arg_dns },
        { "AddHost", &arg_hosts }, { "Bundle", &arg_bundle }, { "SSHKey", &arg_ssh_keys },
};

/* 0 or EXIT_USAGE. */
static int add_value(StrBuf *b, const char *key, const char *value) {
        if (!definition_value_is_valid(value)) {
                log_error("create: a value for %s= with control characters, or with \"\\\" at its end, cannot stand in a definition.", key);
                return EXIT_USAGE;
        }
        strbuf_addf(b, "%s=%s\n", key, value);
        return 0;
}

static int add_words(StrBuf *b, const char *key, char **words, size_t n) {
        strbuf_addf(b, "%s=", key);
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *quoted = definition_quote(words[i]);

                if (!quoted)
                        return log_oom();
                strbuf_addf(b, "%s%s", i > 0 ? " " : "", quoted);
        }
        strbuf_adds(b, "\n");
        return 0;
}

static int make_text(char **command, size_t n_command, char **ret) {
        _cleanup_strbuf_ StrBuf b = {};
        int r;

        strbuf_adds(&b, "[VM]\n");
        for (size_t i = 0; i < ELEMENTSOF(plain); i++) {
                r = *plain[i].value ? add_value(&b, plain[i].key, *plain[i].value) : 0;
                if (r != 0)
                        return r;
        }
        if (n_command > 0 && add_words(&b, "Command", command, n_command) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                STRV_FOREACH(value, *lists[i].values) {
                        r = lists[i].quoted ? add_words(&b, lists[i].key, value, 1) : add_value(&b, lists[i].key, *value);
                        if (r != 0)
                                return r;
                }
        if (arg_restart)
                strbuf_addf(&b, "\n[Service]\nRestart=%s\n", arg_restart);
        if (arg_enable)
                strbuf_adds(&b, "\n[Install]\nWantedBy=inferno.target\n");
        return strbuf_finish(&b, ret, NULL) < 0 ? log_oom() : 0;
}

/* Nothing that has this name may be there: no definition anywhere, not even a mask, and no unit that runs without one. 0 or an exit code. */
static int check_free(Ctl *c, const char *vm) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_free_ char *error = NULL;
        int r;

        r = definition_load(vm, &c->site, &d, &errors);
        if (r == -ERFKILL) {
                log_error("The name '%s' is masked by a symbolic link to /dev/null among the definitions: remove that first.", vm);
                return EXIT_FAILED;
        }
        if (r != -ENOENT) {
                log_error("There is a VM '%s' already%s%s%s: 'infernoctl destroy %s' removes it.", vm, d ? " ('" : "", d ? d->path : "", d ? "')" : "", vm);
                return EXIT_FAILED;
        }
        r = ctl_need_bus(c);
        if (r != 0)
                return r;
        r = bus_vm_is_active(c->bus, vm, &error);
        if (r < 0) {
                (void) ctl_log_sentence(r, error);
                return EXIT_FAILED;
        }
        if (r > 0) {
                log_error("A VM '%s' still runs, though its definition is gone: stop it first.", vm);
                return EXIT_FAILED;
        }
        return 0;
}

/* Before the definition is there, since it may take long, and may fail: then nothing has been made. 0 or an exit code. */
static int get_image(const Ctl *c, const Definition *d) {
        static const char *const words[] = { [PULL_MISSING] = "--pull=missing", [PULL_ALWAYS] = "--pull=always", [PULL_NEVER] = "--pull=never" };
        int r;

        if (c->quiet)
                (void) setenv("INFERNO_LOG_LEVEL", "warning", true);
        r = helper_run("inferno-image", words[d->pull], "pull", d->image);
        return r == 0 ? 0 : EXIT_FAILED;
}

static int run(Ctl *c, char **args, size_t n_args) {
        const char *vm = args[0];
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_close_ int lock_fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        int r;

        if (!arg_image || (arg_command && n_args > 1)) {
                log_error(!arg_image ? "create: an image is wanted: --image=REFERENCE." : "create: the command stands either in --command or behind \"--\".");
                return EXIT_USAGE;
        }
        r = make_text(args + 1, n_args - 1, &text);
        if (r == 0)
                r = definition_file_check(c, vm, text, &d);
        if (r == 0)
                r = check_free(c, vm);
        if (r == 0)
                r = get_image(c, d);
        if (r != 0)
                return r;

        lock_fd = definition_file_lock(vm);
        if (lock_fd < 0)
                return lock_fd;
        r = check_free(c, vm);
        if (r != 0)
                return r;
        r = definition_file_write(vm, text, true);
        if (r == -EEXIST)
                log_error("There is a VM '%s' already: somebody else was faster.", vm);
        if (r < 0)
                return r;
        lock_fd = safe_close(lock_fd);
        /* From here on it is a VM; what is missing now, a start does, too. */
        r = definition_file_changed(c, d);
        if (r != 0)
                return r;
        if (!c->quiet)
                log_info("VM '%s' is defined: '%s'.", vm, d->path);
        return arg_start ? unit_start(c, (char *[]) { (char *) vm, NULL }) : 0;
}

const Command command_create = {
        .name = "create",
        .group = GROUP_DEFINITIONS,
        .synopsis = "NAME --image=REFERENCE [-- COMMAND…]",
        .summary = "Define a VM, and get its image ahead of its first start",
        .details = "What is not said is as the image and inferno.conf have it. The definition is /etc/inferno/vms/NAME.vm.",
        .min_args = 1,
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_VM,
        .flags = COMMAND_ROOT | COMMAND_REST,
        .options = options,
        .run = run,
};
