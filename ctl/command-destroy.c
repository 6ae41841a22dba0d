/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "ctl/ask.h"
#include "ctl/definition-file.h"
#include "ctl/program.h"
#include "ctl/unit.h"
#include "layout/layout.h"
#include "unitfiles/unit-writer.h"

/* --keep-logs only says what happens in any case. A VM's entries cannot be taken out of the journal without harm to others': while journald has
 * its file open, what comes within five seconds of its removal is lost, also of the next VM with that user ID; and to have it closed, all
 * files of the host must be rotated. What systemd has said of the unit is among everybody's. */
static bool arg_yes, arg_volumes, arg_keep_logs;

static const CtlOption options[] = {
        { "yes", 'y', CTL_OPTION_FLAG, &arg_yes, NULL, "Do not ask" },
        { "keep-logs", 0, CTL_OPTION_FLAG, &arg_keep_logs, NULL, "Keep the log in the journal, as is done in any case" },
        { "volumes", 0, CTL_OPTION_FLAG, &arg_volumes, NULL, "Remove its volumes, too, unless another VM uses them" },
        {},
};

/* The folders that an administrator's definitions are in; those of packages are not ours to change. */
static bool is_removable(const char *dir) {
        return startswith(dir, "/etc/") || startswith(dir, "/run/");
}

/* 0 where its definition, if any, can be removed; EXIT_FAILED. */
static int check_removable(const char *vm) {
        for (const char *const *dir = layout_definition_dirs; *dir; dir++) {
                _cleanup_free_ char *path = strjoin(layout_root(), *dir, "/", vm, ".vm");

                if (!path)
                        return log_oom();
                if (is_removable(*dir) || access(path, F_OK) < 0)
                        continue;
                log_error("The definition '%s' is not the administrator's to remove: take away what has brought it, or mask it with a symbolic link "
                          "'%s/%s.vm' to /dev/null.", path, layout_definition_dirs[0], vm);
                return EXIT_FAILED;
        }
        return 0;
}

/* What earlier runs have left although the definition is gone; a destroy that was killed, too. */
static bool has_remains(Ctl *c, const char *vm) {
        _cleanup_free_ char *dir = layout_vm_dir(vm);
        unsigned uid;

        return (dir && access(dir, F_OK) >= 0) || (c->store && store_vm_get_uid(c->store, vm, &uid) >= 0);
}

/* 1: yes. 0: no. */
static int confirm(const char *vm, const Definition *d, bool active) {
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_free_ char *question = NULL;

        if (arg_yes)
                return 1;
        if (!can_ask()) {
                log_error("destroy: there is no terminal to ask at whether '%s' shall go: say --yes.", vm);
                return -EXIT_USAGE;
        }
        strbuf_addf(&b, "Destroy VM '%s'%s, with its definition, versions%s", vm, active ? ", which runs" : "",
                    d && d->root == ROOT_PERSISTENT ? " and all that its guest has written" : "");
        for (size_t i = 0; d && arg_volumes && i < d->n_volumes; i++)
                strbuf_addf(&b, "%svolume '%s'", i == 0 ? ", and with " : ", ", d->volumes[i].name);
        strbuf_adds(&b, "?");
        if (strbuf_finish(&b, &question, NULL) < 0)
                return log_oom();
        return ask(question, false);
}

static int stop(Ctl *c, const char *vm) {
        _cleanup_(bus_jobs_freep) BusJobs *jobs = NULL;
        _cleanup_free_ char *error = NULL;
        const char *result;
        int r;

        r = bus_jobs_new(c->bus, &jobs, &error);
        if (r >= 0)
                r = bus_jobs_add(jobs, "StopUnit", vm, &error);
        if (r >= 0)
                r = bus_jobs_wait(jobs, UINT64_MAX);
        if (r < 0)
                return ctl_log_sentence(r, error);
        result = bus_jobs_result(jobs, vm);
        if (!streq(result, "done")) {
                (void) unit_report_failure(c, vm, result, "stopped");
                return -EBUSY;
        }
        return 0;
}

/* Main file and drop-ins, of all folders that are ours. */
static int remove_definition(const char *vm) {
        _cleanup_close_ int lock_fd = -EBADF;
        int r;

        lock_fd = definition_file_lock(vm);
        if (lock_fd < 0)
                return lock_fd;
        for (const char *const *dir = layout_definition_dirs; *dir; dir++) {
                _cleanup_free_ char *path = strjoin(layout_root(), *dir, "/", vm, ".vm"), *dropins = path ? strjoin(path, ".d") : NULL;

                if (!is_removable(*dir))
                        continue;
                if (!dropins)
                        return log_oom();
                r = unlink(path) < 0 && errno != ENOENT ? negative_errno() : 0;
                if (r >= 0)
                        r = remove_tree_at(AT_FDCWD, dropins);
                if (r >= 0)
                        r = remove_temporary_at(AT_FDCWD, path);
                if (r >= 0)
                        r = fsync_parent_at(AT_FDCWD, path);
                if (r < 0 && r != -ENOENT)
                        return log_error_errno(r, "Cannot remove the definition '%s': %m", path);
        }
        return 0;
}

