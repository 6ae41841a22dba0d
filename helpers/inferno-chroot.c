/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Versions of VMs' jails. inferno-chroot(8). */

#include <time.h>

#include "base/exit-codes.h"
#include "base/log.h"
#include "base/str.h"
#include "helpers/context.h"
#include "helpers/prepare.h"
#include "helpers/program.h"
#include "version/version.h"

static const char usage[] =
        "inferno-chroot [OPTIONS…] prepare VM | list VM | digest VM\n"
        "\n"
        "Makes the jail that a VM runs in out of its definition, image, initramfs and network, which must be there.\n"
        "\n"
        "  prepare VM       Find the version that fits, or build it; make it current, clean, and give it a writable layer.\n"
        "                   inferno@.service calls it before each start.\n"
        "  list VM          Print the versions of VM, newest first, and which of them is the current one.\n"
        "  digest VM        Print the digest of everything that goes into the jail: versions are equal where it is.\n"
        "\n"
        "      --root=DIR   Work below DIR instead of /\n"
        "  -h, --help       Show this help\n"
        "      --version    Show the version\n"
        "\n"
        "See inferno-chroot(8).\n";

/* What is known of a VM before its jail is. */
typedef struct Context {
        HelperContext base;
        ImageConfig image;
        PrepareInputs in;
} Context;

static void context_done(Context *c) {
        image_config_done(&c->image);
        helper_context_done(&c->base);
}
#define _cleanup_context_ _cleanup_(context_done)

/* 0, or an exit code. may_be_pinned: the image is not looked for where the VM was rolled back. */
static int load(Context *c, const char *vm, bool may_be_pinned) {
        char pin[ULID_STRING_SIZE];
        _cleanup_free_ char *error = NULL;
        VmmChoice vmm;
        int r;

        r = helper_load_site(&c->base);
        if (r == 0)
                r = helper_load_definition(&c->base, vm);
        if (r == 0)
                r = helper_open_store(&c->base);
        if (r != 0)
                return r;
        r = helper_get_pin(&c->base, pin);
        if (r < 0)
                return exit_code_from_errno(r);
        c->in = (PrepareInputs) { .definition = c->base.definition, .site = &c->base.site };
        if (r > 0 && may_be_pinned)
                return 0;
        r = image_config_load(c->base.store, c->base.definition->image, &c->image, &error);
        if (r < 0)
                return exit_code_from_errno(helper_log_sentence(r, error));
        r = definition_resolve_vmm(c->base.definition, &c->base.site, &vmm, &error);
        if (r < 0)
                return exit_code_from_errno(helper_log_sentence(r, error));
        c->in.image = &c->image;
        c->in.vmm = vmm;
        return 0;
}

static int run_prepare(const char *vm) {
        _cleanup_context_ Context c = {};
        _cleanup_free_ char *error = NULL;
        Preparation p;
        int r;

        r = load(&c, vm, true);
        if (r != 0)
                return r;
        r = prepare_vm(c.base.store, &c.in, &p, &error);
        if (r < 0) {
                (void) helper_log_sentence(r, error);
                return r == -EOVERFLOW || r == -E2BIG ? EXIT_BAD_DEFINITION : r;
        }
        if (p.pinned)
                log_notice("VM '%s' was rolled back to version %s, and starts with it, until its definition changes or 'infernoctl rollback %s --latest' ends "
                           "that.", vm, p.ulid, vm);
        else if (p.built)
                log_info("VM '%s': built version %s.", vm, p.ulid);
        else
                log_debug("VM '%s': version %s fits.", vm, p.ulid);
        return 0;
}

static int run_digest(const char *vm) {
        _cleanup_context_ Context c = {};
        _cleanup_free_ char *error = NULL;
        Preparation p;
        int r;

        r = load(&c, vm, false);
        if (r != 0)
                return r;
        r = prepare_digest(c.base.store, &c.in, &p, &error);
        if (r < 0)
                return helper_log_sentence(r, error);
        puts(p.digest);
        return 0;
}

static int run_list(const char *vm) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_free_ StoreVersion *versions = NULL;
        char current[ULID_STRING_SIZE] = "";
        size_t n;
        int r;

        r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = store_version_list(c.store, vm, &versions, &n);
        if (r < 0)
                return helper_log_sentence(r, store_error(c.store));
        (void) version_get_current(vm, current);
        if (n == 0) {
                log_error("VM '%s' has no version yet: it gets one at its first start.", vm);
                return EXIT_NOT_FOUND;
        }
        printf("%-26s %-19s %-12s %s\n", "VERSION", "BUILT", "DIGEST", "STATE");
        for (size_t i = 0; i < n; i++) {
                time_t t = (time_t) (versions[i].created_usec / USEC_PER_SEC);
                const char *state = "";
                struct tm tm;
                char built[32];

                if (!localtime_r(&t, &tm) || strftime(built, sizeof(built), "%Y-%m-%d %H:%M:%S", &tm) == 0)
                        strcpy(built, "-");
                if (streq(versions[i].ulid, current))
                        state = version_running(current, NULL) > 0 ? "current, running" : "current";
                printf("%-26s %-19s %-12.12s %s\n", versions[i].ulid, built, versions[i].digest, state);
        }
        return 0;
}

static const HelperVerb verbs[] = {
        { "prepare", "VM", run_prepare },
        { "list", "VM", run_list },
        { "digest", "VM", run_digest },
        {},
};

int main(int argc, char **argv) {
        return helper_main(argc, argv, usage, verbs, NULL);
}
