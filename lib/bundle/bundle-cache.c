/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LAYOUT_BUNDLES_DIR:
 *
 *      <key>/                  a tree, never changed once it has this name
 *      <request>.manifest      what was asked for (its digest), the key of the tree that answers it, and all that the answer depends on
 *      .lock                   held by who makes or removes something of these
 *      .tmp/                   a tree that is being made or removed by the holder of the lock
 */

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/copy.h"
#include "base/dir.h"
#include "base/fd.h"
#include "base/parse.h"
#include "base/sentence.h"
#include "base/str.h"
#include "bundle/bundle-internal.h"
#include "bundle/bundle.h"
#include "layout/layout.h"

#define MANIFEST_MAGIC "inferno-bundle 1 "
#define MANIFEST_SUFFIX ".manifest"
#define TEMPORARY ".tmp"

enum { MANIFEST_SIZE_MAX = 4 * 1024 * 1024 };

static void update_u64(Sha256 *h, uint64_t v) {
        char buf[24];

        snprintf(buf, sizeof(buf), "%llu", (unsigned long long) v);
        sha256_update_string(h, buf);
}

static int manifest_name(const BundleItem *items, char **ret) {
        char hex[SHA256_HEX_SIZE];
        Sha256 h;

        sha256_init(&h);
        for (const BundleItem *i = items; i->source; i++) {
                update_u64(&h, i->kind);
                sha256_update_string(&h, i->source);
                sha256_update_string(&h, i->target ?: i->source);
        }
        sha256_finish_hex(&h, hex);
        *ret = strf("%s" MANIFEST_SUFFIX, hex);
        return *ret ? 0 : -ENOMEM;
}

static void tree_key(const Bundle *b, char ret[static SHA256_HEX_SIZE]) {
        Sha256 h;

        sha256_init(&h);
        sha256_update_string(&h, MANIFEST_MAGIC);
        for (size_t i = 0; i < b->n_entries; i++) {
                sha256_update_string(&h, b->entries[i].target);
                sha256_update_string(&h, b->entries[i].link ?: b->entries[i].content ?: b->entries[i].source);
                update_u64(&h, (b->entries[i].link ? 2u : b->entries[i].content ? 4u : 0u) + b->entries[i].executable);
        }
        for (size_t i = 0; i < b->n_inputs; i++)
                if (b->inputs[i].type == INPUT_FILE) {
                        sha256_update_string(&h, b->inputs[i].path);
                        update_u64(&h, b->inputs[i].size);
                        update_u64(&h, b->inputs[i].mtime_nsec);
                        update_u64(&h, b->inputs[i].inode);
                }
        sha256_finish_hex(&h, ret);
}

/* "f SIZE MTIME INODE /path" */
static int check_manifest_line(int root_fd, char *line) {
        uint64_t numbers[3];
        BundleInput now;
        InputType type;
        char *p;
        int r;

        if (!strchr("flda", line[0]) || line[1] != ' ')
                return -EBADMSG;
        type = (InputType) line[0];
        p = line + 2;
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                char *space = strchr(p, ' ');

                if (!space)
                        return -EBADMSG;
                *space = 0;
                r = parse_u64(p, numbers + i);
                if (r < 0)
                        return -EBADMSG;
                p = space + 1;
        }
        if (*p != '/')
                return -EBADMSG;
        r = bundle_stat_input(root_fd, type, p, &now);
        if (r <= 0)
                return r;
        return now.size == numbers[0] && now.mtime_nsec == numbers[1] && now.inode == numbers[2];
}

/* 1: there is one, and all that it was made from is as it was. 0: not so, or the file is no manifest. */
static int check_manifest(int dir_fd, const char *name, int root_fd, char ret_key[static SHA256_HEX_SIZE]) {
        _cleanup_free_ char *text = NULL;
        const char *key;
        char *line, *end;
        int r;

        r = read_file_at(dir_fd, name, MANIFEST_SIZE_MAX, &text, NULL);
        if (r < 0)
                return r == -ENOENT || r == -EFBIG ? 0 : r;
        key = startswith(text, MANIFEST_MAGIC);
        if (!key || strspn(key, "0123456789abcdef") != SHA256_HEX_SIZE - 1 || key[SHA256_HEX_SIZE - 1] != '\n')
                return 0;
        for (line = (char *) key + SHA256_HEX_SIZE; *line; line = end + 1) {
                end = strchr(line, '\n');
                if (!end)
                        return 0;
                *end = 0;
                r = check_manifest_line(root_fd, line);
                if (r <= 0)
                        return r == -EBADMSG ? 0 : r;
        }
        memcpy(ret_key, key, SHA256_HEX_SIZE - 1);
        ret_key[SHA256_HEX_SIZE - 1] = 0;
        return 1;
}

