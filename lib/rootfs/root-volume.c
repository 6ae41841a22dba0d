/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sentence.h"
#include "base/str.h"
#include "rootfs/root-volume.h"
#include "rootfs/rootfs.h"
#include "thin/thin-root.h"

#define BEGUN "inferno.begun.image"     /* holder of the lock only */

static int make_image(const ThinPool *p, const char *lv, const char *image, char **ret_error) {
        _cleanup_free_ char *path = thin_device_path(p, BEGUN);
        uint64_t size;
        int r;

        if (!path)
                return -ENOMEM;
        r = rootfs_size(image, &size, ret_error);
        if (r >= 0)
                r = thin_remove(p, BEGUN, ret_error);
        if (r >= 0)
                r = thin_make(p, BEGUN, size, ret_error);
        if (r < 0)
                return r;
        r = rootfs_write(image, path, ret_error);
        if (r >= 0)
                r = thin_rename(p, BEGUN, lv, ret_error);
        if (r < 0)
                (void) thin_remove(p, BEGUN, NULL);
        return r;
}

/* Never made smaller: the file system would lose its end. The guest's init has it follow. */
static int make_large(const ThinPool *p, const char *lv, uint64_t size, char **ret_error) {
        uint64_t now;
        int fd = thin_open(p, lv, O_RDONLY, &now, ret_error);

        if (fd < 0)
                return fd;
        safe_close(fd);
        return now >= size ? 0 : thin_grow(p, lv, size, ret_error);
}

static int make_root(const ThinPool *p, const Definition *d, const char *base, const char *root, const char *image, char **ret_error) {
        int r = thin_exists(p, base, ret_error);

        if (r == 0) {
                log_info("Making the volume '%s/%s' of image '%s'.", p->group, base, d->image);
                r = make_image(p, base, image, ret_error);
        }
        return r < 0 ? r : thin_copy(p, base, root, ret_error);
}

int root_volume_prepare(const Definition *d, const ImageConfig *image, char **ret_error) {
        _cleanup_free_ char *base = thin_root_image(image->manifest_digest), *root = thin_root_of(d->name, d->root == ROOT_PERSISTENT);
        _cleanup_free_ char *what = strf("VM '%s' is not started", d->name);
        _cleanup_thin_pool_ ThinPool p = {};
        _cleanup_close_ int lock_fd = -EBADF;
        int r;

        if (!base || !root || !what)
                return -ENOMEM;
        r = thin_pool_load(&p, ret_error);
        if (r >= 0)
                r = thin_pool_check_room(&p, what, ret_error);
        if (r >= 0)
                r = lock_fd = thin_root_lock(ret_error);
        if (r >= 0 && d->root == ROOT_EPHEMERAL)
                r = thin_root_remove(&p, d->name, false, ret_error);
        if (r >= 0)
                r = thin_exists(&p, root, ret_error);
        if (r == 0)
                r = make_root(&p, d, base, root, image->rootfs_path, ret_error);
        return r < 0 ? r : make_large(&p, root, d->root_size, ret_error);
}
