/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "ctl/program.h"
#include "ctl/unit.h"
#include "image/image.h"
#include "layout/vm-lock.h"
#include "version/pin.h"
#include "version/version.h"

static bool arg_all, arg_auto;

static const CtlOption options[] = {
        { "all", 'a', CTL_OPTION_FLAG, &arg_all, NULL, "All VMs that run, but those with Pull=never" },
        { "auto", 0, CTL_OPTION_FLAG, &arg_auto, NULL, "All VMs that run whose definitions say AutoUpdate=registry" },
        {},
};

/* One VM that is being updated. */
typedef struct Update {
        Ctl *c;
        const Definition *d;
        char old[ULID_STRING_SIZE];             /* what it runs */
        bool pinned;                            /* because it was rolled back to that */
} Update;

static void say(const Ctl *c, const char *format, ...) _printf_(2, 3);
static void say(const Ctl *c, const char *format, ...) {
        va_list ap;

        if (c->quiet)
                return;
        va_start(ap, format);
        vprintf(format, ap);
        va_end(ap);
}

/* 1: the image that was got is what the VM runs, or, where it was rolled back, what it had run before that, so that a bad one is not tried again and again. 0: it
 * is not. Or a negative errno, logged. */
static int is_known(const Update *u) {
        _cleanup_free_ char *normal = NULL, *error = NULL;
        _cleanup_free_ StoreVersion *versions = NULL;
        _cleanup_store_image_ StoreImage image = {};
        Store *s = u->c->store;
        size_t n;
        int r;

        r = image_reference_normalize(u->d->image, &normal, &error);
        if (r < 0)
                return ctl_log_sentence(r, error);
        r = store_image_get(s, normal, &image);
        if (r >= 0)
                r = store_version_list(s, u->d->name, &versions, &n);
        if (r < 0)
                return ctl_log_sentence(r, store_error(s));
        for (size_t i = 0; i < n; i++)
                if (u->pinned || streq(versions[i].ulid, u->old))
                        return streq(versions[i].image_digest, image.manifest_digest);
        return 0;
}

/* From now on it starts with that version, or (NULL) as its definition says. */
static int set_pin(const Update *u, const char *ulid) {
        _cleanup_close_ int lock = vm_lock(u->d->name);
        int r = lock;

        if (r >= 0)
                r = ulid ? version_pin_set(u->d->name, ulid, u->d->files) : version_pin_clear(u->d->name);
        return r < 0 ? log_error_errno(r, "Cannot record which version VM '%s' starts with: %m", u->d->name) : 0;
}

/* 0, the exit code of what did not come up, or a negative errno. */
static int restart(const Update *u) {
        _cleanup_(bus_jobs_freep) BusJobs *stop = NULL;
        _cleanup_(definition_freep) Definition *d = NULL;
        char *vms[] = { u->d->name, NULL };
        _cleanup_free_ char *error = NULL;
        int r;

        r = bus_jobs_new(u->c->bus, &stop, &error);
        if (r >= 0)
                r = bus_jobs_add(stop, "StopUnit", u->d->name, &error);
        if (r >= 0)
                r = bus_jobs_wait(stop, UINT64_MAX);
        if (r < 0)
                return ctl_log_sentence(r, error);
        /* So that what has been started often, or has just failed, may be started. */
        (void) bus_reset_failed(u->c->bus, u->d->name, NULL);
        r = unit_prepare_start(u->c, u->d->name, &d);
        return r != 0 ? r : unit_start(u->c, vms);
}

static int go_back(const Update *u) {
        int r;

        if (!u->old[0]) {
                log_error("VM '%s' did not become ready, and has no version that it could go back to.", u->d->name);
                return EXIT_FAILED;
        }
        r = set_pin(u, u->old);
        if (r >= 0)
                r = restart(u);
        if (r != 0) {
                log_error("VM '%s' did not become ready with its new image, nor with version %s, which it had before.", u->d->name, u->old);
                return EXIT_FAILED;
        }
        log_error("VM '%s' did not become ready with its new image: it runs version %s again, until there is another image, its definition changes, or "
                  "'infernoctl rollback %s --latest'.", u->d->name, u->old, u->d->name);
        return EXIT_FAILED;
}

