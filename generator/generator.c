/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "generator/generator.h"

/* 1: the definition is wrong. */
static int generate_one(const DefinitionSet *set, size_t i, const SiteConfig *site, GeneratorSink sink, void *userdata) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_unit_files_ UnitFiles files = {};
        int r, wrong = 0;

        if (!site) {
                r = unit_files_add_broken(&files, definition_set_name(set, i));
                wrong = 1;
        } else {
                r = definition_set_load(set, i, site, &d, &errors);
                if (r == -ENOENT || r == -ERFKILL)      /* drop-ins alone; masked */
                        return 0;
                if (r == -EINVAL) {
                        (void) definition_errors_log(&errors, r);
                        r = unit_files_add_broken(&files, definition_set_name(set, i));
                        wrong = 1;
                } else if (r >= 0)
                        r = unit_files_add(&files, d, site);
        }
        if (r >= 0)
                r = sink(userdata, &files);
        return r < 0 ? r : wrong;
}

int generator_run(GeneratorSink sink, void *userdata, size_t *ret_problems) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_set_freep) DefinitionSet *set = NULL;
        _cleanup_site_config_ SiteConfig site = {};
        bool site_is_good;
        size_t n = 0;
        int r;

        r = site_config_load(&site, &errors);
        if (r < 0 && r != -EINVAL)
                return log_error_errno(r, "Cannot read inferno.conf: %m");
        site_is_good = r >= 0;
        n += !site_is_good;

        r = definition_set_new(&set, &errors);
        if (r < 0)
                return log_error_errno(r, "Cannot list the definitions: %m");
        if (errors.n_lines > 0) {
                (void) definition_errors_log(&errors, r);
                n += site_is_good;
        }
        for (size_t i = 0; i < definition_set_size(set); i++) {
                r = generate_one(set, i, site_is_good ? &site : NULL, sink, userdata);
                if (r < 0)
                        return log_error_errno(r, "Cannot make the units of VM \"%s\": %m", definition_set_name(set, i));
                n += (size_t) r;
        }
        *ret_problems = n;
        return 0;
}
