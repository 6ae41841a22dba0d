/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/copy.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/sha256.h"
#include "base/sentence.h"
#include "base/str.h"
#include "layout/layout.h"
#include "version/ext4.h"
#include "version/upper.h"

#define STAGING ".upper.new"            /* a kept layer that is being made; below the VM's directory */
/* In templates/: who makes or removes one holds the lock; what a killed one left is the next one's. */
#define TEMPLATES_LOCK ".lock"
#define TEMPLATE_RAW ".tmp-raw"
#define TEMPLATE_TEMPORARY ".tmp"

static uint64_t whole_mib(uint64_t size) {
        return (MAX(size, MIB(1)) + MIB(1) - 1) / MIB(1) * MIB(1);
}

/* "ext4-<size>-<persistent|ephemeral>-<16 digits of the recipe's digest>.img" */
static char *template_name(uint64_t size, bool persistent, const struct stat *mkfs) {
        _cleanup_free_ char *recipe = NULL;
        char hex[SHA256_HEX_SIZE];
        Sha256 h;

        recipe = strf("1 %s %llu %llu %llu", ext4_features(persistent ? EXT4_KEPT : EXT4_EPHEMERAL), (unsigned long long) mkfs->st_size,
                      (unsigned long long) mkfs->st_ino,
                      (unsigned long long) mkfs->st_mtim.tv_sec * NSEC_PER_SEC + (unsigned long long) mkfs->st_mtim.tv_nsec);
        if (!recipe)
                return NULL;
        sha256_init(&h);
        sha256_update_string(&h, recipe);
        sha256_finish_hex(&h, hex);
        return strf("ext4-%llu-%s-%.16s.img", (unsigned long long) size, persistent ? "persistent" : "ephemeral", hex);
}

/* Makes the template durable, and then gives it its name. mke2fs reserves blocks for what it would zero; the clone of its file
 * leaves those out. */
static int make_template(int dir_fd, const char *dir, const char *name, const char *mkfs, const UpperSpec *spec, uint64_t size,
                         char **ret_error) {
        _cleanup_free_ char *path = strf("%s/" TEMPLATE_RAW, dir);
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!path)
                return -ENOMEM;
        (void) unlinkat(dir_fd, TEMPLATE_RAW, 0);
        (void) unlinkat(dir_fd, TEMPLATE_TEMPORARY, 0);
        fd = openat(dir_fd, TEMPLATE_RAW, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return negative_errno();
        r = ftruncate(fd, (off_t) size) < 0 ? negative_errno() : 0;
        if (r >= 0)
                r = ext4_make(mkfs, path, spec->persistent ? EXT4_KEPT : EXT4_EPHEMERAL, ret_error);
        if (r >= 0)
                r = clone_file_at(dir_fd, TEMPLATE_RAW, dir_fd, TEMPLATE_TEMPORARY, 0400);
        (void) unlinkat(dir_fd, TEMPLATE_RAW, 0);
        if (r >= 0) {
                fd = safe_close(fd);
                fd = openat(dir_fd, TEMPLATE_TEMPORARY, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
                if (fd < 0 || fsync(fd) < 0 || renameat(dir_fd, TEMPLATE_TEMPORARY, dir_fd, name) < 0 || fsync(dir_fd) < 0)
                        r = negative_errno();
        }
        if (r < 0)
                (void) unlinkat(dir_fd, TEMPLATE_TEMPORARY, 0);
        return r;
}

static int open_template(const UpperSpec *spec, uint64_t size, char **ret_error) {
        _cleanup_free_ char *dir = layout_path(LAYOUT_TEMPLATES_DIR), *name = NULL;
        _cleanup_close_ int dir_fd = -EBADF, lock_fd = -EBADF;
        struct stat mkfs_stat;
        const char *mkfs;
        int fd, r;

        mkfs = ext4_find_mkfs(&mkfs_stat);
        if (!mkfs)
                return sentence(ret_error, -ENOPKG, "No mkfs.ext4 is there to make a writable layer with: install e2fsprogs.");
        name = template_name(size, spec->persistent, &mkfs_stat);
        if (!dir || !name)
                return -ENOMEM;
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0 && errno == ENOENT) {
                r = mkdir_parents_at(AT_FDCWD, dir, 0711);
                if (r < 0)
                        return r;
                dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        if (dir_fd < 0)
                return negative_errno();
        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0 || errno != ENOENT)
                return fd < 0 ? negative_errno() : fd;
        lock_fd = lock_file_at(dir_fd, TEMPLATES_LOCK);
        if (lock_fd < 0)
                return lock_fd;
        /* Another VM of the same size may have been faster. */
        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT) {
                r = make_template(dir_fd, dir, name, mkfs, spec, size, ret_error);
                if (r < 0)
                        return r;
                fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        }
        return fd < 0 ? negative_errno() : fd;
}

/* A new layer, owned by the VM. */
static int make_layer(const UpperSpec *spec, uint64_t size, int dir_fd, const char *name, char **ret_error) {
        _cleanup_close_ int template_fd = -EBADF, fd = -EBADF;
        int r;

        template_fd = open_template(spec, size, ret_error);
        if (template_fd < 0)
                return template_fd;
        fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return negative_errno();
        r = clone_data(template_fd, fd);
        if (r >= 0 && (fchmod(fd, 0600) < 0 || fchown(fd, spec->uid, spec->gid) < 0 || (spec->persistent && fsync(fd) < 0)))
                r = negative_errno();
        if (r < 0)
                (void) unlinkat(dir_fd, name, 0);
        return r;
}

