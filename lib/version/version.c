/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/copy.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/sentence.h"
#include "base/str.h"
#include "layout/layout.h"
#include "version/version.h"

#define MANIFEST "manifest"
#define MANIFEST_MAGIC "inferno-version 1 "
#define MANIFEST_END "end\n"
#define STAGING ".new"
#define NEXT ".next"                    /* symlink to a version from before it gets its name until it has its row */
#define KILN_PID JAIL_KILN ".pid"       /* as both jailers name it */

enum { MANIFEST_SIZE_MAX = 64 * 1024 };

/* Opens a directory of an absolute path of the host that only root writes to. */
static int open_directory(char *path_consume) {
        _cleanup_free_ char *path = path_consume;
        int fd;

        if (!path)
                return -ENOMEM;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? negative_errno() : fd;
}

/* Gives it the mode also where it is there: systemd may have made it on the way to a mount point. */
static int open_or_make_directory(char *path_consume, mode_t mode) {
        _cleanup_free_ char *path = path_consume;
        struct stat st;
        int fd, r;

        if (!path)
                return -ENOMEM;
        r = mkdir_parent_of_at(AT_FDCWD, path, 0711);
        if (r >= 0)
                r = mkdir_parents_at(AT_FDCWD, path, mode);
        if (r < 0)
                return r;
        fd = open_directory(TAKE_PTR(path));
        if (fd >= 0 && (fstat(fd, &st) < 0 || ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0))) {
                r = negative_errno();
                safe_close(fd);
                return r;
        }
        return fd;
}

typedef struct Names {
        char **v;                       /* not NULL-terminated */
        size_t n;
} Names;

static void names_done(Names *names) {
        for (size_t i = 0; i < names->n; i++)
                free(names->v[i]);
        free(names->v);
}

