/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where images come from: registries, layouts, archives and the stores of other programs. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "image/error.h"
#include "image/skopeo.h"
#include "image/work.h"
#include "layout/layout.h"

enum {
        INDEX_DEPTH_MAX = 4,
        ARGS_MAX = 32,
        SCRATCH_DEPTH_MAX = 4,
};

/* Takes the manifest, and the configuration that it names, out of `dir_fd`. -ENOENT where one of them is missing. */
static int take_manifest(Work *w, int dir_fd, const char *digest, const void *data, size_t n, char **ret_error) {
        _cleanup_oci_document_ OciDocument manifest = {};
        _cleanup_oci_config_ OciConfig config = {};
        _cleanup_free_ char *text = NULL;
        size_t text_n;
        int r;

        r = oci_document_parse(data, n, &manifest, ret_error);
        if (r < 0)
                return image_error_prefix(ret_error, r, "manifest %s", digest);
        if (manifest.is_index)
                return image_error(ret_error, -EBADMSG, "manifest %s: an index, where a manifest must be", digest);
        r = work_read_document(dir_fd, manifest.config.digest, &text, &text_n);
        if (r == -ENOENT)
                return image_error(ret_error, r, "its configuration %s is missing or damaged", manifest.config.digest);
        if (r < 0)
                return image_error_errno(ret_error, r, "cannot read its configuration %s", manifest.config.digest);
        if (text_n != manifest.config.size)
                return image_error(ret_error, -EBADMSG,
                                "its configuration has %zu bytes, the manifest says %" PRIu64, text_n,
                                manifest.config.size);
        r = oci_config_parse(text, text_n, &config, ret_error);
        if (r < 0)
                return image_error_prefix(ret_error, r, "configuration %s", manifest.config.digest);

        if ((!isempty(config.os) && !streq(config.os, "linux")) ||
                        (!isempty(config.architecture) && !streq(config.architecture, w->architecture))) {
                char q[IMAGE_QUOTE_MAX], q2[IMAGE_QUOTE_MAX];

                return image_error(ret_error, -EOPNOTSUPP, "it is for %s/%s, this machine is linux/%s",
                                image_quote(config.os ?: "linux", q),
                                image_quote(config.architecture ?: "any", q2), w->architecture);
        }
        if (strv_length(config.diff_ids) != manifest.n_layers)
                return image_error(ret_error, -EBADMSG, "its manifest has %zu layers, its configuration %zu",
                                manifest.n_layers, strv_length(config.diff_ids));

        r = work_put_document(w, manifest.config.digest, text, text_n, ret_error);
        if (r < 0)
                return r;
        r = work_put_document(w, digest, data, n, ret_error);
        if (r < 0)
                return r;
        oci_document_done(&w->manifest);
        oci_config_done(&w->config);
        w->manifest = manifest;
        w->config = config;
        manifest = (OciDocument) {};
        config = (OciConfig) {};
        memcpy(w->manifest_digest, digest, DIGEST_SIZE);
        return 0;
}

/* skopeo. */

static void skopeo_warning(const char *text, void *userdata) {
        work_say(userdata, IMAGE_NOTICE_WARNING, "skopeo: %s", text);
}

