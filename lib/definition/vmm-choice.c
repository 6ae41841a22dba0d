/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <unistd.h>

#include "base/kvm.h"
#include "base/sentence.h"
#include "definition/definition.h"
#include "definition/volume-use.h"
#include "layout/layout.h"

int definition_resolve_vmm(const Definition *d, const SiteConfig *site, VmmChoice *ret, char **ret_error) {
        _cleanup_free_ char *path = layout_path(site->firecracker);
        bool can_run;

        if (!path)
                return -ENOMEM;
        can_run = d->vmm != VMM_EMBER && access(path, X_OK) >= 0 && kvm_probe() >= 0;
        if (d->vmm == VMM_FIRECRACKER && !can_run)
                return sentence(ret_error, -EOPNOTSUPP, "VM '%s' has VMM=firecracker, but Firecracker cannot run here: it needs '%s' and a working "
                                "/dev/kvm. VMM=auto takes ember instead.", d->name, site->firecracker);
        if (!can_run && d->n_volumes > VOLUME_USES_MAX_EMBER)
                return sentence(ret_error, -EOPNOTSUPP, "VM '%s' has %zu volumes, but ember, which is to run it here, has room for %d: more of them need "
                                "Firecracker, '%s', and a working /dev/kvm.", d->name, d->n_volumes, VOLUME_USES_MAX_EMBER, site->firecracker);
        *ret = can_run ? VMM_FIRECRACKER : VMM_EMBER;
        return 0;
}
