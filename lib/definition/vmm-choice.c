/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "definition/definition.h"
#include "layout/layout.h"

/* KVM that is there only in name (a device node without a module, a guest without nested virtualisation) fails one of these. */
static bool kvm_works(void) {
        _cleanup_close_ int kvm = -EBADF, vm = -EBADF, vcpu = -EBADF;

        kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
        if (kvm < 0 || ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
                return false;
        vm = ioctl(kvm, KVM_CREATE_VM, 0);
        if (vm < 0)
                return false;
        vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
        return vcpu >= 0;
}

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
        can_run = access(path, X_OK) >= 0 && kvm_works();
        if (d->vmm == VMM_FIRECRACKER && !can_run)
                return -EOPNOTSUPP;
        *ret = can_run ? VMM_FIRECRACKER : VMM_EMBER;
        return 0;
}
