/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Apart from what inferno-chroot links. */

#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "thin/thin-root.h"

int thin_root_remove(const ThinPool *p, const char *vm, bool kept, char **ret_error) {
        _cleanup_free_ char *lv = thin_root_of(vm, kept);

        if (!lv)
                return -ENOMEM;
        return thin_root_exists(p, vm, kept) ? thin_remove(p, lv, ret_error) : 0;
}

int thin_root_prune(const ThinPool *p, char *const *wanted, char **ret_error) {
        _cleanup_free_ char *pool = thin_device_path(p, p->name), *select = NULL, *list = NULL;
        _cleanup_close_ int lock_fd = -EBADF;
        char *rest, *name;
        int r;

        if (!pool)
                return -ENOMEM;
        if (access(pool, F_OK) < 0)
                return 0;
        lock_fd = thin_root_lock(ret_error);
        if (lock_fd < 0)
                return lock_fd;
        select = strf("vg_name=\"%s\" && lv_name=~\"^inferno[.](" THIN_IMAGE "|begun)[.]\"", p->group);
        if (!select)
                return -ENOMEM;
        r = thin_lvm("Cannot list the images in the thin pool", &list, ret_error, "lvs", "--noheadings", "-o", "lv_name", "--select", select,
                     NULL);
        rest = list;
        while (r >= 0 && (name = strsep(&rest, " \n")))
                if (*name && !strv_contains(wanted, name))
                        r = thin_remove(p, name, ret_error);
        return r < 0 ? r : 0;
}
