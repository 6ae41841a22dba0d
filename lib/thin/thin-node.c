/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Thin volumes as block devices, which every start wants, and no more than that. */

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "thin/thin.h"

int thin_open(const ThinPool *p, const char *lv, int flags, uint64_t *ret_size, char **ret_error) {
        _cleanup_free_ char *path = thin_device_path(p, lv), *pool = thin_device_path(p, p->name);
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (!path || !pool)
                return -ENOMEM;
        fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 && errno == ENOENT && access(pool, F_OK) < 0)
                return sentence(ret_error, -ENODEV, "The thin pool '%s/%s' is not there: see that its disk is, and run inferno-storage "
                                "activate.", p->group, p->name);
        if (fd < 0 && errno == ENOENT)
                return sentence(ret_error, -ENOENT, "The logical volume '%s/%s' is missing: if lvs shows it, activate it with vgchange -ay %s.",
                                p->group, lv, p->group);
        if (fd < 0 || fstat(fd, &st) < 0)
                return sentence_errno(ret_error, negative_errno(), "Cannot open '%s'", path);
        if (!S_ISBLK(st.st_mode))
                return sentence(ret_error, -EUCLEAN, "'%s' is no block device: remove it, and run vgmknodes.", path);
        if (ioctl(fd, BLKGETSIZE64, ret_size) < 0)
                return sentence_errno(ret_error, negative_errno(), "Cannot look at '%s'", path);
        return TAKE_FD(fd);
}

int thin_put_node(int fd, int dir_fd, const char *name, bool read_only, uid_t uid) {
        struct stat st;

        if (fstat(fd, &st) < 0 || mknodat(dir_fd, name, S_IFBLK | (read_only ? 0400 : 0600), st.st_rdev) < 0 ||
            fchownat(dir_fd, name, uid, uid, AT_SYMLINK_NOFOLLOW) < 0)
                return negative_errno();
        return 0;
}
