/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "image/error.h"
#include "image/work.h"
#include "json/json.h"

/* null where the blob is not there or is none. */
static json_t *load_document(Work *w, const char *digest) {
        _cleanup_free_ char *text = NULL;
        char error[JSON_ERROR_MAX];
        json_t *j;
        size_t n;

        if (!digest_is_valid(digest) || work_read_document(w->blobs_fd, digest, &text, &n) < 0 ||
            json_parse(text, n, OCI_DOCUMENT_MAX, &j, error) < 0)
                return json_null();
        return j;
}

int image_inspect(Store *store, const char *reference, char **ret, char **ret_error) {
        _cleanup_store_image_ StoreImage row = {};
        _cleanup_work_ Work w = WORK_EMPTY;
        _cleanup_json_ json_t *j = NULL;
        int r;

        w.store = store;
        r = work_open(&w, reference, ret_error);
        if (r < 0)
                return r;
        r = store_image_get(store, w.reference, &row);
        if (r == -ENOENT)
                return image_error(ret_error, r, "Image \"%s\" is not in the store.", reference);
        if (r < 0)
                return image_error(ret_error, r, "%s", store_error(store));
        j = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o}", "reference", row.reference,
                        "manifest_digest", row.manifest_digest, "config_digest", row.config_digest, "rootfs",
                        row.rootfs, "size", (json_int_t) row.size, "created_usec",
                        (json_int_t) row.created_usec, "manifest", load_document(&w, row.manifest_digest),
                        "config", load_document(&w, row.config_digest));
        *ret = j ? json_format(j) : NULL;
        return *ret ? 0 : -ENOMEM;
}
