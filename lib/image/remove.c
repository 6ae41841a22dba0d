/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Forgetting an image, or an attempt to get one, and what only that needed. */

#include <fcntl.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/error.h"
#include "image/work.h"

static void images_free(StoreImage *images, size_t n) {
        for (size_t i = 0; i < n; i++)
                store_image_done(images + i);
        free(images);
}

/* The digests of all blobs that an image of the store needs, its manifest included. A manifest that cannot be read keeps nothing: getting the
 * image again would need all of it anyway. */
static int add_needed(Work *w, const StoreImage *image, char ***needed) {
        _cleanup_oci_document_ OciDocument manifest = {};
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        r = strv_extend(needed, image->manifest_digest);
        if (r >= 0)
                r = strv_extend(needed, image->config_digest);
        if (r < 0)
                return r;
        if (!digest_is_valid(image->manifest_digest) ||
                        work_read_document(w->blobs_fd, image->manifest_digest, &text, &n) < 0 ||
                        oci_document_parse(text, n, &manifest, NULL) < 0)
                return 0;
        for (size_t i = 0; i < manifest.n_layers && r >= 0; i++)
                r = strv_extend(needed, manifest.layers[i].digest);
        return r;
}

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

typedef bool (*KeepFunc)(const char *name, char *const *keep, size_t n_keep);

static bool keep_blob(const char *name, char *const *keep, size_t n_keep) {
        char digest[DIGEST_SIZE];
        const char *p = digest;

        if (snprintf(digest, sizeof(digest), "sha256:%s", name) >= (int) sizeof(digest))
                return false;
        return bsearch(&p, keep, n_keep, sizeof(char *), compare_strings);
}

static bool keep_rootfs(const char *name, char *const *keep, size_t n_keep) {
        return bsearch(&name, keep, n_keep, sizeof(char *), compare_strings);
}

static int sweep(int dir_fd, KeepFunc keep_func, char **keep) {
        size_t n_keep = strv_length(keep);
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        int r, first = 0;

        if (n_keep > 1)
                qsort(keep, n_keep, sizeof(char *), compare_strings);
        r = dir_open_at(dir_fd, ".", 0, &d);
        if (r < 0)
                return r;
        while ((r = dir_next(d, &de)) > 0)
                if (!(keep && keep_func(de->d_name, keep, n_keep)))
                        first = first ?: remove_tree_at(dir_fd, de->d_name);
        return first ?: r;
}

/* The folders of pulls that were killed; with the store's lock held there are no others. */
static int sweep_scratch(Work *w) {
        _cleanup_strv_ char **keep = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = openat(w->images_fd, "oci", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return negative_errno();
        r = strv_extend(&keep, "blobs");
        return r < 0 ? r : sweep(fd, keep_rootfs, keep);
}

static bool keep_finished(const char *name, char *const *keep, size_t n_keep) {
        return !startswith(name, ".#");
}

int work_sweep_beginnings(Work *w, char **ret_error) {
        _cleanup_strv_ char **none = calloc(1, sizeof(char *));

        if (!none)
                return -ENOMEM;
        if (flock(w->store_lock_fd, LOCK_EX | LOCK_NB) >= 0) {
                (void) sweep(w->blobs_fd, keep_finished, none);
                (void) sweep(w->rootfs_fd, keep_finished, none);
                (void) sweep_scratch(w);
        }
        /* An attempt to have it alone loses the lock: flock(2). */
        while (flock(w->store_lock_fd, LOCK_SH) < 0)
                if (errno != EINTR)
                        return image_error_errno(ret_error, negative_errno(), "cannot lock %s/lock/store", w->images_path);
        return 0;
}

int work_remember_blobs(Work *w, char **ret_error) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        int r;

        r = dir_open_at(w->blobs_fd, ".", 0, &d);
        while (r >= 0 && (r = dir_next(d, &de)) > 0) {
                _cleanup_free_ char *digest = strf("sha256:%s", de->d_name);

                r = digest ? strv_extend(&w->blobs_before, digest) : -ENOMEM;
        }
        if (r < 0)
                return image_error_errno(ret_error, r, "cannot read the folder %s/oci/blobs", w->images_path);
        w->blobs_remembered = true;
        return 0;
}

