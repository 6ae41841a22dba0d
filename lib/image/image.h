/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Images in the local store: references, the blob store, the read-only image file, and the run-time part of the OCI image configuration. */

#include "base/macros.h"
#include "definition/definition.h"
#include "store/store.h"

/* "nginx" -> "docker://docker.io/library/nginx:latest", as docker reads it; "oci:…", "oci-archive:…", "docker-archive:…",
 * "containers-storage:…", "docker-daemon:…", "docker://…" stay. -EINVAL with the reason in *ret_error. */
int image_reference_normalize(const char *reference, char **ret, char **ret_error);

/* What image-spec's config.md says about running it. */
typedef struct ImageConfig {
        char **env, **entrypoint, **cmd;
        char *user, *working_dir, *stop_signal;
        char *manifest_digest;          /* "sha256:<hex>" */
        char *rootfs_path;              /* the image file on the host, with layout_root() */
        char *rootfs_type;              /* "squashfs" */
} ImageConfig;
void image_config_done(ImageConfig *c);
#define _cleanup_image_config_ _cleanup_(image_config_done)

/* The configuration of an image that inferno-image has put into the store. -ENOENT: not there (or its file is gone). */
int image_config_load(Store *store, const char *reference, ImageConfig *ret, char **ret_error);

/* Pulls where the policy says so, builds the image file where it is missing, records it. Two processes that ask for one image build it once.
 * The error, if any, is one sentence that names image, layer and entry. */
int image_ensure(Store *store, const char *reference, PullPolicy pull, const SiteConfig *site, ImageConfig *ret, char **ret_error);