/* The bytes of the files in a folder of skopeo's, which may go away under us. */
static uint64_t count_bytes(int dir_fd_consume, unsigned depth) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        uint64_t n = 0;

        if (dir_from_fd(dir_fd_consume, &d) < 0)
                return 0;
        while (dir_next(d, &de) > 0) {
                struct stat st;
                int fd;

                if (de->d_name[0] == '.' || fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (S_ISREG(st.st_mode))
                        n += (uint64_t) st.st_size;
                else if (S_ISDIR(st.st_mode) && depth < SCRATCH_DEPTH_MAX) {
                        fd = openat(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                        if (fd >= 0)
                                n += count_bytes(fd, depth + 1);
                }
        }
        return n;
}

/* skopeo tells its progress to terminals alone. What it is fetching grows in its folder, and is then renamed into ours. */
static uint64_t skopeo_tick(void *userdata) {
        Work *w = userdata;
        int fd = open(w->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        uint64_t n = fd >= 0 ? count_bytes(fd, 0) : 0;

        if (n > 0 && !w->observer.layers)
                work_say(w, IMAGE_NOTICE_PROGRESS, "Getting %s: %.1f MiB of the blobs under way are here.",
                                w->reference, (double) n / (double) MIB(1));
        return n;
}

static void skopeo_line(const char *line, void *userdata) {
        Work *w = userdata;

        if (progress_take_line(&w->progress, line))
                work_show_layers(w);
}

/* skopeo's arguments are put together from borrowed strings. */
typedef struct Args {
        const char *v[ARGS_MAX];
        size_t n;
} Args;

static void add_args(Args *a, const char *first, ...) {
        va_list ap;

        va_start(ap, first);
        for (const char *s = first; s && a->n < ARGS_MAX - 1; s = va_arg(ap, const char *))
                a->v[a->n++] = s;
        va_end(ap);
}

static int run(Work *w, Args *a, size_t output_max, char **ret_output, size_t *ret_size, char **ret_error) {
        SkopeoRun s = {
                .output_max = output_max,
                .held_fd = w->reference_lock_fd,
                .warning = skopeo_warning,
                .tick = skopeo_tick,
                .line = w->observer.layers && output_max == 0 ? skopeo_line : NULL,
                .userdata = w,
        };

        return skopeo_run((char **) a->v, &s, ret_output, ret_size, ret_error);
}

static void add_common_args(const Work *w, Args *a, const char *command) {
        add_args(a, "skopeo", "--override-os", "linux", "--override-arch", w->architecture, "--tmpdir",
                        w->scratch, command, "--retry-times", "2", NULL);
        if (w->auth_file)
                add_args(a, "--authfile", w->auth_file, NULL);
}

/* Into the store's blobs. *ret_document is the manifest as skopeo has written it. */
static int skopeo_copy(Work *w, const char *source, const char *format, bool preserve_digests, char **ret_error) {
        _cleanup_free_ char *blobs = strf("%s/oci/blobs", w->images_path), *destination = strf("oci:%s:image", w->scratch);
        Args a = {};

        if (!blobs || !destination)
                return -ENOMEM;
        add_common_args(w, &a, "copy");
        add_args(&a, "--dest-shared-blob-dir", blobs, "--dest-oci-accept-uncompressed-layers", NULL);
        if (format)
                add_args(&a, "--format", format, NULL);
        if (preserve_digests)
                add_args(&a, "--preserve-digests", NULL);
        add_args(&a, "--", source, destination, NULL);
        return run(w, &a, 0, NULL, NULL, ret_error);
}

static int skopeo_manifest(Work *w, const char *source, char **ret, size_t *ret_n, char **ret_error) {
        Args a = {};

        add_common_args(w, &a, "inspect");
        add_args(&a, "--raw", "--", source, NULL);
        return run(w, &a, OCI_DOCUMENT_MAX, ret, ret_n, ret_error);
}

static int make_scratch(Work *w, char **ret_error) {
        _cleanup_free_ char *name = NULL, *lock = NULL;
        int r;

        r = work_reference_lock_name(w, &lock);
        if (r < 0)
                return r;
        name = strf("oci/%s", lock);
        w->scratch = strf("%s/%s", w->images_path, name);
        if (!name || !w->scratch)
                return -ENOMEM;
        if (w->site->auth_file && !w->auth_file) {
                w->auth_file = layout_path(w->site->auth_file);
                if (!w->auth_file)
                        return -ENOMEM;
        }
        if (strchr(w->scratch, ':'))
                return image_error(ret_error, -EINVAL, "skopeo cannot write below %s: the path has a colon", w->images_path);
        /* What a killed one left, whole blobs apart, which have their names already. */
        r = remove_tree_at(w->images_fd, name);
        if (r >= 0)
                r = mkdir_parents_at(w->images_fd, name, 0700);
        return r < 0 ? image_error_errno(ret_error, r, "cannot make the folder %s", w->scratch) : 0;
}

static void remove_scratch(Work *w) {
        if (w->scratch)
                (void) remove_tree_at(AT_FDCWD, w->scratch);
}

/* Sources. Each ends with take_manifest(), and with the layers in layers_fd. */

/* We resolve the name ourselves and then copy by digest: the manifest stays as the registry has it, be it Docker's, a tag that moves
 * in between does no harm, and one that has not moved costs one request. */
static int fetch_registry(Work *w, char **ret_error) {
        _cleanup_free_ char *name = NULL, *source = NULL, *text = NULL;
        _cleanup_oci_document_ OciDocument d = {};
        char digest[DIGEST_SIZE];
        const char *at;
        size_t n;
        int r;

        source = strdup(w->reference);
        if (!source)
                return -ENOMEM;
        at = strrchr(w->reference, '@');
        name = at ? strndup(w->reference, (size_t) (at - w->reference)) :
                    strndup(w->reference, (size_t) (strrchr(w->reference, ':') - w->reference));
        if (!name)
                return -ENOMEM;

        for (unsigned depth = 0;; depth++) {
                const OciDescriptor *entry;
                const char *wanted = strrchr(source, '@');

                text = (free(text), NULL);
                /* What the store has need not be asked for again, where a digest says what it is. */
                if (!wanted || work_read_document(w->blobs_fd, wanted + 1, &text, &n) < 0) {
                        r = skopeo_manifest(w, source, &text, &n, ret_error);
                        if (r < 0)
                                return r;
                }
                digest_of(text, n, digest);
                if (wanted && !streq(wanted + 1, digest))
                        return image_error(ret_error, -EBADMSG,
                                        "the registry's manifest has the digest %s, not %s", digest,
                                        wanted + 1);
                oci_document_done(&d);
                r = oci_document_parse(text, n, &d, ret_error);
                if (r < 0)
                        return image_error_prefix(ret_error, r, "manifest %s", digest);
                if (!d.is_index)
                        break;
                if (depth >= INDEX_DEPTH_MAX)
                        return image_error(ret_error, -EBADMSG, "indexes within indexes, more than %d deep",
                                        INDEX_DEPTH_MAX);
                r = oci_index_select(&d, w->architecture, NULL, &entry, ret_error);
                if (r < 0)
                        return r;
                free(source);
                source = strf("%s@%s", name, entry->digest);
                if (!source)
                        return -ENOMEM;
        }

        _cleanup_free_ char *config = NULL;
        size_t config_n;

        if (work_read_document(w->blobs_fd, d.config.digest, &config, &config_n) < 0) {
                (void) unlinkat(w->blobs_fd, digest_hex(d.config.digest), 0);
                config_n = 0;
        }
        if (!work_have_layers(w, &d) || config_n == 0) {
                free(source);
                source = strf("%s@%s", name, digest);
                if (!source)
                        return -ENOMEM;
                work_begin_layers(w, &d);
                r = skopeo_copy(w, source, oci_media_type_is_docker(d.media_type) ? "v2s2" : "oci", true, ret_error);
                if (r < 0)
                        return r;
        }
        return take_manifest(w, w->blobs_fd, digest, text, n, ret_error);
}

/* The index of a layout leads to a manifest in its blobs. */
static int find_in_layout(Work *w, int layout_fd, int blobs_fd, const char *ref_name, char **ret,
                size_t *ret_n, char ret_digest[static DIGEST_SIZE], char **ret_error) {
        _cleanup_free_ char *text = NULL;
        _cleanup_oci_document_ OciDocument d = {};
        size_t n;
        int r;

        r = read_file_at(layout_fd, "index.json", OCI_DOCUMENT_MAX, &text, &n);
        if (r == -ENOENT)
                return image_error(ret_error, r, "no OCI layout: it has no index.json");
        if (r < 0)
                return image_error_errno(ret_error, r, "cannot read index.json");
        for (unsigned depth = 0;; depth++) {
                const OciDescriptor *entry;
                char digest[DIGEST_SIZE];

                oci_document_done(&d);
                r = oci_document_parse(text, n, &d, ret_error);
                if (r < 0)
                        return image_error_prefix(ret_error, r, depth == 0 ? "index.json" : "index %s", ret_digest);
                if (!d.is_index) {
                        if (depth == 0)
                                return image_error(ret_error, -EBADMSG, "index.json: a manifest, where an index must be");
                        break;
                }
                if (depth > INDEX_DEPTH_MAX)
                        return image_error(ret_error, -EBADMSG, "indexes within indexes, more than %d deep",
                                        INDEX_DEPTH_MAX);
                r = oci_index_select(&d, w->architecture, depth == 0 ? ref_name : NULL, &entry, ret_error);
                if (r < 0)
                        return image_error_prefix(ret_error, r, depth == 0 ? "index.json" : "index %s", ret_digest);
                text = (free(text), NULL);
                r = read_file_at(blobs_fd, digest_hex(entry->digest), OCI_DOCUMENT_MAX, &text, &n);
                if (r < 0)
                        return image_error_errno(ret_error, r, "cannot read the manifest %s", entry->digest);
                digest_of(text, n, digest);
                if (n != entry->size || !streq(digest, entry->digest))
                        return image_error(ret_error, -EBADMSG,
                                        "the manifest %s has %zu bytes and the digest %s, its index says "
                                        "%" PRIu64 " bytes",
                                        entry->digest, n, digest, entry->size);
                memcpy(ret_digest, digest, DIGEST_SIZE);
        }
        *ret = TAKE_PTR(text);
        *ret_n = n;
        return 0;
}

/* A layout on this machine is read where it is. Its manifest and configuration are kept; its layers need not be. */
static int fetch_layout(Work *w, char **ret_error) {
        const char *path = startswith(w->reference, "oci:"), *colon = strchr(path, ':');
        _cleanup_free_ char *dir = strndup(path, colon ? (size_t) (colon - path) : strlen(path)), *text = NULL;
        _cleanup_close_ int layout_fd = -EBADF, blobs_fd = -EBADF;
        char digest[DIGEST_SIZE] = "";
        size_t n;
        int r;

        if (!dir)
                return -ENOMEM;
        layout_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (layout_fd < 0)
                return image_error_errno(ret_error, negative_errno(), "cannot open the folder %s", dir);
        blobs_fd = openat(layout_fd, "blobs/sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (blobs_fd < 0)
                return image_error_errno(ret_error, negative_errno(), "no OCI layout: cannot open its blobs/sha256");
        r = find_in_layout(w, layout_fd, blobs_fd, colon && colon[1] ? colon + 1 : NULL, &text, &n, digest, ret_error);
        if (r < 0)
                return r;
        r = take_manifest(w, blobs_fd, digest, text, n, ret_error);
        if (r < 0)
                return r;
        w->layers_fd = TAKE_FD(blobs_fd);
        w->layers_are_ours = false;
        return 0;
}

/* Archives and the stores of other programs have layers in pieces of their own, so the manifest is made by skopeo on the way. */
static int fetch_by_copy(Work *w, char **ret_error) {
        _cleanup_close_ int scratch_fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        bool is_docker = startswith(w->reference, "docker-archive:") || startswith(w->reference, "docker-daemon:");
        char digest[DIGEST_SIZE] = "";
        size_t n;
        int r;

        r = skopeo_copy(w, w->reference, is_docker ? "v2s2" : NULL, false, ret_error);
        if (r < 0)
                return r;
        scratch_fd = open(w->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (scratch_fd < 0)
                return image_error_errno(ret_error, negative_errno(), "cannot open %s", w->scratch);
        r = find_in_layout(w, scratch_fd, w->blobs_fd, NULL, &text, &n, digest, ret_error);
        if (r < 0)
                return r;
        return take_manifest(w, w->blobs_fd, digest, text, n, ret_error);
}

int work_fetch(Work *w, char **ret_error) {
        bool is_layout = startswith(w->reference, "oci:");
        int r;

        work_say(w, IMAGE_NOTICE_STEP, "Getting %s.", w->reference);
        if (is_layout)
                return fetch_layout(w, ret_error);
        r = make_scratch(w, ret_error);
        if (r < 0)
                return r;
        r = startswith(w->reference, "docker://") ? fetch_registry(w, ret_error) : fetch_by_copy(w, ret_error);
        remove_scratch(w);
        w->scratch = (free(w->scratch), NULL);
        if (r < 0)
                return r;
        /* skopeo syncs each blob, and renames it: the names are ours to sync. */
        if (fsync(w->blobs_fd) < 0)
                return image_error_errno(ret_error, negative_errno(), "cannot sync %s/oci/blobs", w->images_path);
        return 0;
}

/* What the store still has of a reference whose image file is gone. */
int work_fetch_from_store(Work *w, const StoreImage *row) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        if (!digest_is_valid(row->manifest_digest))
                return -ENOENT;
        r = work_read_document(w->blobs_fd, row->manifest_digest, &text, &n);
        if (r < 0)
                return r;
        r = take_manifest(w, w->blobs_fd, row->manifest_digest, text, n, NULL);
        if (r < 0)
                return r;
        return work_have_layers(w, &w->manifest) ? 0 : -ENOENT;
}
