/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"

enum { OPEN_TRIES = 128 };

int safe_close(int fd) {
        if (fd >= 0) {
                int saved = errno;
                (void) close(fd);
                errno = saved;
        }
        return -EBADF;
}

ssize_t read_full(int fd, void *buf, size_t n) {
        size_t done = 0;

        while (done < n) {
                ssize_t k = read(fd, (char *) buf + done, n - done);
                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return negative_errno();
                }
                if (k == 0)
                        break;
                done += (size_t) k;
        }
        return (ssize_t) done;
}

int write_full(int fd, const void *buf, size_t n) {
        const char *p = buf;

        while (n > 0) {
                ssize_t k = write(fd, p, n);
                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return negative_errno();
                }
                if (k == 0)
                        return -EIO;
                p += k;
                n -= (size_t) k;
        }
        return 0;
}

int read_file_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *buf = NULL;
        size_t size = 0, room;
        struct stat st;

        /* O_NONBLOCK: a FIFO in the place of a file must not hold us up. */
        fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return negative_errno();
        if (fstat(fd, &st) < 0)
                return negative_errno();
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode))
                return -EBADF;
        if ((uint64_t) st.st_size > max)
                return -EFBIG;

        room = MAX((size_t) st.st_size, (size_t) 4095) + 1;
        for (;;) {
                char *p = realloc(buf, room + 1);
                ssize_t k;

                if (!p)
                        return -ENOMEM;
                buf = p;
                k = read_full(fd, buf + size, room - size);
                if (k < 0)
                        return (int) k;
                size += (size_t) k;
                if (size > max)
                        return -EFBIG;
                if (size < room)
                        break;
                room *= 2;
        }
        buf[size] = 0;
        *ret = TAKE_PTR(buf);
        if (ret_size)
                *ret_size = size;
        return 0;
}

/* The name of a sibling of `path` to be renamed over it, which is not there: "DIR/.#NAME.<12 hex digits>", or, where the caller is the only
 * writer, "DIR/.#NAME". */
static int make_temporary_name(int dir_fd, const char *path, WriteFileFlags flags, char **ret) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        int dir_length = slash ? (int) (name - path) : 0, k;
        uint8_t rnd[6];
        char *p;

        if (flags & WRITE_FILE_LOCKED)
                k = asprintf(&p, "%.*s.#%s", dir_length, path, name);
        else if (getrandom(rnd, sizeof(rnd), 0) != sizeof(rnd))
                return negative_errno();
        else
                k = asprintf(&p, "%.*s.#%s.%02x%02x%02x%02x%02x%02x", dir_length, path, name, rnd[0], rnd[1], rnd[2], rnd[3], rnd[4], rnd[5]);
        if (k < 0)
                return -ENOMEM;
        if (flags & WRITE_FILE_LOCKED && unlinkat(dir_fd, p, 0) < 0 && errno != ENOENT) {
                int r = negative_errno();

                free(p);
                return r;
        }
        *ret = p;
        return 0;
}

int remove_temporary_at(int dir_fd, const char *path) {
        _cleanup_free_ char *tmp = NULL;
        int r = make_temporary_name(dir_fd, path, WRITE_FILE_LOCKED, &tmp);

        return r == -ENOTDIR ? 0 : r;
}

int fsync_parent_at(int dir_fd, const char *path) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *dir = NULL;
        _cleanup_close_ int fd = -EBADF;

        dir = slash == path ? strdup("/") : slash ? strndup(path, (size_t) (slash - path)) : strdup(".");
        if (!dir)
                return -ENOMEM;
        fd = openat(dir_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return negative_errno();
        return fsync(fd) < 0 ? negative_errno() : 0;
}

static int writev_full(int fd, struct iovec *iov, size_t n_iov) {
        while (n_iov > 0) {
                ssize_t k = writev(fd, iov, (int) MIN(n_iov, (size_t) IOV_MAX));

                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return negative_errno();
                }
                for (; n_iov > 0 && (size_t) k >= iov->iov_len; iov++, n_iov--)
                        k -= (ssize_t) iov->iov_len;
                if (n_iov > 0) {
                        iov->iov_base = (char *) iov->iov_base + k;
                        iov->iov_len -= (size_t) k;
                }
        }
        return 0;
}

