/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/copy.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sentence.h"
#include "base/str.h"
#include "layout/layout.h"
#include "version/ext4.h"
#include "version/version.h"
#include "volume/volume.h"

#define BACKEND_FILE "file"

static int fail_store(Store *s, int r, char **ret_error) {
        return sentence(ret_error, r, "%s", store_error(s));
}

static char *file_name(const char *volume, const char *snapshot) {
        return snapshot ? strf("%s@%s.img", volume, snapshot) : strf("%s.img", volume);
}

static int open_dir(char **ret_error) {
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

static int lock(const char *volume, char **ret_error) {
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
static int open_file(int dir_fd, const char *volume, const char *snapshot, uint64_t size, int flags, char **ret_error) {
        _cleanup_free_ char *name = file_name(volume, snapshot);
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
static int get(Store *s, const char *name, StoreVolume *ret, char **ret_error) {
        int r;

        r = store_volume_get(s, name, ret);
        if (r < 0)
                return fail_store(s, r, ret_error);
        if (!ret->ready)
                return sentence(ret_error, -ENOENT, "Volume '%s' is not whole, its creation or removal was interrupted: run "
                                "inferno-volume rm %s.", name, name);
        return 0;
}

/* The same where no VM has it. Under the lock, so that none gets it. */
static int get_detached(Store *s, const char *name, StoreVolume *ret, char **ret_error) {
        StoreAttachment *holders;
        size_t n;
        int r;

        r = get(s, name, ret, ret_error);
        if (r < 0)
                return r;
        r = store_volume_attachments(s, name, NULL, &holders, &n);
        if (r < 0)
                return fail_store(s, r, ret_error);
        if (n > 0)
                r = sentence(ret_error, -EBUSY, "Volume '%s' is attached to VM '%s': stop that first.", name, holders[0].vm);
        store_attachments_free(holders, n);
        return r;
}

/* --- making and removing --- */

static int fill(int dir_fd, const char *temporary, const VolumeSpec *spec, char **ret_error) {
        _cleanup_free_ char *path = strf("%s" LAYOUT_VOLUMES_DIR "/%s", layout_root(), temporary);
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        const char *mkfs = ext4_find_mkfs(&st);
        int r;

        if (!path)
                return -ENOMEM;
        if (!mkfs)
                return sentence(ret_error, -ENOPKG, "No mkfs.ext4 is there to make volume '%s' with: install e2fsprogs.", spec->name);
        if (unlinkat(dir_fd, temporary, 0) < 0 && errno != ENOENT)
                return negative_errno();
        fd = openat(dir_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || ftruncate(fd, (off_t) spec->size) < 0)
                return negative_errno();
        r = ext4_make(mkfs, path, EXT4_VOLUME, ret_error);
        return r < 0 ? r : fsync(fd) < 0 ? negative_errno() : 0;
}

/* Gives the finished file its name. */
static int publish(int dir_fd, const char *temporary, const char *name, bool replace) {
        if (renameat2(dir_fd, temporary, dir_fd, name, replace ? 0 : RENAME_NOREPLACE) < 0 || fsync(dir_fd) < 0)
                return negative_errno();
        return 0;
}

static int create(Store *s, int dir_fd, const VolumeSpec *spec, char **ret_error) {
        _cleanup_free_ char *name = file_name(spec->name, NULL), *temporary = strf(".new-%s", spec->name), *error = NULL;
        int r;

        if (!name || !temporary)
                return -ENOMEM;
        r = store_volume_add(s, spec->name, BACKEND_FILE, spec->size, spec->label ?: "");
        if (r < 0)
                return fail_store(s, r, ret_error);
        r = fill(dir_fd, temporary, spec, &error);
        if (r >= 0)
                r = publish(dir_fd, temporary, name, false);
        if (r >= 0) {
                r = store_volume_set_ready(s, spec->name);
                return r < 0 ? fail_store(s, r, ret_error) : 0;
        }
        (void) unlinkat(dir_fd, temporary, 0);
        (void) store_volume_remove(s, spec->name);
        if (r == -EEXIST)
                return sentence(ret_error, r, "'%s" LAYOUT_VOLUMES_DIR "/%s' is there already, and belongs to no volume: move it away.",
                                layout_root(), name);
        if (error)
                return sentence(ret_error, r, "%s", error);
        return sentence_errno(ret_error, r, "Cannot make volume '%s' in '%s" LAYOUT_VOLUMES_DIR "'", spec->name, layout_root());
}

/* What a killed creation or removal has left: nobody has used it, or wants it any more. */
static int remove_remains(Store *s, int dir_fd, const char *volume, char **ret_error) {
        _cleanup_free_ char *name = file_name(volume, NULL);
        int r;

        if (!name)
                return -ENOMEM;
        if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
                return sentence_errno(ret_error, negative_errno(), "Cannot remove '%s" LAYOUT_VOLUMES_DIR "/%s'", layout_root(), name);
        if (fsync(dir_fd) < 0)
                return negative_errno();
        r = store_volume_remove(s, volume);
        return r < 0 ? fail_store(s, r, ret_error) : 0;
}

int volume_create(Store *s, const VolumeSpec *spec, char **ret_error) {
        _cleanup_close_ int lock_fd = -EBADF, dir_fd = -EBADF;
        _cleanup_store_volume_ StoreVolume v = {};
        int r;

        if (spec->size < VOLUME_SIZE_MIN || spec->size > VOLUME_SIZE_MAX || spec->size % MIB(1) != 0)
                return sentence(ret_error, -EINVAL, "The size of volume '%s' must be whole MiB, from 16M to 16T.", spec->name);
        dir_fd = open_dir(ret_error);
        if (dir_fd < 0)
                return dir_fd;
        lock_fd = lock(spec->name, ret_error);
        if (lock_fd < 0)
                return lock_fd;
        r = store_volume_get(s, spec->name, &v);
        if (r >= 0 && v.ready)
                return sentence(ret_error, -EEXIST, "Volume '%s' exists already: see inferno-volume inspect %s.", spec->name, spec->name);
        if (r < 0 && r != -ENOENT)
                return fail_store(s, r, ret_error);
        if (r >= 0) {
                r = remove_remains(s, dir_fd, spec->name, ret_error);
                if (r < 0)
                        return r;
        }
        return create(s, dir_fd, spec, ret_error);
}

int volume_remove(Store *s, const char *name, char **ret_error) {
        _cleanup_close_ int lock_fd = -EBADF, dir_fd = -EBADF;
        _cleanup_store_volume_ StoreVolume v = {};
        _cleanup_strv_ char **snapshots = NULL;
        int r;

        dir_fd = open_dir(ret_error);
        if (dir_fd < 0)
                return dir_fd;
        lock_fd = lock(name, ret_error);
        if (lock_fd < 0)
                return lock_fd;
        r = store_volume_get(s, name, &v);
        if (r >= 0)
                r = store_snapshot_list(s, name, &snapshots);
        if (r < 0)
                return fail_store(s, r, ret_error);
        if (strv_length(snapshots) > 0)
                return sentence(ret_error, -ENOTEMPTY, "Volume '%s' has snapshots: remove them first, with inferno-volume rm %s@%s and so on.",
                                name, name, snapshots[0]);
        /* From here on it is not used, whether or not we come to the end. */
        r = store_volume_withdraw(s, name);
        return r < 0 ? fail_store(s, r, ret_error) : remove_remains(s, dir_fd, name, ret_error);
}

int volume_resize(Store *s, const char *name, uint64_t size, char **ret_error) {
        _cleanup_close_ int lock_fd = -EBADF, dir_fd = -EBADF, fd = -EBADF;
        _cleanup_store_volume_ StoreVolume v = {};
        struct stat st;
        int r;

        if (size > VOLUME_SIZE_MAX || size % MIB(1) != 0)
                return sentence(ret_error, -EINVAL, "The size of volume '%s' must be whole MiB, 16T at most.", name);
        dir_fd = open_dir(ret_error);
        if (dir_fd < 0)
                return dir_fd;
        lock_fd = lock(name, ret_error);
        if (lock_fd < 0)
                return lock_fd;
        r = get_detached(s, name, &v, ret_error);
        if (r < 0)
                return r;
        if (size < v.size)
                return sentence(ret_error, -EINVAL, "Volume '%s' has %llu MiB and cannot shrink: its file system would lose its end.", name,
                                (unsigned long long) (v.size / MIB(1)));
        fd = open_file(dir_fd, name, NULL, v.size, O_RDWR, ret_error);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0 || ((uint64_t) st.st_size < size && ftruncate(fd, (off_t) size) < 0) || fsync(fd) < 0)
                return sentence_errno(ret_error, negative_errno(), "Cannot make the file of volume '%s' larger", name);
        r = store_volume_set_size(s, name, size);
        return r < 0 ? fail_store(s, r, ret_error) : 0;
}

/* --- snapshots --- */

/* A durable copy under another name. */
static int copy(int dir_fd, int src_fd, const char *volume, const char *name, char **ret_error) {
        _cleanup_free_ char *temporary = strf(".new-%s", volume);
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!temporary)
                return -ENOMEM;
        if (unlinkat(dir_fd, temporary, 0) < 0 && errno != ENOENT)
                return negative_errno();
        fd = openat(dir_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        r = fd < 0 ? negative_errno() : clone_data(src_fd, fd);
        if (r >= 0 && fsync(fd) < 0)
                r = negative_errno();
        if (r >= 0)
                r = publish(dir_fd, temporary, name, true);
        if (r >= 0)
                return 0;
        (void) unlinkat(dir_fd, temporary, 0);
        return sentence_errno(ret_error, r, "Cannot write '%s" LAYOUT_VOLUMES_DIR "/%s'", layout_root(), name);
}

int volume_snapshot(Store *s, const char *name, const char *snapshot, char **ret_error) {
        _cleanup_close_ int lock_fd = -EBADF, dir_fd = -EBADF, fd = -EBADF;
        _cleanup_free_ char *target = file_name(name, snapshot);
        _cleanup_store_volume_ StoreVolume v = {};
        uint64_t size;
        int r;

        if (!target)
                return -ENOMEM;
        dir_fd = open_dir(ret_error);
        if (dir_fd < 0)
                return dir_fd;
        lock_fd = lock(name, ret_error);
        if (lock_fd < 0)
                return lock_fd;
        r = get_detached(s, name, &v, ret_error);
        if (r < 0)
                return r;
        if (store_snapshot_get_size(s, name, snapshot, &size) >= 0)
                return sentence(ret_error, -EEXIST, "Volume '%s' has a snapshot '%s' already.", name, snapshot);
        fd = open_file(dir_fd, name, NULL, v.size, O_RDONLY, ret_error);
        if (fd < 0)
                return fd;
        /* A file of that name that has no row is what a killed call has left. */
        r = copy(dir_fd, fd, name, target, ret_error);
        if (r < 0)
                return r;
        r = store_snapshot_put(s, name, snapshot, v.size);
        return r < 0 ? fail_store(s, r, ret_error) : 0;
}

int volume_restore(Store *s, const char *name, const char *snapshot, char **ret_error) {
        _cleanup_close_ int lock_fd = -EBADF, dir_fd = -EBADF, fd = -EBADF;
        _cleanup_free_ char *target = file_name(name, NULL);
        _cleanup_store_volume_ StoreVolume v = {};
        uint64_t size;
        int r;

        if (!target)
                return -ENOMEM;
        dir_fd = open_dir(ret_error);
        if (dir_fd < 0)
                return dir_fd;
        lock_fd = lock(name, ret_error);
        if (lock_fd < 0)
                return lock_fd;
        r = get_detached(s, name, &v, ret_error);
        if (r < 0)
                return r;
        r = store_snapshot_get_size(s, name, snapshot, &size);
        if (r < 0)
                return fail_store(s, r, ret_error);
        fd = open_file(dir_fd, name, snapshot, size, O_RDONLY, ret_error);
        if (fd < 0)
                return fd;
        r = copy(dir_fd, fd, name, target, ret_error);
        if (r < 0)
                return r;
        r = store_volume_set_size(s, name, size);
        return r < 0 ? fail_store(s, r, ret_error) : 0;
}

int volume_remove_snapshot(Store *s, const char *name, const char *snapshot, char **ret_error) {
        _cleanup_close_ int lock_fd = -EBADF, dir_fd = -EBADF;
        _cleanup_free_ char *file = file_name(name, snapshot);
        uint64_t size;
        int r;

        if (!file)
                return -ENOMEM;
        dir_fd = open_dir(ret_error);
        if (dir_fd < 0)
                return dir_fd;
        lock_fd = lock(name, ret_error);
        if (lock_fd < 0)
                return lock_fd;
        r = store_snapshot_get_size(s, name, snapshot, &size);
        if (r < 0)
                return fail_store(s, r, ret_error);
        if (unlinkat(dir_fd, file, 0) < 0 && errno != ENOENT)
                return sentence_errno(ret_error, negative_errno(), "Cannot remove '%s" LAYOUT_VOLUMES_DIR "/%s'", layout_root(), file);
        r = store_snapshot_remove(s, name, snapshot);
        return r < 0 ? fail_store(s, r, ret_error) : 0;
}

/* --- attaching --- */

/* systemd keeps this link from the first step of a start to the end of the clean-up after it, and /run does not outlive the machine. */
static bool unit_is_active(const char *vm) {
        _cleanup_free_ char *unit = layout_unit_name(vm), *path = unit ? strf("%s/run/systemd/units/invocation:%s", layout_root(), unit) : NULL;
        struct stat st;

        return !path || lstat(path, &st) >= 0;
}

static bool is_alive(const char *vm) {
        char ulid[ULID_STRING_SIZE];

        return unit_is_active(vm) || (version_get_current(vm, ulid) >= 0 && version_running(ulid, NULL) != 0);
}

/* A VM that has died, with nobody to clean up after it, gives its volume back. Its jail loses the file too, so that it cannot be run on. */
static int take_from_dead(Store *s, const char *name, const char *vm, char **ret_error) {
        char ulid[ULID_STRING_SIZE];
        int r = 0;

        if (version_get_current(vm, ulid) >= 0) {
                _cleanup_close_ int root_fd = version_open_root(ulid);

                if (root_fd >= 0)
                        r = remove_tree_at(root_fd, JAIL_VOLUMES);
        }
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot take volume '%s' from VM '%s', which has died", name, vm);
        log_notice("VM '%s' has died without giving volume '%s' back: taking it.", vm, name);
        r = store_volume_detach(s, name, vm);
        return r < 0 ? fail_store(s, r, ret_error) : 0;
}

static int attach(Store *s, const char *vm, const VolumeUse *use, char **ret_error) {
        for (;;) {
                _cleanup_free_ char *holder_name = NULL;
                StoreAttachment holder = {};
                int r;

                r = store_volume_attach(s, use->name, vm, use->read_only, &holder);
                holder_name = holder.vm;
                if (r >= 0)
                        return 0;
                if (r != -EBUSY || !holder_name)
                        return fail_store(s, r, ret_error);
                if (is_alive(holder_name))
                        return sentence(ret_error, -EBUSY, "Volume '%s' of VM '%s' is attached to VM '%s', %s: stop that first.", use->name, vm,
                                        holder_name, holder.read_only ? "which reads it" : "which writes to it");
                r = take_from_dead(s, use->name, holder_name, ret_error);
                if (r < 0)
                        return r;
        }
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

static int ensure(Store *s, const char *vm, const VolumeUse *use, char **ret_error) {
        _cleanup_store_volume_ StoreVolume v = {};
        int r;

        r = store_volume_get(s, use->name, &v);
        if ((r >= 0 && v.ready) || (r < 0 && r != -ENOENT))
                return r < 0 ? fail_store(s, r, ret_error) : 0;
        if (use->size == 0)
                return sentence(ret_error, -ENOENT, "There is no volume '%s' for VM '%s': make it with inferno-volume create %s --size=SIZE, or give "
                                "Volume= of the VM a size=.", use->name, vm, use->name);
        r = volume_create(s, &(VolumeSpec) { .name = use->name, .label = vm, .size = use->size }, ret_error);
        if (r == -EEXIST)       /* somebody else was faster */
                r = 0;
        else if (r >= 0)
                log_info("Made volume '%s' of %llu MiB for VM '%s'.", use->name, (unsigned long long) (use->size / MIB(1)), vm);
        return r;
}

static int attach_one(Store *s, int dir_fd, const char *vm, const VolumeUse *use, char **ret_error) {
        _cleanup_close_ int lock_fd = -EBADF, fd = -EBADF;
        _cleanup_store_volume_ StoreVolume v = {};
        int r;

        r = ensure(s, vm, use, ret_error);
        if (r < 0)
                return r;
        lock_fd = lock(use->name, ret_error);
        if (lock_fd < 0)
                return lock_fd;
        r = get(s, use->name, &v, ret_error);
        if (r < 0)
                return r;
        fd = open_file(dir_fd, use->name, NULL, v.size, O_RDONLY, ret_error);
        if (fd < 0)
                return fd;
        return attach(s, vm, use, ret_error);
}

int volume_attach_all(Store *s, const Definition *d, char **ret_error) {
        _cleanup_close_ int dir_fd = -EBADF;
        int r;

        r = volume_detach_all(s, d->name, ret_error);
        if (r < 0)
                return r;
        dir_fd = open_dir(ret_error);
        if (dir_fd < 0)
                return dir_fd;
        for (size_t i = 0; i < d->n_volumes; i++) {
                r = attach_one(s, dir_fd, d->name, d->volumes + i, ret_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int detach(Store *s, int dir_fd, const StoreAttachment *a, char **ret_error) {
        _cleanup_free_ char *name = file_name(a->volume, NULL);
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
        return r < 0 ? fail_store(s, r, ret_error) : 0;
}

int volume_detach_all(Store *s, const char *vm, char **ret_error) {
        _cleanup_close_ int dir_fd = -EBADF;
        StoreAttachment *a;
        size_t n;
        int r;

        r = store_volume_attachments(s, NULL, vm, &a, &n);
        if (r < 0)
                return fail_store(s, r, ret_error);
        if (n > 0)
                r = dir_fd = open_dir(ret_error);
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
        _cleanup_free_ char *name = file_name(use->name, NULL);
        _cleanup_store_volume_ StoreVolume v = {};
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!name)
                return -ENOMEM;
        r = get(s, use->name, &v, ret_error);
        if (r < 0)
                return r;
        fd = open_file(dir_fd, use->name, NULL, v.size, O_RDONLY, ret_error);
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
        dir_fd = open_dir(ret_error);
        if (dir_fd < 0)
                return dir_fd;
        volumes_fd = mkdirat(root_fd, JAIL_VOLUMES, 0711) < 0 ? negative_errno() : open_beneath(root_fd, JAIL_VOLUMES, O_RDONLY | O_DIRECTORY, 0);
        if (volumes_fd < 0)
                return sentence_errno(ret_error, volumes_fd, "Cannot make a directory for volumes in the jail of VM '%s'", d->name);
        r = store_volume_attachments(s, NULL, d->name, &a, &n);
        if (r < 0)
                return fail_store(s, r, ret_error);
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
        _cleanup_free_ char *file = file_name(name, NULL), *path = file ? strf("%s" LAYOUT_VOLUMES_DIR "/%s", layout_root(), file) : NULL;
        struct stat st;

        if (!path)
                return -ENOMEM;
        if (lstat(path, &st) < 0)
                return negative_errno();
        *ret = (uint64_t) st.st_blocks * 512;
        return 0;
}
