/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/error.h"
#include "image/work.h"
#include "layout/layout.h"

void work_done(Work *w) {
        free(w->reference);
        free(w->images_path);
        strv_free(w->blobs_before);
        free(w->scratch);
        free(w->auth_file);
        if (w->layers_fd != w->blobs_fd)
                safe_close(w->layers_fd);
        safe_close(w->images_fd);
        safe_close(w->blobs_fd);
        safe_close(w->rootfs_fd);
        safe_close(w->locks_fd);
        safe_close(w->reference_lock_fd);
        safe_close(w->store_lock_fd);
        oci_document_done(&w->manifest);
        oci_config_done(&w->config);
        progress_done(&w->progress);
}

void work_say(const Work *w, ImageNotice kind, const char *format, ...) {
        _cleanup_free_ char *s = NULL;
        va_list ap;
        int k;

        if (!w->observer.notify)
                return;
        va_start(ap, format);
        k = vasprintf(&s, format, ap);
        va_end(ap);
        if (k < 0) {
                s = NULL;
                return;
        }
        w->observer.notify(kind, s, w->observer.userdata);
}

void work_begin_layers(Work *w, const OciDocument *manifest) {
        progress_done(&w->progress);
        for (size_t i = 0; i < manifest->n_layers; i++) {
                const OciDescriptor *d = manifest->layers + i;
                _cleanup_close_ int fd = work_open_blob(w->layers_fd, d->digest, d->size, 0);
                ImageLayer *l = progress_layer(&w->progress, d->digest);

                if (!l)
                        return;
                l->size = d->size;
                l->state = fd >= 0 ? IMAGE_LAYER_HERE : IMAGE_LAYER_WAITING;
        }
        work_show_layers(w);
}

void work_layer_is(Work *w, const OciDescriptor *layer, ImageLayerState state) {
        ImageLayer *l = progress_layer(&w->progress, layer->digest);

        if (l)
                l->state = state;
        work_show_layers(w);
}

void work_show_layers(const Work *w) {
        if (w->observer.layers && w->progress.n > 0)
                w->observer.layers(w->progress.layers, w->progress.n, w->observer.userdata);
}

/* The store's folders. */