static int write_manifest(int dir_fd, const char *name, const Bundle *b, const char *key) {
        _cleanup_strbuf_ StrBuf buf = {};
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        strbuf_addf(&buf, MANIFEST_MAGIC "%s\n", key);
        for (size_t i = 0; i < b->n_inputs; i++)
                strbuf_addf(&buf, "%c %llu %llu %llu %s\n", (char) b->inputs[i].type, (unsigned long long) b->inputs[i].size,
                            (unsigned long long) b->inputs[i].mtime_nsec, (unsigned long long) b->inputs[i].inode, b->inputs[i].path);
        r = strbuf_finish(&buf, &text, &n);
        return r < 0 ? r : write_file_atomic_at(dir_fd, name, text, n, 0600, WRITE_FILE_SYNC | WRITE_FILE_LOCKED);
}

/* Opens a tree and locks it against removal; -ENOENT also where it was removed meanwhile. */
static int open_tree(int dir_fd, const char *key) {
        _cleanup_close_ int fd = openat(dir_fd, key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct stat a, b;

        if (fd < 0)
                return negative_errno();
        while (flock(fd, LOCK_SH) < 0)
                if (errno != EINTR)
                        return negative_errno();
        if (fstat(fd, &a) < 0 || fstatat(dir_fd, key, &b, AT_SYMLINK_NOFOLLOW) < 0)
                return negative_errno();
        return a.st_dev == b.st_dev && a.st_ino == b.st_ino ? TAKE_FD(fd) : -ENOENT;
}

static int build_tree(const Bundle *b, int dir_fd, const char *key) {
        _cleanup_close_ int tree_fd = -EBADF;
        int r;

        /* One that was killed may have left its beginnings. */
        r = remove_tree_at(dir_fd, TEMPORARY);
        if (r < 0)
                return r;
        if (mkdirat(dir_fd, TEMPORARY, 0700) < 0)
                return negative_errno();
        tree_fd = openat(dir_fd, TEMPORARY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = tree_fd < 0 ? negative_errno() : bundle_place(b, tree_fd, true);
        if (r >= 0)
                r = sync_tree(tree_fd);
        if (r >= 0 && (fchmod(tree_fd, 0755) < 0 || renameat(dir_fd, TEMPORARY, dir_fd, key) < 0))
                r = negative_errno();
        if (r < 0) {
                (void) remove_tree_at(dir_fd, TEMPORARY);
                return r;
        }
        return fsync(dir_fd) < 0 ? negative_errno() : 0;
}

static int open_cache(void) {
        _cleanup_free_ char *path = layout_path(LAYOUT_BUNDLES_DIR);
        int fd, r;

        if (!path)
                return -ENOMEM;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT) {
                r = mkdir_parents_at(AT_FDCWD, path, 0711);
                if (r < 0)
                        return r;
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        return fd < 0 ? negative_errno() : fd;
}

/* The tree that the manifest names, where all is as it was; -ENOENT otherwise. */
static int ensure_warm(int dir_fd, const char *manifest, int root_fd, char ret_key[static SHA256_HEX_SIZE]) {
        int r = check_manifest(dir_fd, manifest, root_fd, ret_key);

        return r < 0 ? r : r == 0 ? -ENOENT : open_tree(dir_fd, ret_key);
}

static int ensure_cold(const BundleItem *items, int dir_fd, const char *manifest, int root_fd, char ret_key[static SHA256_HEX_SIZE],
                       char **ret_error) {
        _cleanup_close_ int lock_fd = -EBADF, tree_fd = -EBADF;
        _cleanup_(bundle_freep) Bundle *b = NULL;
        int r;

        lock_fd = lock_file_at(dir_fd, ".lock");
        if (lock_fd < 0)
                return lock_fd;
        tree_fd = ensure_warm(dir_fd, manifest, root_fd, ret_key);
        if (tree_fd != -ENOENT)
                return TAKE_FD(tree_fd);
        r = bundle_resolve(items, &b, ret_error);
        if (r < 0)
                return r;
        tree_key(b, ret_key);
        tree_fd = open_tree(dir_fd, ret_key);
        if (tree_fd == -ENOENT) {
                r = build_tree(b, dir_fd, ret_key);
                if (r < 0)
                        return r;
                tree_fd = open_tree(dir_fd, ret_key);
        }
        if (tree_fd < 0)
                return tree_fd;
        r = write_manifest(dir_fd, manifest, b, ret_key);
        return r < 0 ? r : TAKE_FD(tree_fd);
}

int bundle_ensure(const BundleItem *items, int *ret_dir_fd, char ret_key[static SHA256_HEX_SIZE], char **ret_error) {
        _cleanup_close_ int dir_fd = -EBADF, root_fd = -EBADF;
        _cleanup_free_ char *manifest = NULL, *error = NULL;
        int r;

        r = manifest_name(items, &manifest);
        if (r < 0)
                return r;
        dir_fd = open_cache();
        if (dir_fd < 0)
                return sentence_errno(ret_error, dir_fd, "Cannot open '%s" LAYOUT_BUNDLES_DIR "'", layout_root());
        root_fd = bundle_open_root();
        if (root_fd < 0)
                return sentence_errno(ret_error, root_fd, "Cannot open '%s'", layout_root());
        r = ensure_warm(dir_fd, manifest, root_fd, ret_key);
        if (r == -ENOENT)
                r = ensure_cold(items, dir_fd, manifest, root_fd, ret_key, &error);
        if (r < 0) {
                if (error)
                        return sentence(ret_error, r, "%s", error);
                if (r == -ESTALE)
                        return sentence(ret_error, r,
                                        "A program, library or kernel was changed while it was copied: try again.");
                return sentence_errno(ret_error, r,
                                      "Cannot collect programs and libraries in '%s" LAYOUT_BUNDLES_DIR "'", layout_root());
        }
        *ret_dir_fd = r;
        return 0;
}

/* By rename first, so that a half removed tree does not have the name of a whole one. */
static int remove_unused_tree(int dir_fd, const char *name) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int r;

        if (fd < 0)
                return errno == ENOENT ? 0 : negative_errno();
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? 0 : negative_errno();
        r = remove_tree_at(dir_fd, TEMPORARY);
        if (r < 0)
                return r;
        if (renameat(dir_fd, name, dir_fd, TEMPORARY) < 0)
                return negative_errno();
        return remove_tree_at(dir_fd, TEMPORARY);
}

int bundle_prune(void) {
        _cleanup_close_ int dir_fd = -EBADF, lock_fd = -EBADF, root_fd = -EBADF;
        _cleanup_strv_ char **names = NULL, **used = NULL;
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        int r, k;

        dir_fd = open_cache();
        if (dir_fd < 0)
                return dir_fd;
        root_fd = bundle_open_root();
        if (root_fd < 0)
                return root_fd;
        lock_fd = lock_file_at(dir_fd, ".lock");
        if (lock_fd < 0)
                return lock_fd;
        r = dir_open_at(dir_fd, ".", 0, &d);
        if (r < 0)
                return r;
        while ((r = dir_next(d, &de)) > 0) {
                r = streq(de->d_name, ".lock") ? 0 : strv_extend(&names, de->d_name);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;

        STRV_FOREACH(name, names)
                if (endswith(*name, MANIFEST_SUFFIX) && (*name)[0] != '.') {
                        char key[SHA256_HEX_SIZE];

                        k = check_manifest(dir_fd, *name, root_fd, key);
                        if (k > 0)
                                k = strv_extend(&used, key);
                        else if (k == 0 && unlinkat(dir_fd, *name, 0) < 0)
                                k = negative_errno();
                        if (k < 0)
                                return k;       /* rather keep a tree than remove one in use */
                }
        STRV_FOREACH(name, names) {
                if (streq(*name, TEMPORARY) || startswith(*name, ".#"))
                        k = remove_tree_at(dir_fd, *name);      /* whoever made it is dead, for the lock is ours */
                else if (strlen(*name) == SHA256_HEX_SIZE - 1 && !strv_contains(used, *name))
                        k = remove_unused_tree(dir_fd, *name);
                else
                        continue;
                if (k < 0)
                        r = k;
        }
        return r;
}
