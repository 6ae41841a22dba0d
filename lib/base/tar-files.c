/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/tar-files.h"
#include "base/tar.h"

enum {
        BUFFER_SIZE = 64 * 1024,
        TRAILER_MAX = 1024 * 1024,              /* what may come behind the end: tar(1) fills its records */
};

/* The names by which files are known: of those that are packed with more links than one, of those that were unpacked. A hash table with open addressing,
 * whose size is a power of two and which is never more than half full. */
typedef struct Inode {
        dev_t dev;
        ino_t ino;                      /* 0: free */
        char *name;                     /* owned; may be NULL */
} Inode;

typedef struct Inodes {
        Inode *table;
        size_t n, room;
        bool full;                      /* some had no place */
} Inodes;

static void inodes_done(Inodes *i) {
        for (size_t k = 0; k < i->room; k++)
                free(i->table[k].name);
        free(i->table);
}

/* Where it is, or would be. */
static Inode *inodes_slot(const Inodes *i, const struct stat *st) {
        size_t k = (size_t) ((st->st_ino ^ st->st_dev << 32) * UINT64_C(0x9e3779b97f4a7c15) >> 20);

        for (;; k++) {
                Inode *slot = i->table + (k & (i->room - 1));

                if (slot->ino == 0 || (slot->ino == st->st_ino && slot->dev == st->st_dev))
                        return slot;
        }
}

static const Inode *inodes_find(const Inodes *i, const struct stat *st) {
        const Inode *slot = i->room > 0 ? inodes_slot(i, st) : NULL;

        return slot && slot->ino != 0 ? slot : NULL;
}

/* Forgetting one costs a copy in place of a link, or a link: never a wrong one. name may be NULL. */
static void inodes_add(Inodes *i, const struct stat *st, const char *name) {
        Inode *slot;

        if (st->st_ino == 0 || i->n >= TAR_LINKS_MAX) {
                i->full = true;
                return;
        }
        if (i->n * 2 >= i->room) {
                Inodes more = { .n = i->n, .room = MAX(i->room * 2, (size_t) 64) };

                more.table = calloc(more.room, sizeof(Inode));
                if (!more.table) {
                        i->full = true;
                        return;
                }
                for (size_t k = 0; k < i->room; k++)
                        if (i->table[k].ino != 0)
                                *inodes_slot(&more, &(struct stat) { .st_dev = i->table[k].dev, .st_ino = i->table[k].ino }) = i->table[k];
                free(i->table);
                *i = more;
        }
        slot = inodes_slot(i, st);
        if (slot->ino != 0)
                return;
        *slot = (Inode) { .dev = st->st_dev, .ino = st->st_ino, .name = name ? strdup(name) : NULL };
        i->n++;
}

/* Sets the text of a failure; returns r. */
static int failure(char **ret_error, int r, const char *format, ...) _printf_(3, 4);
static int failure(char **ret_error, int r, const char *format, ...) {
        va_list ap;

        free(*ret_error);
        errno = -r;
        va_start(ap, format);
        if (vasprintf(ret_error, format, ap) < 0)
                *ret_error = NULL;
        va_end(ap);
        return r;
}

/* ---- packing ---- */

typedef struct Packer {
        const TarPack *request;
        int out_fd;
        char **ret_error;
        bool partial;
        Inodes inodes;
        char path[TAR_PATH_MAX + 1];    /* in the stream, of what is being packed */
        size_t n_path;
        StrBuf header;
        size_t n_out;
        char out[BUFFER_SIZE], in[BUFFER_SIZE];
} Packer;

static bool at_top(const Packer *p) {
        return p->n_path == strlen(p->request->name);
}

/* Says something of what is being packed; error: a positive errno, or 0. */
static void notice(Packer *p, int error, const char *what) {
        _cleanup_free_ char *text = NULL;

        (void) failure(&text, -error, error > 0 ? "\"%s%s\" %s: %m" : "\"%s%s\" %s", p->request->path, p->path + strlen(p->request->name), what);
        p->request->say(p->request->userdata, text ?: "no memory");
}

