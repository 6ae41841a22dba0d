/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "layout/vm-lock.h"
#include "version/pin.h"
#include "version/version.h"

static bool arg_latest;

static const CtlOption options[] = {
        { "latest", 0, CTL_OPTION_FLAG, &arg_latest, NULL, "Start with what the definition says again" },
        {},
};

/* The newest one that is older than what would be started now, which is the last that it was rolled back to, or the last that it had. */
static const StoreVersion *find_previous(const Definition *d, const StoreVersion *versions, size_t n) {
        char now[ULID_STRING_SIZE];

        if (version_pin_get(d->name, d->files, now) <= 0 && version_get_current(d->name, now) < 0)
                return NULL;
        for (size_t i = 0; i < n; i++)
                if (strcmp(versions[i].ulid, now) < 0)
                        return versions + i;
        return NULL;
}

static const StoreVersion *find_named(const StoreVersion *versions, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcasecmp(versions[i].ulid, name) == 0)
                        return versions + i;
        return NULL;
}

/* Holder of the VM's lock. 0, an exit code, or a negative errno. */
static int pin(Ctl *c, const Definition *d, const char *name) {
        _cleanup_free_ StoreVersion *versions = NULL;
        const StoreVersion *v;
        size_t n = 0;
        int r;

        if (c->store) {
                r = store_version_list(c->store, d->name, &versions, &n);
                if (r < 0)
                        return ctl_log_sentence(r, store_error(c->store));
        }
        v = name ? find_named(versions, n, name) : find_previous(d, versions, n);
        if (!v) {
                if (name)
                        log_error("VM '%s' has no version '%.40s': see 'infernoctl versions %s'.", d->name, name, d->name);
                else
                        log_error("VM '%s' has no version before the current one that it could go back to.", d->name);
                return EXIT_FAILED;
        }
        r = ulid_is_valid(v->ulid) ? version_is_intact(d->name, v->ulid) : 0;
        if (r < 0)
                return log_error_errno(r, "Cannot check version '%s' of VM '%s': %m", v->ulid, d->name);
        if (r == 0) {
                log_error("Version '%s' of VM '%s' is not what it was when it was built: take another one of 'infernoctl versions %s'.", v->ulid, d->name,
                          d->name);
                return EXIT_FAILED;
        }
        r = version_pin_set(d->name, v->ulid, d->files);
        if (r < 0)
                return log_error_errno(r, "Cannot record that VM '%s' goes back to version '%s': %m", d->name, v->ulid);
        if (!c->quiet)
                printf("VM '%s' starts with version %s from now on, until its definition changes.\n", d->name, v->ulid);
        return ctl_flush();
}

static int unpin(Ctl *c, const Definition *d) {
        int r = version_pin_clear(d->name);

        if (r < 0)
                return log_error_errno(r, "Cannot forget that VM '%s' was rolled back: %m", d->name);
        if (!c->quiet)
                printf("VM '%s' starts with what its definition says.\n", d->name);
        return ctl_flush();
}

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_close_ int lock = -EBADF;
        int r;

        if (arg_latest && n_args > 1) {
                log_error("rollback: --latest goes without a version.");
                return EXIT_USAGE;
        }
        if (n_args > 1 && strlen(args[1]) != ULID_STRING_SIZE - 1) {
                log_error("\"%.100s\" is no name of a version, which has %d characters: see 'infernoctl versions %s'.", args[1], ULID_STRING_SIZE - 1, args[0]);
                return EXIT_USAGE;
        }
        r = ctl_load_definition(c, args[0], &d);
        if (r == 0)
                r = ctl_want_store(c);
        if (r != 0)
                return r;
        lock = vm_lock(d->name);
        if (lock < 0)
                return log_error_errno(lock, "Cannot lock VM '%s': %m", d->name);
        return arg_latest ? unpin(c, d) : pin(c, d, n_args > 1 ? args[1] : NULL);
}

const Command command_rollback = {
        .name = "rollback",
        .group = GROUP_STORAGE,
        .synopsis = "NAME [VERSION]",
        .summary = "Have a VM start with a version that it had before, from its next start on",
        .details = "Without VERSION it is the one before the current one. It holds until the definition changes, or \"rollback NAME --latest\".",
        .min_args = 1,
        .max_args = 2,
        .first = CTL_WORD_VM,
        .flags = COMMAND_ROOT,
        .options = options,
        .run = run,
};
