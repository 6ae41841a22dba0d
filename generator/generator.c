/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "generator/generator.h"

/* GENERATE_WRONG: the definition is. A file that cannot be read for the machine's reasons counts as such, so that one bad sector does not
 * keep all other VMs from starting. */
enum { GENERATE_WRONG = 1 };

static int generate_one(const DefinitionSet *set, size_t i, const SiteConfig *site, bool site_is_good, GeneratorSink sink, void *userdata) {
        _cleanup_(definition_freep) Definition *d = NULL, *wrong = NULL;
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        Definition unread = { .name = (char *) definition_set_name(set, i) };
        _cleanup_unit_files_ UnitFiles files = {};
        bool is_good;
        int r;

        r = definition_set_load_full(set, i, site, &d, &wrong, &errors);
        if (r == -ENOENT || r == -ERFKILL)      /* drop-ins alone; masked */
                return 0;
        if (r == -ENOMEM)
                return r;
        (void) definition_errors_log(&errors, r);
        if (r < 0 && r != -EINVAL)
                log_error_errno(r, "Cannot read the definition of VM \"%s\": %m", unread.name);

        is_good = r >= 0 && site_is_good;
        if (is_good) {
                r = unit_files_add(&files, d, site);
                if (r >= 0)
                        r = unit_files_add_install(&files, d);
        } else
                r = unit_files_add_broken(&files, d ?: wrong ?: &unread);
        if (r >= 0)
                r = sink(userdata, &files);
        return r < 0 ? r : is_good ? 0 : GENERATE_WRONG;
}

int generator_run(GeneratorSink sink, void *userdata, size_t *ret_problems) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_set_freep) DefinitionSet *set = NULL;
        _cleanup_site_config_ SiteConfig site = {};
        bool site_is_good;
        size_t n = 0;
        int r;

        r = site_config_load(&site, &errors);
        site_is_good = r >= 0;
        if (r < 0 && r != -ENOMEM) {
                n++;
                (void) definition_errors_log(&errors, r);
                if (r != -EINVAL)
                        log_error_errno(r, "Cannot read inferno.conf: %m");
                definition_errors_done(&errors);
                r = site_config_defaults(&site);
        }
        if (r < 0)
                return log_oom();

        r = definition_set_new(&set, &errors);
        if (r < 0)
                return log_error_errno(r, "Cannot list the definitions: %m");
        n += errors.n_lines;
        (void) definition_errors_log(&errors, r);

        for (size_t i = 0; i < definition_set_size(set); i++) {
                r = generate_one(set, i, &site, site_is_good, sink, userdata);
                if (r < 0)
                        return log_error_errno(r, "Cannot make the units of VM \"%s\": %m", definition_set_name(set, i));
                n += r == GENERATE_WRONG;
        }
        *ret_problems = n;
        return 0;
}
