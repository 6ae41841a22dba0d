/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "version/ext4.h"

/* Features by name, for the host's mke2fs.conf is made for the host's kernel, not for the guest's. A layer that lives for one run needs neither
 * journal nor checksums, nor room to grow. */
#define FEATURES "none,ext_attr,dir_index,filetype,extent,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize"
#define FEATURES_PERSISTENT FEATURES ",has_journal,metadata_csum,64bit,resize_inode"

#define COMMON "nodiscard,root_owner=0:0"
/* A volume may be large, and its file has holes, which read as zero: nothing is written into it before the guest does. */
#define LAZY "lazy_itable_init=1,lazy_journal_init=1"

const char *ext4_features(Ext4Kind kind) {
        return kind == EXT4_EPHEMERAL ? FEATURES : FEATURES_PERSISTENT;
}

const char *ext4_find_mkfs(struct stat *ret_stat) {
        static const char *const mkfs_paths[] = { "/usr/sbin/mke2fs", "/sbin/mke2fs" };

        for (size_t i = 0; i < ELEMENTSOF(mkfs_paths); i++)
                if (stat(mkfs_paths[i], ret_stat) >= 0)
                        return mkfs_paths[i];
        return NULL;
}

/* What a program said last, in place. */
static const char *last_line(char *text) {
        size_t n = strlen(text);
        char *newline;

        while (n > 0 && text[n - 1] == '\n')
                text[--n] = 0;
        newline = strrchr(text, '\n');
        return newline ? newline + 1 : n > 0 ? text : "it did not say why";
}

int ext4_make(const char *mkfs, const char *path, Ext4Kind kind, char **ret_error) {
        const char *argv[] = {
                mkfs, "-q", "-F", "-m", "0", "-b", "4096", "-I", "256", "-i", kind == EXT4_VOLUME ? "16384" : "8192", "-O", ext4_features(kind),
                "-E", kind == EXT4_VOLUME ? LAZY "," COMMON : "lazy_itable_init=0,lazy_journal_init=0," COMMON, path, NULL,
        };
        const char *envp[] = { "MKE2FS_CONFIG=/dev/null", "LANG=C.UTF-8", NULL };
        _cleanup_close_ int read_fd = -EBADF, write_fd = -EBADF;
        posix_spawn_file_actions_t actions;
        char text[512] = "";
        int fds[2], status, r;
        ssize_t n;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return negative_errno();
        read_fd = fds[0];
        write_fd = fds[1];
        r = -posix_spawn_file_actions_init(&actions);
        if (r < 0)
                return r;
        r = -posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
        if (r >= 0)
                r = -posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
        if (r >= 0)
                r = -posix_spawn_file_actions_adddup2(&actions, write_fd, STDERR_FILENO);
        if (r >= 0)
                r = -posix_spawn(&pid, mkfs, &actions, NULL, (char **) argv, (char **) envp);
        (void) posix_spawn_file_actions_destroy(&actions);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot run '%s'", mkfs);
        write_fd = safe_close(write_fd);
        n = read_full(read_fd, text, sizeof(text) - 1);
        read_fd = safe_close(read_fd);
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return negative_errno();
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        text[MAX(n, (ssize_t) 0)] = 0;
        if (strstr(text, strerror(ENOSPC)))
                return sentence_errno(ret_error, -ENOSPC, "Cannot make a file system in '%s'", path);
        return sentence(ret_error, -EIO, "'%s' cannot make a file system in '%s': %s", mkfs, path, last_line(text));
}