/* One file cannot be had, and the copy goes on without; without the top itself there is none. */
static int complain(Packer *p, int error, const char *what) {
        if (at_top(p))
                return failure(p->ret_error, -error, "\"%s\" %s: %m", p->request->path, what);
        p->partial = true;
        notice(p, error, what);
        return 0;
}

/* It is there, but not quite as it is. */
static void flaw(Packer *p, int error, const char *what) {
        p->partial = true;
        notice(p, error, what);
}

static int flush(Packer *p) {
        int r = write_full(p->out_fd, p->out, p->n_out);

        p->n_out = 0;
        return r < 0 ? failure(p->ret_error, r, "the copy cannot be sent: %m") : 0;
}

/* NULL: zeros. */
static int put(Packer *p, const char *data, uint64_t n) {
        while (n > 0) {
                size_t k = (size_t) MIN(n, (uint64_t) (sizeof(p->out) - p->n_out));
                int r;

                if (data)
                        memcpy(p->out + p->n_out, data, k);
                else
                        memset(p->out + p->n_out, 0, k);
                data = data ? data + k : NULL;
                n -= k;
                p->n_out += k;
                r = p->n_out == sizeof(p->out) ? flush(p) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int put_header(Packer *p) {
        int r;

        if (p->header.failed)
                return failure(p->ret_error, -ENOMEM, "the copy cannot be made: %m");
        r = put(p, p->header.data, p->header.size);
        p->header.size = 0;
        return r;
}

static int put_member(Packer *p, TarType type, const struct stat *st, uint64_t size, const char *link) {
        tar_add_member(&p->header, &(TarMember) {
                .type = type,
                .path = p->path,
                .link = link,
                .mode = st->st_mode & 07777,
                .uid = st->st_uid,
                .gid = st->st_gid,
                .size = size,
                .mtime = st->st_mtim,
        });
        return put_header(p);
}

/* The size stands in front of the content: what has become shorter meanwhile is filled up with zeros, what has become longer is cut. A file that is read
 * to its end at once has the size that it had then, whatever stat(2) says, as of files that the kernel makes. */
static int pack_file(Packer *p, int dir_fd, const char *name) {
        const int no_follow = at_top(p) && p->request->follow ? 0 : O_NOFOLLOW;
        _cleanup_close_ int fd = -EBADF;
        uint64_t size, left;
        struct stat st;
        ssize_t k;
        int r;

        fd = openat(dir_fd, name, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | no_follow);
        if (fd < 0 || fstat(fd, &st) < 0)
                return complain(p, errno, "cannot be opened");
        if (!S_ISREG(st.st_mode))
                return complain(p, ESTALE, "has become something else");
        k = read_full(fd, p->in, sizeof(p->in));
        if (k < 0)
                return complain(p, (int) -k, "cannot be read");
        size = (size_t) k < sizeof(p->in) ? (uint64_t) k : MAX((uint64_t) st.st_size, (uint64_t) k);
        r = put_member(p, TAR_FILE, &st, size, "");
        left = size;
        while (r >= 0 && k > 0) {
                r = put(p, p->in, (uint64_t) k);
                left -= (uint64_t) k;
                k = r >= 0 && left > 0 ? read_full(fd, p->in, (size_t) MIN(left, (uint64_t) sizeof(p->in))) : 0;
        }
        if (r >= 0 && left > 0) {
                flaw(p, k < 0 ? (int) -k : 0, k < 0 ? "cannot be read to its end, and is filled up with zeros"
                                                    : "has become shorter while it was read, and is filled up with zeros");
                r = put(p, NULL, left);
        } else if (r >= 0 && size >= sizeof(p->in) && read(fd, p->in, 1) > 0)
                flaw(p, 0, "has become longer while it was read, and is cut");
        if (r >= 0)
                r = put(p, NULL, tar_padding(size));
        if (r >= 0 && st.st_nlink > 1)
                inodes_add(&p->inodes, &st, p->path);
        return r;
}

static int pack_symlink(Packer *p, int dir_fd, const char *name, const struct stat *st) {
        char target[TAR_PATH_MAX + 1];
        ssize_t n = readlinkat(dir_fd, name, target, sizeof(target));

        if (n < 0)
                return complain(p, errno, "cannot be read");
        if (n < 1 || n == sizeof(target))
                return complain(p, ENAMETOOLONG, "is a symlink that cannot be kept");
        target[n] = 0;
        return put_member(p, TAR_SYMLINK, st, 0, target);
}

/* What a program would read there is not what anybody has put there, and without end. */
static bool is_of_kernel(int fd) {
        struct statfs fs;

        return fstatfs(fd, &fs) >= 0 && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
}

static int pack_node(Packer *p, int dir_fd, const char *name, dev_t dev, unsigned depth);

static int pack_directory(Packer *p, int dir_fd, const char *name, dev_t dev, unsigned depth) {
        const int no_follow = at_top(p) && p->request->follow ? 0 : O_NOFOLLOW;
        _cleanup_closedir_ DIR *d = NULL;
        size_t n_path = p->n_path;
        struct dirent *de;
        struct stat st;
        int r;

        if (depth >= TAR_DEPTH_MAX) {
                flaw(p, 0, "is left out with what is in it, being too deep");
                return 0;
        }
        r = dir_open_at(dir_fd, name, no_follow, &d);
        if (r < 0 || fstat(dirfd(d), &st) < 0)
                return complain(p, r < 0 ? -r : errno, "cannot be opened");
        r = put_member(p, TAR_DIRECTORY, &st, 0, "");
        if (r < 0 || (st.st_dev != dev && is_of_kernel(dirfd(d)) && !at_top(p)))
                return r;
        while (r >= 0 && (r = dir_next(d, &de)) > 0) {
                int n = snprintf(p->path + n_path, sizeof(p->path) - n_path, "/%s", de->d_name);

                if ((size_t) n >= sizeof(p->path) - n_path) {
                        p->path[n_path] = 0;
                        flaw(p, 0, "has names in it that are too long, and are left out");
                        continue;
                }
                p->n_path = n_path + (size_t) n;
                r = pack_node(p, dirfd(d), de->d_name, st.st_dev, depth + 1);
                p->n_path = n_path;
                p->path[n_path] = 0;
                if (r < 0)
                        return r;
        }
        return r < 0 ? complain(p, -r, "cannot be read to its end") : 0;
}

static int pack_node(Packer *p, int dir_fd, const char *name, dev_t dev, unsigned depth) {
        const Inode *known;
        struct stat st;

        if (fstatat(dir_fd, name, &st, at_top(p) && p->request->follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
                return complain(p, errno, "cannot be read");
        known = st.st_nlink > 1 && !S_ISDIR(st.st_mode) ? inodes_find(&p->inodes, &st) : NULL;
        if (known && known->name)
                return put_member(p, TAR_HARD_LINK, &st, 0, known->name);
        switch (st.st_mode & S_IFMT) {
        case S_IFREG:
                return pack_file(p, dir_fd, name);
        case S_IFDIR:
                return pack_directory(p, dir_fd, name, dev, depth);
        case S_IFLNK:
                return pack_symlink(p, dir_fd, name, &st);
        default:
                if (at_top(p))
                        return failure(p->ret_error, -EOPNOTSUPP, "\"%s\" is a device, FIFO or socket, which cannot be copied", p->request->path);
                notice(p, 0, "is a device, FIFO or socket, and left out");
                return 0;
        }
}

int tar_pack(const TarPack *request, int out_fd, char **ret_error) {
        _cleanup_free_ Packer *p = NULL;
        int r;

        if (strlen(request->name) > NAME_MAX)
                return failure(ret_error, -ENAMETOOLONG, "\"%s\": %m", request->path);
        p = calloc(1, sizeof(Packer));
        if (!p)
                return failure(ret_error, -ENOMEM, "the copy cannot be made: %m");
        p->request = request;
        p->out_fd = out_fd;
        p->ret_error = ret_error;
        p->n_path = strlen(request->name);
        memcpy(p->path, request->name, p->n_path);
        r = pack_node(p, AT_FDCWD, request->path, 0, 0);
        if (r >= 0) {
                tar_add_end(&p->header);
                r = put_header(p);
        }
        if (r >= 0)
                r = flush(p);
        strbuf_done(&p->header);
        inodes_done(&p->inodes);
        return r < 0 ? r : p->partial;
}

/* ---- unpacking ---- */

/* A directory that was made, whose attributes are set when nothing is put into it any more. */
typedef struct Directory {
        char *path;                     /* as Unpacker.path */
        TarMember member;
} Directory;

typedef struct Unpacker {
        const TarUnpack *request;
        char **ret_error;
        TarReader reader;
        int root_fd;                    /* what the names of the stream begin at; -EBADF: the copy's first member has to say that */
        bool is_single;                 /* it was no directory, so nothing follows */
        Inodes made;

        char path[TAR_PATH_MAX + 1];    /* of the member, below root_fd, without "." and doubled "/"; "" is root_fd */
        TarMember member;               /* its strings are gone when its content has come */
        int dir_fd;                     /* where it goes */
        const char *name;
        char *top_name;                 /* of the copied thing itself, owned */
        char *place;                    /* root_fd for people, owned; NULL: the request's path */
        int file_fd;                    /* a file that is being written, without a name or with this one: */
        char temporary[32];
        uint64_t left;

        Directory *directories;         /* each below the one before it */
        size_t n_directories;
        char in[BUFFER_SIZE];
} Unpacker;

/* Sets the text of what there is to say of a member; returns r. Of what is wrong with the stream itself no errno has more to say. */
static int describe(const Unpacker *u, int r, const char *what, char **ret_text) {
        const char *place = u->place ?: u->request->path;

        return failure(ret_text, r, r == -EBADMSG ? "\"%s%s%s\" %s" : "\"%s%s%s\" %s: %m", place,
                        *u->path && !endswith(place, "/") ? "/" : "", u->path, what);
}

static int refuse(Unpacker *u, int r, const char *what) {
        return describe(u, r, what, u->ret_error);
}

static int make_temporary_name(Unpacker *u) {
        uint64_t rnd;

        if (getrandom(&rnd, sizeof(rnd), 0) != sizeof(rnd))
                return negative_errno();
        snprintf(u->temporary, sizeof(u->temporary), ".#inferno.%016llx", (unsigned long long) rnd);
        return 0;
}

static void remove_temporary(Unpacker *u) {
        if (*u->temporary)
                (void) unlinkat(u->dir_fd, u->temporary, 0);
        u->temporary[0] = 0;
}

/* From the temporary name to its own. Of two names of one file rename(2) would keep both. */
static int take_name(Unpacker *u) {
        if (renameat(u->dir_fd, u->temporary, u->dir_fd, u->name) < 0)
                return refuse(u, negative_errno(), "cannot be replaced");
        remove_temporary(u);
        return 0;
}

/* Lengths and components are checked here once: "a//./b/" becomes "a/b". */
static int normalise(const char *path, char ret[static TAR_PATH_MAX + 1]) {
        size_t n = 0;

        if (*path == '/')
                return -EBADMSG;
        for (const char *p = path + strspn(path, "/"); *p; p += strspn(p, "/")) {
                size_t k = strcspn(p, "/");

                if (k == 2 && p[0] == '.' && p[1] == '.')
                        return -EBADMSG;
                if (k > NAME_MAX)
                        return -ENAMETOOLONG;
                if (k != 1 || p[0] != '.') {
                        if (n > 0)
                                ret[n++] = '/';
                        memcpy(ret + n, p, k);
                        n += k;
                }
                p += k;
        }
        ret[n] = 0;
        return 0;
}

static uid_t owner(const Unpacker *u, const TarMember *m) {
        return u->request->keep ? m->uid : u->request->uid;
}

static gid_t group(const Unpacker *u, const TarMember *m) {
        return u->request->keep ? m->gid : u->request->gid;
}

/* A set-id bit for another owner than it was meant for would be a gift to that one. */
static mode_t mode(const Unpacker *u, const TarMember *m) {
        return m->mode & (u->request->keep ? 07777 : 01777);
}

/* A directory that an archive has no member for. */
static int make_implied(const Unpacker *u, int dir_fd, const char *name) {
        if (mkdirat(dir_fd, name, 0755) < 0)
                return errno == EEXIST ? 0 : negative_errno();
        return fchownat(dir_fd, name, u->request->uid, u->request->gid, AT_SYMLINK_NOFOLLOW) < 0 ? negative_errno() : 0;
}

/* The directory of a path below root_fd, O_PATH; *ret_name is the last component, within path. With `make` missing ones are made. */
static int open_parent(const Unpacker *u, const char *path, bool make, const char **ret_name) {
        char dir[TAR_PATH_MAX + 1];
        char *slash;
        int fd, r;

        memcpy(dir, path, strlen(path) + 1);
        slash = strrchr(dir, '/');
        *ret_name = slash ? path + (slash + 1 - dir) : path;
        if (!slash)
                return open_beneath(u->root_fd, ".", O_PATH | O_DIRECTORY, 0);
        *slash = 0;
        fd = open_beneath(u->root_fd, dir, O_PATH | O_DIRECTORY, 0);
        if (fd != -ENOENT || !make)
                return fd;
        for (char *p = strchr(dir, '/');; p = strchr(p + 1, '/')) {
                _cleanup_close_ int at_fd = -EBADF;
                const char *name;

                if (p)
                        *p = 0;
                at_fd = open_parent(u, dir, false, &name);
                r = at_fd < 0 ? at_fd : make_implied(u, at_fd, name);
                if (r < 0 || !p)
                        return r < 0 ? r : open_beneath(u->root_fd, dir, O_PATH | O_DIRECTORY, 0);
                *p = '/';
        }
}

static int set_attributes(const Unpacker *u, int fd, const TarMember *m) {
        const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, m->mtime };

        /* In this order: chown(2) clears set-id bits. */
        return fchown(fd, owner(u, m), group(u, m)) < 0 || fchmod(fd, mode(u, m)) < 0 || futimens(fd, times) < 0 ? negative_errno() : 0;
}

/* Whether `path` is below `dir`, or the same. */
static bool is_below(const char *path, const char *dir) {
        const char *rest = startswith(path, dir);

        return rest && (*dir == 0 || *rest == 0 || *rest == '/');
}

/* Sets the attributes of directories that `path` is not below; NULL: of all. */
static int settle_directories(Unpacker *u, const char *path) {
        while (u->n_directories > 0) {
                Directory *d = u->directories + u->n_directories - 1;
                _cleanup_close_ int fd = -EBADF;
                int r;

                if (path && is_below(path, d->path))
                        return 0;
                fd = open_beneath(u->root_fd, *d->path ? d->path : ".", O_RDONLY | O_DIRECTORY, 0);
                r = fd < 0 ? fd : set_attributes(u, fd, &d->member);
                if (r < 0) {
                        memcpy(u->path, d->path, strlen(d->path) + 1);
                        return refuse(u, r, "cannot be given its owner, mode and time");
                }
                free(d->path);
                u->n_directories--;
        }
        return 0;
}

/* Owner and mode at once, so that what a copy leaves that ends early is right for the next one, which takes it as it finds it; and once more with the
 * time, when all is in it. */
static int make_directory(Unpacker *u) {
        _cleanup_close_ int fd = -EBADF;
        Directory *d;
        int r;

        if (mkdirat(u->dir_fd, u->name, 0700) < 0) {
                struct stat st;

                if (errno != EEXIST || fstatat(u->dir_fd, u->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return refuse(u, negative_errno(), "cannot be made");
                return S_ISDIR(st.st_mode) ? 0 : refuse(u, -ENOTDIR, "is to be a directory, and something else is there");
        }
        fd = open_beneath(u->dir_fd, u->name, O_RDONLY | O_DIRECTORY, 0);
        r = fd < 0 ? fd : set_attributes(u, fd, &u->member);
        if (r < 0)
                return refuse(u, r, "cannot be given its owner and mode");
        d = GREEDY_APPEND(u->directories, u->n_directories);
        if (!d)
                return refuse(u, -ENOMEM, "cannot be made");
        *d = (Directory) { .path = strdup(u->path), .member = u->member };
        if (!d->path)
                return refuse(u, -ENOMEM, "cannot be made");
        u->n_directories++;
        return 0;
}

/* Without a name where the file system can do that, so that a killed copy leaves nothing at all. */
static int begin_file(Unpacker *u) {
        int r;

        u->left = u->member.size;
        u->file_fd = openat(u->dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        if (u->file_fd >= 0)
                return 0;
        r = make_temporary_name(u);
        if (r >= 0)
                u->file_fd = openat(u->dir_fd, u->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        return r < 0 || u->file_fd < 0 ? refuse(u, r < 0 ? r : negative_errno(), "cannot be written") : 0;
}

static bool is_zero(const char *data, size_t n) {
        return data[0] == 0 && memcmp(data, data + 1, n - 1) == 0;
}

static int write_content(Unpacker *u, const char *data, size_t n) {
        int r;

        u->left -= n;
        /* Holes, where they may have been: the end of the file is set by its size. */
        if (is_zero(data, n))
                r = lseek(u->file_fd, (off_t) n, SEEK_CUR) < 0 ? negative_errno() : 0;
        else
                r = write_full(u->file_fd, data, n);
        return r < 0 ? refuse(u, r, "cannot be written") : 0;
}

static void remember(Unpacker *u, const char *name) {
        struct stat st;

        if (fstatat(u->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) >= 0)
                inodes_add(&u->made, &st, NULL);
}

static int finish_file(Unpacker *u) {
        int r;

        r = ftruncate(u->file_fd, (off_t) u->member.size) < 0 ? negative_errno() : set_attributes(u, u->file_fd, &u->member);
        if (r < 0)
                return refuse(u, r, "cannot be written");
        if (!*u->temporary && linkat(u->file_fd, "", u->dir_fd, u->name, AT_EMPTY_PATH) < 0) {
                if (errno != EEXIST)
                        return refuse(u, negative_errno(), "cannot be made");
                r = make_temporary_name(u);
                if (r < 0 || linkat(u->file_fd, "", u->dir_fd, u->temporary, AT_EMPTY_PATH) < 0)
                        return refuse(u, r < 0 ? r : negative_errno(), "cannot be made");
        }
        if (*u->temporary) {
                r = take_name(u);
                if (r < 0)
                        return r;
        }
        u->file_fd = safe_close(u->file_fd);
        remember(u, u->name);
        return 0;
}

static int make_symlink(Unpacker *u) {
        const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, u->member.mtime };
        int r;

        r = make_temporary_name(u);
        if (r < 0 || symlinkat(u->member.link, u->dir_fd, u->temporary) < 0)
                return refuse(u, r < 0 ? r : negative_errno(), "cannot be made");
        if (fchownat(u->dir_fd, u->temporary, owner(u, &u->member), group(u, &u->member), AT_SYMLINK_NOFOLLOW) < 0 ||
            utimensat(u->dir_fd, u->temporary, times, AT_SYMLINK_NOFOLLOW) < 0)
                return refuse(u, negative_errno(), "cannot be made");
        remember(u, u->temporary);
        return take_name(u);
}

/* To what this stream has made, and nothing else that is there. */
static int make_hard_link(Unpacker *u) {
        char path[TAR_PATH_MAX + 1];
        _cleanup_close_ int fd = -EBADF;
        const char *name;
        struct stat st;
        int r;

        r = normalise(u->member.link, path);
        if (r < 0 || !*path || u->is_single)
                return refuse(u, -EBADMSG, "is a hard link to something outside of the copy");
        fd = open_parent(u, path, false, &name);
        r = fd < 0 ? fd : make_temporary_name(u);
        if (r < 0 || linkat(fd, name, u->dir_fd, u->temporary, 0) < 0) {
                u->temporary[0] = 0;
                return refuse(u, r < 0 ? r : negative_errno(), "cannot be linked to what it is a hard link of");
        }
        if (fstatat(u->dir_fd, u->temporary, &st, AT_SYMLINK_NOFOLLOW) < 0 || !inodes_find(&u->made, &st))
                return u->made.full ? refuse(u, -E2BIG, "is a hard link, and the copy has too many files to know whether to one of them")
                                    : refuse(u, -EBADMSG, "is a hard link to something outside of the copy");
        return take_name(u);
}

/* By the first member of a copy it is known what that is, and so what the path stands for: sets dir_fd and name, or, where the content goes right
 * into a directory that is there, root_fd alone. */
static int find_place(Unpacker *u) {
        const TarUnpack *q = u->request;
        bool is_directory = u->member.type == TAR_DIRECTORY;
        size_t n = strlen(q->path);
        _cleanup_free_ char *dir = NULL;
        char *slash;
        int fd;

        fd = open(q->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && !q->name) {
                u->root_fd = fd;
                return is_directory ? 0 : refuse(u, -EBADMSG, "cannot hold the content of what is no directory");
        }
        if (fd >= 0) {
                u->dir_fd = fd;
                u->name = q->name;
                u->place = strjoin(q->path, endswith(q->path, "/") ? "" : "/", q->name);
                return 0;
        }
        if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
                return refuse(u, negative_errno(), "cannot be opened");
        if (endswith(q->path, "/") && !is_directory)
                return refuse(u, negative_errno(), "is to be a directory");
        while (n > 1 && q->path[n - 1] == '/')
                n--;
        dir = strndup(q->path, n);
        slash = dir ? strrchr(dir, '/') : NULL;
        u->top_name = dir ? strdup(slash ? slash + 1 : dir) : NULL;
        if (!u->top_name)
                return refuse(u, -ENOMEM, "cannot be made");
        u->name = u->top_name;
        if (slash)
                *slash = 0;
        u->dir_fd = open(!slash ? "." : *dir ? dir : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return u->dir_fd < 0 ? refuse(u, negative_errno(), "cannot be made, for the directory that is to hold it cannot be opened") : 0;
}

static int make_top(Unpacker *u) {
        int r;

        if (u->path[0] != 0)
                return refuse(u, -EBADMSG, "is not where a copy begins");
        r = find_place(u);
        if (r < 0 || u->root_fd >= 0)
                return r;
        u->is_single = u->member.type != TAR_DIRECTORY;
        if (u->is_single)
                return 1;
        r = make_directory(u);
        if (r < 0)
                return r;
        u->root_fd = open_beneath(u->dir_fd, u->name, O_RDONLY | O_DIRECTORY, 0);
        return u->root_fd < 0 ? refuse(u, u->root_fd, "cannot be opened") : 0;
}

static int take_member(Unpacker *u) {
        _cleanup_free_ char *text = NULL;
        int r;

        u->dir_fd = safe_close(u->dir_fd);
        r = normalise(u->member.path, u->path);
        if (r < 0) {
                memcpy(u->path, u->member.path, strlen(u->member.path) + 1);
                return refuse(u, r, "is no name for anything in a copy");
        }
        if (u->root_fd < 0 && !u->is_single)
                r = make_top(u);
        else if (u->is_single || (!*u->path && u->member.type != TAR_DIRECTORY))
                return refuse(u, -EBADMSG, "comes behind a file, as nothing in a copy can");
        else if (*u->path) {
                r = settle_directories(u, u->path);
                if (r < 0)
                        return r;
                u->dir_fd = open_parent(u, u->path, true, &u->name);
                r = u->dir_fd < 0 ? refuse(u, u->dir_fd, "cannot be made: its directory cannot be opened, or is a symlink") : 1;
        }
        if (r <= 0)
                return r;
        switch (u->member.type) {
        case TAR_FILE:
                return begin_file(u);
        case TAR_DIRECTORY:
                return make_directory(u);
        case TAR_SYMLINK:
                return make_symlink(u);
        case TAR_HARD_LINK:
                return make_hard_link(u);
        default:
                if (u->is_single)
                        return refuse(u, -EBADMSG, "is a device or FIFO, which cannot be copied");
                (void) describe(u, -EBADMSG, "is a device or FIFO, and left out", &text);
                u->request->say(u->request->userdata, text ?: "no memory");
                return 0;
        }
}

/* 1: the end. */
static int take_bytes(Unpacker *u, const char *data, size_t n) {
        const char *content;
        size_t n_content;
        int r;

        while ((r = tar_reader_next(&u->reader, &data, &n, &u->member, &content, &n_content)) != TAR_MORE) {
                if (r == -EBADMSG)
                        return failure(u->ret_error, r, "what comes is no copy: %s", u->reader.error);
                if (r < 0)
                        return failure(u->ret_error, r, "what comes cannot be read: %m");
                if (r == TAR_END)
                        return 1;
                r = r == TAR_MEMBER ? take_member(u) : write_content(u, content, n_content);
                if (r >= 0 && u->file_fd >= 0 && u->left == 0)
                        r = finish_file(u);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int unpack(Unpacker *u, int in_fd) {
        size_t n_behind = 0;
        bool ended = false;
        int r;

        for (;;) {
                ssize_t k = read(in_fd, u->in, sizeof(u->in));

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return failure(u->ret_error, negative_errno(), "what comes cannot be read: %m");
                if (k == 0 && !ended)
                        return failure(u->ret_error, -ENODATA, "what comes has ended before it was whole");
                if (k == 0)
                        return 0;
                /* Whoever sends is to see that all was taken. */
                if (ended) {
                        n_behind += (size_t) k;
                        if (n_behind > TRAILER_MAX)
                                return failure(u->ret_error, -EBADMSG, "what comes is no copy: it goes on behind its end");
                        continue;
                }
                r = take_bytes(u, u->in, (size_t) k);
                if (r > 0)
                        r = u->root_fd < 0 && !u->is_single ? failure(u->ret_error, -EBADMSG, "what comes is no copy: it is empty") : settle_directories(u, NULL);
                else if (r == 0)
                        continue;
                if (r < 0)
                        return r;
                ended = true;
        }
}

int tar_unpack(const TarUnpack *request, int in_fd, char **ret_error) {
        Unpacker *u = calloc(1, sizeof(Unpacker));
        int r = 0;

        if (!u)
                return failure(ret_error, -ENOMEM, "the copy cannot be taken: %m");
        u->request = request;
        u->ret_error = ret_error;
        u->root_fd = u->dir_fd = u->file_fd = -EBADF;
        if (request->foreign) {
                u->root_fd = open(request->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (u->root_fd < 0)
                        r = refuse(u, negative_errno(), "cannot be opened as a directory");
        }
        if (r >= 0)
                r = unpack(u, in_fd);

        remove_temporary(u);
        safe_close(u->file_fd);
        safe_close(u->dir_fd);
        safe_close(u->root_fd);
        for (size_t i = 0; i < u->n_directories; i++)
                free(u->directories[i].path);
        free(u->directories);
        free(u->top_name);
        free(u->place);
        inodes_done(&u->made);
        tar_reader_done(&u->reader);
        free(u);
        return r;
}
