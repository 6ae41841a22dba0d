/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "layout/layout.h"
#include "unitfiles/unit-writer.h"

/* What has been written first of each content; found by content. */
typedef struct Written {
        char *content, *path;
} Written;

struct UnitWriter {
        char *dir;              /* absolute */
        int dir_fd;
        void *written;          /* tsearch(3) tree of Written */
};

static int compare_written(const void *a, const void *b) {
        return strcmp(((const Written *) a)->content, ((const Written *) b)->content);
}

static void written_free(void *p) {
        Written *w = p;

        free(w->content);
        free(w->path);
        free(w);
}

int unit_writer_new(const char *dir, UnitWriter **ret) {
        _cleanup_(unit_writer_freep) UnitWriter *w = calloc(1, sizeof(UnitWriter));

        if (!w)
                return -ENOMEM;
        *w = (UnitWriter) { .dir_fd = -EBADF };
        w->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (w->dir_fd < 0)
                return negative_errno();
        w->dir = realpath(dir, NULL);
        if (!w->dir)
                return negative_errno();
        *ret = TAKE_PTR(w);
        return 0;
}

UnitWriter *unit_writer_free(UnitWriter *w) {
        if (!w)
                return NULL;
        tdestroy(w->written, written_free);
        safe_close(w->dir_fd);
        free(w->dir);
        free(w);
        return NULL;
}

/* The path of a file with the same content, or NULL after having remembered this one. */
static int find_same(UnitWriter *w, const UnitFile *u, const char **ret) {
        const Written key = { .content = u->content };
        Written *new;
        void *node;

        node = tfind(&key, &w->written, compare_written);
        if (node) {
                *ret = (*(Written **) node)->path;
                return 0;
        }
        new = calloc(1, sizeof(Written));
        if (!new)
                return -ENOMEM;
        *new = (Written) { strdup(u->content), strdup(u->path) };
        if (!new->content || !new->path || !tsearch(new, &w->written, compare_written)) {
                written_free(new);
                return -ENOMEM;
        }
        *ret = NULL;
        return 0;
}

/* systemd gives a generator empty directories that nobody reads before it has ended, so the name is free as a rule, and one
 * call makes it. Where it is not, what is there is replaced by rename: it may be another generator's that writes the same. */
static int write_file(int dir_fd, const UnitFile *u) {
        _cleanup_close_ int fd = -EBADF;

        if (u->flags & UNIT_FILE_LINK) {
                if (symlinkat(u->content, dir_fd, u->path) >= 0)
                        return 0;
                return errno == EEXIST ? symlink_atomic_at(u->content, dir_fd, u->path, 0) : negative_errno();
        }
        fd = openat(dir_fd, u->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd >= 0)
                return write_full(fd, u->content, strlen(u->content));
        return errno == EEXIST ? write_file_atomic_at(dir_fd, u->path, u->content, strlen(u->content), 0644, 0) : negative_errno();
}

static int write_plain(UnitWriter *w, const UnitFile *u) {
        const char *same;
        int r;

        r = find_same(w, u, &same);
        if (r < 0)
                return r;
        if (same && linkat(w->dir_fd, same, w->dir_fd, u->path, 0) >= 0)
                return 0;
        return write_file(w->dir_fd, u);
}

/* A directory for this file alone: not one of another VM's that a link leads to. */
static int make_own_dir(int dir_fd, const char *dir) {
        char target[2];

        if (mkdirat(dir_fd, dir, 0755) >= 0)
                return 0;
        if (errno != EEXIST)
                return negative_errno();
        if (readlinkat(dir_fd, dir, target, sizeof(target)) < 0)
                return errno == EINVAL ? 0 : negative_errno();
        if (unlinkat(dir_fd, dir, 0) < 0 && errno != ENOENT)
                return negative_errno();
        return mkdirat(dir_fd, dir, 0755) < 0 && errno != EEXIST ? negative_errno() : 0;
}

enum { LINKED = 1 };

/* Makes `dir` a link to the directory of `same`. LINKED, or 0 where something else has the name. The target is absolute: systemd takes drop-ins
 * from links to directories, but looks for a relative target below its own working directory, and passes the link over. */
static int link_dir(UnitWriter *w, const char *dir, const char *same) {
        _cleanup_free_ char *name = strndup(same, strcspn(same, "/")), *target = name ? strjoin(w->dir, "/", name) : NULL;
        char current[PATH_MAX];
        ssize_t n;

        if (!target)
                return -ENOMEM;
        if (symlinkat(target, w->dir_fd, dir) >= 0)
                return LINKED;
        if (errno != EEXIST)
                return negative_errno();
        n = readlinkat(w->dir_fd, dir, current, sizeof(current));
        return n >= 0 && (size_t) n == strlen(target) && memcmp(current, target, (size_t) n) == 0 ? LINKED : 0;
}

