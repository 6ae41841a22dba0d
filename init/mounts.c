/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "init/mounts.h"
#include "init/tree.h"

/* Of the kernel's fs/ext4/ext4.h, which has no header for user space: blocks the file system shall have. */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)
/* linux/fs.h, which does not go together with sys/mount.h. */
#define DEVICE_GET_SIZE64 _IOR(0x12, 114, size_t)

/* In the initramfs, for overlayfs, which takes its layers by path. */
#define IMAGE_DIR "/image"
#define LAYER_DIR "/layer"
#define PROGRAMS_DIR "/programs"

enum { OPTIONS_MAX = 16 };

static int set_option(int fs_fd, const char *key, const char *value) {
        return fsconfig(fs_fd, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0) < 0 ? negative_errno() : 0;
}

int mount_new(const char *fs_type, const char *source, const MountOption *options, unsigned attributes, Failure *failure) {
        _cleanup_close_ int fs_fd = fsopen(fs_type, FSOPEN_CLOEXEC);
        char reason[256];
        ssize_t k;
        int fd, r;

        if (fs_fd < 0)
                return failure_set(failure, errno, "the guest's kernel has no %s: %m", fs_type);
        r = source ? set_option(fs_fd, "source", source) : 0;
        for (const MountOption *o = options; r >= 0 && o && o->key; o++)
                r = set_option(fs_fd, o->key, o->value);
        if (r >= 0 && (attributes & MOUNT_ATTR_RDONLY))
                r = set_option(fs_fd, "ro", NULL);
        if (r >= 0 && fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                r = negative_errno();
        if (r < 0) {
                /* The file system's own words, one message a read: "e squashfs: Unknown parameter 'x'" */
                k = read(fs_fd, reason, sizeof(reason) - 1);
                reason[MAX(k, 0)] = 0;
                reason[strcspn(reason, "\n")] = 0;
                return failure_set(failure, r, "cannot mount %s%s%s: %m%s%s", fs_type, source ? " of " : "", source ?: "",
                                k > 2 ? "; " : "", k > 2 ? reason + 2 : "");
        }
        fd = fsmount(fs_fd, FSMOUNT_CLOEXEC, attributes);
        if (fd < 0)
                return failure_set(failure, errno, "cannot mount %s: %m", fs_type);
        return fd;
}

int mount_attach(int mount_fd, int dir_fd) {
        return move_mount(mount_fd, "", dir_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? negative_errno() : 0;
}

/* Onto a directory of the initramfs, which is made. */
static int attach_in_initramfs(int mount_fd, const char *path, Failure *failure) {
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                return failure_set(failure, errno, "cannot make %s in the initramfs: %m", path);
        if (move_mount(mount_fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return failure_set(failure, errno, "cannot mount on %s in the initramfs: %m", path);
        return 0;
}

int mounts_open_dev(Failure *failure) {
        static const MountOption options[] = { { "mode", "755" }, {} };
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = mount_new("devtmpfs", "dev", options, MOUNT_ATTR_NOSUID, failure);
        if (fd < 0)
                return fd;
        r = attach_in_initramfs(fd, "/dev", failure);
        return r < 0 ? r : TAKE_FD(fd);
}

int mounts_open_kernel(Failure *failure) {
        static const struct {
                const char *fs_type, *path;
        } mounts[] = { { "proc", "/proc" }, { "sysfs", "/sys" } };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(mounts) && r >= 0; i++) {
                _cleanup_close_ int fd = mount_new(mounts[i].fs_type, mounts[i].fs_type, NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, failure);

                r = fd < 0 ? fd : attach_in_initramfs(fd, mounts[i].path, failure);
        }
        return r;
}

/* A symlink or directory at the top of the disk, under its own name in the initramfs. */
static int show_program_entry(int disk_fd, const char *name, Failure *failure) {
        _cleanup_free_ char *path = strjoin("/", name);
        _cleanup_close_ int fd = -EBADF;
        char target[PATH_MAX];
        ssize_t n;

        if (!path)
                return failure_set(failure, ENOMEM, "cannot mount programs: %m");
        n = readlinkat(disk_fd, name, target, sizeof(target) - 1);
        if (n >= 0) {
                target[n] = 0;
                return symlink(target, path) < 0 ? failure_set(failure, errno, "cannot make %s in the initramfs: %m", path) : 0;
        }
        fd = open_tree(disk_fd, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        return fd < 0 ? failure_set(failure, errno, "cannot open %s of the disk of programs: %m", path) : attach_in_initramfs(fd, path, failure);
}

/* The disk's content becomes the initramfs's, as programs find their libraries by the paths that they have there. */
static int open_programs(const RunSpec *spec, Failure *failure) {
        _cleanup_closedir_ DIR *d = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct dirent *de;
        int r;

        if (!spec->programs.device)
                return 0;
        fd = mount_new(spec->programs.fs_type, spec->programs.device, NULL, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, failure);
        r = fd < 0 ? fd : attach_in_initramfs(fd, PROGRAMS_DIR, failure);
        if (r < 0)
                return r;
        r = dir_open_at(AT_FDCWD, PROGRAMS_DIR, 0, &d);
        while (r >= 0 && (r = dir_next(d, &de)) > 0) {
                r = show_program_entry(dirfd(d), de->d_name, failure);
                if (r < 0)
                        return r;
        }
        return r < 0 ? failure_set(failure, r, "cannot read the disk of programs: %m") : 0;
}

static int mount_image(const RunSpec *spec, Failure *failure) {
        _cleanup_free_ char *copy = strdup(spec->root.options ?: "");
        MountOption options[OPTIONS_MAX + 1] = {};
        _cleanup_close_ int fd = -EBADF;
        char *rest = copy, *option;
        size_t n = 0;

        if (!copy)
                return failure_set(failure, ENOMEM, "cannot mount the image: %m");
        while ((option = strsep(&rest, ","))) {
                char *value = strchr(option, '=');

                if (isempty(option) || streq(option, "ro"))
                        continue;
                if (n == OPTIONS_MAX)
                        return failure_set(failure, E2BIG, "more than %d mount options for the image", OPTIONS_MAX);
                if (value)
                        *value++ = 0;
                options[n++] = (MountOption) { option, value };
        }
        fd = mount_new(spec->root.fs_type, spec->root.device, options, MOUNT_ATTR_RDONLY, failure);
        return fd < 0 ? fd : attach_in_initramfs(fd, IMAGE_DIR, failure);
}

void mount_grow_ext4(const char *device, int mount_fd) {
        _cleanup_close_ int device_fd = open(device, O_RDONLY | O_CLOEXEC), fd = -EBADF;
        uint64_t size, blocks;
        struct statfs fs;

        fd = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (device_fd < 0 || fd < 0 || ioctl(device_fd, DEVICE_GET_SIZE64, &size) < 0 || fstatfs(fd, &fs) < 0 || fs.f_bsize < 1)
                return;
        blocks = size / (uint64_t) fs.f_bsize;
        (void) ioctl(fd, EXT4_IOC_RESIZE_FS, &blocks);
}

static int open_layer(const RunSpec *spec, Mounts *m, Failure *failure) {
        /* The default journal mode with barriers survives a VM that is killed. Inode tables that mkfs left out stay out: the kernel would
         * zero them one by one in the background, and so fill a sparse file on the host. */
        static const MountOption ext4_options[] = { { "noinit_itable" }, {} };
        bool ext4 = streq(spec->upper.fs_type, "ext4");

        m->upper_fd = mount_new(spec->upper.fs_type, spec->upper.device, ext4 ? ext4_options : NULL, 0, failure);
        return m->upper_fd < 0 ? m->upper_fd : 0;
}

static int mount_layer(const RunSpec *spec, Mounts *m, Failure *failure) {
        bool ext4 = streq(spec->upper.fs_type, "ext4");
        struct stat st;
        int r;

        r = open_layer(spec, m, failure);
        if (r < 0)
                return r;
        r = attach_in_initramfs(m->upper_fd, LAYER_DIR, failure);
        if (r < 0)
                return r;
        if (ext4 && !spec->upper_ephemeral)
                mount_grow_ext4(spec->upper.device, m->upper_fd);     /* a kept layer, where RootSize= has grown */

        /* The top directory of an overlay has the attributes of its upper one, so a new one takes on the image's. */
        if (mkdirat(m->upper_fd, "work", 0700) < 0 && errno != EEXIST)
                return failure_set(failure, errno, "cannot make a directory in the writable layer: %m");
        if (mkdirat(m->upper_fd, "upper", 0755) >= 0) {
                if (stat(IMAGE_DIR, &st) < 0 || fchownat(m->upper_fd, "upper", st.st_uid, st.st_gid, 0) < 0 ||
                    fchmodat(m->upper_fd, "upper", st.st_mode & 07777, 0) < 0)
                        return failure_set(failure, errno, "cannot prepare the writable layer: %m");
        } else if (errno != EEXIST)
                return failure_set(failure, errno, "cannot make a directory in the writable layer: %m");
        return 0;
}

static int mount_overlay(Mounts *m, Failure *failure) {
        static const MountOption options[] = {
                { "lowerdir", IMAGE_DIR },
                { "upperdir", LAYER_DIR "/upper" },
                { "workdir", LAYER_DIR "/work" },
                { "redirect_dir", "on" },       /* or a directory of the image could not be renamed */
                {},
        };

        m->root_fd = mount_new("overlay", "overlay", options, 0, failure);
        if (m->root_fd < 0)
                return m->root_fd;
        /* Over the root of the initramfs: this process still stands below it. */
        if (move_mount(m->root_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return failure_set(failure, errno, "cannot mount the root file system: %m");
        return 0;
}

/* The layer has all of the image, and its device is as large as the root file system shall be. */
static int mount_whole(const RunSpec *spec, Mounts *m, Failure *failure) {
        if (move_mount(m->upper_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return failure_set(failure, errno, "cannot mount the root file system: %m");
        mount_grow_ext4(spec->upper.device, m->upper_fd);
        m->root_fd = fcntl(m->upper_fd, F_DUPFD_CLOEXEC, 3);
        return m->root_fd < 0 ? failure_set(failure, errno, "cannot open the root file system: %m") : 0;
}

/* A mount on a directory right below dir_fd. */
static int mount_below(int dir_fd, const char *name, const char *fs_type, const MountOption *options, unsigned attributes,
                Failure *failure) {
        _cleanup_close_ int fd = -EBADF, target_fd = -EBADF;
        int r;

        fd = mount_new(fs_type, fs_type, options, attributes, failure);
        if (fd < 0)
                return fd;
        target_fd = tree_open_mount_point(dir_fd, name, 0755);
        if (target_fd < 0)
                return failure_set(failure, target_fd, "cannot make /%s in the image: %m", name);
        r = mount_attach(fd, target_fd);
        return r < 0 ? failure_set(failure, r, "cannot mount %s on /%s: %m", fs_type, name) : 0;
}

static int fill_dev(int root_fd, int dev_fd, Failure *failure) {
        static const MountOption pts_options[] = { { "gid", "5" }, { "mode", "620" }, { "ptmxmode", "666" }, {} };
        static const MountOption shm_options[] = { { "mode", "1777" }, {} };
        static const struct {
                const char *name, *target;
        } links[] = {
                { "fd", "/proc/self/fd" },
                { "stdin", "/proc/self/fd/0" },
                { "stdout", "/proc/self/fd/1" },
                { "stderr", "/proc/self/fd/2" },
                { "core", "/proc/kcore" },
        };
        _cleanup_close_ int target_fd = -EBADF;
        int r;

        target_fd = tree_open_mount_point(root_fd, "dev", 0755);
        if (target_fd < 0)
                return failure_set(failure, target_fd, "cannot make /dev in the image: %m");
        r = mount_attach(dev_fd, target_fd);
        if (r < 0)
                return failure_set(failure, r, "cannot move /dev into the image: %m");

        for (size_t i = 0; i < ELEMENTSOF(links); i++)
                if (symlinkat(links[i].target, dev_fd, links[i].name) < 0 && errno != EEXIST)
                        return failure_set(failure, errno, "cannot make /dev/%s: %m", links[i].name);
        r = mount_below(dev_fd, "pts", "devpts", pts_options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, failure);
        if (r >= 0)
                r = mount_below(dev_fd, "shm", "tmpfs", shm_options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, failure);
        if (r < 0)
                return r;
        /* CONFIG_POSIX_MQUEUE is an option that few miss. */
        r = mount_below(dev_fd, "mqueue", "mqueue", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, failure);
        return r == -ENODEV ? 0 : r;
}

/* Images come with files in /tmp now and then; those must not vanish below a mount. */
static int mount_tmp(int root_fd, Failure *failure) {
        static const MountOption options[] = { { "mode", "1777" }, {} };
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        int r;

        dir_fd = tree_open_directory(root_fd, "/tmp", 01777);
        if (dir_fd < 0 || tree_directory_is_empty(dir_fd) <= 0)
                return 0;
        fd = mount_new("tmpfs", "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, failure);
        if (fd < 0)
                return fd;
        r = mount_attach(fd, dir_fd);
        return r < 0 ? failure_set(failure, r, "cannot mount tmpfs on /tmp: %m") : 0;
}

/* What was on that disk for the image. */
static int mount_programs(int root_fd, bool *ret_mounted, Failure *failure) {
        _cleanup_close_ int fd = -EBADF, dir_fd = -EBADF;
        int r;

        *ret_mounted = access(WIRE_BUNDLE_DIR, F_OK) >= 0;
        if (!*ret_mounted)
                return 0;
        fd = open_tree(AT_FDCWD, WIRE_GUEST_DIR, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (fd < 0)
                return failure_set(failure, errno, "cannot open " WIRE_GUEST_DIR " of the initramfs: %m");
        dir_fd = tree_open_mount_point(root_fd, &WIRE_GUEST_DIR[1], 0755);
        if (dir_fd < 0)
                return failure_set(failure, dir_fd, "cannot make " WIRE_GUEST_DIR " in the image: %m");
        r = mount_attach(fd, dir_fd);
        return r < 0 ? failure_set(failure, r, "cannot mount " WIRE_GUEST_DIR ": %m") : 0;
}

int mounts_set_up(const RunSpec *spec, int dev_fd, Mounts *m, Failure *failure) {
        bool have_bundle = false;
        int r;

        /* It may have secrets of the environment. */
        if (unlink(WIRE_RUN_JSON) < 0 && errno != ENOENT)
                return failure_set(failure, errno, "cannot remove " WIRE_RUN_JSON ": %m");
        r = spec->upper_whole ? open_layer(spec, m, failure) : mount_image(spec, failure);
        if (r >= 0 && !spec->upper_whole)
                r = mount_layer(spec, m, failure);
        if (r >= 0)
                r = open_programs(spec, failure);
        if (r >= 0)
                r = volumes_open(spec, &m->volumes, failure);
        if (r >= 0)
                r = spec->upper_whole ? mount_whole(spec, m, failure) : mount_overlay(m, failure);
        if (r >= 0)
                r = fill_dev(m->root_fd, dev_fd, failure);
        if (r >= 0)
                r = mount_below(m->root_fd, "proc", "proc", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, failure);
        if (r >= 0)
                r = mount_below(m->root_fd, "sys", "sysfs", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, failure);
        if (r >= 0)
                r = mount_tmp(m->root_fd, failure);
        if (r >= 0)
                r = volumes_attach(&m->volumes, m->root_fd, failure);
        if (r >= 0)
                r = mount_programs(m->root_fd, &have_bundle, failure);
        if (r < 0)
                return r;

        if (fchdir(m->root_fd) < 0 || chroot(".") < 0)
                return failure_set(failure, errno, "cannot change to the image's root directory: %m");
        m->programs = have_bundle && access(WIRE_PROGRAMS_DIR, F_OK) >= 0;
        return 0;
}

int mount_make_read_only(int mount_fd) {
        _cleanup_close_ int fs_fd = fspick(mount_fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);

        if (fs_fd < 0 || fsconfig(fs_fd, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
            fsconfig(fs_fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
                return negative_errno();
        return 0;
}

int mounts_make_clean(Mounts *m, bool with_layer) {
        int r, k;

        if (!with_layer)
                return volumes_close(&m->volumes);
        sync();         /* other file systems that the workload has mounted, too */
        r = volumes_close(&m->volumes);
        if (m->root_fd >= 0) {
                k = mount_make_read_only(m->root_fd);
                r = r < 0 ? r : k;
        }
        if (m->upper_fd >= 0) {
                k = mount_make_read_only(m->upper_fd);
                r = r < 0 ? r : k;
        }
        return r;
}
