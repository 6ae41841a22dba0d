/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/copy.h"
#include "base/dir.h"
#include "base/fd.h"

enum {
        COPY_BUFFER_SIZE = 256 * 1024,
        DEPTH_MAX = 64,
};

static int copy_range(int src_fd, int dst_fd, off_t offset, off_t end, void *buf) {
        while (offset < end) {
                ssize_t k = pread(src_fd, buf, (size_t) MIN(end - offset, (off_t) COPY_BUFFER_SIZE), offset);

                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return negative_errno();
                }
                if (k == 0)
                        return -EIO;    /* it became shorter */
                for (ssize_t done = 0; done < k;) {
                        ssize_t w = pwrite(dst_fd, (char *) buf + done, (size_t) (k - done), offset + done);

                        if (w < 0) {
                                if (errno == EINTR)
                                        continue;
                                return negative_errno();
                        }
                        done += w;
                }
                offset += k;
        }
        return 0;
}

int clone_data(int src_fd, int dst_fd) {
        _cleanup_free_ void *buf = NULL;
        off_t data = 0, hole;
        struct stat st;
        int r;

        if (ioctl(dst_fd, FICLONE, src_fd) >= 0)
                return 0;
        /* Which errno a file system without clones gives is nothing to rely on; what really is wrong shows below. */
        if (fstat(src_fd, &st) < 0 || ftruncate(dst_fd, st.st_size) < 0)
                return negative_errno();
        buf = malloc(COPY_BUFFER_SIZE);
        if (!buf)
                return -ENOMEM;
        while (data < st.st_size) {
                data = lseek(src_fd, data, SEEK_DATA);
                if (data < 0)
                        return errno == ENXIO ? 0 : negative_errno();
                hole = lseek(src_fd, data, SEEK_HOLE);
                if (hole < 0)
                        return negative_errno();
                r = copy_range(src_fd, dst_fd, data, hole, buf);
                if (r < 0)
                        return r;
                data = hole;
        }
        return 0;
}

int clone_file_at(int src_dir_fd, const char *src, int dst_dir_fd, const char *dst, mode_t mode) {
        _cleanup_close_ int src_fd = -EBADF, dst_fd = -EBADF;
        struct stat st;
        int r;

        src_fd = openat(src_dir_fd, src, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (src_fd < 0 || fstat(src_fd, &st) < 0)
                return negative_errno();
        if (!S_ISREG(st.st_mode))
                return -EBADF;
        dst_fd = openat(dst_dir_fd, dst, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (dst_fd < 0)
                return negative_errno();
        r = clone_data(src_fd, dst_fd);
        if (r >= 0 && fchmod(dst_fd, mode) < 0)
                r = negative_errno();
        if (r < 0)
                (void) unlinkat(dst_dir_fd, dst, 0);
        return r;
}

int link_or_clone_at(int src_dir_fd, const char *src, int dst_dir_fd, const char *dst, mode_t mode) {
        if (linkat(src_dir_fd, src, dst_dir_fd, dst, 0) >= 0)
                return 0;
        if (errno != EXDEV && errno != EMLINK && errno != EPERM && errno != EOPNOTSUPP)
                return negative_errno();
        return clone_file_at(src_dir_fd, src, dst_dir_fd, dst, mode);
}

typedef struct LinkTree {
        int dst_fd;
        unsigned depth;
} LinkTree;

static int link_entry(int src_fd, const char *name, void *userdata) {
        const LinkTree *t = userdata;
        int dst_fd = t->dst_fd;
        _cleanup_close_ int src = -EBADF, dst = -EBADF;
        char content[PATH_MAX];
        struct stat st;
        ssize_t n;

        if (fstatat(src_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return negative_errno();
        switch (st.st_mode & S_IFMT) {
        case S_IFREG:
                return link_or_clone_at(src_fd, name, dst_fd, name, st.st_mode & 0777);
        case S_IFLNK:
                n = readlinkat(src_fd, name, content, sizeof(content) - 1);
                if (n < 0)
                        return negative_errno();
                content[n] = 0;
                return symlinkat(content, dst_fd, name) < 0 ? negative_errno() : 0;
        case S_IFDIR:
                if (mkdirat(dst_fd, name, 0755) < 0 && errno != EEXIST)
                        return negative_errno();
                src = openat(src_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                dst = openat(dst_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (src < 0 || dst < 0 || fchmod(dst, 0755) < 0)
                        return negative_errno();
                return t->depth == DEPTH_MAX ? -ELOOP : dir_for_each(src, link_entry, &(LinkTree) { dst, t->depth + 1 });
        default:
                return -EBADF;
        }
}

int link_tree(int src_dir_fd, int dst_dir_fd) {
        return dir_for_each(src_dir_fd, link_entry, &(LinkTree) { dst_dir_fd, 0 });
}

static int sync_entry(int dir_fd, const char *name, void *userdata) {
        unsigned depth = *(const unsigned *) userdata;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return negative_errno();
        if (!S_ISDIR(st.st_mode) && !(S_ISREG(st.st_mode) && st.st_nlink == 1))
                return 0;
        fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return negative_errno();
        if (S_ISDIR(st.st_mode)) {
                r = depth == DEPTH_MAX ? -ELOOP : dir_for_each(fd, sync_entry, &(unsigned) { depth + 1 });
                if (r < 0)
                        return r;
        }
        return fsync(fd) < 0 ? negative_errno() : 0;
}

int sync_tree(int dir_fd) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = dir_for_each(dir_fd, sync_entry, &(unsigned) { 0 });
        if (r < 0)
                return r;
        fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 || fsync(fd) < 0 ? negative_errno() : 0;
}
