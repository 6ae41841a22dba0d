/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/magic.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "layout/layout.h"
#include "volume/key.h"

#define SYSTEMD_CREDS "/usr/bin/systemd-creds"

enum { RANDOM_KEY_BYTES = 64, CREDENTIAL_BYTES_MAX = 64 * 1024 };

int volume_key_new(VolumeKey **ret) {
        VolumeKey *k = mmap(NULL, sizeof(VolumeKey), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (k == MAP_FAILED)
                return negative_errno();
        if (mlock(k, sizeof(*k)) < 0 || madvise(k, sizeof(*k), MADV_DONTDUMP) < 0) {
                int r = negative_errno();

                (void) munmap(k, sizeof(*k));
                return r;
        }
        *ret = k;
        return 0;
}

VolumeKey *volume_key_free(VolumeKey *k) {
        if (k) {
                explicit_bzero(k, sizeof(*k));
                (void) munmap(k, sizeof(*k));
        }
        return NULL;
}

int volume_key_new_random(VolumeKey **ret) {
        _cleanup_(volume_key_freep) VolumeKey *k = NULL;
        int r;

        r = volume_key_new(&k);
        if (r < 0)
                return r;
        k->size = RANDOM_KEY_BYTES;
        if (getrandom(k->bytes, k->size, 0) != (ssize_t) k->size)
                return negative_errno();
        *ret = TAKE_PTR(k);
        return 0;
}

/* All of a file or pipe. -EFBIG, -ENODATA. */
static int read_key(int fd, VolumeKey **ret) {
        _cleanup_(volume_key_freep) VolumeKey *k = NULL;
        ssize_t n;
        char more;
        int r;

        r = volume_key_new(&k);
        if (r < 0)
                return r;
        n = read_full(fd, k->bytes, sizeof(k->bytes));
        if (n < 0)
                return (int) n;
        if (n == 0)
                return -ENODATA;
        if (read_full(fd, &more, 1) != 0)
                return -EFBIG;
        k->size = (size_t) n;
        *ret = TAKE_PTR(k);
        return 0;
}

int volume_key_read(const char *path, VolumeKey **ret, char **ret_error) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        int r = fd < 0 ? negative_errno() : read_key(fd, ret);

        if (r == -EFBIG || r == -ENODATA)
                return sentence(ret_error, -EBADMSG, "A key has 1 to %d bytes: that in '%s' has not.", WIRE_KEY_BYTES_MAX, path);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot read the key '%s'", path) : 0;
}

/* Runs systemd-creds with something small on its standard input; what it has to say goes to our standard error. */
static int start_creds(char *const argv[], const void *input, size_t n, pid_t *ret_pid, int *ret_output_fd) {
        _cleanup_close_ int in_read = -EBADF, in_write = -EBADF, out_read = -EBADF, out_write = -EBADF;
        char *const envp[] = { (char *) "LANG=C.UTF-8", NULL };
        posix_spawn_file_actions_t actions;
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return negative_errno();
        in_read = fds[0];
        in_write = fds[1];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return negative_errno();
        out_read = fds[0];
        out_write = fds[1];
        r = -posix_spawn_file_actions_init(&actions);
        if (r < 0)
                return r;
        r = -posix_spawn_file_actions_adddup2(&actions, in_read, STDIN_FILENO);
        if (r >= 0)
                r = -posix_spawn_file_actions_adddup2(&actions, out_write, STDOUT_FILENO);
        if (r >= 0)
                r = -posix_spawn(ret_pid, SYSTEMD_CREDS, &actions, NULL, argv, envp);
        (void) posix_spawn_file_actions_destroy(&actions);
        if (r < 0)
                return r;
        /* Less than a pipe holds. */
        if (n > 0)
                (void) write_full(in_write, input, n);
        *ret_output_fd = TAKE_FD(out_read);
        return 0;
}

