/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "base/sentence.h"
#include "base/subprocess.h"
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

int ext4_make(const char *mkfs, const char *path, Ext4Kind kind, char **ret_error) {
        const char *argv[] = {
                mkfs, "-q", "-F", "-m", "0", "-b", "4096", "-I", "256", "-i", kind == EXT4_VOLUME ? "16384" : "8192", "-O", ext4_features(kind),
                "-E", kind == EXT4_VOLUME ? LAZY "," COMMON : "lazy_itable_init=0,lazy_journal_init=0," COMMON, path, NULL,
        };
        const char *envp[] = { "MKE2FS_CONFIG=/dev/null", NULL };
        _cleanup_free_ char *text = NULL;
        int r;

        r = spawn_run(argv, envp, NULL, &text);
        if (r <= 0)
                return r < 0 ? sentence_errno(ret_error, r, "Cannot run '%s'", mkfs) : 0;
        if (strstr(text, strerror(ENOSPC)))
                return sentence_errno(ret_error, -ENOSPC, "Cannot make a file system in '%s'", path);
        return sentence(ret_error, -EIO, "'%s' cannot make a file system in '%s': %s", mkfs, path, spawn_last_line(text));
}
