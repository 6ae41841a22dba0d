/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "helpers/programs.h"
#include "image/squash.h"

enum {
        DEPTH_MAX = 64,
        ENTRIES_MAX = 65536,
};

#define BYTES_MAX GIB(1)                /* of all files */

/* The tree, and its files mapped: each is a layer of its own to the writer. */
typedef struct Content {
        Tree *tree;
        LayerData *files;
        size_t n_files;
} Content;

static void content_done(Content *c) {
        tree_free(c->tree);
        for (size_t i = 0; i < c->n_files; i++)
                if (c->files[i].data)
                        (void) munmap(c->files[i].data, c->files[i].size);
        free(c->files);
}

static int map_file(Content *c, int dir_fd, const char *name, TreeInode *inode) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        LayerData *file;
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return negative_errno();
        if (st.st_size == 0)
                return 0;
        file = GREEDY_APPEND(c->files, c->n_files);
        inode->extents = tree_alloc(c->tree, sizeof(TreeExtent));
        if (!file || !inode->extents)
                return -ENOMEM;
        file->size = (size_t) st.st_size;
        file->data = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
        if (file->data == MAP_FAILED)
                return negative_errno();
        inode->layer = (unsigned) c->n_files++;
        inode->n_extents = 1;
        inode->extents[0].size = inode->size = file->size;
        return 0;
}

static int read_target(Content *c, int dir_fd, const char *name, TreeInode *inode) {
        char target[PATH_MAX];
        ssize_t n = readlinkat(dir_fd, name, target, sizeof(target));

        if (n < 0)
                return negative_errno();
        inode->target = tree_strndup(c->tree, target, (size_t) n);
        return inode->target ? 0 : -ENOMEM;
}

static int add_directory(Content *c, int parent_fd, const char *name, const char *path, unsigned depth);

static int add_entry(Content *c, int dir_fd, const char *name, const char *path, unsigned depth) {
        TreeInode *inode = tree_alloc(c->tree, sizeof(TreeInode));
        struct stat st;
        int r = 0;

        if (!inode)
                return -ENOMEM;
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return negative_errno();
        inode->mode = (st.st_mode & S_IFMT) | (S_ISLNK(st.st_mode) ? 0777u : S_ISDIR(st.st_mode) || st.st_mode & 0111 ? 0755u : 0644u);
        if (S_ISLNK(st.st_mode))
                r = read_target(c, dir_fd, name, inode);
        else if (S_ISREG(st.st_mode))
                r = map_file(c, dir_fd, name, inode);
        if (r >= 0)
                r = tree_add(c->tree, path, inode, NULL);
        return r < 0 || !S_ISDIR(st.st_mode) ? r : add_directory(c, dir_fd, name, path, depth + 1);
}

/* `path` is "" for the top. */
static int add_directory(Content *c, int parent_fd, const char *name, const char *path, unsigned depth) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        int r;

        if (depth > DEPTH_MAX)
                return -ELOOP;
        r = dir_open_at(parent_fd, name, O_NOFOLLOW, &d);
        if (r < 0)
                return r;
        while ((r = dir_next(d, &de)) > 0) {
                _cleanup_free_ char *inner = strf("%s%s%s", path, *path ? "/" : "", de->d_name);

                r = inner ? add_entry(c, dirfd(d), de->d_name, inner, depth) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return r;
}

static int write_squash(int tree_fd, int fd) {
        _cleanup_(content_done) Content c = {};
        uint64_t size;
        int r;

        r = tree_new(ENTRIES_MAX, &c.tree);
        if (r < 0)
                return r;
        tree_begin_layer(c.tree);
        r = add_directory(&c, tree_fd, ".", "", 0);
        if (r >= 0)
                r = squash_write(c.tree, c.files, c.n_files, BYTES_MAX, fd, &size, NULL);
        return r < 0 ? r : squash_seal(fd);
}

static int make(int dir_fd, int tree_fd, const char *name) {
        _cleanup_free_ char *temporary = strf(".#%s", name);
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!temporary)
                return -ENOMEM;
        r = remove_temporary_at(dir_fd, name);
        if (r < 0)
                return r;
        fd = openat(dir_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
        if (fd < 0)
                return negative_errno();
        r = write_squash(tree_fd, fd);
        if (r >= 0 && (renameat(dir_fd, temporary, dir_fd, name) < 0 || fsync(dir_fd) < 0))
                r = negative_errno();
        if (r < 0)
                (void) unlinkat(dir_fd, temporary, 0);
        return r;
}

/* 1: it is there as it was made. 0: it is not. */
static int is_whole(int dir_fd, const char *name) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return errno == ENOENT || errno == ELOOP ? 0 : negative_errno();
        r = squash_check(fd, (uint64_t) st.st_size);
        return r == -EUCLEAN ? 0 : r < 0 ? r : 1;
}

int programs_ensure(int dir_fd, int tree_fd, const char *key, char **ret_name) {
        _cleanup_free_ char *name = strf(PROGRAMS_PREFIX "%s" PROGRAMS_SUFFIX, key);
        _cleanup_close_ int lock_fd = -EBADF;
        int r;

        if (!name)
                return -ENOMEM;
        r = is_whole(dir_fd, name);
        if (r == 0) {
                /* Others do not do the same work meanwhile. */
                lock_fd = lock_file_at(dir_fd, ".programs.lock");
                r = lock_fd < 0 ? lock_fd : is_whole(dir_fd, name);
                if (r == 0)
                        r = make(dir_fd, tree_fd, name);
        }
        if (r < 0)
                return r;
        *ret_name = TAKE_PTR(name);
        return 0;
}