static int add_name(int dir_fd, const char *name, void *userdata) {
        Names *names = userdata;
        char *copy = strdup(name), **slot = copy ? GREEDY_APPEND(names->v, names->n) : NULL;

        if (!slot) {
                free(copy);
                return -ENOMEM;
        }
        *slot = copy;
        names->n++;
        return 0;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* A line of the manifest: "f SIZE MTIME INODE NAME"; of directories (d) and symlinks (l) only the inode counts. */
static void add_manifest_line(StrBuf *b, const char *name, const struct stat *st) {
        bool is_file = S_ISREG(st->st_mode);

        strbuf_addf(b, "%c %llu %llu %llu %s\n", is_file ? 'f' : S_ISDIR(st->st_mode) ? 'd' : 'l',
                    is_file ? (unsigned long long) st->st_size : 0,
                    is_file ? (unsigned long long) st->st_mtim.tv_sec * NSEC_PER_SEC + (unsigned long long) st->st_mtim.tv_nsec : 0,
                    (unsigned long long) st->st_ino, name);
}

static int write_manifest(const char *vm, int version_fd, int root_fd) {
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_(names_done) Names names = {};
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        r = dir_for_each(root_fd, add_name, &names);
        if (r < 0)
                return r;
        strbuf_addf(&b, MANIFEST_MAGIC "%s\n", vm);
        for (size_t i = 0; i < names.n; i++) {
                struct stat st;

                if (fstatat(root_fd, names.v[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return negative_errno();
                if ((!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)) || strchr(names.v[i], '\n'))
                        return -EBADF;
                add_manifest_line(&b, names.v[i], &st);
        }
        strbuf_adds(&b, MANIFEST_END);
        r = strbuf_finish(&b, &text, &n);
        return r < 0 ? r : write_file_atomic_at(version_fd, MANIFEST, text, n, 0600, 0);
}

/* The manifest's text, cut at its first line, which held the VM's name. -ENOENT also where it is none. */
static int read_manifest(int version_fd, char **ret_text, const char **ret_vm, char **ret_lines) {
        _cleanup_free_ char *text = NULL;
        char *newline;
        int r;

        r = read_file_at(version_fd, MANIFEST, MANIFEST_SIZE_MAX, &text, NULL);
        if (r < 0)
                return r;
        newline = strchr(text, '\n');
        if (!newline || !startswith(text, MANIFEST_MAGIC) || !endswith(newline, "\n" MANIFEST_END))
                return -ENOENT;
        *newline = 0;
        *ret_vm = text + strlen(MANIFEST_MAGIC);
        if (!vm_name_is_valid(*ret_vm))
                return -ENOENT;
        *ret_lines = newline + 1;
        newline[strlen(newline + 1) + 1 - strlen(MANIFEST_END)] = 0;
        *ret_text = TAKE_PTR(text);
        return 0;
}

/* Takes the name out of a line in place; NULL: there is none. */
static char *name_of_line(char *line) {
        for (int i = 0; i < 4 && line; i++) {
                line = strchr(line, ' ');
                if (line)
                        line++;
        }
        return line;
}

static int build_root(const VersionSpec *spec, int root_fd, char **ret_error) {
        int r;

        r = link_tree(spec->tree_fd, root_fd);
        if (r < 0)
                return sentence_errno(ret_error, r,
                                      "Cannot put programs and libraries into a jail below '%s" LAYOUT_VMS_DIR "'", layout_root());
        for (size_t i = 0; i < spec->n_files; i++) {
                const VersionFile *f = spec->files + i;

                if (f->source)
                        r = link_or_clone_at(AT_FDCWD, f->source, root_fd, f->name, 0444);
                else
                        r = write_file_atomic_at(root_fd, f->name, f->content, strlen(f->content), 0444, 0);
                if (r < 0)
                        return sentence_errno(ret_error, r,
                                              "Cannot put '%s' into a jail below '%s" LAYOUT_VMS_DIR "'", f->source ?: f->name,
                                              layout_root());
        }
        return 0;
}

/* Where systemd binds its sockets, and the directory with a VM's keys. */
static const struct {
        const char *parent, *name;
        bool directory;
} bind_targets[] = {
        { "run/systemd", "notify", false },
        { "run/systemd/journal", "socket", false },
        { "run", "keys", true },
};

/* A clean jail has them, so that systemd has nothing to make where nothing can be made: on a disk that is full, helpers say so. They are
 * no part of the version, for the jailer hands the directory to the VM's uid. */
static int make_bind_targets(int root_fd) {
        for (size_t i = 0; i < ELEMENTSOF(bind_targets); i++) {
                _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
                int r;

                r = mkdir_parents_at(root_fd, bind_targets[i].parent, 0755);
                if (r < 0)
                        return r;
                dir_fd = open_beneath(root_fd, bind_targets[i].parent, O_RDONLY | O_DIRECTORY, 0);
                if (dir_fd < 0)
                        return dir_fd;
                if (bind_targets[i].directory) {
                        if (mkdirat(dir_fd, bind_targets[i].name, 0755) < 0)
                                return negative_errno();
                        continue;
                }
                fd = openat(dir_fd, bind_targets[i].name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
                if (fd < 0)
                        return negative_errno();
        }
        return 0;
}

static int build_at(const VersionSpec *spec, int vm_fd, int kiln_fd, char **ret_error) {
        _cleanup_free_ char *next = strf("../" JAIL_KILN "/%s", spec->ulid);
        _cleanup_close_ int version_fd = -EBADF, root_fd = -EBADF;
        int r;

        if (!next)
                return -ENOMEM;
        if (mkdirat(vm_fd, STAGING, 0700) < 0)
                return negative_errno();
        version_fd = openat(vm_fd, STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (version_fd < 0 || fchmod(version_fd, 0711) < 0 || mkdirat(version_fd, "root", 0700) < 0)
                return negative_errno();
        root_fd = openat(version_fd, "root", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (root_fd < 0)
                return negative_errno();
        r = build_root(spec, root_fd, ret_error);
        if (r >= 0)
                r = write_manifest(spec->vm, version_fd, root_fd);
        if (r >= 0)
                r = make_bind_targets(root_fd);
        if (r >= 0)
                r = sync_tree(version_fd);
        if (r < 0)
                return r;
        r = symlink_atomic_at(next, vm_fd, NEXT, WRITE_FILE_LOCKED);
        if (r < 0)
                return r;
        if (renameat(vm_fd, STAGING, kiln_fd, spec->ulid) < 0 || fsync(kiln_fd) < 0)
                return negative_errno();
        return 0;
}

/* The ULID that one of a VM's symlinks points to. -ENOENT: none. Whatever else is at that place counts as none, too. */
static int read_link(const char *path, char ret[static ULID_STRING_SIZE]) {
        const char *ulid;
        char target[PATH_MAX];
        ssize_t n;

        n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
                return errno == EINVAL || errno == ENOTDIR ? -ENOENT : negative_errno();
        target[n] = 0;
        ulid = startswith(target, "../" JAIL_KILN "/");
        if (!ulid || !ulid_is_valid(ulid))
                return -ENOENT;
        memcpy(ret, ulid, ULID_STRING_SIZE);
        return 0;
}

/* 1: the database has it. */
static int has_row(Store *store, const char *vm, const char *ulid) {
        _cleanup_free_ StoreVersion *versions = NULL;
        size_t n;
        int r;

        r = store_version_list(store, vm, &versions, &n);
        for (size_t i = 0; r >= 0 && i < n; i++)
                if (streq(versions[i].ulid, ulid))
                        return 1;
        return r < 0 ? r : 0;
}

int version_remove_beginnings(Store *store, const char *vm) {
        _cleanup_free_ char *dir = layout_vm_dir(vm), *staging = dir ? strf("%s/" STAGING, dir) : NULL;
        _cleanup_free_ char *next = dir ? strf("%s/" NEXT, dir) : NULL;
        char ulid[ULID_STRING_SIZE];
        int r;

        if (!staging || !next)
                return -ENOMEM;
        r = remove_tree_at(AT_FDCWD, staging);
        if (r >= 0)
                r = remove_temporary_at(AT_FDCWD, next);
        if (r < 0)
                return r;
        r = read_link(next, ulid);
        if (r == -ENOENT)
                return remove_tree_at(AT_FDCWD, next);
        if (r >= 0)
                r = has_row(store, vm, ulid);
        if (r == 0)
                r = version_remove(store, ulid);
        if (r < 0)
                return r;
        return unlink(next) < 0 ? negative_errno() : 0;
}

int version_build(Store *store, const VersionSpec *spec, char **ret_error) {
        _cleanup_free_ char *error = NULL, *kiln_dir = layout_path(LAYOUT_VMS_DIR "/" JAIL_KILN);
        _cleanup_close_ int vm_fd = -EBADF, kiln_fd = -EBADF;
        int r;

        vm_fd = open_or_make_directory(layout_vm_dir(spec->vm), 0700);
        if (vm_fd < 0)
                return sentence_errno(ret_error, vm_fd, "Cannot make '%s" LAYOUT_VMS_DIR "/%s'", layout_root(), spec->vm);
        kiln_fd = open_or_make_directory(TAKE_PTR(kiln_dir), 0711);
        if (kiln_fd < 0)
                return sentence_errno(ret_error, kiln_fd, "Cannot make '%s" LAYOUT_VMS_DIR "/" JAIL_KILN "'", layout_root());
        r = build_at(spec, vm_fd, kiln_fd, &error);
        if (r < 0) {
                (void) remove_tree_at(vm_fd, STAGING);
                if (error)
                        return sentence(ret_error, r, "%s", error);
                return sentence_errno(ret_error, r, "Cannot build a version of VM '%s' below '%s" LAYOUT_VMS_DIR "'", spec->vm,
                                      layout_root());
        }
        r = store_version_add(store, spec->vm, spec->ulid, spec->digest, spec->image_digest);
        if (r < 0)
                return sentence(ret_error, r, "%s", store_error(store));
        (void) unlinkat(vm_fd, NEXT, 0);
        return 0;
}

/* 1: it is the entry that the line describes, and nobody but us could have written to it. */
static int check_entry(int root_fd, const char *line, const char *name) {
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_free_ char *now = NULL;
        struct stat st;
        int r;

        if (fstatat(root_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : negative_errno();
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
                return 0;
        if (st.st_uid != geteuid() || (!S_ISLNK(st.st_mode) && st.st_mode & 022))
                return 0;
        add_manifest_line(&b, name, &st);
        r = strbuf_finish(&b, &now, NULL);
        if (r < 0)
                return r;
        now[strlen(now) - 1] = 0;
        return streq(line, now);
}

int version_is_intact(const char *vm, const char *ulid) {
        _cleanup_close_ int version_fd = -EBADF, root_fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        char *lines, *line, *state = NULL;
        const char *owner;
        int r;

        version_fd = open_directory(layout_version_dir(ulid));
        if (version_fd == -ENOENT)
                return 0;
        if (version_fd < 0)
                return version_fd;
        r = read_manifest(version_fd, &text, &owner, &lines);
        if (r == -ENOENT || (r >= 0 && !streq(owner, vm)))
                return 0;
        if (r < 0)
                return r;
        root_fd = openat(version_fd, "root", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (root_fd < 0)
                return errno == ENOENT ? 0 : negative_errno();
        for (line = strtok_r(lines, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                const char *name = name_of_line(line);

                r = name ? check_entry(root_fd, line, name) : 0;
                if (r == 0)
                        log_debug("Version '%s': '%s' is not what it was.", ulid, name ?: line);
                if (r <= 0)
                        return r;
        }
        return 1;
}

/* Of a file or a tree. Only root has written to those of a version, so they are as deep as a path can be. */
static int add_size(int dir_fd, const char *name, void *userdata) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t *sum = userdata;
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : negative_errno();
        *sum += (uint64_t) st.st_blocks * 512;
        if (!S_ISDIR(st.st_mode))
                return 0;
        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? negative_errno() : dir_for_each(fd, add_size, sum);
}

int version_get_size(const char *ulid, uint64_t *ret) {
        _cleanup_close_ int version_fd = open_directory(layout_version_dir(ulid)), root_fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        char *lines, *line, *state = NULL;
        const char *owner;
        uint64_t sum = 0;
        int r;

        if (version_fd < 0)
                return version_fd;
        r = read_manifest(version_fd, &text, &owner, &lines);
        if (r < 0)
                return r;
        root_fd = openat(version_fd, "root", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (root_fd < 0)
                return negative_errno();
        for (line = strtok_r(lines, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                const char *name = name_of_line(line);

                r = name ? add_size(root_fd, name, &sum) : 0;
                if (r < 0)
                        return r;
        }
        *ret = sum;
        return 0;
}

int version_open_root(const char *ulid) {
        return open_directory(layout_version_root(ulid));
}

int version_running(const char *ulid, pid_t *ret_pid) {
        _cleanup_close_ int root_fd = -EBADF, fd = -EBADF;
        struct stat jail, process;
        char buf[16], path[32];
        uint64_t pid;
        ssize_t n;

        root_fd = version_open_root(ulid);
        if (root_fd == -ENOENT)
                return 0;
        if (root_fd < 0)
                return root_fd;
        /* The jailer wrote it, but into a directory of the guest's: what it says counts only where that process stands in this jail. */
        fd = open_beneath(root_fd, KILN_PID, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        if (fd < 0 || fstat(fd, &jail) < 0 || !S_ISREG(jail.st_mode))
                return 0;
        n = read_full(fd, buf, sizeof(buf) - 1);
        if (n <= 0)
                return 0;
        buf[n] = 0;
        buf[strcspn(buf, "\n")] = 0;
        if (parse_u64(buf, &pid) < 0 || pid < 1 || pid > INT_MAX)
                return 0;
        snprintf(path, sizeof(path), "/proc/%d/root", (int) pid);
        if (stat(path, &process) < 0 || fstat(root_fd, &jail) < 0 || process.st_dev != jail.st_dev || process.st_ino != jail.st_ino)
                return 0;
        if (ret_pid)
                *ret_pid = (pid_t) pid;
        return 1;
}

/* systemd makes the mount namespace of BindPaths= for the helpers too, so that they see these mounts, which are in the way. Nobody but the
 * helper is in that namespace; by hand there are none. */
static void detach_binds(int root_fd) {
        for (size_t i = 0; i < ELEMENTSOF(bind_targets); i++) {
                _cleanup_close_ int fd = open_beneath(root_fd, bind_targets[i].parent, O_PATH | O_DIRECTORY, 0);
                char path[64];

                if (fd < 0)
                        continue;
                snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", fd, bind_targets[i].name);
                (void) umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH);
        }
}

typedef struct Cleaning {
        char **keep;
        VersionCleanFlags flags;
        unsigned n_removed;
        int error;
} Cleaning;

static int clean_name(int root_fd, const char *name, void *userdata) {
        Cleaning *c = userdata;
        struct stat st;
        int r;

        if (strv_contains(c->keep, name))
                return 0;
        if (c->flags & VERSION_KEEP_EXIT_STATUS && streq(name, JAIL_EXIT_STATUS) &&
            fstatat(root_fd, name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISREG(st.st_mode))
                return 0;
        r = remove_tree_at(root_fd, name);
        if (r >= 0)
                c->n_removed++;
        else if (c->error >= 0)
                c->error = r;
        return 0;
}

int version_clean(const char *ulid, VersionCleanFlags flags) {
        _cleanup_close_ int version_fd = -EBADF, root_fd = -EBADF;
        _cleanup_strv_ char **keep = NULL;
        _cleanup_free_ char *text = NULL;
        char *lines, *line, *state = NULL;
        Cleaning c = { .flags = flags };
        const char *vm;
        int r;

        version_fd = open_directory(layout_version_dir(ulid));
        if (version_fd == -ENOENT)
                return 0;
        if (version_fd < 0)
                return version_fd;
        root_fd = openat(version_fd, "root", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (root_fd < 0)
                return errno == ENOENT ? 0 : negative_errno();
        /* From here on no process of the VM's uid can put anything new in. */
        if (fchown(root_fd, geteuid(), getegid()) < 0 || fchmod(root_fd, 0700) < 0)
                return negative_errno();
        r = read_manifest(version_fd, &text, &vm, &lines);
        if (r < 0 && r != -ENOENT)
                return r;
        if (r >= 0)
                for (line = strtok_r(lines, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                        const char *name = name_of_line(line);

                        /* What took the place of an entry is none. */
                        r = name ? check_entry(root_fd, line, name) : 0;
                        if (r > 0)
                                r = strv_extend(&keep, name);
                        if (r < 0)
                                return r;
                }
        detach_binds(root_fd);
        c.keep = keep;
        /* A directory that changes while it is read may be read with gaps: again, until there is nothing more to do. */
        do {
                c.n_removed = 0;
                c.error = 0;
                r = dir_for_each(root_fd, clean_name, &c);
                if (r < 0)
                        return r;
        } while (c.n_removed > 0);
        return c.error ?: make_bind_targets(root_fd);
}

/* "." and ".." are instances too: below LAYOUT_STATE_DIR both stay within it, and nothing goes that has content. */
int version_remove_bind_targets(const char *instance) {
        static const char *const below[] = { "/current/root/run/systemd/journal", "/current/root/run/systemd", "/current/root/run", "/current/root",
                                             "/current", "" };
        _cleanup_close_ int state_fd = open_directory(layout_path(LAYOUT_STATE_DIR)), root_fd = -EBADF;
        _cleanup_free_ char *root = strf("vms/%s/current/root", instance);

        if (!root)
                return -ENOMEM;
        if (state_fd < 0 || strchr(instance, '/'))
                return 0;
        root_fd = open_beneath(state_fd, root, O_RDONLY | O_DIRECTORY, 0);
        if (root_fd < 0)
                return root_fd == -ENOENT || root_fd == -ENAMETOOLONG ? 0 : root_fd;
        detach_binds(root_fd);
        for (size_t i = 0; i < ELEMENTSOF(bind_targets); i++) {
                _cleanup_close_ int fd = open_beneath(root_fd, bind_targets[i].parent, O_RDONLY | O_DIRECTORY, 0);
                struct stat st;

                if (fd >= 0 && bind_targets[i].directory)
                        (void) unlinkat(fd, bind_targets[i].name, AT_REMOVEDIR);
                else if (fd >= 0 && fstatat(fd, bind_targets[i].name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISREG(st.st_mode) && st.st_size == 0 &&
                    unlinkat(fd, bind_targets[i].name, 0) < 0)
                        return negative_errno();
        }
        for (size_t i = 0; i < ELEMENTSOF(below); i++) {
                _cleanup_free_ char *dir = strf("vms/%s%s", instance, below[i]);

                if (!dir)
                        return -ENOMEM;
                /* That of all jails stays. */
                if (streq(dir, "vms/" JAIL_KILN) || unlinkat(state_fd, dir, AT_REMOVEDIR) < 0)
                        break;
        }
        return 0;
}

int version_get_current(const char *vm, char ret[static ULID_STRING_SIZE]) {
        _cleanup_free_ char *path = layout_vm_current(vm);

        return path ? read_link(path, ret) : -ENOMEM;
}

int version_clear_current(const char *vm) {
        _cleanup_free_ char *path = layout_vm_current(vm), *root = path ? strf("%s/root", path) : NULL;
        _cleanup_close_ int root_fd = -EBADF;
        struct stat st;

        if (!root)
                return -ENOMEM;
        if (lstat(path, &st) < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : negative_errno();
        if (S_ISLNK(st.st_mode))
                return 0;
        root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (root_fd >= 0)
                detach_binds(root_fd);
        return remove_tree_at(AT_FDCWD, path);
}

int version_set_current(const char *vm, const char *ulid) {
        _cleanup_free_ char *path = layout_vm_current(vm), *target = strf("../" JAIL_KILN "/%s", ulid);
        char now[ULID_STRING_SIZE];
        int r;

        if (!path || !target)
                return -ENOMEM;
        if (version_get_current(vm, now) >= 0 && streq(now, ulid))
                return 0;
        r = version_clear_current(vm);
        if (r >= 0)
                r = symlink_atomic_at(target, AT_FDCWD, path, WRITE_FILE_LOCKED);
        return r < 0 ? r : fsync_parent_at(AT_FDCWD, path);
}

int version_get_vm(const char *ulid, char **ret) {
        _cleanup_close_ int version_fd = open_directory(layout_version_dir(ulid));
        _cleanup_free_ char *text = NULL;
        const char *vm;
        char *lines;
        int r;

        if (version_fd < 0)
                return version_fd;
        r = read_manifest(version_fd, &text, &vm, &lines);
        if (r < 0)
                return r;
        *ret = strdup(vm);
        return *ret ? 0 : -ENOMEM;
}

static int add_ulid(int dir_fd, const char *name, void *userdata) {
        return ulid_is_valid(name) ? add_name(dir_fd, name, userdata) : 0;
}

int version_enumerate(char ***ret) {
        _cleanup_close_ int fd = open_directory(layout_path(LAYOUT_VMS_DIR "/" JAIL_KILN));
        _cleanup_(names_done) Names names = {};
        char **slot;
        int r;

        if (fd < 0 && fd != -ENOENT)
                return fd;
        if (fd >= 0) {
                r = dir_for_each(fd, add_ulid, &names);
                if (r < 0)
                        return r;
        }
        if (names.n > 0)
                qsort(names.v, names.n, sizeof(char *), compare_names);
        slot = GREEDY_APPEND(names.v, names.n);
        if (!slot)
                return -ENOMEM;
        *slot = NULL;
        *ret = TAKE_PTR(names.v);
        names.n = 0;
        return 0;
}

int version_remove(Store *store, const char *ulid) {
        _cleanup_free_ char *path = layout_version_dir(ulid);
        int r;

        if (!path)
                return -ENOMEM;
        r = store_version_remove(store, ulid);
        return r < 0 ? r : remove_tree_at(AT_FDCWD, path);
}
