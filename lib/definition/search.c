/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "definition/ini.h"
#include "definition/problems.h"
#include "definition/search.h"
#include "layout/layout.h"

enum { DROPINS_MAX = 1000 };

/* A lack of the machine is no fault of the definition. */
static bool is_fatal(int r) {
        return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EIO;
}

/* A path without layout_root(). Symbolic links of another tree are meant from the root of that tree. */
static int open_of_layout(const char *path, int flags) {
        _cleanup_close_ int root_fd = -EBADF;
        const char *root = layout_root();

        if (isempty(root)) {
                int fd = open(path, flags);

                return fd < 0 ? negative_errno() : fd;
        }
        root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return root_fd < 0 ? negative_errno() : open_in_root(root_fd, path, flags);
}

int search_open(const char *const *dirs, SearchPath *ret, DefinitionErrors *errors) {
        SearchPath s = { .dirs = dirs };
        int r = 0;

        for (; dirs[s.n] && !is_fatal(r); s.n++) {
                int k = s.fds[s.n] = open_of_layout(dirs[s.n], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                if (k < 0 && k != -ENOENT)
                        r = is_fatal(k) ? k : problems_add(errors, "%s%s: %s", layout_root(), dirs[s.n], problems_read_error(k));
        }
        if (is_fatal(r)) {
                search_close(&s);
                return r;
        }
        *ret = s;
        return r < 0 ? SEARCH_INCOMPLETE : 0;
}

void search_close(SearchPath *s) {
        for (size_t i = 0; i < s->n; i++)
                s->fds[i] = safe_close(s->fds[i]);
        s->n = 0;
}

static bool is_null_device(const struct stat *st) {
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* Another tree need not have a /dev/null, so the text of the link counts too. */
static bool link_is_mask(int dir_fd, const char *name) {
        char target[sizeof("/dev/null")];
        ssize_t n = readlinkat(dir_fd, name, target, sizeof(target));

        return n == sizeof(target) - 1 && memcmp(target, "/dev/null", (size_t) n) == 0;
}

bool search_is_mask(const SearchPath *s, size_t dir, const char *name) {
        struct stat st;

        return link_is_mask(s->fds[dir], name) || (fstatat(s->fds[dir], name, &st, 0) >= 0 && is_null_device(&st));
}

static int check_regular(int fd) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return negative_errno();
        if (is_null_device(&st))
                return -ERFKILL;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode))
                return -EBADF;
        return st.st_size > INI_FILE_MAX ? -EFBIG : 0;
}

/* A regular file gives all that there is to one call, so one that is shorter than the room for it has been read to its end; as it was at
 * some time, if it is being written meanwhile. */
static int read_text(int fd, char **ret, size_t *ret_size) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;

        for (size_t room = 4096;; room *= 8) {
                char *p = realloc(text, room);
                ssize_t n;

                if (!p)
                        return -ENOMEM;
                text = p;
                do
                        n = read(fd, text + size, room - 1 - size);
                while (n < 0 && errno == EINTR);
                if (n < 0)
                        return negative_errno();
                size += (size_t) n;
                if (size > INI_FILE_MAX)
                        return -EFBIG;
                if (size < room - 1)
                        break;
        }
        text[size] = 0;
        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

/* For reading a file that need not be a regular one: anything else is not opened, since opening alone does something to many a device. */
static int open_unknown(int dir_fd, const char *path, const char *name) {
        char self[sizeof("/proc/self/fd/") + 11];
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return negative_errno();
        if (S_ISLNK(st.st_mode)) {
                if (link_is_mask(dir_fd, name))
                        return -ERFKILL;
                safe_close(fd);
                fd = open_of_layout(path, O_PATH | O_CLOEXEC);
                if (fd < 0)
                        return fd == -ENOENT ? -ENOLINK : fd;
        }
        r = check_regular(fd);
        if (r < 0)
                return r;
        snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
        r = open(self, O_RDONLY | O_CLOEXEC);
        return r < 0 ? negative_errno() : r;
}

/* -ENOENT, -ERFKILL, or what is wrong with the file. `path` is where the name in dir_fd is, without layout_root(). */
static int read_config_file(int dir_fd, const char *path, const char *name, bool is_regular, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = -EBADF;

        if (is_regular)
                fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
        if (fd < 0)
                fd = open_unknown(dir_fd, path, name);
        return fd < 0 ? fd : read_text(fd, ret, ret_size);
}

typedef struct Dropin {
        char *name;
        size_t dir;
        int fd;                 /* borrowed: of its NAME.d */
} Dropin;

typedef struct DropinList {
        Dropin *items;
        size_t n;
        int fds[SEARCH_DIRS_MAX];
} DropinList;

