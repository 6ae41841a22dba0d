/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "cpio/cpio.h"
#include "helpers/segment.h"

enum {
        /* Half of what the files are; the levels above take seconds for a tenth less. */
        COMPRESSION_LEVEL = 5,
        /* The kernel unpacks nothing that wants to look back further than 128 MiB; less keeps its buffer small. */
        WINDOW_LOG = 21,
        DEPTH_MAX = 64,
        SIZE_MAX_ONE = 512 * 1024 * 1024,       /* of one segment */
};

void segment_done(Segment *s) {
        if (s->data)
                (void) munmap(s->data, s->size);
        *s = (Segment) {};
}

/* What the archive's pieces point to until it is written. */
typedef struct Tree {
        Cpio archive;
        char **links;                   /* contents of symlinks */
        Segment *files;
        size_t n_files;
} Tree;

static void tree_done(Tree *t) {
        cpio_done(&t->archive);
        strv_free(t->links);
        for (size_t i = 0; i < t->n_files; i++)
                segment_done(t->files + i);
        free(t->files);
}

static int map(int fd, size_t size, Segment *ret) {
        void *data = NULL;

        if (size > 0) {
                data = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
                if (data == MAP_FAILED)
                        return negative_errno();
        }
        *ret = (Segment) { data, size };
        return 0;
}

static int add_file(Tree *t, int dir_fd, const char *name, const char *path) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;
        Segment *file;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return negative_errno();
        file = GREEDY_APPEND(t->files, t->n_files);
        if (!file)
                return -ENOMEM;
        r = map(fd, (size_t) st.st_size, file);
        if (r < 0)
                return r;
        t->n_files++;
        cpio_add_file(&t->archive, path, st.st_mode & 0111 ? 0755 : 0644, file->data, file->size);
        return 0;
}

static int add_symlink(Tree *t, int dir_fd, const char *name, const char *path) {
        char content[PATH_MAX];
        ssize_t n = readlinkat(dir_fd, name, content, sizeof(content) - 1);
        int r;

        if (n < 0)
                return negative_errno();
        content[n] = 0;
        r = strv_extend(&t->links, content);
        if (r >= 0)
                cpio_add_symlink(&t->archive, path, t->links[strv_length(t->links) - 1]);
        return r;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* In the order of the names, each directory before what is in it. `path` is NULL for the top. */
static int add_directory(Tree *t, int parent_fd, const char *name, const char *path, unsigned depth) {
        _cleanup_closedir_ DIR *d = NULL;
        _cleanup_strv_ char **names = NULL;
        struct dirent *de;
        struct stat st;
        int r;

        if (depth > DEPTH_MAX)
                return -ELOOP;
        if (path)
                cpio_add_directory(&t->archive, path, 0755);
        r = dir_open_at(parent_fd, name, O_NOFOLLOW, &d);
        if (r < 0)
                return r;
        while ((r = dir_next(d, &de)) > 0) {
                r = strv_extend(&names, de->d_name);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (names)
                qsort(names, strv_length(names), sizeof(char *), compare_names);
        STRV_FOREACH(n, names) {
                _cleanup_free_ char *inner = path ? strf("%s/%s", path, *n) : strdup(*n);

                if (!inner)
                        return -ENOMEM;
                if (fstatat(dirfd(d), *n, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return negative_errno();
                r = S_ISDIR(st.st_mode) ? add_directory(t, dirfd(d), *n, inner, depth + 1) :
                    S_ISLNK(st.st_mode) ? add_symlink(t, dirfd(d), *n, inner) : add_file(t, dirfd(d), *n, inner);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void free_contextp(ZSTD_CCtx **c) {
        ZSTD_freeCCtx(*c);
}

/* The buffer is the caller's, and the zeros that the kernel passes over are at its end. */
static int compress(const struct iovec *pieces, size_t n_pieces, size_t size, char **ret, size_t *ret_size) {
        _cleanup_(free_contextp) ZSTD_CCtx *c = ZSTD_createCCtx();
        size_t room = ZSTD_compressBound(size) + 4, left = 1;
        _cleanup_free_ char *buf = malloc(room);
        ZSTD_outBuffer out = { buf, room, 0 };

        if (!buf || !c)
                return -ENOMEM;
        if (ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, COMPRESSION_LEVEL)) ||
            ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, WINDOW_LOG)))
                return -EINVAL;
        for (size_t i = 0; i < n_pieces; i++) {
                ZSTD_inBuffer in = { pieces[i].iov_base, pieces[i].iov_len, 0 };

                while (in.pos < in.size)
                        if (ZSTD_isError(ZSTD_compressStream2(c, &out, &in, ZSTD_e_continue)))
                                return -ENOMEM;
        }
        while (left > 0) {
                left = ZSTD_compressStream2(c, &out, &(ZSTD_inBuffer) {}, ZSTD_e_end);
                if (ZSTD_isError(left) || (left > 0 && out.pos == out.size))
                        return -ENOMEM;
        }
        while (out.pos % 4 != 0)
                buf[out.pos++] = 0;
        *ret = TAKE_PTR(buf);
        *ret_size = out.pos;
        return 0;
}

static int make(int dir_fd, int tree_fd, const char *name) {
        _cleanup_(tree_done) Tree t = {};
        _cleanup_free_ char *data = NULL;
        size_t n_pieces, size, n;
        struct iovec *pieces;
        int r;

        r = add_directory(&t, tree_fd, ".", NULL, 0);
        if (r >= 0)
                r = cpio_finish(&t.archive, &pieces, &n_pieces, &size);
        if (r >= 0 && size > SIZE_MAX_ONE)
                r = -EFBIG;
        if (r >= 0)
                r = compress(pieces, n_pieces, size, &data, &n);
        return r < 0 ? r : write_file_atomic_at(dir_fd, name, data, n, 0444, WRITE_FILE_SYNC | WRITE_FILE_LOCKED);
}

/* -ENOENT: it is not there. */
static int open_segment(int dir_fd, const char *name, Segment *ret) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return negative_errno();
        return !S_ISREG(st.st_mode) || st.st_size < 4 || st.st_size > SIZE_MAX_ONE ? -EBADF : map(fd, (size_t) st.st_size, ret);
}

int segment_ensure(int dir_fd, int tree_fd, const char *key, Segment *ret) {
        _cleanup_free_ char *name = strf(SEGMENT_PREFIX "%s" SEGMENT_SUFFIX, key);
        _cleanup_close_ int lock_fd = -EBADF;
        int r;

        if (!name)
                return -ENOMEM;
        r = open_segment(dir_fd, name, ret);
        if (r != -ENOENT)
                return r;
        /* Others do not do the same work meanwhile. */
        lock_fd = lock_file_at(dir_fd, ".base.lock");
        if (lock_fd < 0)
                return lock_fd;
        r = open_segment(dir_fd, name, ret);
        if (r != -ENOENT)
                return r;
        r = make(dir_fd, tree_fd, name);
        return r < 0 ? r : open_segment(dir_fd, name, ret);
}
