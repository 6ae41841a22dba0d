/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Inside lib/image: what the steps of getting, building and removing an image share. */

#include <sys/file.h>
#include <time.h>

#include "image/image.h"
#include "image/oci.h"
#include "image/progress.h"

typedef struct Work {
        Store *store;
        const SiteConfig *site;
        ImageObserver observer;
        char *reference;                /* normalised */
        const char *architecture;
        char *images_path;
        int images_fd, blobs_fd, rootfs_fd, locks_fd;
        int reference_lock_fd, store_lock_fd;

        /* Where the layers are: the store, or the layout that the reference names. */
        int layers_fd;
        bool layers_are_ours;

        char manifest_digest[DIGEST_SIZE];
        OciDocument manifest;
        OciConfig config;

        Progress progress;
        char **blobs_before;            /* digests */
        bool blobs_remembered;
        char *scratch;                  /* folder of skopeo's that is being filled */
        char *auth_file;                /* the site's, with layout_root() */
} Work;

void work_done(Work *w);
#define _cleanup_work_ _cleanup_(work_done)

#define WORK_EMPTY                                                                                              \
        (Work) {                                                                                                \
                .images_fd = -EBADF, .blobs_fd = -EBADF, .rootfs_fd = -EBADF, .locks_fd = -EBADF,               \
                .reference_lock_fd = -EBADF, .store_lock_fd = -EBADF, .layers_fd = -EBADF,                      \
        }

/* Normalises the reference, opens the folders of the store (made where missing). The sentence is whole. */
int work_open(Work *w, const char *reference, char **ret_error);
/* Puts the image before the sentence of what failed by r, and the remedy behind it, where there is a common one. Returns r. */
int work_complete_error(const Work *w, int r, const char *reference, char **ret_error);
void work_say(const Work *w, ImageNotice kind, const char *format, ...) _printf_(3, 4);

/* The layers are those of the manifest, of which nothing is said yet but whether they are here. */
void work_begin_layers(Work *w, const OciDocument *manifest);
/* One of the manifest's layers has come so far. */
void work_layer_is(Work *w, const OciDescriptor *layer, ImageLayerState state);
void work_show_layers(const Work *w);

/* Locks, below images/lock. Always taken in this order: the reference's (who pulls it), the store's (LOCK_SH for who adds blobs, LOCK_EX for
 * who removes them), the manifest's (who builds its file). That others are waited for is said. */
int work_lock(Work *w, const char *name, int operation, const char *waiting, int *ret, char **ret_error);
int work_lock_reference(Work *w, char **ret_error);
int work_lock_store(Work *w, int operation, char **ret_error);
/* The names of locks. */
int work_reference_lock_name(const Work *w, char **ret);
int work_manifest_lock_name(const char *digest, char **ret);

/* A regular file of the right size; its content is checked by who reads it. -ENOENT where it is not so. */
int work_open_blob(int dir_fd, const char *digest, uint64_t size, int flags);
/* A document: whole, with its digest checked. -ENOENT: not there, or not what its name says. */
int work_read_document(int dir_fd, const char *digest, char **ret, size_t *ret_n);
/* Into the store's blobs, durably. */
int work_put_document(Work *w, const char *digest, const void *data, size_t n, char **ret_error);
/* Whether all layers are in the store, by name and size. What has the name but not the size goes, so that skopeo does not take it for the blob. */
bool work_have_layers(Work *w, const OciDocument *manifest);

/* Removes what killed pulls and builds had begun, unless others get images now. With the store's lock held, shared. */
int work_sweep_beginnings(Work *w, char **ret_error);
/* What blobs the store has, for work_undo(). With the store's lock held. */
int work_remember_blobs(Work *w, char **ret_error);
/* After a failure, with the reference's lock held: what only this attempt has needed goes, where it does not help the next one (`resumable`).
 * Not while others get images, who may need it, too: then it goes with the next image that is removed. */
void work_undo(Work *w, bool resumable);

/* Gets manifest, configuration and layers from where the reference says. */
int work_fetch(Work *w, char **ret_error);
/* The same from what the store still has of a reference whose image file is gone. -ENOENT: not all. */
int work_fetch_from_store(Work *w, const StoreImage *row);