static void dropin_list_done(DropinList *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->items[i].name);
        free(l->items);
        for (size_t i = 0; i < SEARCH_DIRS_MAX; i++)
                safe_close(l->fds[i]);
}

static int compare_dropins(const void *a, const void *b) {
        const Dropin *x = a, *y = b;
        int k = strcmp(x->name, y->name);

        return k != 0 ? k : (x->dir > y->dir) - (x->dir < y->dir);
}

/* Adds the names of one NAME.d; path without layout_root(). */
static int list_dropins(DropinList *l, size_t dir, const char *path) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        int fd, r;

        fd = open_of_layout(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        l->fds[dir] = fd;
        r = dir_open_at(fd, ".", 0, &d);
        if (r < 0)
                return r;
        while ((r = dir_next(d, &de)) > 0) {
                Dropin *slot;

                if (de->d_name[0] == '.' || !endswith(de->d_name, ".conf"))
                        continue;
                if (l->n >= DROPINS_MAX)
                        return -E2BIG;
                slot = GREEDY_APPEND(l->items, l->n);
                if (!slot)
                        return -ENOMEM;
                *slot = (Dropin) { .name = strdup(de->d_name), .dir = dir, .fd = fd };
                if (!slot->name)
                        return -ENOMEM;
                l->n++;
        }
        return r;
}

static int load_dropins(const SearchPath *s, const char *name, unsigned dirs, SearchFileFunc func, void *userdata, DefinitionErrors *errors) {
        _cleanup_(dropin_list_done) DropinList l = { .fds = { -EBADF, -EBADF, -EBADF, -EBADF } };
        char folder[NAME_MAX + 3];
        int result = 0, r;

        if (snprintf(folder, sizeof(folder), "%s.d", name) >= (int) sizeof(folder))
                return 0;
        for (size_t i = 0; i < s->n; i++) {
                _cleanup_free_ char *path = NULL;

                if (s->fds[i] < 0 || !(dirs & 1U << i))
                        continue;
                path = strjoin(s->dirs[i], "/", folder);
                if (!path)
                        return -ENOMEM;
                r = list_dropins(&l, i, path);
                if (is_fatal(r))
                        return r;
                if (r < 0)
                        result = problems_add(errors, "%s%s: %s", layout_root(), path,
                                              r == -E2BIG ? "There are more than 1000 drop-ins." : problems_read_error(r));
        }
        if (l.n > 1)
                qsort(l.items, l.n, sizeof(Dropin), compare_dropins);

        for (size_t i = 0; i < l.n; i++) {
                const Dropin *d = l.items + i;
                _cleanup_free_ char *path = NULL, *text = NULL;
                size_t size;

                if (i > 0 && streq(d[-1].name, d->name))
                        continue;
                path = strjoin(layout_root(), s->dirs[d->dir], "/", folder, "/", d->name);
                if (!path)
                        return -ENOMEM;
                r = read_config_file(d->fd, path + strlen(layout_root()), d->name, false, &text, &size);
                if (r == -ERFKILL || r == -ENOENT)
                        continue;
                if (is_fatal(r))
                        return r;
                r = r < 0 ? problems_add(errors, "%s: %s", path, problems_read_error(r)) : func(userdata, path, text, size);
                if (r < 0 && r != -EINVAL)
                        return r;
                if (r < 0)
                        result = r;
        }
        return result;
}

int search_load(const SearchPath *s, const char *name, SearchHint hint, bool dropins_alone, SearchFileFunc func, void *userdata,
                DefinitionErrors *errors) {
        int result = -ENOENT, r;

        for (size_t i = 0; i < s->n && result == -ENOENT; i++) {
                _cleanup_free_ char *path = NULL, *text = NULL;
                size_t size;

                if (s->fds[i] < 0 || !(hint.main & 1U << i))
                        continue;
                path = strjoin(layout_root(), s->dirs[i], "/", name);
                if (!path)
                        return -ENOMEM;
                result = read_config_file(s->fds[i], path + strlen(layout_root()), name, hint.regular & 1U << i, &text, &size);
                if (is_fatal(result))
                        return result;
                if (result >= 0)
                        result = func(userdata, path, text, size);
                else if (result != -ENOENT && result != -ERFKILL)
                        result = problems_add(errors, "%s: %s", path, problems_read_error(result));
                if (result < 0 && result != -EINVAL && result != -ENOENT && result != -ERFKILL)
                        return result;
        }
        if ((result == -ENOENT || result == -ERFKILL) && !dropins_alone)
                return result;
        r = load_dropins(s, name, hint.dropins, func, userdata, errors);
        return r < 0 ? r : result == -EINVAL ? result : 0;
}
