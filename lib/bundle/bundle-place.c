/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/copy.h"
#include "base/fd.h"
#include "base/str.h"
#include "bundle/bundle-internal.h"
#include "bundle/bundle.h"

/* A hard link shares whatever is done to the file later. The package manager replaces its files by rename, so those may be shared;
 * what the administrator put elsewhere may be written over in place. */
static bool may_be_linked(const BundleEntry *e, int fd, const struct stat *st) {
        return startswith(e->source, "/usr/") && !startswith(e->source, "/usr/local/") && st->st_uid == 0 && (st->st_mode & 07022) == 0 &&
               fgetxattr(fd, "security.capability", NULL, 0) < 0;
}

/* A new file of the tree, open for writing. */
static int create(int tree_fd, const char *target) {
        int fd = openat(tree_fd, target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

        return fd < 0 ? negative_errno() : fd;
}

/* *clone is whether the file system can share blocks, until it has said that it cannot: links are tried first then. */
static int place_file(const Bundle *b, const BundleEntry *e, int tree_fd, bool may_link, bool *clone) {
        _cleanup_close_ int src = -EBADF, dst = -EBADF;
        const char *target = e->target + 1;
        struct stat st;
        int r;

        src = bundle_open_in_root(b->root_fd, e->source, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        if (src < 0)
                return src;
        if (fstat(src, &st) < 0)
                return negative_errno();
        may_link = may_link && may_be_linked(e, src, &st);
        if (may_link && !*clone && linkat(b->root_fd, e->source + 1, tree_fd, target, 0) >= 0)
                return 0;
        dst = create(tree_fd, target);
        if (dst < 0)
                return dst;
        if (*clone && ioctl(dst, FICLONE, src) < 0) {
                *clone = false;
                if (may_link) {
                        if (unlinkat(tree_fd, target, 0) < 0)
                                return negative_errno();
                        if (linkat(b->root_fd, e->source + 1, tree_fd, target, 0) >= 0)
                                return 0;
                        dst = safe_close(dst);
                        dst = create(tree_fd, target);
                        if (dst < 0)
                                return dst;
                }
                r = clone_data(src, dst);
        } else
                r = *clone ? 0 : clone_data(src, dst);
        if (r < 0)
                return r;
        return fchmod(dst, e->executable ? 0555 : 0444) < 0 ? negative_errno() : 0;
}

static int place_content(const BundleEntry *e, int tree_fd) {
        _cleanup_close_ int fd = create(tree_fd, e->target + 1);
        int r;

        if (fd < 0)
                return fd;
        r = write_full(fd, e->content, strlen(e->content));
        if (r < 0)
                return r;
        return fchmod(fd, e->executable ? 0555 : 0444) < 0 ? negative_errno() : 0;
}

int bundle_place(const Bundle *b, int tree_fd, bool may_link) {
        bool clone = true;
        int r;

        for (size_t i = 0; i < b->n_entries; i++)
                if (!b->entries[i].link) {
                        const BundleEntry *e = b->entries + i;

                        r = mkdir_parent_of_at(tree_fd, e->target + 1, 0755);
                        if (r >= 0)
                                r = e->content ? place_content(e, tree_fd) : place_file(b, e, tree_fd, may_link, &clone);
                        if (r < 0)
                                return r;
                }
        /* Last, so that no file was written through one of them. */
        for (size_t i = 0; i < b->n_entries; i++)
                if (b->entries[i].link) {
                        const char *target = b->entries[i].target + 1;

                        r = mkdir_parent_of_at(tree_fd, target, 0755);
                        if (r < 0)
                                return r;
                        if (symlinkat(b->entries[i].link, tree_fd, target) < 0)
                                return negative_errno();
                }
        /* What was copied is what had been looked at. */
        for (size_t i = 0; i < b->n_inputs; i++) {
                BundleInput now = {};

                r = bundle_stat_input(b->root_fd, b->inputs[i].type, b->inputs[i].path, &now);
                if (r < 0)
                        return r;
                if (r == 0 || now.size != b->inputs[i].size || now.mtime_nsec != b->inputs[i].mtime_nsec || now.inode != b->inputs[i].inode)
                        return -ESTALE;
        }
        return 0;
}