void work_undo(Work *w, bool resumable) {
        _cleanup_free_ char *lock = NULL, *manifest_lock = NULL;
        bool has_reference = false, has_manifest = false;
        StoreImage *images = NULL;
        size_t n_images = 0;
        int r = 0;

        if (w->store_lock_fd < 0 || flock(w->store_lock_fd, LOCK_EX | LOCK_NB) < 0 ||
                        store_image_list(w->store, &images, &n_images) < 0)
                return;
        for (size_t i = 0; i < n_images && r >= 0; i++) {
                has_reference |= streq(images[i].reference, w->reference);
                has_manifest |= streq(images[i].manifest_digest, w->manifest_digest);
                r = add_needed(w, images + i, &w->blobs_before);
        }
        images_free(images, n_images);
        if (r >= 0 && w->blobs_remembered && !resumable)
                (void) sweep(w->blobs_fd, keep_blob, w->blobs_before);
        if (r >= 0 && !has_reference && work_reference_lock_name(w, &lock) >= 0)
                (void) unlinkat(w->locks_fd, lock, 0);
        if (r >= 0 && !has_manifest && work_manifest_lock_name(w->manifest_digest, &manifest_lock) >= 0)
                (void) unlinkat(w->locks_fd, manifest_lock, 0);
}

int image_remove(Store *store, const char *reference, ImageNotify notify, void *userdata, char **ret_error) {
        _cleanup_strv_ char **blobs = NULL, **files = NULL;
        _cleanup_store_image_ StoreImage row = {};
        _cleanup_work_ Work w = WORK_EMPTY;
        _cleanup_free_ char *lock = NULL, *manifest_lock = NULL;
        StoreImage *images = NULL;
        size_t n_images = 0;
        int r;

        w.store = store;
        w.observer = (ImageObserver) { .notify = notify, .userdata = userdata };
        r = work_open(&w, reference, ret_error);
        if (r < 0)
                return r;
        r = work_lock_reference(&w, ret_error);
        if (r >= 0)
                r = work_lock_store(&w, LOCK_EX, ret_error);
        if (r < 0)
                return image_error_prefix(ret_error, r, "Image \"%s\"", reference);
        r = store_image_get(store, w.reference, &row);
        if (r == -ENOENT) {
                work_undo(&w, true);
                return image_error(ret_error, r, "Image \"%s\" is not in the store.", reference);
        }
        /* The row first: from here on nobody takes the file for an image. */
        if (r >= 0)
                r = store_image_remove(store, w.reference);
        if (r >= 0)
                r = store_image_list(store, &images, &n_images);
        if (r < 0)
                return image_error(ret_error, r, "%s", store_error(store));

        for (size_t i = 0; i < n_images && r >= 0; i++) {
                r = add_needed(&w, images + i, &blobs);
                if (r >= 0)
                        r = strv_extend(&files, images[i].rootfs);
        }
        images_free(images, n_images);
        if (r >= 0)
                r = sweep(w.rootfs_fd, keep_rootfs, files);
        if (r >= 0)
                r = sweep(w.blobs_fd, keep_blob, blobs);
        if (r >= 0)
                r = sweep_scratch(&w);
        if (r >= 0)
                r = work_reference_lock_name(&w, &lock);
        if (r >= 0)
                r = work_manifest_lock_name(row.manifest_digest, &manifest_lock);
        if (r < 0)
                return image_error_errno(ret_error, r,
                                "Image \"%s\" is out of the database, but not all of its files could be "
                                "removed",
                                reference);
        (void) unlinkat(w.locks_fd, manifest_lock, 0);
        (void) unlinkat(w.locks_fd, lock, 0);
        return 0;
}
