/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/exit-codes.h"
#include "base/log.h"
#include "base/sentence.h"
#include "helpers/context.h"
#include "layout/layout.h"
#include "layout/vm-lock.h"
#include "version/pin.h"

void helper_context_done(HelperContext *c) {
        c->store = store_free(c->store);
        c->definition = definition_free(c->definition);
        site_config_done(&c->site);
}

int helper_log_sentence(int r, const char *sentence) {
        if (sentence || r == -ENOMEM)
                log_error("%s", sentence ?: "Out of memory.");
        else
                log_error_errno(r, "Failed: %m.%s%s", *errno_remedy(r) ? " " : "", errno_remedy(r));
        return r;
}

static int log_problems(const DefinitionErrors *errors, int r) {
        if (errors->lines)
                (void) definition_errors_log(errors, r);
        else
                log_error_errno(r, "Cannot read the configuration: %m");
        return definition_exit_code(r);
}

int helper_load_site(HelperContext *c) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        int r = site_config_load(&c->site, &errors);

        return r < 0 ? log_problems(&errors, r) : 0;
}

int helper_load_range(HelperContext *c) {
        if (net_range_parse(c->site.network, &c->range) < 0) {
                log_error("Network=%s of inferno.conf is no network for guests: it must be like 172.16.0.0/12, with a prefix from 8 to 30.",
                          c->site.network);
                return EXIT_BAD_DEFINITION;
        }
        return 0;
}

int helper_load_definition(HelperContext *c, const char *vm) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        int r = definition_load(vm, &c->site, &c->definition, &errors);

        return r < 0 ? log_problems(&errors, r) : 0;
}

int helper_open_store(HelperContext *c) {
        _cleanup_free_ char *error = NULL;
        int r = store_open(&c->store, &error);

        return r < 0 ? exit_code_from_errno(helper_log_sentence(r, error)) : 0;
}

int helper_get_pin(const HelperContext *c, char ret_ulid[static ULID_STRING_SIZE]) {
        const char *vm = c->definition->name;
        int r;

        r = version_pin_get(vm, c->definition->files, ret_ulid);
        if (r == -ENOENT)
                return 0;
        return r < 0 ? log_error_errno(r, "Cannot find out which version VM '%s' was rolled back to: %m. 'infernoctl rollback %s --latest' makes it start with what "
                                       "its definition says.", vm, vm) : r;
}

int helper_lock_vm(const char *vm) {
        int fd = vm_lock(vm);

        return fd < 0 ? log_error_errno(fd, "Cannot lock VM '%s' below '%s" LAYOUT_RUN_DIR "': %m.%s%s", vm, layout_root(),
                                        *errno_remedy(fd) ? " " : "", errno_remedy(fd)) : fd;
}
