/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sparse files, made under another name in the same directory and renamed: ".new-<volume>" is what a killed call has left. */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/copy.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "layout/layout.h"
#include "volume/volume-internal.h"

/* The directory, and the two names of one volume or snapshot. */
typedef struct Place {
        int dir_fd;
        char *name, *temporary;
} Place;

#define PLACE_INIT { .dir_fd = -EBADF }

static void place_done(Place *p) {
        safe_close(p->dir_fd);
        free(p->name);
        free(p->temporary);
}
#define _cleanup_place_ _cleanup_(place_done)

static int open_place(const char *volume, const char *snapshot, Place *p, char **ret_error) {
        p->name = volume_file_name(volume, snapshot);
        p->temporary = strf(".new-%s", volume);
        if (!p->name || !p->temporary)
                return -ENOMEM;
        p->dir_fd = volume_open_dir(ret_error);
        return p->dir_fd < 0 ? p->dir_fd : 0;
}

static int fail(const Place *p, int r, const char *what, char **ret_error) {
        return sentence_errno(ret_error, r, "Cannot %s '%s" LAYOUT_VOLUMES_DIR "/%s'", what, layout_root(), p->name);
}

/* The file system says it itself, and its room is not ours alone. */
static int check_room(const char *what, char **ret_error) {
        return 0;
}

static int check_free(const char *volume, char **ret_error) {
        _cleanup_place_ Place p = PLACE_INIT;
        int r = open_place(volume, NULL, &p, ret_error);

        if (r >= 0 && faccessat(p.dir_fd, p.name, F_OK, AT_SYMLINK_NOFOLLOW) >= 0)
                return sentence(ret_error, -EEXIST, "'%s" LAYOUT_VOLUMES_DIR "/%s' is there already, and belongs to no volume: move it away.",
                                layout_root(), p.name);
        return r;
}

static int make_temporary(const Place *p) {
        int fd;

        if (unlinkat(p->dir_fd, p->temporary, 0) < 0 && errno != ENOENT)
                return negative_errno();
        fd = openat(p->dir_fd, p->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        return fd < 0 ? negative_errno() : fd;
}

static int publish(const Place *p, int fd, bool replace) {
        if (fsync(fd) < 0 || renameat2(p->dir_fd, p->temporary, p->dir_fd, p->name, replace ? 0 : RENAME_NOREPLACE) < 0 || fsync(p->dir_fd) < 0)
                return negative_errno();
        return 0;
}

static int begin(const char *volume, uint64_t size, char **ret_path, char **ret_error) {
        _cleanup_place_ Place p = PLACE_INIT;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = open_place(volume, NULL, &p, ret_error);
        if (r < 0)
                return r;
        fd = make_temporary(&p);
        r = fd < 0 ? fd : ftruncate(fd, (off_t) size) < 0 ? negative_errno() : 0;
        if (r < 0)
                return fail(&p, r, "make", ret_error);
        *ret_path = strf("%s" LAYOUT_VOLUMES_DIR "/%s", layout_root(), p.temporary);
        return *ret_path ? 0 : -ENOMEM;
}

static int finish(const char *volume, char **ret_error) {
        _cleanup_place_ Place p = PLACE_INIT;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = open_place(volume, NULL, &p, ret_error);
        if (r < 0)
                return r;
        fd = openat(p.dir_fd, p.temporary, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        r = fd < 0 ? negative_errno() : publish(&p, fd, false);
        return r < 0 ? fail(&p, r, "make", ret_error) : 0;
}

static int unlink_snapshot(int dir_fd, const char *name, void *userdata) {
        return startswith(name, userdata) && unlinkat(dir_fd, name, 0) < 0 ? negative_errno() : 0;
}

static int remove_disk(const char *volume, char **ret_error) {
        _cleanup_free_ char *prefix = strjoin(volume, "@");
        _cleanup_place_ Place p = PLACE_INIT;
        int r;

        r = prefix ? open_place(volume, NULL, &p, ret_error) : -ENOMEM;
        if (r < 0)
                return r;
        r = dir_for_each(p.dir_fd, unlink_snapshot, prefix);
        if (r >= 0 && ((unlinkat(p.dir_fd, p.name, 0) < 0 && errno != ENOENT) || (unlinkat(p.dir_fd, p.temporary, 0) < 0 && errno != ENOENT) ||
                       fsync(p.dir_fd) < 0))
                r = negative_errno();
        return r < 0 ? fail(&p, r, "remove", ret_error) : 0;
}

static int remove_snapshot(const char *volume, const char *snapshot, char **ret_error) {
        _cleanup_place_ Place p = PLACE_INIT;
        int r = open_place(volume, snapshot, &p, ret_error);

        if (r < 0)
                return r;
        return unlinkat(p.dir_fd, p.name, 0) < 0 && errno != ENOENT ? fail(&p, negative_errno(), "remove", ret_error) : 0;
}

static int grow(const char *volume, uint64_t present, uint64_t size, char **ret_error) {
        _cleanup_close_ int fd = volume_backend_file.open(volume, NULL, present, O_RDWR, ret_error);
        struct stat st;

        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0 || ((uint64_t) st.st_size < size && ftruncate(fd, (off_t) size) < 0) || fsync(fd) < 0)
                return sentence_errno(ret_error, negative_errno(), "Cannot make the file of volume '%s' larger", volume);
        return 0;
}

/* A durable copy in the place; header_fd, where there is one, has its LUKS2 header. What had the name is replaced. */
static int copy(const Place *p, int src_fd, int header_fd, char **ret_error) {
        _cleanup_close_ int fd = make_temporary(p);
        int r;

        r = fd < 0 ? fd : clone_data(src_fd, fd);
        if (r >= 0 && header_fd >= 0)
                r = volume_copy_header(header_fd, fd);
        if (r >= 0)
                r = publish(p, fd, true);
        if (r >= 0)
                return 0;
        (void) unlinkat(p->dir_fd, p->temporary, 0);
        return fail(p, r, "write", ret_error);
}

static int snapshot(const char *volume, const char *name, uint64_t size, char **ret_error) {
        _cleanup_close_ int fd = volume_backend_file.open(volume, NULL, size, O_RDONLY, ret_error);
        _cleanup_place_ Place p = PLACE_INIT;
        int r = fd < 0 ? fd : open_place(volume, name, &p, ret_error);

        /* A file of that name that has no row is what a killed call has left. */
        return r < 0 ? r : copy(&p, fd, -EBADF, ret_error);
}

static int restore(const char *volume, const char *name, uint64_t size, int header_fd, char **ret_error) {
        _cleanup_close_ int fd = volume_backend_file.open(volume, name, size, O_RDONLY, ret_error);
        _cleanup_place_ Place p = PLACE_INIT;
        int r = fd < 0 ? fd : open_place(volume, NULL, &p, ret_error);

        return r < 0 ? r : copy(&p, fd, header_fd, ret_error);
}

static int get_usage(const char *volume, uint64_t *ret) {
        _cleanup_close_ int fd = volume_backend_file.open(volume, NULL, 0, O_PATH, NULL);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return fd < 0 ? fd : negative_errno();
        *ret = (uint64_t) st.st_blocks * 512;
        return 0;
}

const VolumeMaker volume_maker_file = {
        .backend = &volume_backend_file,
        .check_room = check_room,
        .check_free = check_free,
        .begin = begin,
        .finish = finish,
        .remove = remove_disk,
        .remove_snapshot = remove_snapshot,
        .grow = grow,
        .snapshot = snapshot,
        .restore = restore,
        .get_usage = get_usage,
};
