/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What other programs read of an image. It needs none of the libraries that build images. */

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "image/error.h"
#include "image/image.h"
#include "image/oci.h"
#include "image/squash.h"
#include "image/work.h"
#include "layout/layout.h"

void image_config_done(ImageConfig *c) {
        strv_free(c->env);
        strv_free(c->entrypoint);
        strv_free(c->cmd);
        free(c->user);
        free(c->working_dir);
        free(c->stop_signal);
        free(c->manifest_digest);
        free(c->rootfs_path);
        free(c->rootfs_type);
        *c = (ImageConfig) {};
}

static int not_there(const char *reference, const char *what, char **ret_error) {
        return image_error(ret_error, -ENOENT,
                        "Image \"%s\" is not in the store%s%s; get it with: inferno-image pull %s",
                        reference, what ? ": " : "", what ?: "", reference);
}

/* ensure.c names image files by their manifests. */
static bool is_rootfs_of(const char *rootfs, const char *manifest_digest) {
        const char *rest = startswith(rootfs, digest_hex(manifest_digest));

        return rest && streq(rest, ".squashfs");
}

int image_config_load(Store *store, const char *reference, ImageConfig *ret, char **ret_error) {
        _cleanup_free_ char *normal = NULL, *dir = NULL, *blobs = NULL, *text = NULL;
        _cleanup_store_image_ StoreImage row = {};
        _cleanup_image_config_ ImageConfig c = {};
        _cleanup_oci_config_ OciConfig oci = {};
        _cleanup_close_ int fd = -EBADF, blobs_fd = -EBADF;
        size_t n;
        int r;

        r = image_reference_normalize(reference, &normal, ret_error);
        if (r < 0)
                return r;
        r = store_image_get(store, normal, &row);
        if (r == -ENOENT)
                return not_there(reference, NULL, ret_error);
        if (r < 0)
                return image_error(ret_error, r, "%s", store_error(store));
        if (!digest_is_valid(row.manifest_digest) || !digest_is_valid(row.config_digest) || !is_rootfs_of(row.rootfs, row.manifest_digest))
                return image_error(ret_error, -EUCLEAN,
                                "The database has no sound entry of image \"%s\"; remove it with: "
                                "inferno-image rm %s",
                                reference, reference);

        dir = layout_path(LAYOUT_IMAGES_DIR);
        if (!dir)
                return -ENOMEM;
        c.rootfs_path = strf("%s/rootfs/%s", dir, row.rootfs);
        c.rootfs_type = strdup("squashfs");
        blobs = strf("%s/oci/blobs/sha256", dir);
        if (!c.rootfs_path || !c.rootfs_type || !blobs)
                return -ENOMEM;

        fd = open(c.rootfs_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return errno == ENOENT ? not_there(reference, "its file is gone", ret_error)
                                       : image_error_errno(ret_error, negative_errno(),
                                                         "Image \"%s\": cannot open %s", reference,
                                                         c.rootfs_path);
        r = squash_check(fd, row.size);
        if (r == -EUCLEAN)
                return not_there(reference, "its file is damaged", ret_error);
        if (r < 0)
                return image_error_errno(ret_error, r, "Image \"%s\": cannot read %s", reference, c.rootfs_path);

        blobs_fd = open(blobs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = blobs_fd < 0 ? negative_errno() : work_read_document(blobs_fd, row.config_digest, &text, &n);
        if (r == -ENOENT)
                return not_there(reference, "its configuration is gone or damaged", ret_error);
        if (r < 0)
                return image_error_errno(ret_error, r, "Image \"%s\": cannot read %s/%s", reference, blobs,
                                digest_hex(row.config_digest));
        r = oci_config_parse(text, n, &oci, NULL);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return not_there(reference, "its configuration is none", ret_error);

        c.env = TAKE_PTR(oci.env);
        c.entrypoint = TAKE_PTR(oci.entrypoint);
        c.cmd = TAKE_PTR(oci.cmd);
        c.user = TAKE_PTR(oci.user);
        c.working_dir = TAKE_PTR(oci.working_dir);
        c.stop_signal = TAKE_PTR(oci.stop_signal);
        c.manifest_digest = TAKE_PTR(row.manifest_digest);
        *ret = c;
        c = (ImageConfig) {};
        return 0;
}
