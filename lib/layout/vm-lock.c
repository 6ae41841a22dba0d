/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "layout/layout.h"
#include "layout/vm-lock.h"

static int try_lock_file(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
        struct stat a, b;

        if (fd < 0)
                return negative_errno();
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : negative_errno();
        /* Whoever had it may have removed the file: then it guards nothing. */
        if (fstat(fd, &a) < 0 || lstat(path, &b) < 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino)
                return -EBUSY;
        return TAKE_FD(fd);
}

static int take(const char *vm, int (*lock)(const char *path)) {
        _cleanup_free_ char *path = layout_vm_lock(vm);
        int r;

        if (!path)
                return -ENOMEM;
        r = lock(path);
        if (r != -ENOENT)
                return r;
        r = mkdir_parent_of_at(AT_FDCWD, path, 0755);
        return r < 0 ? r : lock(path);
}

static int wait_for_lock_file(const char *path) {
        return lock_file_at(AT_FDCWD, path);
}

int vm_lock(const char *vm) {
        return take(vm, wait_for_lock_file);
}

int vm_try_lock(const char *vm) {
        return take(vm, try_lock_file);
}
