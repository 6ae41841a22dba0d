/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/copy.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jailer/jail.h"

enum {
        /* Documentation/admin-guide/devices.txt of the kernel */
        MAJOR_MEM = 1,
        MINOR_URANDOM = 9,
        MAJOR_MISC = 10,
        MINOR_TUN = 200,
        MINOR_KVM = 232,
};

static int fail_occupied(const char *name) {
        return log_error_errno(EEXIST, "'/%s' is in the jail already: another instance runs there, or has died and left it. Remove it once nothing "
                                       "runs there.", name);
}

int jail_take_over(int root_fd, const JailerOptions *o) {
        _cleanup_free_ char *pid_file = strf("%s.pid", o->exec_name);
        struct stat st;

        if (!pid_file)
                return log_oom();
        if (fstatat(root_fd, pid_file, &st, AT_SYMLINK_NOFOLLOW) >= 0)
                return fail_occupied(pid_file);
        if (fchown(root_fd, 0, 0) < 0 || fchmod(root_fd, 0700) < 0)
                return log_error_errno(errno, "Cannot take the jail's root directory over: %m.");
        return 0;
}

static int remove_old_program(int root_fd, const char *name) {
        struct stat st;

        if (fstatat(root_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : log_error_errno(errno, "Cannot look at '/%s' in the jail: %m.", name);
        if (!S_ISREG(st.st_mode))
                return log_error_errno(ELOOP, "'/%s' in the jail is a symlink or no file: remove it.", name);
        if (st.st_nlink > 1)
                return log_error_errno(EMLINK, "'/%s' in the jail has other hard links, which would get the program's owner, too: remove it.",
                                       name);
        if (unlinkat(root_fd, name, 0) < 0)
                return log_error_errno(errno, "Cannot remove the old '/%s' in the jail: %m.", name);
        return 0;
}

int jail_copy_program(int root_fd, const JailerOptions *o) {
        _cleanup_close_ int from = -EBADF, to = -EBADF;
        struct stat st;
        int r;

        from = open(o->exec_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (from < 0)
                return log_error_errno(errno, "Cannot open '%s': %m.", o->exec_path);
        if (fstat(from, &st) < 0)
                return log_error_errno(errno, "Cannot look at '%s': %m.", o->exec_path);
        if (!S_ISREG(st.st_mode))
                return log_error_errno(ENOEXEC, "'%s' is not a file.", o->exec_path);

        /* Always a new file: nobody can have an old one open for writing. */
        r = remove_old_program(root_fd, o->exec_name);
        if (r < 0)
                return r;
        to = openat(root_fd, o->exec_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (to < 0)
                return log_error_errno(errno, "Cannot make '/%s' in the jail: %m.", o->exec_name);
        r = clone_data(from, to);
        if (r < 0)
                return log_error_errno(r, "Cannot copy '%s' into the jail: %m.", o->exec_path);
        if (fchown(to, o->uid, o->gid) < 0 || fchmod(to, st.st_mode & 0777) < 0)
                return log_error_errno(errno, "Cannot hand '/%s' to user %u in the jail: %m.", o->exec_name, o->uid);
        return 0;
}

int jail_enter(int root_fd) {
        _cleanup_close_ int tree_fd = -EBADF;

        /* pivot_root(2) wants a mount point: the directory becomes one by a mount of itself, with what is mounted below. By descriptors, so that
         * it is the directory that was checked. */
        tree_fd = open_tree(root_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
        if (tree_fd < 0)
                return log_error_errno(errno, "Cannot bind the jail's root directory: %m.");
        if (move_mount(tree_fd, "", root_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
                return log_error_errno(errno, "Cannot mount the jail's root directory: %m.");
        if (fchdir(tree_fd) < 0)
                return log_error_errno(errno, "Cannot enter the jail's root directory: %m.");

        /* With "." twice the old root comes to lie over the new one and is gone with the next call: no directory has to be made for it
         * (pivot_root(2), "pivot_root(".", ".")"). */
        if (syscall(SYS_pivot_root, ".", ".") < 0)
                return log_error_errno(errno, "Cannot make the jail the root directory: %m.");
        if (umount2(".", MNT_DETACH) < 0)
                return log_error_errno(errno, "Cannot unmount the old root directory: %m.");
        if (chdir("/") < 0)
                return log_error_errno(errno, "Cannot go to the jail's root directory: %m.");
        return 0;
}

/* A directory of ours below `dir_fd`, made if missing, belonging to root until it is handed over. */
static int take_directory(int dir_fd, const char *name, int *ret) {
        _cleanup_close_ int fd = -EBADF;

        if (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
                return log_error_errno(errno, "Cannot make directory '%s' in the jail: %m.", name);
        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ELOOP || errno == ENOTDIR
                        ? log_error_errno(errno, "'%s' in the jail is a symlink or no directory: remove it.", name)
                        : log_error_errno(errno, "Cannot open directory '%s' in the jail: %m.", name);
        if (fchown(fd, 0, 0) < 0 || fchmod(fd, 0700) < 0)
                return log_error_errno(errno, "Cannot take directory '%s' in the jail over: %m.", name);
        *ret = TAKE_FD(fd);
        return 0;
}

static int make_node(int dir_fd, const char *path, unsigned major_number, unsigned minor_number, const JailerOptions *o) {
        const char *name = strrchr(path, '/') + 1;

        if (mknodat(dir_fd, name, S_IFCHR | 0600, makedev(major_number, minor_number)) < 0) {
                if (errno == EEXIST)
                        return fail_occupied(path);
                /* A container may make no nodes. Whether the program needs this one is for itself to say, when it opens it. */
                if (errno == EPERM) {
                        log_warning("Not permitted to make device '/%s' in the jail: going on without it.", path);
                        return 0;
                }
                return log_error_errno(errno, "Cannot make device '/%s' in the jail: %m.", path);
        }
        if (fchmodat(dir_fd, name, 0600, 0) < 0 || fchownat(dir_fd, name, o->uid, o->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return log_error_errno(errno, "Cannot hand device '/%s' in the jail to user %u: %m.", path, o->uid);
        return 0;
}

/* Of lines "<minor> <name>", proc(5). -1: the kernel has no such device. */
static int find_misc_minor(const char *misc, const char *name) {
        for (const char *line = misc; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
                char word[32];
                unsigned minor_number;

                if (sscanf(line, "%u %31s", &minor_number, word) == 2 && streq(word, name))
                        return (int) minor_number;
        }
        return -1;
}

int jail_populate(int root_fd, const JailerOptions *o, const char *misc) {
        _cleanup_close_ int dev_fd = -EBADF, net_fd = -EBADF, run_fd = -EBADF;
        int userfaultfd_minor = find_misc_minor(misc, "userfaultfd"), r;
        struct statvfs sv;

        if (fstatvfs(root_fd, &sv) >= 0 && (sv.f_flag & ST_NODEV))
                log_warning("The jail is on a file system that is mounted nodev, where no device can be opened: choose another "
                            "--chroot-base-dir.");

        r = take_directory(root_fd, "dev", &dev_fd);
        if (r < 0)
                return r;
        r = take_directory(dev_fd, "net", &net_fd);
        if (r < 0)
                return r;
        r = take_directory(root_fd, "run", &run_fd);
        if (r < 0)
                return r;

        r = make_node(net_fd, "dev/net/tun", MAJOR_MISC, MINOR_TUN, o);
        if (r < 0)
                return r;
        r = make_node(dev_fd, "dev/kvm", MAJOR_MISC, MINOR_KVM, o);
        if (r < 0)
                return r;
        r = make_node(dev_fd, "dev/urandom", MAJOR_MEM, MINOR_URANDOM, o);
        if (r < 0)
                return r;
        if (userfaultfd_minor >= 0) {
                r = make_node(dev_fd, "dev/userfaultfd", MAJOR_MISC, (unsigned) userfaultfd_minor, o);
                if (r < 0)
                        return r;
        }

        if (fchown(net_fd, o->uid, o->gid) < 0 || fchown(dev_fd, o->uid, o->gid) < 0 || fchown(run_fd, o->uid, o->gid) < 0 ||
            fchown(root_fd, o->uid, o->gid) < 0)
                return log_error_errno(errno, "Cannot hand the jail to user %u: %m.", o->uid);
        return 0;
}

int jail_write_pid(int root_fd, const JailerOptions *o, int pid) {
        _cleanup_free_ char *name = strf("%s.pid", o->exec_name), *text = strf("%d", pid);
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!name || !text)
                return log_oom();
        fd = openat(root_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0 && errno == EEXIST)
                return fail_occupied(name);
        r = fd < 0 ? negative_errno() : write_full(fd, text, strlen(text));
        return r < 0 ? log_error_errno(r, "Cannot write '/%s' in the jail: %m.", name) : 0;
}
