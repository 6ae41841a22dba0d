/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "layout/layout.h"
#include "thin/thin-root.h"

int thin_root_lock(char **ret_error) {
        int r = mkdir_parents_at(AT_FDCWD, LAYOUT_LOCK_DIR, 0755);

        if (r >= 0)
                r = lock_file_at(AT_FDCWD, LAYOUT_STORAGE_LOCK);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot lock '" LAYOUT_STORAGE_LOCK "'") : r;
}

char *thin_root_image(const char *manifest_digest) {
        const char *hex = startswith(manifest_digest, "sha256:") ?: manifest_digest;

        return strf("inferno." THIN_IMAGE ".%.32s", hex);
}

char *thin_root_of(const char *vm, bool kept) {
        return thin_lv_name(kept ? THIN_ROOT : THIN_RUN, vm, NULL);
}

bool thin_root_exists(const ThinPool *p, const char *vm, bool kept) {
        _cleanup_free_ char *lv = thin_root_of(vm, kept), *path = lv ? thin_device_path(p, lv) : NULL;

        return path && access(path, F_OK) >= 0;
}

int thin_root_put(const ThinPool *p, const char *vm, bool kept, uid_t uid, int root_fd, char **ret_error) {
        _cleanup_free_ char *lv = thin_root_of(vm, kept), *error = NULL;
        _cleanup_close_ int fd = -EBADF;
        uint64_t size;
        int r;

        if (!lv)
                return -ENOMEM;
        fd = thin_open(p, lv, O_RDONLY, &size, &error);
        if (fd < 0)
                return sentence(ret_error, fd, "VM '%s' has no root file system: run inferno-storage root %s first. %s", vm, vm, error ?: "");
        r = thin_put_node(fd, root_fd, JAIL_UPPER, false, uid);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot put the root file system of VM '%s' into its jail", vm) : 0;
}