/* What systemd has of it: a failure that nobody will look at, the slice, which it keeps when the VM has stopped, and the files of inferno-units. */
static int remove_units(Ctl *c, const char *vm, const BusUnit *unit) {
        _cleanup_free_ char *path = layout_path(LAYOUT_RUNTIME_UNIT_DIR), *ignored = NULL;
        _cleanup_close_ int dir_fd = -EBADF;
        int r;

        (void) bus_reset_failed(c->bus, vm, &ignored);
        if (unit_drop_slice(c, vm, unit->slice) != 0)
                return -EIO;
        dir_fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;
        if (dir_fd < 0)
                return 0;
        r = unit_files_remove_vm(dir_fd, vm);
        return r < 0 ? log_error_errno(r, "Cannot remove the units of VM '%s' from '%s': %m", vm, path) : 0;
}

/* The name of a VM that is defined to use a volume; NULL: none. */
static char *find_user(Ctl *c, const char *volume) {
        _cleanup_(definition_set_freep) DefinitionSet *set = NULL;
        _cleanup_definition_errors_ DefinitionErrors errors = {};

        if (definition_set_new(&set, &errors) < 0)
                return NULL;
        for (size_t i = 0; i < definition_set_size(set); i++) {
                _cleanup_definition_errors_ DefinitionErrors ignored = {};
                _cleanup_(definition_freep) Definition *d = NULL;

                if (definition_set_load(set, i, &c->site, &d, &ignored) < 0)
                        continue;
                for (size_t k = 0; k < d->n_volumes; k++)
                        if (streq(d->volumes[k].name, volume))
                                return strdup(d->name);
        }
        return NULL;
}

/* Says what of the volumes is kept, or removes them. 0 or EXIT_FAILED. */
static int deal_with_volumes(Ctl *c, const Definition *d) {
        int result = 0;

        for (size_t i = 0; d && i < d->n_volumes; i++) {
                const char *name = d->volumes[i].name;
                _cleanup_free_ char *user = find_user(c, name);
                _cleanup_store_volume_ StoreVolume v = {};

                if (!c->store || store_volume_get(c->store, name, &v) < 0)
                        continue;
                if (user)
                        log_info("Kept: volume '%s', which VM '%s' uses.", name, user);
                else if (!arg_volumes)
                        log_info("Kept: volume '%s'; 'infernoctl volume rm %s' removes it.", name, name);
                else if (helper_run("inferno-volume", "rm", name, NULL) != 0) {
                        log_error("Kept: volume '%s', which could not be removed.", name);
                        result = EXIT_FAILED;
                }
        }
        return result;
}

/* In an order in which a call that was killed is followed by one that finds what is left. */
static int destroy(Ctl *c, const char *vm) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_bus_unit_ BusUnit unit = {};
        _cleanup_free_ char *error = NULL;
        int r, loaded, volumes;

        r = check_removable(vm);
        if (r != 0)
                return r;
        loaded = definition_load(vm, &c->site, &d, &errors);
        r = bus_get_unit(c->bus, vm, &unit, &error);
        if (r < 0)
                return ctl_log_sentence(r, error);
        if (loaded == -ENOENT && !bus_unit_is_active(&unit) && !has_remains(c, vm)) {
                log_error("There is no VM '%s', and nothing of one.", vm);
                return CTL_NO_SUCH_VM;
        }
        r = confirm(vm, d, bus_unit_is_active(&unit));
        if (r == 0)
                log_info("VM '%s' is left as it is.", vm);
        if (r <= 0)
                return r == 0 ? EXIT_FAILED : -r;

        r = bus_unit_is_active(&unit) ? stop(c, vm) : 0;
        if (r >= 0)
                r = remove_definition(vm);
        if (r >= 0)
                r = remove_units(c, vm, &unit);
        if (r < 0)
                return r;
        r = helper_run("inferno-cleanup", "forget", vm, NULL);
        if (r != 0)
                return EXIT_FAILED;
        volumes = deal_with_volumes(c, d);
        if (!c->quiet)
                log_info("VM '%s' is gone. Kept: its image, and its log in the journal.", vm);
        return volumes;
}

static int run(Ctl *c, char **args, size_t n_args) {
        int r, code = 0;

        r = ctl_need_site(c);
        if (r == 0)
                r = ctl_need_bus(c);
        if (r == 0)
                r = ctl_want_store(c);
        for (size_t i = 0; r == 0 && i < n_args; i++) {
                int k = destroy(c, args[i]);

                if (k != 0 && code == 0)
                        code = k < 0 ? EXIT_FAILED : k;
        }
        return r != 0 ? r : code;
}

const Command command_destroy = {
        .name = "destroy",
        .group = GROUP_DEFINITIONS,
        .synopsis = "NAME…",
        .summary = "Stop VMs, and remove them with their definitions and all that was built for them",
        .details = "Kept are the log in the journal, the image, and volumes, unless --volumes is given.",
        .min_args = 1,
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_VM,
        .rest = CTL_WORD_VM,
        .flags = COMMAND_ROOT,
        .options = options,
        .run = run,
};
