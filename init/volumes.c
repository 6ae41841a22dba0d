/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "init/console.h"
#include "init/crypt.h"
#include "init/filesystem.h"
#include "init/loop.h"
#include "init/mounts.h"
#include "init/tree.h"
#include "init/volumes.h"

#define BUSY_USEC (2 * USEC_PER_SEC)            /* for what has a file open to let go; kiln waits 5 s for the whole end */
#define BUSY_STEP_MSEC 20

enum { PATIENCE_STEPS = 10 };

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

static int open_one(const RunVolume *v, unsigned key_port, OpenVolume *o, Failure *failure) {
        /* As with the writable layer: inode tables that mkfs left out would fill a sparse file on the host. A file system that was found to be
         * wrong is read no further. */
        const MountOption options[] = { { "noinit_itable", NULL }, { "errors", "remount-ro" }, { v->discard ? "discard" : NULL, NULL }, {} };
        _cleanup_free_ char *mapped = NULL;
        unsigned attributes = 0;
        bool blank = false;
        const char *device;
        Failure reason;
        int r;

        r = parse_options(v, &attributes, failure);
        if (r < 0)
                return r;
        if (v->luks_uuid) {
                r = crypt_open(v, key_port, &mapped, &blank, failure);
                if (r < 0)
                        return r;
                o->mapped = true;
        }
        device = mapped ?: v->device;
        r = filesystem_prepare(v, device, blank, failure);
        if (r < 0)
                return r;
        o->mount_fd = mount_new(v->fs_type, device, options, attributes, &reason);
        if (o->mount_fd < 0)
                return fail(v, o->mount_fd, &reason, failure);
        if (!v->read_only)
                mount_grow_ext4(device, o->mount_fd);
        return 0;
}

static bool needs_crypt(const RunSpec *spec) {
        for (size_t i = 0; i < spec->n_volumes; i++)
                if (spec->volumes[i].luks_uuid)
                        return true;
        return false;
}

int volumes_open(const RunSpec *spec, Volumes *v, Failure *failure) {
        int r = 0;

        if (spec->n_volumes == 0)
                return 0;
        v->all = calloc(spec->n_volumes, sizeof(OpenVolume));
        if (!v->all)
                return failure_set(failure, ENOMEM, "cannot open volumes: %m");
        if (needs_crypt(spec)) {
                r = mounts_open_kernel(failure);
                if (r < 0)
                        return r;
                v->mapper_fd = open(CRYPT_MAPPER_PATH, O_RDWR | O_CLOEXEC);
                if (v->mapper_fd < 0)
                        return failure_set(failure, errno, "cannot open encrypted volumes: the guest's kernel has no " CRYPT_MAPPER_PATH ": %m");
        }
        for (size_t i = 0; i < spec->n_volumes && r >= 0; i++) {
                OpenVolume *o = v->all + v->n++;

                *o = (OpenVolume) { .volume = spec->volumes + i, .mount_fd = -EBADF };
                r = open_one(o->volume, spec->vsock_key_port, o, failure);
        }
        return r;
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

int volumes_attach(const Volumes *volumes, int root_fd, Failure *failure) {
        for (size_t i = 0; i < volumes->n; i++) {
                const OpenVolume *o = volumes->all + i;
                const RunVolume *v = o->volume;
                _cleanup_close_ int dir_fd = tree_open_directory(root_fd, v->mount_point, 0755);
                int r;

                if (dir_fd < 0)
                        return failure_set(failure, dir_fd, "volume \"%s\": cannot open or make the directory \"%s\": %m", v->name, v->mount_point);
                if (!v->read_only) {
                        r = adopt_owner(o->mount_fd, dir_fd);
                        if (r < 0)
                                return failure_set(failure, r, "volume \"%s\": cannot prepare its file system: %m", v->name);
                }
                r = mount_attach(o->mount_fd, dir_fd);
                if (r < 0)
                        return failure_set(failure, r, "volume \"%s\": cannot mount on \"%s\": %m", v->name, v->mount_point);
        }
        return 0;
}

/* --- the end --- */

static int make_read_only(const Volumes *v, const OpenVolume *o) {
        return mount_make_read_only(o->mount_fd);
}

static int close_mapping(const Volumes *v, const OpenVolume *o) {
        return crypt_close(v->mapper_fd, o->volume->name);
}

/* Takes a step that fails while something has the volume open. What has just died may take a moment to let go; then all that could still be there is
 * killed once more, and all mounts are taken away, which the workload may have made of it elsewhere. */
static int insist(const Volumes *v, const OpenVolume *o, uint64_t deadline, int (*step)(const Volumes *v, const OpenVolume *o)) {
        for (unsigned i = 0;; i++) {
                int r = step(v, o);

                if (r != -EBUSY || now_usec() > deadline)
                        return r;
                if (i == PATIENCE_STEPS) {
                        console_fatal("volume \"%s\" is still in use: killing what is left, and unmounting all", o->volume->name);
                        (void) kill(-1, SIGKILL);
                        (void) umount2("/", MNT_DETACH);
                }
                (void) poll(NULL, 0, BUSY_STEP_MSEC);
        }
}

/* What cannot be made read-only is written back as far as it is now. */
static int unmount(const Volumes *v, OpenVolume *o, uint64_t deadline) {
        int r = o->volume->read_only ? 0 : insist(v, o, deadline, make_read_only);

        if (r < 0) {
                _cleanup_close_ int fd = openat(o->mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                console_fatal("volume \"%s\" cannot be made read-only (%s): its journal will be replayed", o->volume->name, strerror(-r));
                (void) syncfs(fd);
        }
        /* The descriptor is the one way to it that the workload cannot have turned elsewhere. Where it has unmounted it, there is nothing to do. */
        if (fchdir(o->mount_fd) >= 0)
                (void) umount2(".", MNT_DETACH);
        o->mount_fd = safe_close(o->mount_fd);
        if (chdir("/") < 0)             /* or this process would have it open itself */
                r = r < 0 ? r : negative_errno();
        return r;
}

static int close_one(const Volumes *v, OpenVolume *o, uint64_t deadline) {
        int r = o->mount_fd >= 0 ? unmount(v, o, deadline) : 0, k;

        if (!o->mapped)
                return r;
        k = insist(v, o, deadline, close_mapping);
        if (k < 0)
                console_fatal("volume \"%s\" cannot be closed: %s", o->volume->name, strerror(-k));
        else
                console_debug("volume \"%s\" is closed", o->volume->name);
        return r;
}

int volumes_close(Volumes *v) {
        uint64_t deadline = now_usec() + BUSY_USEC;
        int r = 0, k;

        /* The inner ones first. */
        for (size_t i = v->n; i > 0; i--) {
                k = close_one(v, v->all + i - 1, deadline);
                r = r < 0 ? r : k;
        }
        return r;
}

void volumes_forget(Volumes *v) {
        for (size_t i = 0; i < v->n; i++)
                v->all[i].mount_fd = safe_close(v->all[i].mount_fd);
}
