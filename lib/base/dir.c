/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <string.h>

#include "base/dir.h"
#include "base/fd.h"

int dir_from_fd(int fd_consume, DIR **ret) {
        DIR *d = fdopendir(fd_consume);

        if (!d) {
                int r = negative_errno();

                safe_close(fd_consume);
                return r;
        }
        *ret = d;
        return 0;
}

int dir_open_at(int dir_fd, const char *path, int flags, DIR **ret) {
        int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);

        return fd < 0 ? negative_errno() : dir_from_fd(fd, ret);
}

int dir_next(DIR *d, struct dirent **ret) {
        struct dirent *de;

        do {
                errno = 0;
                de = readdir(d);
                if (!de)
                        return errno > 0 ? negative_errno() : 0;
        } while (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0);
        *ret = de;
        return 1;
}

int dir_for_each(int dir_fd, DirNameFunc f, void *userdata) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        int r;

        r = dir_open_at(dir_fd, ".", 0, &d);
        if (r < 0)
                return r;
        while ((r = dir_next(d, &de)) > 0) {
                r = f(dir_fd, de->d_name, userdata);
                if (r < 0)
                        return r;
        }
        return r;
}