int write_file_atomic_at(int dir_fd, const char *path, const void *buf, size_t n, mode_t mode, WriteFileFlags flags) {
        struct iovec iov = { (void *) buf, n };

        return writev_file_atomic_at(dir_fd, path, &iov, 1, mode, flags);
}

int writev_file_atomic_at(int dir_fd, const char *path, struct iovec *iov, size_t n_iov, mode_t mode, WriteFileFlags flags) {
        _cleanup_free_ char *tmp = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = make_temporary_name(dir_fd, path, flags, &tmp);
        if (r < 0)
                return r;
        fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return negative_errno();
        r = writev_full(fd, iov, n_iov);
        if (r >= 0 && fchmod(fd, mode) < 0)
                r = negative_errno();
        if (r >= 0 && (flags & WRITE_FILE_SYNC) && fsync(fd) < 0)
                r = negative_errno();
        if (r >= 0 && renameat(dir_fd, tmp, dir_fd, path) < 0)
                r = negative_errno();
        if (r < 0) {
                (void) unlinkat(dir_fd, tmp, 0);
                return r;
        }
        return flags & WRITE_FILE_SYNC ? fsync_parent_at(dir_fd, path) : 0;
}

int symlink_atomic_at(const char *target, int dir_fd, const char *path, WriteFileFlags flags) {
        _cleanup_free_ char *tmp = NULL;
        int r;

        r = make_temporary_name(dir_fd, path, flags, &tmp);
        if (r < 0)
                return r;
        if (symlinkat(target, dir_fd, tmp) < 0)
                return negative_errno();
        if (renameat(dir_fd, tmp, dir_fd, path) < 0) {
                r = negative_errno();
                (void) unlinkat(dir_fd, tmp, 0);
                return r;
        }
        return 0;
}

int mkdir_parents_at(int dir_fd, const char *path, mode_t mode) {
        _cleanup_free_ char *copy = NULL;
        struct stat there;

        /* As nearly always, for the price of one call. */
        if (fstatat(dir_fd, path, &there, 0) >= 0 && S_ISDIR(there.st_mode))
                return 0;
        copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        for (char *p = copy;;) {
                char *end, saved;

                p += strspn(p, "/");
                if (*p == 0)
                        return 0;
                end = p + strcspn(p, "/");
                saved = *end;
                *end = 0;
                if (mkdirat(dir_fd, copy, mode) >= 0) {
                        if (fchmodat(dir_fd, copy, mode, 0) < 0)
                                return negative_errno();
                } else if (errno == EEXIST) {
                        struct stat st;

                        if (fstatat(dir_fd, copy, &st, 0) < 0)
                                return negative_errno();
                        if (!S_ISDIR(st.st_mode))
                                return -ENOTDIR;
                } else
                        return negative_errno();
                *end = saved;
                p = end;
        }
}

int mkdir_parent_of_at(int dir_fd, const char *path, mode_t mode) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *dir = NULL;

        if (!slash || slash == path)
                return 0;
        dir = strndup(path, (size_t) (slash - path));
        if (!dir)
                return -ENOMEM;
        return mkdir_parents_at(dir_fd, dir, mode);
}

static int open_resolved(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve) {
        struct open_how how = {
                .flags = (uint64_t) (flags | O_CLOEXEC),
                .mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
                .resolve = resolve | RESOLVE_NO_MAGICLINKS,
        };
        long fd;

        /* EAGAIN: anything was renamed or mounted anywhere on the machine while a ".." was looked at, as often happens on a busy one. */
        for (unsigned i = 0; i < OPEN_TRIES; i++) {
                fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
                if (fd >= 0 || errno != EAGAIN)
                        break;
        }
        return fd < 0 ? negative_errno() : (int) fd;
}