static int open_folder(Work *w, const char *name, mode_t mode, int *ret, char **ret_error) {
        int r;

        r = mkdir_parents_at(w->images_fd, name, mode);
        if (r < 0)
                return image_error_errno(ret_error, r, "cannot make the folder %s/%s", w->images_path, name);
        *ret = openat(w->images_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (*ret < 0)
                return image_error_errno(ret_error, negative_errno(), "cannot open the folder %s/%s", w->images_path, name);
        return 0;
}

static int open_store_folders(Work *w, char **ret_error) {
        int r;

        w->images_path = layout_path(LAYOUT_IMAGES_DIR);
        if (!w->images_path)
                return -ENOMEM;
        r = mkdir_parents_at(AT_FDCWD, w->images_path, 0711);
        if (r < 0)
                return image_error_errno(ret_error, r, "cannot make the folder %s", w->images_path);
        w->images_fd = open(w->images_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (w->images_fd < 0)
                return image_error_errno(ret_error, negative_errno(), "cannot open the folder %s", w->images_path);
        /* Root's alone: what is in an image may be as private as the registry it came from. VMs get at it through their jails. */
        r = open_folder(w, "oci/blobs/sha256", 0700, &w->blobs_fd, ret_error);
        if (r < 0)
                return r;
        r = open_folder(w, "rootfs", 0700, &w->rootfs_fd, ret_error);
        if (r < 0)
                return r;
        r = open_folder(w, "lock", 0700, &w->locks_fd, ret_error);
        if (r < 0)
                return r;
        w->layers_fd = w->blobs_fd;
        w->layers_are_ours = true;
        return 0;
}

/* Locks. */

int work_lock(Work *w, const char *name, int operation, const char *waiting, int *ret, char **ret_error) {
        for (;;) {
                _cleanup_close_ int fd = openat(w->locks_fd, name,
                                O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
                struct stat a, b;

                if (fd < 0)
                        return image_error_errno(ret_error, negative_errno(),
                                        "cannot open the lock %s/lock/%s", w->images_path, name);
                if (flock(fd, operation | LOCK_NB) < 0) {
                        if (errno != EWOULDBLOCK)
                                return image_error_errno(ret_error, negative_errno(),
                                                "cannot lock %s/lock/%s", w->images_path, name);
                        work_say(w, IMAGE_NOTICE_STEP, "%s", waiting);
                        while (flock(fd, operation) < 0)
                                if (errno != EINTR)
                                        return image_error_errno(ret_error, negative_errno(),
                                                        "cannot lock %s/lock/%s", w->images_path, name);
                }
                /* Who removed the image may have removed the file that we waited for. */
                if (fstat(fd, &a) < 0)
                        return negative_errno();
                if (fstatat(w->locks_fd, name, &b, AT_SYMLINK_NOFOLLOW) >= 0 && a.st_dev == b.st_dev &&
                                a.st_ino == b.st_ino) {
                        *ret = TAKE_FD(fd);
                        return 0;
                }
        }
}

int work_reference_lock_name(const Work *w, char **ret) {
        char digest[DIGEST_SIZE];

        digest_of(w->reference, strlen(w->reference), digest);
        *ret = strf("reference-%.32s", digest_hex(digest));
        return *ret ? 0 : -ENOMEM;
}

int work_manifest_lock_name(const char *digest, char **ret) {
        *ret = digest_is_valid(digest) ? strf("manifest-%.32s", digest_hex(digest)) : strdup("manifest");
        return *ret ? 0 : -ENOMEM;
}

int work_lock_reference(Work *w, char **ret_error) {
        _cleanup_free_ char *name = NULL, *waiting = NULL;
        int r;

        r = work_reference_lock_name(w, &name);
        if (r < 0)
                return r;
        waiting = strf("Waiting for another process that gets %s.", w->reference);
        if (!waiting)
                return -ENOMEM;
        return work_lock(w, name, LOCK_EX, waiting, &w->reference_lock_fd, ret_error);
}

int work_lock_store(Work *w, int operation, char **ret_error) {
        return work_lock(w, "store", operation,
                        operation == LOCK_EX ? "Waiting for other processes that get images."
                                             : "Waiting for another process that removes an image.",
                        &w->store_lock_fd, ret_error);
}

/* Blobs. */

int work_open_blob(int dir_fd, const char *digest, uint64_t size, int flags) {
        _cleanup_close_ int fd = openat(dir_fd, digest_hex(digest), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
        struct stat st;

        if (fd < 0)
                return negative_errno();
        if (fstat(fd, &st) < 0)
                return negative_errno();
        return S_ISREG(st.st_mode) && (uint64_t) st.st_size == size ? TAKE_FD(fd) : -ENOENT;
}

int work_read_document(int dir_fd, const char *digest, char **ret, size_t *ret_n) {
        _cleanup_free_ char *text = NULL;
        char found[DIGEST_SIZE];
        size_t n;
        int r;

        r = read_file_at(dir_fd, digest_hex(digest), OCI_DOCUMENT_MAX, &text, &n);
        if (r == -EFBIG || r == -EISDIR || r == -EBADF)
                return -ENOENT;
        if (r < 0)
                return r;
        digest_of(text, n, found);
        if (!streq(found, digest))
                return -ENOENT;
        *ret = TAKE_PTR(text);
        *ret_n = n;
        return 0;
}

int work_put_document(Work *w, const char *digest, const void *data, size_t n, char **ret_error) {
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t m;
        int r;

        if (work_read_document(w->blobs_fd, digest, &text, &m) >= 0) {
                /* Of skopeo's making, maybe, which does not sync manifests. */
                fd = openat(w->blobs_fd, digest_hex(digest), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
                if (fd < 0 || fsync(fd) < 0)
                        return image_error_errno(ret_error, negative_errno(), "cannot sync %s/oci/blobs", w->images_path);
                return 0;
        }
        r = write_file_atomic_at(w->blobs_fd, digest_hex(digest), data, n, 0444, WRITE_FILE_SYNC);
        if (r < 0)
                return image_error_errno(ret_error, r, "cannot write to %s/oci/blobs", w->images_path);
        return 0;
}

bool work_have_layers(Work *w, const OciDocument *manifest) {
        bool all = true;

        for (size_t i = 0; i < manifest->n_layers; i++) {
                _cleanup_close_ int fd = work_open_blob(w->blobs_fd, manifest->layers[i].digest,
                                manifest->layers[i].size, O_NOFOLLOW);

                if (fd == -ENOENT)
                        (void) unlinkat(w->blobs_fd, digest_hex(manifest->layers[i].digest), 0);
                all = all && fd >= 0;
        }
        return all;
}

int work_complete_error(const Work *w, int r, const char *reference, char **ret_error) {
        if (r == -ENOSPC || r == -EDQUOT)
                (void) image_error_suffix(ret_error, r, "; make room below %s", w->images_path);
        else if (r == -EROFS)
                (void) image_error_suffix(ret_error, r, "; make %s writable", w->images_path);
        else if (r == -EMFILE || r == -ENFILE)
                (void) image_error_suffix(ret_error, r, "; raise the limit on open files");
        return image_error_prefix(ret_error, r, "Image \"%s\"", reference);
}

int work_open(Work *w, const char *reference, char **ret_error) {
        int r;

        r = image_reference_normalize(reference, &w->reference, ret_error);
        if (r < 0)
                return r;
        w->architecture = oci_architecture();
        if (!w->architecture)
                return image_error(ret_error, -EOPNOTSUPP, "There are no images for the architecture of this machine.");
        r = open_store_folders(w, ret_error);
        return r < 0 ? work_complete_error(w, r, reference, ret_error) : 0;
}
