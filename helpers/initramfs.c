/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sha256.h"
#include "base/str.h"
#include "base/wire.h"
#include "cpio/cpio.h"
#include "helpers/initramfs.h"
#include "layout/layout.h"

enum { INIT_BYTES_MAX = 64 * 1024 * 1024 };

static int _printf_(3, 4) fail(char **ret_error, int r, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        if (vasprintf(ret_error, format, ap) < 0)
                *ret_error = NULL;
        va_end(ap);
        return *ret_error ? r : -ENOMEM;
}

/* Names in the archive have no "/" before them. Returns where init's n_init bytes belong. */
static void *begin_archive(Cpio *c, const char *run_json, size_t n_run_json, size_t n_init) {
        cpio_add_directory(c, &WIRE_GUEST_DIR[1], 0700);
        cpio_add_file(c, &WIRE_RUN_JSON[1], 0400, run_json, n_run_json);
        return cpio_reserve_file(c, "init", 0755, n_init);
}

int initramfs_format(const char *run_json, size_t n_run_json, const void *init, size_t n_init, char **ret, size_t *ret_size) {
        _cleanup_cpio_ Cpio c = {};
        void *p = begin_archive(&c, run_json, n_run_json, n_init);

        if (p && n_init > 0)
                memcpy(p, init, n_init);
        return cpio_finish(&c, ret, ret_size);
}

/* The same, reading init straight into its place. -ESTALE where it is not as long as it was. */
static int format_with_file(const char *run_json, size_t n_run_json, int init_fd, size_t n_init, char **ret, size_t *ret_size) {
        _cleanup_cpio_ Cpio c = {};
        void *p = begin_archive(&c, run_json, n_run_json, n_init);
        ssize_t k = p ? read_full(init_fd, p, n_init) : 0;

        if (k < 0)
                return (int) k;
        if (p && (size_t) k != n_init)
                return -ESTALE;
        return cpio_finish(&c, ret, ret_size);
}

/* How long the archive will be: that of an empty init, and init with its padding. */
static int archive_size(const char *run_json, size_t n_run_json, size_t n_init, size_t *ret) {
        _cleanup_free_ char *s = NULL;
        int r = initramfs_format(run_json, n_run_json, NULL, 0, &s, ret);

        *ret += (n_init + 3) / 4 * 4;
        return r;
}

/* init counts by what stat(2) says of it: a package that replaces it changes that. */
static void digest_inputs(const char *init_path, const struct stat *st, const char *run_json, size_t n, char ret[static SHA256_HEX_SIZE]) {
        const uint64_t file[] = { st->st_dev, st->st_ino, (uint64_t) st->st_size, (uint64_t) st->st_mtim.tv_sec, (uint64_t) st->st_mtim.tv_nsec };
        Sha256 h;

        sha256_init(&h);
        sha256_update_string(&h, "inferno initramfs 1");
        sha256_update_string(&h, init_path);
        sha256_update(&h, file, sizeof(file));
        sha256_update(&h, run_json, n);
        sha256_finish_hex(&h, ret);
}

static int point_to(const char *vm, const char *name, char **ret_error) {
        _cleanup_free_ char *link = layout_vm_initramfs(vm), *target = NULL;
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
                r = symlink_atomic_at(target, AT_FDCWD, link);
        return r < 0 ? fail(ret_error, r, "Cannot make the link '%s': %s.", link, strerrordesc_np(-r)) : 0;
}

int initramfs_store(const char *vm, const char *run_json, size_t n_run_json, char **ret_path, char **ret_error) {
        _cleanup_free_ char *init_path = layout_path(LAYOUT_INIT), *dir = layout_path(LAYOUT_INITRAMFS_DIR), *name = NULL, *path = NULL;
        char digest[SHA256_HEX_SIZE];
        _cleanup_close_ int init_fd = -EBADF, dir_fd = -EBADF;
        int r, result = INITRAMFS_REUSED;
        struct stat st, have;
        size_t size;

        *ret_error = NULL;
        if (!init_path || !dir)
                return -ENOMEM;
        init_fd = open(init_path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (init_fd < 0 || fstat(init_fd, &st) < 0) {
                r = negative_errno();
                return fail(ret_error, r, "Cannot open the guest's init '%s': %s.%s", init_path, strerrordesc_np(-r),
                            r == -ENOENT ? " Is Inferno installed?" : "");
        }
        if (!S_ISREG(st.st_mode) || st.st_size < 1 || st.st_size > INIT_BYTES_MAX)
                return fail(ret_error, -EBADMSG, "The guest's init '%s' is no program. Is Inferno installed?", init_path);

        digest_inputs(LAYOUT_INIT, &st, run_json, n_run_json, digest);
        name = strf("%s.cpio", digest);
        path = name ? strf("%s/%s", dir, name) : NULL;
        if (!path)
                return -ENOMEM;
        r = archive_size(run_json, n_run_json, (size_t) st.st_size, &size);
        if (r < 0)
                return r;

        /* The environment may hold secrets: the directory is root's, the file is open for whoever gets it into a jail. */
        r = mkdir_parents_at(AT_FDCWD, dir, 0700);
        if (r >= 0) {
                dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                /* Until the link is there, inferno-cleanup prune must not take a file that no VM points to. */
                r = dir_fd < 0 || flock(dir_fd, LOCK_SH) < 0 ? negative_errno() : 0;
        }
        if (r < 0)
                return fail(ret_error, r, "Cannot open '%s': %s.", dir, strerrordesc_np(-r));

        /* It appears under its name after its content is on the disk, so the length is a check against others alone. */
        if (lstat(path, &have) < 0 || !S_ISREG(have.st_mode) || (size_t) have.st_size != size) {
                _cleanup_free_ char *archive = NULL;
                size_t n;

                r = format_with_file(run_json, n_run_json, init_fd, (size_t) st.st_size, &archive, &n);
                if (r == -ESTALE)
                        return fail(ret_error, r, "The guest's init '%s' changed while it was read; try again.", init_path);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        return fail(ret_error, r, "Cannot read the guest's init '%s': %s.", init_path, strerrordesc_np(-r));
                r = write_file_atomic_at(AT_FDCWD, path, archive, n, 0444, WRITE_FILE_SYNC);
                if (r < 0)
                        return fail(ret_error, r, "Cannot write the initramfs of VM '%s' to '%s': %s.%s", vm, path, strerrordesc_np(-r),
                                    r == -ENOSPC ? " Make room on its file system." : "");
                result = INITRAMFS_BUILT;
        }
        r = point_to(vm, name, ret_error);
        if (r < 0)
                return r;
        *ret_path = TAKE_PTR(path);
        return result;
}
