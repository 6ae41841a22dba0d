/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "layout/layout.h"
#include "volume/volume-internal.h"

int volume_fail_store(Store *s, int r, char **ret_error) {
        return sentence(ret_error, r, "%s", store_error(s));
}

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

int volume_lock(const char *volume, char **ret_error) {
        _cleanup_free_ char *path = layout_volume_lock(volume);
        int r;

        if (!path)
                return -ENOMEM;
        r = mkdir_parent_of_at(AT_FDCWD, path, 0755);
        if (r >= 0)
                r = lock_file_at(AT_FDCWD, path);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot lock volume '%s' by '%s'", volume, path) : r;
}

/* Opens the file of a volume or snapshot, and finds it as large as it should be. A larger one is what a killed volume_resize() has left. */
int volume_open_file(int dir_fd, const char *volume, const char *snapshot, uint64_t size, int flags, char **ret_error) {
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

/* The row of a volume that is whole. */
int volume_get(Store *s, const char *name, StoreVolume *ret, char **ret_error) {
        int r;

        r = store_volume_get(s, name, ret);
        if (r < 0)
                return volume_fail_store(s, r, ret_error);
        if (!ret->ready)
                return sentence(ret_error, -ENOENT, "Volume '%s' is not whole, its creation or removal was interrupted: run "
                                "inferno-volume rm %s.", name, name);
        return 0;
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

static int detach(Store *s, int dir_fd, const StoreAttachment *a, char **ret_error) {
        _cleanup_free_ char *name = volume_file_name(a->volume, NULL);
        _cleanup_close_ int fd = -EBADF;
        int r = 0;

        if (!name)
                return -ENOMEM;
        /* A reader is one of many, and the file is root's. */
        if (!a->read_only) {
                fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
                r = fd >= 0 ? give_to(fd, 0, false) : errno == ENOENT ? 0 : negative_errno();
        }
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot take the file of volume '%s' back from VM '%s'", a->volume, a->vm);
        r = store_volume_detach(s, a->volume, a->vm);
        return r < 0 ? volume_fail_store(s, r, ret_error) : 0;
}

int volume_detach_all(Store *s, const char *vm, char **ret_error) {
        _cleanup_close_ int dir_fd = -EBADF;
        StoreAttachment *a;
        size_t n;
        int r;

        r = store_volume_attachments(s, NULL, vm, &a, &n);
        if (r < 0)
                return volume_fail_store(s, r, ret_error);
        if (n > 0)
                r = dir_fd = volume_open_dir(ret_error);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = detach(s, dir_fd, a + i, ret_error);
        store_attachments_free(a, n);
        return r < 0 ? r : 0;
}

static const StoreAttachment *find_attachment(const StoreAttachment *a, size_t n, const VolumeUse *use) {
        for (size_t i = 0; i < n; i++)
                if (streq(a[i].volume, use->name) && a[i].read_only == use->read_only)
                        return a + i;
        return NULL;
}

static int link_one(Store *s, int dir_fd, const VolumeUse *use, uid_t uid, int volumes_fd, char **ret_error) {
        _cleanup_free_ char *name = volume_file_name(use->name, NULL);
        _cleanup_store_volume_ StoreVolume v = {};
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!name)
                return -ENOMEM;
        r = volume_get(s, use->name, &v, ret_error);
        if (r < 0)
                return r;
        fd = volume_open_file(dir_fd, use->name, NULL, v.size, O_RDONLY, ret_error);
        if (fd < 0)
                return fd;
        /* Readers of several VMs share the file, and each reaches it through its own jail alone. */
        r = give_to(fd, use->read_only ? 0 : uid, use->read_only);
        if (r >= 0 && linkat(dir_fd, name, volumes_fd, use->name, 0) < 0)
                r = negative_errno();
        if (r == -EXDEV)
                return sentence(ret_error, r, "'%s" LAYOUT_VOLUMES_DIR "' and '%s" LAYOUT_VMS_DIR "' must be on one file system, or volume '%s' cannot "
                                "be put into a jail.", layout_root(), layout_root(), use->name);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot put volume '%s' into its VM's jail", use->name) : 0;
}

int volume_link_all(Store *s, const Definition *d, uid_t uid, int root_fd, char **ret_error) {
        _cleanup_close_ int dir_fd = -EBADF, volumes_fd = -EBADF;
        StoreAttachment *a;
        size_t n;
        int r;

        if (d->n_volumes == 0)
                return 0;
        dir_fd = volume_open_dir(ret_error);
        if (dir_fd < 0)
                return dir_fd;
        volumes_fd = mkdirat(root_fd, JAIL_VOLUMES, 0711) < 0 ? negative_errno() : open_beneath(root_fd, JAIL_VOLUMES, O_RDONLY | O_DIRECTORY, 0);
        if (volumes_fd < 0)
                return sentence_errno(ret_error, volumes_fd, "Cannot make a directory for volumes in the jail of VM '%s'", d->name);
        r = store_volume_attachments(s, NULL, d->name, &a, &n);
        if (r < 0)
                return volume_fail_store(s, r, ret_error);
        for (size_t i = 0; i < d->n_volumes && r >= 0; i++) {
                const VolumeUse *use = d->volumes + i;

                if (!find_attachment(a, n, use))
                        r = sentence(ret_error, -ENOENT, "Volume '%s' is not attached to VM '%s': run inferno-volume attach %s first.", use->name,
                                     d->name, d->name);
                else
                        r = link_one(s, dir_fd, use, uid, volumes_fd, ret_error);
        }
        store_attachments_free(a, n);
        return r;
}

int volume_get_usage(const char *name, uint64_t *ret) {
        _cleanup_free_ char *file = volume_file_name(name, NULL), *path = file ? strf("%s" LAYOUT_VOLUMES_DIR "/%s", layout_root(), file) : NULL;
        struct stat st;

        if (!path)
                return -ENOMEM;
        if (lstat(path, &st) < 0)
                return negative_errno();
        *ret = (uint64_t) st.st_blocks * 512;
        return 0;
}