static int write_own_dir(UnitWriter *w, const UnitFile *u) {
        _cleanup_free_ char *dir = strndup(u->path, strcspn(u->path, "/"));
        const char *same;
        int r;

        if (!dir)
                return -ENOMEM;
        r = find_same(w, u, &same);
        if (r < 0)
                return r;
        if (same) {
                r = link_dir(w, dir, same);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        r = make_own_dir(w->dir_fd, dir);
        return r < 0 ? r : write_file(w->dir_fd, u);
}

static int write_in_shared_dir(UnitWriter *w, const UnitFile *u) {
        int r;

        r = write_file(w->dir_fd, u);
        if (r == -ENOENT) {
                r = mkdir_parent_of_at(w->dir_fd, u->path, 0755);
                if (r >= 0)
                        r = write_file(w->dir_fd, u);
        }
        return r;
}

int unit_writer_write(UnitWriter *w, const UnitFiles *f) {
        for (size_t i = 0; i < f->n; i++) {
                const UnitFile *u = f->items + i;
                int r;

                if (u->flags & UNIT_FILE_OWN_DIR)
                        r = write_own_dir(w, u);
                else if (strchr(u->path, '/'))
                        r = write_in_shared_dir(w, u);
                else
                        r = write_plain(w, u);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int place_one(int dir_fd, const UnitFile *u) {
        _cleanup_free_ char *content = NULL;
        int r;

        /* A new file of the same content would have systemd ask for a daemon-reload. */
        if (read_file_at(dir_fd, u->path, strlen(u->content) + 1, &content, NULL) >= 0 && streq(content, u->content))
                return 0;
        r = mkdir_parent_of_at(dir_fd, u->path, 0755);
        return r < 0 ? r : write_file_atomic_at(dir_fd, u->path, u->content, strlen(u->content), 0644, 0);
}

int unit_files_place(int dir_fd, const UnitFiles *f) {
        _cleanup_close_ int lock_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = 0;

        /* Held while there are temporary files and empty directories: unit_files_remove(). */
        if (lock_fd < 0 || flock(lock_fd, LOCK_SH) < 0)
                return negative_errno();
        for (size_t i = f->n; i-- > 0 && r >= 0;)
                r = place_one(dir_fd, f->items + i);
        return r;
}

static bool has_mark(int dir_fd, const char *path) {
        char head[sizeof(UNIT_FILES_MARK)];
        _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        return fd >= 0 && read_full(fd, head, sizeof(head)) == sizeof(head) && memcmp(head, UNIT_FILES_MARK "\n", sizeof(head)) == 0;
}

static int remove_file(int dir_fd, const char *name) {
        return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? negative_errno() : 0;
}

typedef int (*EntryFunc)(int dir_fd, const char *name, bool alone);

/* Goes on after a failure, and returns the first. */
static int for_each_entry(int dir_fd, bool alone, EntryFunc func) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        int r, first = 0, k;

        r = dir_open_at(dir_fd, ".", 0, &d);
        if (r < 0)
                return r;
        while ((r = dir_next(d, &de)) > 0) {
                k = func(dir_fd, de->d_name, alone);
                if (k < 0)
                        first = first ?: k;
        }
        return r ?: first;
}

static int remove_dropin(int dir_fd, const char *name, bool alone) {
        bool ours = streq(name, "50-inferno.conf") ? has_mark(dir_fd, name) : alone && startswith(name, ".#50-inferno.conf.");

        return ours ? remove_file(dir_fd, name) : 0;
}

static int remove_unit(int dir_fd, const char *name, bool alone) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (startswith(name, "inferno-") && endswith(name, ".slice"))
                return has_mark(dir_fd, name) ? remove_file(dir_fd, name) : 0;
        if (startswith(name, ".#inferno-") && strstr(name, ".slice."))
                return alone ? remove_file(dir_fd, name) : 0;
        if (!startswith(name, "inferno@") || !endswith(name, ".service.d"))
                return 0;
        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : negative_errno();
        r = for_each_entry(fd, alone, remove_dropin);
        if (r < 0 || !alone)
                return r;
        /* There may be drop-ins of the administrator's. */
        return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT ? negative_errno() : 0;
}

int unit_files_remove(int dir_fd) {
        _cleanup_close_ int lock_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (lock_fd < 0)
                return negative_errno();
        /* Never waits, for systemd waits for us: while somebody writes there, temporary files and directories stay. */
        return for_each_entry(dir_fd, flock(lock_fd, LOCK_EX | LOCK_NB) >= 0, remove_unit);
}

int unit_files_remove_vm(int dir_fd, const char *vm) {
        _cleanup_close_ int lock_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *unit = layout_unit_name(vm), *dir = unit ? strjoin(unit, ".d") : NULL, *slice = layout_slice_name("any", vm);
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        const char *suffix;
        int r;

        if (lock_fd < 0 || flock(lock_fd, LOCK_EX) < 0)
                return negative_errno();
        if (!dir || !slice)
                return -ENOMEM;
        r = remove_unit(dir_fd, dir, true);
        if (r < 0)
                return r;
        /* In a component of its name a slice has "-" escaped, so the last one is before the VM. */
        suffix = strrchr(slice, '-');
        r = dir_open_at(dir_fd, ".", 0, &d);
        while (r >= 0 && (r = dir_next(d, &de)) > 0)
                if (endswith(de->d_name, suffix)) {
                        r = remove_unit(dir_fd, de->d_name, true);
                        if (r < 0)
                                return r;
                }
        return r;
}
