/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/log.h"
#include "helpers/log-file.h"
#include "layout/layout.h"

enum { COMPARE_SIZE = 16 * 1024 };

void log_file_done(LogFile *f) {
        safe_close(f->dir_fd);
        safe_close(f->fd);
        safe_close(f->known_fd);
        strbuf_done(&f->out);
        *f = (LogFile) LOG_FILE_INIT;
}

static int open_regular(int dir_fd, const char *name, int flags, struct stat *ret) {
        /* Read, too, for what is known of it; no FIFO holds us up, nor do we follow where a link leads. */
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | flags, 0640);

        if (fd < 0 || fstat(fd, ret) < 0)
                return negative_errno();
        return S_ISREG(ret->st_mode) ? TAKE_FD(fd) : -EBADF;
}

/* A new line for a file that ends within one: somebody else's, or one whose beginning nobody remembers. */
static int end_line(int fd, off_t size) {
        char last;

        if (size == 0)
                return 0;
        if (pread(fd, &last, 1, size - 1) != 1)
                return negative_errno();
        return last == '\n' ? 0 : write_full(fd, "\n", 1);
}

static int open_present(LogFile *f, struct stat *ret) {
        int fd = open_regular(f->dir_fd, LAYOUT_COMBINED_LOG, O_CREAT, ret);

        if (fd < 0)
                return fd;
        safe_close(f->fd);
        f->fd = fd;
        f->inode = ret->st_ino;
        return 0;
}

/* When a file was made, so that another one with its inode number is not taken for it; 0: the file system does not know. */
static uint64_t get_born(int fd) {
        struct statx x;

        if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &x) < 0 || !(x.stx_mask & STATX_BTIME))
                return 0;
        return (uint64_t) x.stx_btime.tv_sec * NSEC_PER_SEC + x.stx_btime.tv_nsec;
}

/* The file that the state is about, which logrotate may have renamed since. 1, 0: it has gone. */
static int find_known(LogFile *f, const LogState *s, int *ret_fd, struct stat *ret) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *e;
        int r;

        r = dir_open_at(f->dir_fd, ".", 0, &d);
        if (r < 0)
                return r;
        while ((r = dir_next(d, &e)) > 0) {
                _cleanup_close_ int fd = -EBADF;

                if (fstatat(f->dir_fd, e->d_name, ret, AT_SYMLINK_NOFOLLOW) < 0 || ret->st_ino != s->inode)
                        continue;
                fd = open_regular(f->dir_fd, e->d_name, 0, ret);
                if (fd < 0 || ret->st_ino != s->inode || get_born(fd) != s->born)
                        continue;
                *ret_fd = TAKE_FD(fd);
                return 1;
        }
        return r;
}

/* What that file has behind the length of the state; nothing where it was emptied. */
static int open_known(LogFile *f, const LogState *s) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        r = s->inode == 0 ? 0 : find_known(f, s, &fd, &st);
        if (r <= 0 || (uint64_t) st.st_size <= s->length)
                return r;
        f->known_fd = TAKE_FD(fd);
        f->known_at = s->length;
        f->known_end = (uint64_t) st.st_size;
        return 0;
}

static int open_all(LogFile *f, const LogState *s) {
        _cleanup_free_ char *dir = layout_path(LAYOUT_COMBINED_LOG_DIR);
        struct stat st;
        int r;

        if (!dir)
                return -ENOMEM;
        f->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (f->dir_fd < 0)
                return negative_errno();
        r = open_present(f, &st);
        if (r >= 0)
                r = open_known(f, s);
        if (r >= 0 && (f->known_fd < 0 || f->inode != s->inode))
                r = end_line(f->fd, st.st_size);
        return r;
}

int log_file_open(LogFile *f, const LogState *s) {
        int r = open_all(f, s);

        if (r >= 0)
                return 1;
        f->dir_fd = safe_close(f->dir_fd);
        f->fd = safe_close(f->fd);
        f->known_fd = safe_close(f->known_fd);
        return r;
}

/* Where the line begins of which a part has been appended. */
static size_t line_start(const StrBuf *out, size_t done) {
        const char *newline = done > 0 ? memrchr(out->data, '\n', done) : NULL;

        return newline ? (size_t) (newline - out->data) + 1 : 0;
}

/* Takes a part of a line back out of the file. */
static int retract(LogFile *f) {
        size_t start = line_start(&f->out, f->done);
        struct stat st;

        if (start == f->done)
                return 0;
        if (fstat(f->fd, &st) < 0)
                return negative_errno();
        if ((size_t) st.st_size >= f->done - start && ftruncate(f->fd, st.st_size - (off_t) (f->done - start)) < 0)
                return negative_errno();
        f->done = start;
        return 0;
}

