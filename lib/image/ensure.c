/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a reference to an image file: what is there already, where the blobs come from, the file built from them, the row that makes it count. */

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/error.h"
#include "image/layer.h"
#include "image/merge.h"
#include "image/squash.h"
#include "image/tree.h"
#include "image/work.h"

/* The lock's time is when the reference was last looked up where it comes from. */
static void mark_looked_up(Work *w) {
        (void) futimens(w->reference_lock_fd, NULL);
}

static int timespec_cmp(const struct timespec *a, const struct timespec *b) {
        if (a->tv_sec != b->tv_sec)
                return a->tv_sec < b->tv_sec ? -1 : 1;
        return a->tv_nsec < b->tv_nsec ? -1 : a->tv_nsec > b->tv_nsec;
}

static bool looked_up_since(Work *w, const struct timespec *then) {
        struct timespec now;
        struct stat st;

        if (fstat(w->reference_lock_fd, &st) < 0)
                return false;
        /* A time to come is of a clock that was set back since, and says nothing. */
        (void) clock_gettime(CLOCK_REALTIME, &now);
        return timespec_cmp(&st.st_mtim, then) > 0 && timespec_cmp(&st.st_mtim, &now) <= 0;
}

/* Building. */

static int merge_layers(Work *w, Tree *tree, LayerData *layers, bool *ret_refetch, char **ret_error) {
        uint64_t left = w->site->image_size_max;
        int r;

        for (size_t i = 0; i < w->manifest.n_layers; i++) {
                const OciDescriptor *d = w->manifest.layers + i;
                _cleanup_close_ int fd = -EBADF;
                bool wrong = false;

                work_layer_is(w, d, IMAGE_LAYER_UNPACKING);
                work_say(w, IMAGE_NOTICE_PROGRESS, "Unpacking layer %zu of %zu, %.1f MiB.", i + 1,
                                w->manifest.n_layers, (double) d->size / (double) MIB(1));
                fd = work_open_blob(w->layers_fd, d->digest, d->size, w->layers_are_ours ? O_NOFOLLOW : 0);
                if (fd == -ENOENT) {
                        wrong = true;
                        r = image_error(ret_error, -EBADMSG,
                                        "its blob is missing, or does not have the %" PRIu64
                                        " bytes that the manifest says",
                                        d->size);
                } else if (fd < 0)
                        r = image_error_errno(ret_error, fd, "cannot open its blob");
                else
                        r = layer_unpack(fd, d->digest, d->size, w->config.diff_ids[i], left, w->rootfs_fd,
                                        layers + i, &wrong, ret_error);
                if (wrong && w->layers_are_ours) {
                        (void) unlinkat(w->blobs_fd, digest_hex(d->digest), 0);
                        *ret_refetch = true;
                }
                if (r >= 0) {
                        left -= layers[i].size;
                        r = merge_layer(tree, (unsigned) i, layers[i].data, layers[i].size,
                                        w->site->image_size_max, ret_error);
                }
                if (r < 0)
                        return r == -ENOMEM ? r
                                            : image_error_prefix(ret_error, r, "layer %zu of %zu (%s)",
                                                              i + 1, w->manifest.n_layers, d->digest);
                work_layer_is(w, d, IMAGE_LAYER_UNPACKED);
        }
        return 0;
}

static void layers_free(LayerData *layers, size_t n) {
        for (size_t i = 0; i < n; i++)
                layer_data_done(layers + i);
        free(layers);
}

/* Writes the image file to fd. */
static int build_to(Work *w, int fd, uint64_t *ret_size, bool *ret_refetch, char **ret_error) {
        _cleanup_(tree_freep) Tree *tree = NULL;
        LayerData *layers;
        int r;

        layers = calloc(w->manifest.n_layers + 1, sizeof(LayerData));
        if (!layers)
                return -ENOMEM;
        work_begin_layers(w, &w->manifest);
        r = tree_new(w->site->image_entries_max, &tree);
        if (r >= 0)
                r = merge_layers(w, tree, layers, ret_refetch, ret_error);
        if (r >= 0) {
                uint64_t n = tree_stats(tree)->n_dropped_xattrs;

                if (n > 0)
                        work_say(w, IMAGE_NOTICE_WARNING,
                                        "%s: left out %" PRIu64 " extended attributes (ACLs, for one) of "
                                                                "namespaces that squashfs does not have.",
                                        w->reference, n);
                work_say(w, IMAGE_NOTICE_PROGRESS, "Writing the image file, %" PRIu64 " entries.",
                                tree_stats(tree)->n_entries);
                r = squash_write(tree, layers, w->manifest.n_layers, w->site->image_size_max, fd, ret_size, ret_error);
        }
        layers_free(layers, w->manifest.n_layers);
        return r;
}

