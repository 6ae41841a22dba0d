/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "init/tree.h"

int tree_open_directory(int root_fd, const char *path, mode_t mode) {
        _cleanup_free_ char *copy = NULL;
        int fd;

        fd = open_in_root(root_fd, path, O_PATH | O_DIRECTORY);
        if (fd != -ENOENT)
                return fd;

        /* From the root, component by component: the symlinks of each prefix are resolved before the next one is made. */
        copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        fd = open_in_root(root_fd, "/", O_PATH | O_DIRECTORY);
        for (char *p = copy; fd >= 0;) {
                _cleanup_close_ int parent_fd = -EBADF;
                char *end, saved;

                p += strspn(p, "/");
                if (*p == 0)
                        break;
                end = p + strcspn(p, "/");
                saved = *end;
                *end = 0;
                parent_fd = fd;
                fd = open_in_root(root_fd, copy, O_PATH | O_DIRECTORY);
                if (fd == -ENOENT) {
                        if (mkdirat(parent_fd, p, mode) < 0)
                                return errno == EEXIST ? -ENOENT : negative_errno();    /* a symlink that leads nowhere */
                        if (fchmodat(parent_fd, p, mode, 0) < 0)
                                return negative_errno();
                        fd = open_in_root(root_fd, copy, O_PATH | O_DIRECTORY);
                }
                *end = saved;
                p = end;
        }
        return fd;
}

int tree_open_mount_point(int root_fd, const char *name, mode_t mode) {
        int fd = openat(root_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd >= 0 || (errno != ENOENT && errno != ENOTDIR && errno != ELOOP))
                return fd < 0 ? negative_errno() : fd;
        if (errno != ENOENT && unlinkat(root_fd, name, 0) < 0)
                return negative_errno();
        if (mkdirat(root_fd, name, mode) < 0 || fchmodat(root_fd, name, mode, 0) < 0)
                return negative_errno();
        fd = openat(root_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? negative_errno() : fd;
}

int tree_directory_is_empty(int dir_fd) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        int r;

        r = dir_open_at(dir_fd, ".", 0, &d);
        if (r >= 0)
                r = dir_next(d, &de);
        return r < 0 ? r : r == 0;
}

int tree_write_file(int root_fd, const char *path, mode_t mode, const void *data, size_t n) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        _cleanup_free_ char *dir = NULL;
        mode_t have = mode;
        struct stat st;
        int r;

        dir = strndup(path, (size_t) (name - path));
        if (!dir)
                return -ENOMEM;
        dir_fd = tree_open_directory(root_fd, *dir ? dir : "/", 0755);
        if (dir_fd < 0)
                return dir_fd;

        /* Truncating copies nothing up from the image but the inode; removing first would make overlayfs keep a whiteout. */
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) >= 0) {
                if (S_ISDIR(st.st_mode))
                        return -EISDIR;
                if (S_ISREG(st.st_mode))
                        have = st.st_mode & 07777;
                else if (unlinkat(dir_fd, name, 0) < 0)
                        return negative_errno();
        }
        fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, mode);
        if (fd < 0)
                return negative_errno();
        r = write_full(fd, data, n);
        if (r < 0)
                return r;
        return have != mode && fchmod(fd, mode) < 0 ? negative_errno() : 0;
}

int tree_read_file(int root_fd, const char *path, size_t max, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *buf = NULL;
        struct stat st;
        ssize_t k;

        /* Seen before it is opened for reading: a device or FIFO in the place of the file is left alone. */
        fd = open_in_root(root_fd, path, O_PATH);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return negative_errno();
        if (!S_ISREG(st.st_mode))
                return S_ISDIR(st.st_mode) ? -EISDIR : -EBADF;
        if ((uint64_t) st.st_size > max)
                return -EFBIG;
        safe_close(fd);
        fd = open_in_root(root_fd, path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return fd;

        buf = malloc((size_t) st.st_size + 1);
        if (!buf)
                return -ENOMEM;
        k = read_full(fd, buf, (size_t) st.st_size);
        if (k < 0)
                return (int) k;
        buf[k] = 0;
        *ret = TAKE_PTR(buf);
        *ret_size = (size_t) k;
        return 0;
}
