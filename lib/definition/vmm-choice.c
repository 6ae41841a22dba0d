/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <unistd.h>

#include "base/kvm.h"
#include "definition/definition.h"
#include "layout/layout.h"

int definition_resolve_vmm(const Definition *d, const SiteConfig *site, VmmChoice *ret) {
        _cleanup_free_ char *path = NULL;
        bool can_run;

        if (d->vmm == VMM_EMBER) {
                *ret = VMM_EMBER;
                return 0;
        }
        path = layout_path(site->firecracker);
        if (!path)
                return -ENOMEM;
        can_run = access(path, X_OK) >= 0 && kvm_probe() >= 0;
        if (d->vmm == VMM_FIRECRACKER && !can_run)
                return -EOPNOTSUPP;
        *ret = can_run ? VMM_FIRECRACKER : VMM_EMBER;
        return 0;
}