static int existing_rootfs(Work *w, const char *name, uint64_t *ret_size) {
        _cleanup_close_ int fd = openat(w->rootfs_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        struct stat st;
        int r;

        if (fd < 0)
                return negative_errno();
        if (fstat(fd, &st) < 0)
                return negative_errno();
        r = squash_check(fd, (uint64_t) st.st_size);
        if (r < 0)
                return r;
        *ret_size = (uint64_t) st.st_size;
        return 0;
}

/* The image file of the manifest, built where it is not there. The file has its name when its content is on the disk. */
static int ensure_rootfs(Work *w, char **ret_name, uint64_t *ret_size, bool *ret_refetch, char **ret_error) {
        const char *hex = digest_hex(w->manifest_digest);
        _cleanup_free_ char *name = strf("%s.squashfs", hex), *temporary = strf(".#%s.squashfs", hex), *lock = NULL;
        _cleanup_close_ int lock_fd = -EBADF, fd = -EBADF;
        int r;

        if (!name || !temporary)
                return -ENOMEM;
        r = work_manifest_lock_name(w->manifest_digest, &lock);
        if (r < 0)
                return r;
        r = work_lock(w, lock, LOCK_EX, "Waiting for another process that builds the same image.", &lock_fd, ret_error);
        if (r < 0)
                return r;
        r = existing_rootfs(w, name, ret_size);
        if (r >= 0) {
                *ret_name = TAKE_PTR(name);
                return 0;
        }
        if (r != -ENOENT && r != -EUCLEAN)
                return image_error_errno(ret_error, r, "cannot look at %s/rootfs/%s", w->images_path, name);

        /* Under the lock the name is nobody else's: what stands there a killed one has left. */
        (void) unlinkat(w->rootfs_fd, temporary, 0);
        fd = openat(w->rootfs_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
        if (fd < 0)
                return image_error_errno(ret_error, negative_errno(), "cannot make a file in %s/rootfs", w->images_path);
        r = build_to(w, fd, ret_size, ret_refetch, ret_error);
        if (r >= 0) {
                r = squash_seal(fd);
                if (r < 0)
                        (void) image_error_errno(ret_error, r, "cannot sync the image file");
        }
        if (r >= 0 && (renameat(w->rootfs_fd, temporary, w->rootfs_fd, name) < 0 || fsync(w->rootfs_fd) < 0))
                r = image_error_errno(ret_error, negative_errno(), "cannot name the image file");
        if (r < 0) {
                (void) unlinkat(w->rootfs_fd, temporary, 0);
                return r;
        }
        *ret_name = TAKE_PTR(name);
        return 0;
}

static int record(Work *w, char *rootfs, uint64_t size, char **ret_error) {
        struct timespec now;
        StoreImage row = {
                .reference = w->reference,
                .manifest_digest = w->manifest_digest,
                .config_digest = w->manifest.config.digest,
                .rootfs = rootfs,
                .size = size,
        };
        int r;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        row.created_usec = (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
        r = store_image_put(w->store, &row);
        return r < 0 ? image_error(ret_error, r, "%s", store_error(w->store)) : 0;
}

static bool same_as_recorded(const Work *w, const StoreImage *row, const char *rootfs, uint64_t size) {
        return row->reference && streq(row->manifest_digest, w->manifest_digest) &&
               streq(row->config_digest, w->manifest.config.digest) && streq(row->rootfs, rootfs) &&
               row->size == size;
}

/* With the reference's lock held. */
static int get(Work *w, PullPolicy policy, char **ret_error) {
        _cleanup_store_image_ StoreImage row = {};
        bool from_store, refetch;
        int r;

        r = store_image_get(w->store, w->reference, &row);
        if (r < 0 && r != -ENOENT)
                return image_error(ret_error, r, "%s", store_error(w->store));
        r = work_lock_store(w, LOCK_SH, ret_error);
        if (r < 0)
                return r;

        r = work_sweep_beginnings(w, ret_error);
        if (r >= 0)
                r = work_remember_blobs(w, ret_error);
        if (r < 0)
                return r;

        from_store = row.reference && policy != PULL_ALWAYS && work_fetch_from_store(w, &row) >= 0;
        if (!from_store && policy == PULL_NEVER)
                return image_error(ret_error, -ENOENT,
                                "it is not in the store, and Pull=never; get it with: inferno-image pull %s",
                                w->reference);

        for (unsigned attempt = 0;; attempt++) {
                _cleanup_free_ char *rootfs = NULL;
                uint64_t size;

                if (!from_store) {
                        r = work_fetch(w, ret_error);
                        if (r < 0)
                                return r;
                }
                refetch = false;
                r = ensure_rootfs(w, &rootfs, &size, &refetch, ret_error);
                if (r < 0) {
                        /* A blob of the store that has gone bad is gone now; once more, then, from where it came. */
                        if (!refetch || attempt > 0 || policy == PULL_NEVER)
                                return r;
                        if (ret_error)
                                work_say(w, IMAGE_NOTICE_WARNING, "%s: %s; getting it again.", w->reference, *ret_error);
                        from_store = false;
                        continue;
                }
                if (!same_as_recorded(w, &row, rootfs, size)) {
                        r = record(w, rootfs, size, ret_error);
                        if (r < 0)
                                return r;
                }
                if (!from_store)
                        mark_looked_up(w);
                work_say(w, IMAGE_NOTICE_STEP, "Image %s is ready: %.1f MiB, %s.", w->reference,
                                (double) size / (double) MIB(1), w->manifest_digest);
                return 0;
        }
}

/* That it is not there is what the others of these calls are for: no message. */
static int load(Work *w, const char *reference, ImageConfig *ret, char **ret_error) {
        int r = image_config_load(w->store, reference, ret, ret_error);

        if (r == -ENOENT || r == -EUCLEAN)
                *ret_error = (free(*ret_error), NULL);
        return r;
}

static int ensure(Work *w, const char *reference, PullPolicy policy, ImageConfig *ret, char **ret_error) {
        struct timespec begin;
        int r;

        if (policy != PULL_ALWAYS) {
                r = load(w, reference, ret, ret_error);
                if (r != -ENOENT && r != -EUCLEAN)
                        return r;
        }
        (void) clock_gettime(CLOCK_REALTIME, &begin);
        r = work_open(w, reference, ret_error);
        if (r < 0)
                return r;
        r = work_lock_reference(w, ret_error);
        if (r >= 0) {
                /* Who held the lock has done the work for us. */
                if (policy != PULL_ALWAYS || looked_up_since(w, &begin)) {
                        r = load(w, reference, ret, ret_error);
                        if (r != -ENOENT && r != -EUCLEAN)
                                return r;
                }
                r = get(w, policy, ret_error);
                /* Of an image that is refused nothing stays; one that could not be got may come in pieces. */
                if (r < 0)
                        work_undo(w, r != -EBADMSG && r != -EOPNOTSUPP && r != -EFBIG);
        }
        if (r < 0)
                return work_complete_error(w, r, reference, ret_error);
        return image_config_load(w->store, reference, ret, ret_error);
}

int image_ensure(Store *store, const char *reference, PullPolicy policy, const SiteConfig *site,
                const ImageObserver *observer, ImageConfig *ret, char **ret_error) {
        _cleanup_work_ Work w = WORK_EMPTY;
        char *error = NULL;
        int r;

        w.store = store;
        w.site = site;
        if (observer)
                w.observer = *observer;
        r = ensure(&w, reference, policy, ret, &error);
        if (ret_error)
                *ret_error = error;
        else
                free(error);
        return r;
}
