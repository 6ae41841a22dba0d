/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "base/sha256.h"
#include "base/str.h"
#include "base/wire.h"
#include "cpio/cpio.h"
#include "helpers/initramfs.h"
#include "helpers/programs.h"
#include "layout/layout.h"

enum {
        INIT_BYTES_MAX = 64 * 1024 * 1024,
        MTIME_SEC = 1,                  /* of every archive, since it was made */
};

static const struct timespec archive_times[] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = MTIME_SEC } };

/* Names in the archive have no "/" before them. */
static int make_archive(Cpio *c, const char *run_json, size_t n_run_json, const void *init, size_t n_init, struct iovec **ret_pieces,
                size_t *ret_n, size_t *ret_size) {
        cpio_add_directory(c, &WIRE_GUEST_DIR[1], 0755);
        cpio_add_file(c, &WIRE_RUN_JSON[1], 0400, run_json, n_run_json);
        cpio_add_file(c, "init", 0755, init, n_init);
        return cpio_finish(c, ret_pieces, ret_n, ret_size);
}

/* init counts by what stat(2) says of it: a package that replaces it changes that. */
static void digest_inputs(const char *init_path, const struct stat *st, const char *run_json, size_t n, char ret[static SHA256_HEX_SIZE]) {
        const uint64_t file[] = { st->st_dev, st->st_ino, (uint64_t) st->st_size, (uint64_t) st->st_mtim.tv_sec, (uint64_t) st->st_mtim.tv_nsec };
        Sha256 h;

        sha256_init(&h);
        sha256_update_string(&h, "inferno initramfs 3");
        sha256_update_string(&h, init_path);
        sha256_update(&h, file, sizeof(file));
        sha256_update(&h, run_json, n);
        sha256_finish_hex(&h, ret);
}

/* What a power cut has caught on its way to the disk is short, or nothing at its end, and is made anew: waiting for the disk at each build
 * would take as long as all the rest of it. What somebody has written to has another time. */
static bool archive_is_whole(const char *path, size_t size) {
        static const char end[] = CPIO_END;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        char have[sizeof(end) - 1];
        struct stat st;

        return fd >= 0 && fstat(fd, &st) >= 0 && S_ISREG(st.st_mode) && (size_t) st.st_size == size && size >= sizeof(have) &&
               st.st_mtim.tv_sec == MTIME_SEC && st.st_mtim.tv_nsec == 0 &&
               pread(fd, have, sizeof(have), (off_t) (size - sizeof(have))) == sizeof(have) && memcmp(have, end, sizeof(have)) == 0;
}

/* Until the VM's link to a file is there, inferno-cleanup prune must not take it for one that nobody needs. */
static int lock_directory(const char *dir, int *ret) {
        _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT) {
                /* The environment may hold secrets: the directory is root's, the files are open for whoever gets them into a jail. */
                int r = mkdir_parents_at(AT_FDCWD, dir, 0700);

                if (r < 0)
                        return r;
                fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        if (fd < 0)
                return negative_errno();
        while (flock(fd, LOCK_SH) < 0)
                if (errno != EINTR)
                        return negative_errno();
        *ret = TAKE_FD(fd);
        return 0;
}

static int point_to(char *link_consume, const char *name, char **ret_error) {
        _cleanup_free_ char *link = link_consume, *target = NULL;
        char old[256];
        ssize_t k;
        int r;

        target = strf("../../initramfs/%s", name);
        if (!link || !target)
                return -ENOMEM;
        k = readlink(link, old, sizeof(old));
        if (k >= 0 && (size_t) k == strlen(target) && memcmp(old, target, (size_t) k) == 0)
                return 0;
        r = mkdir_parent_of_at(AT_FDCWD, link, 0711);
        if (r >= 0)
                r = symlink_atomic_at(target, AT_FDCWD, link, WRITE_FILE_LOCKED);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot make the link '%s'", link) : 0;
}

