/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/exit-codes.h"
#include "base/log.h"
#include "helpers/loaded-units.h"
#include "layout/layout.h"
#include "unitfiles/unit-files.h"

#define REMEDY "run 'systemctl daemon-reload', or '" LAYOUT_LIBEXEC_DIR "/inferno-units place %s'"

int loaded_units_check(const Definition *d, const SiteConfig *site) {
        const char *loaded = getenv(UNIT_FILES_VARIABLE);
        int r;

        if (!loaded)
                return 0;
        r = unit_files_compare(loaded, d, site);
        if (r < 0)
                return log_error_errno(r, "Cannot compare the unit of VM '%s' with its definition: %m", d->name);
        switch ((UnitsLoaded) r) {
        case UNITS_CURRENT:
                break;
        case UNITS_OLDER:
                log_warning("systemd has the unit of VM '%s' as the definition was at the last daemon-reload: before the next start, " REMEDY ".",
                            d->name, d->name);
                break;
        case UNITS_WITHOUT_LIMITS:
                log_warning("systemd has not read the definition of VM '%s' yet, so the VM runs without a slice and its limits: before the next "
                            "start, " REMEDY ".", d->name, d->name);
                break;
        case UNITS_MISSING:
                log_error("VM '%s' is not started, since systemd has not read its definition yet, and would leave out what that says of the unit "
                          "(Volume=, Tenant=, VCPUs=, [Service] and others): " REMEDY ", then start it again.", d->name, d->name);
                return EXIT_FAILED;
        }
        return 0;
}
