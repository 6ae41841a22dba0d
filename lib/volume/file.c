/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks that are sparse files: volumes/<volume>.img, volumes/<volume>@<snapshot>.img. */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "layout/layout.h"
#include "volume/volume-internal.h"

char *volume_file_name(const char *volume, const char *snapshot) {
        return snapshot ? strf("%s@%s.img", volume, snapshot) : strf("%s.img", volume);
}

int volume_open_dir(char **ret_error) {
        _cleanup_free_ char *path = layout_path(LAYOUT_VOLUMES_DIR);
        int fd, r;

        if (!path)
                return -ENOMEM;
        r = mkdir_parent_of_at(AT_FDCWD, path, 0711);
        if (r >= 0)
                r = mkdir_parents_at(AT_FDCWD, path, 0700);
        fd = r < 0 ? r : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (r >= 0 && fd < 0)
                fd = negative_errno();
        return fd < 0 ? sentence_errno(ret_error, fd, "Cannot open '%s'", path) : fd;
}

static int file_get_path(const char *volume, const char *snapshot, char **ret, char **ret_error) {
        _cleanup_free_ char *name = volume_file_name(volume, snapshot);

        *ret = name ? strf("%s" LAYOUT_VOLUMES_DIR "/%s", layout_root(), name) : NULL;
        return *ret ? 0 : -ENOMEM;
}

static int open_in(int dir_fd, const char *volume, const char *snapshot, uint64_t size, int flags, char **ret_error) {
        _cleanup_free_ char *name = volume_file_name(volume, snapshot);
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (!name)
                return -ENOMEM;
        fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 && errno == ENOENT)
                return sentence(ret_error, -ENOENT,
                                "The file '%s" LAYOUT_VOLUMES_DIR "/%s' of volume '%s' is missing: put it back, or forget the volume with "
                                "inferno-volume rm %s%s%s.", layout_root(), name, volume, volume, snapshot ? "@" : "", snapshot ?: "");
        if (fd < 0 || fstat(fd, &st) < 0)
                return sentence_errno(ret_error, negative_errno(), "Cannot open '%s" LAYOUT_VOLUMES_DIR "/%s'", layout_root(), name);
        if (!S_ISREG(st.st_mode))
                return sentence(ret_error, -EUCLEAN, "'%s" LAYOUT_VOLUMES_DIR "/%s' of volume '%s' is no regular file: put the right one back.",
                                layout_root(), name, volume);
        if ((uint64_t) st.st_size < size)
                return sentence(ret_error, -EUCLEAN,
                                "The file '%s" LAYOUT_VOLUMES_DIR "/%s' of volume '%s' has %llu bytes, not %llu: it was cut, so put the whole one "
                                "back, or restore a snapshot.", layout_root(), name, volume, (unsigned long long) st.st_size,
                                (unsigned long long) size);
        return TAKE_FD(fd);
}

static int file_open(const char *volume, const char *snapshot, uint64_t size, int flags, char **ret_error) {
        _cleanup_close_ int dir_fd = volume_open_dir(ret_error);

        return dir_fd < 0 ? dir_fd : open_in(dir_fd, volume, snapshot, size, flags, ret_error);
}

/* Of the file of a volume that is attached to nobody else for writing. */
static int give_to(int fd, uid_t uid, bool read_only) {
        mode_t mode = read_only ? 0444 : 0600;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return negative_errno();
        if ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
                return negative_errno();
        return (st.st_uid != uid || st.st_gid != uid) && fchown(fd, uid, uid) < 0 ? negative_errno() : 0;
}

static int file_put(const char *volume, bool read_only, uid_t uid, uint64_t size, int volumes_fd, char **ret_error) {
        _cleanup_close_ int dir_fd = volume_open_dir(ret_error), fd = -EBADF;
        _cleanup_free_ char *name = volume_file_name(volume, NULL);
        int r;

        if (dir_fd < 0 || !name)
                return dir_fd < 0 ? dir_fd : -ENOMEM;
        fd = open_in(dir_fd, volume, NULL, size, O_RDONLY, ret_error);
        if (fd < 0)
                return fd;
        /* Readers of several VMs share the file, and each reaches it through its own jail alone. */
        r = give_to(fd, read_only ? 0 : uid, read_only);
        if (r >= 0 && linkat(dir_fd, name, volumes_fd, volume, 0) < 0)
                r = negative_errno();
        if (r == -EXDEV)
                return sentence(ret_error, r, "'%s" LAYOUT_VOLUMES_DIR "' and '%s" LAYOUT_VMS_DIR "' must be on one file system, or volume '%s' "
                                "cannot "
                                "be put into a jail.", layout_root(), layout_root(), volume);
        return r;
}

static int file_take_back(const char *volume) {
        _cleanup_close_ int dir_fd = volume_open_dir(NULL), fd = -EBADF;
        _cleanup_free_ char *name = volume_file_name(volume, NULL);

        if (dir_fd < 0 || !name)
                return dir_fd < 0 ? dir_fd : -ENOMEM;
        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        return fd >= 0 ? give_to(fd, 0, false) : errno == ENOENT ? 0 : negative_errno();
}

const VolumeBackend volume_backend_file = {
        .name = "file",
        .get_path = file_get_path,
        .open = file_open,
        .put = file_put,
        .take_back = file_take_back,
};