int open_beneath(int dir_fd, const char *path, int flags, mode_t mode) {
        return open_resolved(dir_fd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

int open_in_root(int root_fd, const char *path, int flags) {
        return open_resolved(root_fd, path, flags, 0, RESOLVE_IN_ROOT);
}

/* How many directories are open at once while a tree is removed. */
enum { REMOVE_DEPTH_MAX = 128 };

typedef struct Removal {
        dev_t dev;
        int top_fd;                     /* of the whole tree */
        bool again;                     /* something was moved up to the top */
} Removal;

/* A tree that is deeper than we have descriptors is taken apart: what hangs lower goes to the top, whose turn comes again. */
static int move_to_top(Removal *removal, int dir_fd, const char *name) {
        char tmp[32];
        uint64_t rnd;

        if (getrandom(&rnd, sizeof(rnd), 0) != sizeof(rnd))
                return negative_errno();
        snprintf(tmp, sizeof(tmp), ".removed-%016llx", (unsigned long long) rnd);
        if (renameat2(dir_fd, name, removal->top_fd, tmp, RENAME_NOREPLACE) < 0)
                return negative_errno();
        removal->again = true;
        return 0;
}

/* Consumes fd_consume. */
static int remove_children(Removal *removal, int fd_consume, unsigned depth) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        int r, k, end;

        r = dir_from_fd(fd_consume, &d);
        if (r < 0)
                return r;
        while ((end = dir_next(d, &de)) > 0) {
                struct stat st;

                if (unlinkat(dirfd(d), de->d_name, 0) >= 0 || errno == ENOENT)
                        continue;
                if (errno != EISDIR && errno != EPERM) {
                        r = negative_errno();
                        continue;
                }
                k = openat(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (k < 0) {
                        r = negative_errno();
                        continue;
                }
                if (fstat(k, &st) < 0 || st.st_dev != removal->dev) {
                        safe_close(k);
                        r = -EXDEV;
                        continue;
                }
                if (depth >= REMOVE_DEPTH_MAX) {
                        safe_close(k);
                        k = move_to_top(removal, dirfd(d), de->d_name);
                        if (k < 0)
                                r = k;
                        continue;
                }
                k = remove_children(removal, k, depth + 1);
                if (k < 0)
                        r = k;
                if (unlinkat(dirfd(d), de->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT && k >= 0)
                        r = negative_errno();
        }
        return r ?: end;
}

int remove_tree_at(int dir_fd, const char *path) {
        _cleanup_close_ int top_fd = -EBADF;
        Removal removal;
        struct stat st;
        int fd, r;

        if (unlinkat(dir_fd, path, 0) >= 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return negative_errno();
        top_fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (top_fd < 0 || fstat(top_fd, &st) < 0)
                return negative_errno();
        removal = (Removal) { .dev = st.st_dev, .top_fd = top_fd };
        do {
                removal.again = false;
                fd = openat(top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0)
                        return negative_errno();
                r = remove_children(&removal, fd, 0);
                if (r < 0)
                        return r;
        } while (removal.again);
        return unlinkat(dir_fd, path, AT_REMOVEDIR) < 0 && errno != ENOENT ? negative_errno() : 0;
}

int lock_file_at(int dir_fd, const char *path) {
        for (;;) {
                _cleanup_close_ int fd = openat(dir_fd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
                struct stat a, b;

                if (fd < 0)
                        return negative_errno();
                while (flock(fd, LOCK_EX) < 0)
                        if (errno != EINTR)
                                return negative_errno();
                /* Somebody may have removed the file between our open and our lock: then it guards nothing. */
                if (fstat(fd, &a) < 0)
                        return negative_errno();
                if (fstatat(dir_fd, path, &b, AT_SYMLINK_NOFOLLOW) >= 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
                        return TAKE_FD(fd);
        }
}

int set_nonblock(int fd, bool nonblock) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
                return negative_errno();
        if (fcntl(fd, F_SETFL, nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
                return negative_errno();
        return 0;
}
