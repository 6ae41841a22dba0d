/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks that are thin volumes of LVM; in a jail, device nodes. */

#include <fcntl.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "thin/thin.h"
#include "volume/volume-internal.h"

static int get_lv_path(const ThinPool *p, const char *volume, const char *snapshot, char **ret) {
        _cleanup_free_ char *lv = thin_lv_name(snapshot ? THIN_SNAPSHOT : THIN_VOLUME, volume, snapshot);

        *ret = lv ? thin_device_path(p, lv) : NULL;
        return *ret ? 0 : -ENOMEM;
}

static int get_path(const char *volume, const char *snapshot, char **ret, char **ret_error) {
        _cleanup_thin_pool_ ThinPool p = {};
        int r = thin_pool_load(&p, ret_error);

        return r < 0 ? r : get_lv_path(&p, volume, snapshot, ret);
}

static int open_volume(const char *volume, const char *snapshot, uint64_t size, int flags, char **ret_error) {
        _cleanup_free_ char *lv = thin_lv_name(snapshot ? THIN_SNAPSHOT : THIN_VOLUME, volume, snapshot), *error = NULL;
        _cleanup_thin_pool_ ThinPool p = {};
        _cleanup_close_ int fd = -EBADF;
        uint64_t now;
        int r;

        if (!lv)
                return -ENOMEM;
        r = thin_pool_load(&p, ret_error);
        if (r < 0)
                return r;
        fd = thin_open(&p, lv, flags, &now, &error);
        if (fd == -ENOENT)
                return sentence(ret_error, fd, "The disk of volume '%s' is missing. %s Or forget it with inferno-volume rm %s%s%s.", volume,
                                error ?: "", volume, snapshot ? "@" : "",
                                snapshot ?: "");
        if (fd < 0)
                return error ? sentence(ret_error, fd, "Volume '%s' cannot be used. %s", volume, error) : fd;
        if (now < size)
                return sentence(ret_error, -EUCLEAN, "The logical volume '%s/%s' of volume '%s' has %llu bytes, not %llu: it was cut, so restore "
                                "a snapshot.", p.group, lv, volume,
                                (unsigned long long) now, (unsigned long long) size);
        return TAKE_FD(fd);
}

/* A node of its own for each jail, so that nothing has to be taken back but it, with the jail's content. */
static int put_volume(const char *volume, bool read_only, uid_t uid, uint64_t size, int volumes_fd, char **ret_error) {
        _cleanup_close_ int fd = open_volume(volume, NULL, size, O_RDONLY, ret_error);

        return fd < 0 ? fd : thin_put_node(fd, volumes_fd, volume, read_only, uid);
}

static int take_back(const char *volume) {
        return 0;
}

const VolumeBackend volume_backend_thin = {
        .name = "lvm-thin",
        .get_path = get_path,
        .open = open_volume,
        .put = put_volume,
        .take_back = take_back,
};