int log_file_follow(LogFile *f) {
        struct stat st;
        int r;

        if (fstatat(f->dir_fd, LAYOUT_COMBINED_LOG, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISREG(st.st_mode) &&
            st.st_ino == f->inode)
                return 0;
        r = retract(f);
        if (r >= 0 && fdatasync(f->fd) < 0)
                r = negative_errno();
        if (r >= 0)
                r = open_present(f, &st);
        if (r >= 0)
                r = end_line(f->fd, st.st_size);
        return r < 0 ? r : 1;
}

static void forget_known(LogFile *f) {
        f->known_fd = safe_close(f->known_fd);
}

/* How many of n bytes are what the file has at that place. */
static ssize_t count_equal(int fd, const char *data, size_t n, uint64_t at) {
        char buf[COMPARE_SIZE];
        size_t done = 0;

        while (done < n) {
                ssize_t k = pread(fd, buf, MIN(n - done, sizeof(buf)), (off_t) (at + done));
                size_t i = 0;

                if (k < 0)
                        return negative_errno();
                while (i < (size_t) k && buf[i] == data[done + i])
                        i++;
                done += i;
                if (k == 0 || i < (size_t) k)
                        break;
        }
        return (ssize_t) done;
}

/* Of `out`, what the killed writer had appended counts as done. Where the file ends within it, the writer was killed there. Where
 * it differs, after a power cut, say, or where the rest belongs into another file, it is cut off before that line, and the
 * journal says how it goes on. */
static int compare(LogFile *f) {
        size_t n = (size_t) MIN(f->known_end - f->known_at, (uint64_t) f->out.size);
        ssize_t equal = count_equal(f->known_fd, f->out.data, n, f->known_at);
        struct stat st;

        if (equal < 0)
                return (int) equal;
        if ((size_t) equal == f->out.size) {
                f->known_at += f->out.size;
                f->done = f->out.size;
                if (f->known_at == f->known_end)
                        forget_known(f);
                return 0;
        }
        if (fstat(f->known_fd, &st) < 0)
                return negative_errno();
        if ((size_t) equal == n && st.st_ino == f->inode) {
                f->done = n;
                forget_known(f);
                return 0;
        }
        if ((size_t) equal < n)
                log_warning("The last %" PRIu64 " bytes of '" LAYOUT_COMBINED_LOG_DIR "/" LAYOUT_COMBINED_LOG
                            "' are not what the journal has: they are written anew.",
                            f->known_end - f->known_at - (uint64_t) equal);
        f->done = line_start(&f->out, (size_t) equal);
        if (ftruncate(f->known_fd, (off_t) (f->known_at + f->done)) < 0 || fdatasync(f->known_fd) < 0)
                return negative_errno();
        forget_known(f);
        return 0;
}

int log_file_flush(LogFile *f) {
        int r;

        if (f->out.failed)
                return -ENOMEM;
        if (f->known_fd >= 0 && f->out.size > 0) {
                r = compare(f);
                if (r < 0)
                        return r;
        }
        while (f->done < f->out.size) {
                ssize_t k = write(f->fd, f->out.data + f->done, f->out.size - f->done);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0)
                        return k < 0 ? negative_errno() : -EIO;
                f->done += (size_t) k;
        }
        f->out.size = f->done = 0;
        return 0;
}

int log_file_settle(LogFile *f) {
        uint64_t end = f->known_end;
        char buf[COMPARE_SIZE];

        if (f->known_fd < 0)
                return 0;
        while (end > f->known_at) {
                size_t n = (size_t) MIN(end - f->known_at, (uint64_t) sizeof(buf));
                const char *newline;

                if (pread(f->known_fd, buf, n, (off_t) (end - n)) != (ssize_t) n)
                        return negative_errno();
                newline = memrchr(buf, '\n', n);
                if (newline) {
                        end -= n - (size_t) (newline - buf) - 1;
                        break;
                }
                end -= n;
        }
        if (end < f->known_end && ftruncate(f->known_fd, (off_t) end) < 0)
                return negative_errno();
        forget_known(f);
        return 0;
}

int log_file_clear(LogFile *f) {
        forget_known(f);
        f->done = line_start(&f->out, f->done);
        return ftruncate(f->fd, 0) < 0 ? negative_errno() : 0;
}

int log_file_sync(LogFile *f, LogState *s) {
        struct stat st;

        if (fdatasync(f->fd) < 0 || fstat(f->fd, &st) < 0)
                return negative_errno();
        s->inode = st.st_ino;
        s->born = get_born(f->fd);
        s->length = (uint64_t) st.st_size;
        return 0;
}
