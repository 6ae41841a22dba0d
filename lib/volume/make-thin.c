/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Thin volumes, made and changed by lvm(8). */

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "thin/thin.h"
#include "volume/volume-internal.h"

/* The pool, and the names of all that there can be of one volume. */
typedef struct Names {
        ThinPool pool;
        char *disk, *snapshot, *new, *old;
} Names;

static void names_done(Names *n) {
        thin_pool_done(&n->pool);
        free(n->disk);
        free(n->snapshot);
        free(n->new);
        free(n->old);
}
#define _cleanup_names_ _cleanup_(names_done)

static int get_names(const char *volume, const char *snapshot, Names *n, char **ret_error) {
        int r = thin_pool_load(&n->pool, ret_error);

        if (r < 0)
                return r;
        n->disk = thin_lv_name(THIN_VOLUME, volume, NULL);
        n->snapshot = thin_lv_name(THIN_SNAPSHOT, volume, snapshot ?: "");
        n->new = thin_lv_name(THIN_NEW, volume, NULL);
        n->old = thin_lv_name(THIN_OLD, volume, NULL);
        return n->disk && n->snapshot && n->new && n->old ? 0 : -ENOMEM;
}

static int check_room(const char *what, char **ret_error) {
        _cleanup_thin_pool_ ThinPool p = {};
        int r = thin_pool_load(&p, ret_error);

        return r < 0 ? r : thin_pool_check_room(&p, what, ret_error);
}

static int check_free(const char *volume, char **ret_error) {
        _cleanup_names_ Names n = {};
        int r = get_names(volume, NULL, &n, ret_error);

        return r < 0 ? r : thin_check_free(&n.pool, n.disk, ret_error);
}

/* It has its name from the beginning: the row says that it is not whole. */
static int begin(const char *volume, uint64_t size, char **ret_path, char **ret_error) {
        _cleanup_names_ Names n = {};
        int r;

        r = get_names(volume, NULL, &n, ret_error);
        if (r >= 0)
                r = thin_make(&n.pool, n.disk, size, ret_error);
        if (r < 0)
                return r;
        *ret_path = thin_device_path(&n.pool, n.disk);
        return *ret_path ? 0 : -ENOMEM;
}

static int sync_disk(const ThinPool *p, const char *lv, char **ret_error) {
        _cleanup_free_ char *path = thin_device_path(p, lv);
        _cleanup_close_ int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

        return fd < 0 || fsync(fd) < 0 ? sentence_errno(ret_error, negative_errno(), "Cannot write to '%s'", path ?: lv) : 0;
}

static int finish(const char *volume, char **ret_error) {
        _cleanup_names_ Names n = {};
        int r = get_names(volume, NULL, &n, ret_error);

        return r < 0 ? r : sync_disk(&n.pool, n.disk, ret_error);
}

static int remove_disk(const char *volume, char **ret_error) {
        _cleanup_thin_pool_ ThinPool p = {};
        int r = thin_pool_load(&p, ret_error);

        return r < 0 ? r : thin_remove_volume(&p, volume, ret_error);
}

static int remove_snapshot(const char *volume, const char *snapshot, char **ret_error) {
        _cleanup_names_ Names n = {};
        int r = get_names(volume, snapshot, &n, ret_error);

        return r < 0 ? r : thin_remove(&n.pool, n.snapshot, ret_error);
}

static int grow(const char *volume, uint64_t present, uint64_t size, char **ret_error) {
        _cleanup_names_ Names n = {};
        int fd, r;

        r = get_names(volume, NULL, &n, ret_error);
        if (r < 0)
                return r;
        /* As large already: what a killed call has left; and LVM would refuse it. */
        fd = volume_backend_thin.open(volume, NULL, size, O_RDONLY, NULL);
        if (fd >= 0) {
                safe_close(fd);
                return 0;
        }
        fd = volume_backend_thin.open(volume, NULL, present, O_RDONLY, ret_error);
        if (fd < 0)
                return fd;
        safe_close(fd);
        return thin_grow(&n.pool, n.disk, size, ret_error);
}