/* Beside what it runs now; the VM is not touched where the image cannot be got, or is none. 0 or an exit code. */
static int update(Ctl *c, const char *vm, const Definition *d, bool active) {
        char now[ULID_STRING_SIZE], pin[ULID_STRING_SIZE];
        Update u = { .c = c, .d = d };
        int r;

        if (version_get_current(vm, u.old) < 0)
                u.old[0] = 0;
        u.pinned = version_pin_get(vm, d->files, pin) > 0;
        r = helper_run("inferno-image", "pull", "--", d->image);
        if (r != 0) {
                log_error("VM '%s' stays as it is: its image could not be got.", vm);
                return EXIT_FAILED;
        }
        r = is_known(&u);
        if (r < 0)
                return EXIT_FAILED;
        if (r > 0 || !active) {
                say(c, r > 0 ? "VM '%s' has the newest image.\n" : "VM '%s' does not run: its next start is with the image that was got now.\n", vm);
                return 0;
        }
        if (u.pinned && set_pin(&u, NULL) < 0)
                return EXIT_FAILED;
        r = restart(&u);
        if (r != 0)
                return go_back(&u);
        if (version_get_current(vm, now) >= 0)
                say(c, "VM '%s' runs version %s.\n", vm, now);
        return 0;
}

/* 0 or an exit code. */
static int update_named(Ctl *c, const char *vm) {
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_bus_unit_ BusUnit unit = {};
        int r;

        r = ctl_load_definition(c, vm, &d);
        if (r == 0)
                r = unit_get(c, vm, &unit);
        return r != 0 ? r : update(c, vm, d, bus_unit_is_active(&unit));
}

static int update_all(Ctl *c) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_set_freep) DefinitionSet *set = NULL;
        int r, first = 0;

        r = definition_set_new(&set, &errors);
        if (r < 0)
                return log_error_errno(r, "Cannot list the definitions: %m");
        for (size_t i = 0; i < definition_set_size(set); i++) {
                const char *vm = definition_set_name(set, i);
                _cleanup_definition_errors_ DefinitionErrors own = {};
                _cleanup_(definition_freep) Definition *d = NULL;
                _cleanup_bus_unit_ BusUnit unit = {};

                r = definition_set_load(set, i, &c->site, &d, &own);
                if (r == -ENOENT || r == -ERFKILL)
                        continue;
                if (r < 0) {
                        (void) definition_errors_log(&own, r);
                        first = EXIT_FAILED;
                        continue;
                }
                if (arg_all ? d->pull == PULL_NEVER : !d->auto_update)
                        continue;
                r = unit_get(c, vm, &unit);
                if (r == 0 && bus_unit_is_active(&unit))
                        r = update(c, vm, d, true);
                first = first ?: r;
        }
        return first;
}

static int run(Ctl *c, char **args, size_t n_args) {
        int r, first = 0;

        if ((n_args > 0) + arg_all + arg_auto != 1) {
                log_error("update: wanted are names of VMs, or --all, or --auto.");
                return EXIT_USAGE;
        }
        r = ctl_need_site(c);
        if (r == 0)
                r = ctl_need_bus(c);
        if (r == 0)
                r = ctl_need_store(c);
        if (r != 0)
                return r;
        if (n_args == 0)
                first = update_all(c);
        for (size_t i = 0; i < n_args; i++) {
                r = update_named(c, args[i]);
                first = first ?: r;
        }
        r = ctl_flush();
        return first ?: r;
}

const Command command_update = {
        .name = "update",
        .group = GROUP_STORAGE,
        .synopsis = "[NAME…]",
        .summary = "Get the newest images of VMs, restart those that run, and go back where the new one does not become ready",
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_VM,
        .rest = CTL_WORD_VM,
        .flags = COMMAND_ROOT,
        .options = options,
        .run = run,
};
