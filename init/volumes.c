/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "init/crypt.h"
#include "init/mounts.h"
#include "init/tree.h"
#include "init/volumes.h"

/* Of the mount, not of the file system: fsmount(2). */
static int parse_options(const RunVolume *v, unsigned *ret, Failure *failure) {
        static const struct {
                const char *name;
                unsigned attribute;
        } known[] = {
                { "noatime", MOUNT_ATTR_NOATIME },
                { "nosuid", MOUNT_ATTR_NOSUID },
                { "nodev", MOUNT_ATTR_NODEV },
                { "noexec", MOUNT_ATTR_NOEXEC },
        };
        unsigned attributes = v->read_only ? MOUNT_ATTR_RDONLY : 0;
        _cleanup_free_ char *copy = strdup(v->options ?: "");
        char *rest = copy, *option;

        if (!copy)
                return failure_set(failure, ENOMEM, "volume \"%s\": %m", v->name);
        while ((option = strsep(&rest, ","))) {
                bool found = isempty(option);

                for (size_t i = 0; i < ELEMENTSOF(known) && !found; i++)
                        if (streq(known[i].name, option)) {
                                attributes |= known[i].attribute;
                                found = true;
                        }
                if (!found)
                        return failure_set(failure, EINVAL, "volume \"%s\": unknown mount option \"%s\"", v->name, option);
        }
        *ret = attributes;
        return 0;
}

/* Names the volume before the reason. */
static int fail(const RunVolume *v, int r, const Failure *reason, Failure *failure) {
        return failure_set(failure, r, "volume \"%s\" (%s): %.900s", v->name, v->device, reason->message);
}

static int open_one(const RunVolume *v, unsigned key_port, Failure *failure) {
        /* As with the writable layer: inode tables that mkfs left out would fill a sparse file on the host. A file system that was found to be
         * wrong is read no further. */
        static const MountOption ext4_options[] = { { "noinit_itable", NULL }, { "errors", "remount-ro" }, {} };
        bool ext4 = streq(v->fs_type, "ext4");
        _cleanup_free_ char *mapped = NULL;
        unsigned attributes = 0;
        const char *device;
        Failure reason;
        int fd, r;

        r = parse_options(v, &attributes, failure);
        if (r < 0)
                return r;
        if (v->luks_uuid) {
                r = crypt_open(v, key_port, &mapped, failure);
                if (r < 0)
                        return r;
        }
        device = mapped ?: v->device;
        fd = mount_new(v->fs_type, device, ext4 ? ext4_options : NULL, attributes, &reason);
        if (fd < 0)
                return fail(v, fd, &reason, failure);
        if (ext4 && !v->read_only)
                mount_grow_ext4(device, fd);
        return fd;
}

static bool needs_crypt(const RunSpec *spec) {
        for (size_t i = 0; i < spec->n_volumes; i++)
                if (spec->volumes[i].luks_uuid)
                        return true;
        return false;
}

int volumes_open(const RunSpec *spec, Volumes *v, Failure *failure) {
        int r;

        if (spec->n_volumes == 0)
                return 0;
        v->mount_fds = calloc(spec->n_volumes, sizeof(int));
        if (!v->mount_fds)
                return failure_set(failure, ENOMEM, "cannot open volumes: %m");
        r = needs_crypt(spec) ? mounts_open_kernel(failure) : 0;
        if (r < 0)
                return r;
        for (size_t i = 0; i < spec->n_volumes; i++) {
                int fd = open_one(spec->volumes + i, spec->vsock_key_port, failure);

                if (fd < 0)
                        return fd;
                v->mount_fds[v->n++] = fd;
        }
        return 0;
}

/* Whether nobody has written to a file system since it was made. */
static int is_new(int fd) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return negative_errno();
        if (st.st_uid != 0 || st.st_gid != 0 || (st.st_mode & 07777) != 0755)
                return 0;
        r = dir_open_at(fd, ".", 0, &d);
        if (r < 0)
                return r;
        while ((r = dir_next(d, &de)) > 0)
                if (!streq(de->d_name, "lost+found"))
                        return 0;
        return r < 0 ? r : 1;
}

/* A new file system belongs to whom the image's directory in its place belongs to, or the image's user could not write there; and it is as empty as
 * programs want the directories they begin in, lost+found being made again by whoever needs it. */
static int adopt_owner(int mount_fd, int dir_fd) {
        _cleanup_close_ int fd = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;
        int r;

        if (fd < 0)
                return negative_errno();
        r = is_new(fd);
        if (r <= 0)
                return r;
        if (unlinkat(fd, "lost+found", AT_REMOVEDIR) < 0 && errno != ENOENT)
                return negative_errno();
        if (fstat(dir_fd, &st) < 0 || fchown(fd, st.st_uid, st.st_gid) < 0 || fchmod(fd, st.st_mode & 07777) < 0)
                return negative_errno();
        return 0;
}

int volumes_attach(const RunSpec *spec, const Volumes *volumes, int root_fd, Failure *failure) {
        for (size_t i = 0; i < volumes->n; i++) {
                const RunVolume *v = spec->volumes + i;
                _cleanup_close_ int dir_fd = tree_open_directory(root_fd, v->mount_point, 0755);
                int r;

                if (dir_fd < 0)
                        return failure_set(failure, dir_fd, "volume \"%s\": cannot open or make the directory \"%s\": %m", v->name, v->mount_point);
                if (!v->read_only) {
                        r = adopt_owner(volumes->mount_fds[i], dir_fd);
                        if (r < 0)
                                return failure_set(failure, r, "volume \"%s\": cannot prepare its file system: %m", v->name);
                }
                r = mount_attach(volumes->mount_fds[i], dir_fd);
                if (r < 0)
                        return failure_set(failure, r, "volume \"%s\": cannot mount on \"%s\": %m", v->name, v->mount_point);
        }
        return 0;
}

int volumes_make_clean(const Volumes *v) {
        int r = 0, k;

        /* The inner ones first. */
        for (size_t i = v->n; i > 0; i--) {
                k = mount_make_read_only(v->mount_fds[i - 1]);
                r = r < 0 ? r : k;
        }
        return r;
}