/* The disk with what is brought along, and the VM's link to it; no link where that is nothing. */
static int store_programs(const char *vm, int dir_fd, const BundleItem *items, char **ret_error) {
        _cleanup_free_ char *link = layout_vm_programs(vm), *name = NULL;
        _cleanup_close_ int tree_fd = -EBADF;
        char key[SHA256_HEX_SIZE];
        int r;

        if (!link)
                return -ENOMEM;
        if (!items || !items->source)
                return unlink(link) < 0 && errno != ENOENT && errno != ENOTDIR
                               ? sentence_errno(ret_error, negative_errno(), "Cannot remove the link '%s'", link) : 0;
        r = bundle_ensure(items, &tree_fd, key, ret_error);
        if (r < 0)
                return r;
        r = programs_ensure(dir_fd, tree_fd, key, &name);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot make a disk of programs in '%s" LAYOUT_INITRAMFS_DIR "'", layout_root())
                     : point_to(TAKE_PTR(link), name, ret_error);
}

int initramfs_store(const char *vm, const char *run_json, size_t n_run_json, const BundleItem *items, char **ret_path, char **ret_error) {
        _cleanup_free_ char *init_path = layout_path(LAYOUT_INIT), *dir = layout_path(LAYOUT_INITRAMFS_DIR), *name = NULL, *path = NULL;
        char digest[SHA256_HEX_SIZE];
        _cleanup_close_ int init_fd = -EBADF, dir_fd = -EBADF;
        int r, result = INITRAMFS_REUSED;
        _cleanup_cpio_ Cpio archive = {};
        size_t n_pieces, size;
        struct iovec *pieces;
        struct stat st;
        void *init;

        *ret_error = NULL;
        if (!init_path || !dir)
                return -ENOMEM;
        init_fd = open(init_path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (init_fd < 0 || fstat(init_fd, &st) < 0) {
                r = negative_errno();
                return sentence(ret_error, r, "Cannot open the guest's init '%s': %s.%s", init_path, strerrordesc_np(-r),
                            r == -ENOENT ? " Is Inferno installed?" : "");
        }
        if (!S_ISREG(st.st_mode) || st.st_size < 1 || st.st_size > INIT_BYTES_MAX)
                return sentence(ret_error, -EBADMSG, "The guest's init '%s' is no program. Is Inferno installed?", init_path);

        r = lock_directory(dir, &dir_fd);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot open '%s'", dir);
        r = store_programs(vm, dir_fd, items, ret_error);
        if (r < 0)
                return r;
        digest_inputs(LAYOUT_INIT, &st, run_json, n_run_json, digest);
        name = strf("%s.cpio", digest);
        path = name ? strf("%s/%s", dir, name) : NULL;
        if (!path)
                return -ENOMEM;
        /* Mapped and not read: its pages go from the page cache to the page cache. Who cuts it meanwhile gets -EFAULT of the write. */
        init = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, init_fd, 0);
        if (init == MAP_FAILED)
                return sentence(ret_error, -errno, "Cannot read the guest's init '%s': %m.", init_path);
        r = make_archive(&archive, run_json, n_run_json, init, (size_t) st.st_size, &pieces, &n_pieces, &size);
        /* It is this VM's alone, whose lock the caller has: its id and address stand in run.json. */
        if (r >= 0 && !archive_is_whole(path, size)) {
                r = writev_file_atomic_at(AT_FDCWD, path, pieces, n_pieces, 0444, WRITE_FILE_LOCKED);
                if (r >= 0 && utimensat(AT_FDCWD, path, archive_times, AT_SYMLINK_NOFOLLOW) < 0)
                        r = negative_errno();
                result = INITRAMFS_BUILT;
        }
        (void) munmap(init, (size_t) st.st_size);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot write the initramfs of VM '%s' to '%s'", vm, path);
        r = point_to(layout_vm_initramfs(vm), name, ret_error);
        if (r < 0)
                return r;
        *ret_path = TAKE_PTR(path);
        return result;
}
