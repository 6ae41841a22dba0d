/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Images in the local store: references, the blob store, the read-only image file, and the run-time part of the OCI image configuration.
 *
 * Below images/: oci/blobs/sha256/<hex>, the blobs of an OCI layout, which skopeo shares among images; rootfs/<hex of the
 * manifest>.squashfs, the image files; lock/. A blob counts for nothing until the bytes read from it have its digest; an image file counts when
 * the database has it, it is as long as it says, and has the time that it was sealed with. Names appear after their content is on the disk, the row after the names. */

#include "base/macros.h"
#include "definition/definition.h"
#include "store/store.h"

/* "nginx" -> "docker://docker.io/library/nginx:latest", as docker reads it; "oci:…", "oci-archive:…", "docker-archive:…",
 * "containers-storage:…", "docker-daemon:…", "docker://…" stay. -EINVAL with the reason in *ret_error. */
int image_reference_normalize(const char *reference, char **ret, char **ret_error);

/* What image-spec's config.md says about running it. */
typedef struct ImageConfig {
        char **env, **entrypoint, **cmd;        /* NULL: the image does not say */
        char *user, *working_dir, *stop_signal;
        char *manifest_digest;          /* "sha256:<hex>" */
        char *rootfs_path;              /* the image file on the host, with layout_root() */
        char *rootfs_type;              /* "squashfs" */
} ImageConfig;
void image_config_done(ImageConfig *c);
#define _cleanup_image_config_ _cleanup_(image_config_done)

/* The configuration of an image that inferno-image has put into the store. -ENOENT: not there (or its file is gone). */
int image_config_load(Store *store, const char *reference, ImageConfig *ret, char **ret_error);

/* What is going on, for people. */
typedef enum ImageNotice {
        IMAGE_NOTICE_STEP,              /* worth a line */
        IMAGE_NOTICE_PROGRESS,          /* the state of the step, a few times a second: the next one replaces it */
        IMAGE_NOTICE_WARNING,
} ImageNotice;
typedef void (*ImageNotify)(ImageNotice kind, const char *text, void *userdata);

typedef enum ImageLayerState {
        IMAGE_LAYER_WAITING,            /* nothing was heard of it yet */
        IMAGE_LAYER_GETTING,
        IMAGE_LAYER_HERE,
        IMAGE_LAYER_UNPACKING,
        IMAGE_LAYER_UNPACKED,
} ImageLayerState;

enum { IMAGE_LAYER_ID_MAX = 12 };       /* as many digits as people are used to */

typedef struct ImageLayer {
        char id[IMAGE_LAYER_ID_MAX + 1];        /* of its digest */
        ImageLayerState state;
        uint64_t done, size;            /* bytes as they are transferred; size 0: not known */
} ImageLayer;

/* Who watches. All may be NULL. */
typedef struct ImageObserver {
        ImageNotify notify;
        /* All layers, when one of them has come further: some times a second. Borrowed. With it, skopeo writes to a terminal. */
        void (*layers)(const ImageLayer *layers, size_t n, void *userdata);
        void *userdata;
} ImageObserver;

/* Pulls where the policy says so, builds the image file where it is missing, records it. Two processes that ask for one image build it once.
 * The error, if any, is one sentence that names image, layer and entry: -EBADMSG, the image is malformed or not what its digests say; -EOPNOTSUPP:
 * of a kind that we do not run; -EFBIG: over a limit of the site's; -ENOENT: there is no such image; -EACCES: not allowed to have it;
 * -ENXIO: the registry cannot be reached, or has fallen silent; -ENOPKG: no skopeo; others as the system gave them. The observer may be NULL. */
int image_ensure(Store *store, const char *reference, PullPolicy policy, const SiteConfig *site,
                const ImageObserver *observer, ImageConfig *ret, char **ret_error);

/* Forgets the reference, and removes the image file and the blobs that nothing else needs. -ENOENT: not there. */
int image_remove(Store *store, const char *reference, ImageNotify notify, void *userdata, char **ret_error);

/* What the store has of it as a JSON document: {reference, manifest_digest, config_digest, rootfs, size, created_usec, manifest, config}. */
int image_inspect(Store *store, const char *reference, char **ret, char **ret_error);