static int make_kept_layer(const UpperSpec *spec, uint64_t size, int vm_fd, const char *name, char **ret_error) {
        int r;

        if (unlinkat(vm_fd, STAGING, 0) < 0 && errno != ENOENT)
                return negative_errno();
        r = make_layer(spec, size, vm_fd, STAGING, ret_error);
        if (r < 0)
                return r;
        return renameat(vm_fd, STAGING, vm_fd, name) < 0 || fsync(vm_fd) < 0 ? negative_errno() : 0;
}

/* The one that is there: made to fit, but never made smaller, for the guest's file system would lose its end. */
static int adopt_kept_layer(const UpperSpec *spec, uint64_t size, int vm_fd, const char *name, char **ret_error) {
        _cleanup_close_ int fd = openat(vm_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return negative_errno();
        if (!S_ISREG(st.st_mode))
                return -EBADF;
        if ((uint64_t) st.st_size > size)
                return sentence(ret_error, -EOVERFLOW,
                                "RootSize= of VM '%s' is %llu MiB, but its writable layer has %llu MiB already and cannot shrink: set it "
                                "back, or remove '%s" LAYOUT_VMS_DIR "/%s/%s' and lose what is in it.", spec->vm,
                                (unsigned long long) (size / MIB(1)), (unsigned long long) st.st_size / MIB(1), layout_root(), spec->vm, name);
        if ((uint64_t) st.st_size < size && ftruncate(fd, (off_t) size) < 0)
                return negative_errno();
        if ((st.st_uid != spec->uid || st.st_gid != spec->gid) && fchown(fd, spec->uid, spec->gid) < 0)
                return negative_errno();
        if ((st.st_mode & 07777) != 0600 && fchmod(fd, 0600) < 0)
                return negative_errno();
        return 0;
}

static int prepare_kept(const UpperSpec *spec, uint64_t size, int root_fd, char **ret_error) {
        _cleanup_free_ char *path = layout_vm_upper(spec->vm), *dir = layout_vm_dir(spec->vm);
        _cleanup_close_ int vm_fd = -EBADF;
        const char *name;
        int r;

        if (!path || !dir)
                return -ENOMEM;
        name = strrchr(path, '/') + 1;
        r = mkdir_parents_at(AT_FDCWD, dir, 0711);
        if (r < 0)
                return r;
        vm_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (vm_fd < 0)
                return negative_errno();
        r = adopt_kept_layer(spec, size, vm_fd, name, ret_error);
        if (r == -ENOENT)
                r = make_kept_layer(spec, size, vm_fd, name, ret_error);
        if (r < 0)
                return r;
        return linkat(vm_fd, name, root_fd, JAIL_UPPER, 0) < 0 ? negative_errno() : 0;
}

int upper_prepare(const UpperSpec *spec, int root_fd, char **ret_error) {
        _cleanup_free_ char *error = NULL;
        uint64_t size = whole_mib(spec->size);
        int r;

        r = spec->persistent ? prepare_kept(spec, size, root_fd, &error) : make_layer(spec, size, root_fd, JAIL_UPPER, &error);
        if (r >= 0)
                return 0;
        if (error)
                return sentence(ret_error, r, "%s", error);
        return sentence_errno(ret_error, r, "Cannot make the writable layer of VM '%s' below '%s" LAYOUT_STATE_DIR "'",
                              spec->vm, layout_root());
}

int upper_remove(const char *vm) {
        _cleanup_free_ char *path = layout_vm_upper(vm);

        if (!path)
                return -ENOMEM;
        return unlink(path) < 0 && errno != ENOENT ? negative_errno() : 0;
}

/* Whether a template of that name would still be used. */
static int is_wanted(const char *name, const uint64_t *sizes, size_t n_sizes, const struct stat *mkfs) {
        for (size_t i = 0; i < n_sizes; i++)
                for (int persistent = 0; persistent < 2; persistent++) {
                        _cleanup_free_ char *wanted = template_name(whole_mib(sizes[i]), persistent, mkfs);

                        if (!wanted)
                                return -ENOMEM;
                        if (streq(wanted, name))
                                return 1;
                }
        return 0;
}

int upper_prune_templates(const uint64_t *sizes, size_t n_sizes) {
        _cleanup_free_ char *dir = layout_path(LAYOUT_TEMPLATES_DIR);
        _cleanup_close_ int lock_fd = -EBADF;
        _cleanup_closedir_ DIR *d = NULL;
        struct stat mkfs_stat = {};
        struct dirent *de;
        int r, k;

        if (!dir)
                return -ENOMEM;
        (void) ext4_find_mkfs(&mkfs_stat);
        r = dir_open_at(AT_FDCWD, dir, 0, &d);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        lock_fd = lock_file_at(dirfd(d), TEMPLATES_LOCK);
        if (lock_fd < 0)
                return lock_fd;
        while ((r = dir_next(d, &de)) > 0) {
                if (startswith(de->d_name, "ext4-")) {
                        k = is_wanted(de->d_name, sizes, n_sizes, &mkfs_stat);
                        if (k < 0)
                                return k;
                        if (k > 0)
                                continue;
                } else if (!streq(de->d_name, TEMPLATE_RAW) && !streq(de->d_name, TEMPLATE_TEMPORARY))
                        continue;
                if (unlinkat(dirfd(d), de->d_name, 0) < 0 && errno != ENOENT)
                        return negative_errno();
        }
        return r;
}