static int wait_creds(pid_t pid) {
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return negative_errno();
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int fail_creds(int r, const char *what, const char *volume, char **ret_error) {
        if (r == -ENOENT)
                return sentence(ret_error, -ENOPKG, "Keys of volumes are kept by " SYSTEMD_CREDS ", which is not there: install systemd 250 or later.");
        return sentence(ret_error, r, "systemd-creds cannot %s the key of volume '%s': %s.", what, volume,
                        r == -EIO ? "it has said why" : strerrordesc_np(-r));
}

/* Where a key is kept, and where another one is while the two change places: a name that no credential has. */
typedef enum Place { PRESENT, ASIDE } Place;

static char *credential_path(const char *volume, Place place) {
        _cleanup_free_ char *name = layout_volume_credential(volume);

        return name ? strf("%s" LAYOUT_CREDENTIALS_DIR "/%s%s", layout_root(), place == ASIDE ? ".aside-" : "", name) : NULL;
}

static int store(const char *volume, Place place, const VolumeKey *k, char **ret_error) {
        _cleanup_free_ char *path = credential_path(volume, place), *name = layout_volume_credential(volume), *option = NULL, *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;
        pid_t pid;
        int r, w;

        option = name ? strjoin("--name=", name) : NULL;
        text = malloc(CREDENTIAL_BYTES_MAX);
        if (!path || !option || !text)
                return -ENOMEM;
        r = start_creds((char *const []) { (char *) "systemd-creds", (char *) "encrypt", option, (char *) "-", (char *) "-", NULL }, k->bytes,
                        k->size, &pid, &fd);
        if (r < 0)
                return fail_creds(r, "encrypt", volume, ret_error);
        n = read_full(fd, text, CREDENTIAL_BYTES_MAX);
        w = wait_creds(pid);
        if (n < 1 || n == CREDENTIAL_BYTES_MAX || w < 0)
                return fail_creds(w < 0 ? w : -EIO, "encrypt", volume, ret_error);
        r = mkdir_parent_of_at(AT_FDCWD, path, 0700);
        if (r >= 0)
                r = write_file_atomic_at(AT_FDCWD, path, text, (size_t) n, 0600, WRITE_FILE_SYNC | WRITE_FILE_LOCKED);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot write '%s'", path) : 0;
}

static int load(const char *volume, Place place, VolumeKey **ret, char **ret_error) {
        _cleanup_free_ char *path = credential_path(volume, place), *name = layout_volume_credential(volume), *option = NULL;
        _cleanup_(volume_key_freep) VolumeKey *k = NULL;
        _cleanup_close_ int fd = -EBADF;
        pid_t pid;
        int r, w;

        option = name ? strjoin("--name=", name) : NULL;
        if (!path || !option)
                return -ENOMEM;
        if (access(path, R_OK) < 0)
                return sentence(ret_error, negative_errno(), "The key of volume '%s' is not kept on this host ('%s'): give it with --key-file=.",
                                volume, path);
        r = start_creds((char *const []) { (char *) "systemd-creds", (char *) "decrypt", option, path, (char *) "-", NULL }, NULL, 0, &pid, &fd);
        if (r < 0)
                return fail_creds(r, "decrypt", volume, ret_error);
        r = read_key(fd, &k);
        fd = safe_close(fd);
        w = wait_creds(pid);
        if (w < 0 || r < 0)
                return fail_creds(w < 0 ? w : r, "decrypt", volume, ret_error);
        *ret = TAKE_PTR(k);
        return 0;
}

static int remove_from(const char *volume, Place place) {
        _cleanup_free_ char *path = credential_path(volume, place);

        int r;

        if (!path)
                return -ENOMEM;
        r = remove_temporary_at(AT_FDCWD, path);
        if (r < 0)
                return r;
        if (unlink(path) < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : negative_errno();
        return fsync_parent_at(AT_FDCWD, path);
}

int volume_key_store(const char *volume, const VolumeKey *k, char **ret_error) {
        return store(volume, PRESENT, k, ret_error);
}

bool volume_key_exists(const char *volume) {
        _cleanup_free_ char *path = credential_path(volume, PRESENT);
        struct stat st;

        return path && lstat(path, &st) >= 0;
}

int volume_key_load(const char *volume, VolumeKey **ret, char **ret_error) {
        return load(volume, PRESENT, ret, ret_error);
}

int volume_key_remove(const char *volume) {
        int r = remove_from(volume, ASIDE);

        return r < 0 ? r : remove_from(volume, PRESENT);
}

int volume_key_put_aside(const char *volume, const VolumeKey *k, char **ret_error) {
        return store(volume, ASIDE, k, ret_error);
}

int volume_key_load_aside(const char *volume, VolumeKey **ret, char **ret_error) {
        return load(volume, ASIDE, ret, ret_error);
}

int volume_key_remove_aside(const char *volume) {
        return remove_from(volume, ASIDE);
}

int volume_key_exchange(const char *volume, char **ret_error) {
        _cleanup_free_ char *present = credential_path(volume, PRESENT), *aside = credential_path(volume, ASIDE);
        int r;

        if (!present || !aside)
                return -ENOMEM;
        r = renameat2(AT_FDCWD, aside, AT_FDCWD, present, RENAME_EXCHANGE) < 0 ? negative_errno() : 0;
        if (r == -ENOENT)
                r = rename(aside, present) < 0 ? negative_errno() : 0;
        if (r >= 0)
                r = fsync_parent_at(AT_FDCWD, present);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot put '%s' in place", present) : 0;
}

/* The directory of a VM's keys, which kiln removes them from. */
static int open_key_dir(const char *vm, uid_t uid, char **ret_error) {
        _cleanup_free_ char *path = layout_vm_keys(vm);
        _cleanup_close_ int fd = -EBADF;
        struct statfs fs;
        int r;

        if (!path)
                return -ENOMEM;
        r = mkdir_parent_of_at(AT_FDCWD, path, 0700);
        if (r >= 0)
                r = mkdir_parents_at(AT_FDCWD, path, 0700);
        if (r >= 0) {
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                r = fd < 0 || fchown(fd, uid, uid) < 0 || fstatfs(fd, &fs) < 0 ? negative_errno() : 0;
        }
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot make '%s'", path);
        if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
                return sentence(ret_error, -EOPNOTSUPP, "'%s' is on a disk, where no key may be: mount a tmpfs there.", path);
        return TAKE_FD(fd);
}

int volume_key_hand_over(const char *vm, const char *volume, uid_t uid, char **ret_error) {
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        _cleanup_free_ char *name = layout_volume_credential(volume), *path = NULL;
        _cleanup_(volume_key_freep) VolumeKey *k = NULL;
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        int r;

        if (!name)
                return -ENOMEM;
        path = strf("%s/%s", directory ?: "", name);
        if (!path)
                return -ENOMEM;
        /* systemd has looked for it before a volume was made by this very start; and by hand there is no unit. */
        if (!directory || access(path, R_OK) < 0)
                r = volume_key_load(volume, &k, ret_error);
        else
                r = volume_key_read(path, &k, ret_error);
        if (r == -ENOENT)
                return sentence(ret_error, -ENOENT, "There is no key for the encrypted volume '%s' of VM '%s': its unit has no credential '%s'. Put one "
                                "into " LAYOUT_CREDENTIALS_DIR ", or name it by LoadCredential= in [Service].", volume, vm, name);
        if (r < 0)
                return r;
        dir_fd = open_key_dir(vm, uid, ret_error);
        if (dir_fd < 0)
                return dir_fd;
        if (unlinkat(dir_fd, volume, 0) < 0 && errno != ENOENT)
                r = negative_errno();
        else {
                fd = openat(dir_fd, volume, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
                r = fd < 0 || fchown(fd, uid, uid) < 0 ? negative_errno() : write_full(fd, k->bytes, k->size);
        }
        return r < 0 ? sentence_errno(ret_error, r, "Cannot hand the key of volume '%s' to VM '%s'", volume, vm) : 0;
}

int volume_key_take_back(const char *vm) {
        _cleanup_free_ char *path = layout_vm_keys(vm);

        return path ? remove_tree_at(AT_FDCWD, path) : -ENOMEM;
}