static int snapshot(const char *volume, const char *name, uint64_t size, char **ret_error) {
        _cleanup_names_ Names n = {};
        int fd, r;

        r = get_names(volume, name, &n, ret_error);
        if (r < 0)
                return r;
        fd = volume_backend_thin.open(volume, NULL, size, O_RDONLY, ret_error);
        if (fd < 0)
                return fd;
        safe_close(fd);
        /* One that has no row is what a killed call has left. */
        r = thin_remove(&n.pool, n.snapshot, ret_error);
        return r < 0 ? r : thin_copy(&n.pool, n.disk, n.snapshot, ret_error);
}

/* 1: it was interrupted between its two renamings, or before the old disk was gone. */
static int settle(const char *volume, char **ret_error) {
        _cleanup_names_ Names n = {};
        int disk, new, old, r;

        r = get_names(volume, NULL, &n, ret_error);
        if (r < 0)
                return r;
        disk = thin_exists(&n.pool, n.disk, ret_error);
        old = disk < 0 ? disk : thin_exists(&n.pool, n.old, ret_error);
        if (old <= 0)
                return old;
        if (disk == 0) {
                new = thin_exists(&n.pool, n.new, ret_error);
                r = new < 0 ? new : thin_rename(&n.pool, new > 0 ? n.new : n.old, n.disk, ret_error);
        }
        return r < 0 ? r : thin_remove(&n.pool, n.old, ret_error);
}

static int put_header(const ThinPool *p, const char *lv, int header_fd, char **ret_error) {
        _cleanup_free_ char *path = thin_device_path(p, lv);
        _cleanup_close_ int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        int r;

        r = fd < 0 ? negative_errno() : volume_copy_header(header_fd, fd);
        return r < 0 || fsync(fd) < 0 ? sentence_errno(ret_error, r < 0 ? r : negative_errno(), "Cannot write to '%s'", path ?: lv) : 0;
}

/* LVM cannot exchange two of its volumes: settle() ends what is interrupted between. */
static int restore(const char *volume, const char *name, uint64_t size, int header_fd, char **ret_error) {
        _cleanup_names_ Names n = {};
        int fd, r;

        r = get_names(volume, name, &n, ret_error);
        if (r < 0)
                return r;
        fd = volume_backend_thin.open(volume, name, size, O_RDONLY, ret_error);
        if (fd < 0)
                return fd;
        safe_close(fd);
        r = thin_remove(&n.pool, n.new, ret_error);
        if (r >= 0)
                r = thin_copy(&n.pool, n.snapshot, n.new, ret_error);
        if (r >= 0 && header_fd >= 0)
                r = put_header(&n.pool, n.new, header_fd, ret_error);
        if (r < 0)
                return r;
        /* One that is gone needs no place to go to. */
        r = thin_exists(&n.pool, n.disk, ret_error);
        if (r > 0)
                r = thin_rename(&n.pool, n.disk, n.old, ret_error);
        if (r >= 0)
                r = thin_rename(&n.pool, n.new, n.disk, ret_error);
        return r < 0 ? r : thin_remove(&n.pool, n.old, ret_error);
}

static int get_usage(const char *volume, uint64_t *ret) {
        _cleanup_names_ Names n = {};
        int r = get_names(volume, NULL, &n, NULL);

        return r < 0 ? r : thin_get_mapped(&n.pool, n.disk, ret);
}

const VolumeMaker volume_maker_thin = {
        .backend = &volume_backend_thin,
        .check_room = check_room,
        .check_free = check_free,
        .begin = begin,
        .finish = finish,
        .remove = remove_disk,
        .remove_snapshot = remove_snapshot,
        .grow = grow,
        .snapshot = snapshot,
        .restore = restore,
        .settle = settle,
        .get_usage = get_usage,
};
