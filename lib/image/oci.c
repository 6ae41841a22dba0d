/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/utsname.h>

#include "base/str.h"
#include "image/error.h"
#include "image/oci.h"
#include "json/json.h"

#define DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"

/* What may stand as a layer. How it is compressed its first bytes say: builders have put gzip into ".tar" and the other way round. */
static const char *const layer_types[] = {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        NULL,
};

static const char *const config_types[] = {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
        NULL,
};

static bool is_one_of(const char *s, const char *const *list) {
        for (; *list; list++)
                if (streq(s, *list))
                        return true;
        return false;
}

bool oci_media_type_is_index(const char *media_type) {
        return streq_ptr(media_type, OCI_INDEX) || streq_ptr(media_type, DOCKER_INDEX);
}

bool oci_media_type_is_docker(const char *media_type) {
        return streq_ptr(media_type, DOCKER_MANIFEST) || streq_ptr(media_type, DOCKER_INDEX);
}

static bool is_manifest_type(const char *media_type) {
        return streq(media_type, OCI_MANIFEST) || streq(media_type, DOCKER_MANIFEST);
}

static void descriptor_done(OciDescriptor *d) {
        free(d->media_type);
        free(d->digest);
        free(d->os);
        free(d->architecture);
        free(d->variant);
        free(d->ref_name);
        *d = (OciDescriptor) {};
}

static void descriptors_free(OciDescriptor *d, size_t n) {
        for (size_t i = 0; i < n; i++)
                descriptor_done(d + i);
        free(d);
}

void oci_document_done(OciDocument *d) {
        free(d->media_type);
        descriptors_free(d->manifests, d->n_manifests);
        descriptor_done(&d->config);
        descriptors_free(d->layers, d->n_layers);
        *d = (OciDocument) {};
}

void oci_config_done(OciConfig *c) {
        free(c->os);
        free(c->architecture);
        strv_free(c->env);
        strv_free(c->entrypoint);
        strv_free(c->cmd);
        free(c->user);
        free(c->working_dir);
        free(c->stop_signal);
        free(c->rootfs_type);
        strv_free(c->diff_ids);
        *c = (OciConfig) {};
}

static int read_digest(const JsonField *f, json_t *v, void *target, char *error) {
        if (!json_is_string(v) || !digest_is_valid(json_string_value(v)))
                return json_field_error(error, "not a digest of the form sha256:<64 hex digits>");
        return free_and_strdup(target, json_string_value(v));
}

static int read_digests(const JsonField *f, json_t *v, void *target, char *error) {
        size_t i;
        json_t *e;

        json_array_foreach(v, i, e)
                if (!json_is_string(e) || !digest_is_valid(json_string_value(e)))
                        return json_field_error(error, "element %zu is not a digest of the form sha256:<64 hex digits>", i);
        return json_read_strv(f, v, target, error);
}

static int read_platform(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "os", json_read_string, offsetof(OciDescriptor, os), 0 },
                { "architecture", json_read_string, offsetof(OciDescriptor, architecture), 0 },
                { "variant", json_read_string, offsetof(OciDescriptor, variant), 0 },
                {},
        };

        return json_read_object(v, fields, JSON_ALLOW_UNKNOWN, target, error);
}

static int read_annotations(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "org.opencontainers.image.ref.name", json_read_string, offsetof(OciDescriptor, ref_name), 0 },
                {},
        };

        return json_read_object(v, fields, JSON_ALLOW_UNKNOWN, target, error);
}

static int read_descriptor(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "mediaType", json_read_string, offsetof(OciDescriptor, media_type), JSON_MANDATORY },
                { "digest", read_digest, offsetof(OciDescriptor, digest), JSON_MANDATORY },
                { "size", json_read_uint64, offsetof(OciDescriptor, size), JSON_MANDATORY },
                { "platform", read_platform, 0, 0 },
                { "annotations", read_annotations, 0, 0 },
                {},
        };

        return json_read_object(v, fields, JSON_ALLOW_UNKNOWN, target, error);
}

static int read_descriptors(json_t *v, size_t max, OciDescriptor **ret, size_t *ret_n, char *error) {
        char inner[JSON_ERROR_MAX] = "";
        OciDescriptor *d;
        json_t *e;
        size_t i;

        if (!json_is_array(v))
                return json_field_error(error, "not an array");
        if (json_array_size(v) > max)
                return json_field_error(error, "more than %zu elements", max);
        d = calloc(json_array_size(v) + 1, sizeof(*d));
        if (!d)
                return -ENOMEM;
        json_array_foreach(v, i, e) {
                int r = read_descriptor(NULL, e, d + i, inner);

                if (r < 0) {
                        descriptors_free(d, json_array_size(v));
                        return r == -ENOMEM ? r : json_field_error(error, "element %zu: %.200s", i, inner);
                }
        }
        descriptors_free(*ret, *ret_n);
        *ret = d;
        *ret_n = json_array_size(v);
        return 0;
}

static int read_manifests(const JsonField *f, json_t *v, void *target, char *error) {
        OciDocument *d = target;

        return read_descriptors(v, OCI_INDEX_ENTRIES_MAX, &d->manifests, &d->n_manifests, error);
}

static int read_layers(const JsonField *f, json_t *v, void *target, char *error) {
        OciDocument *d = target;

        return read_descriptors(v, OCI_LAYERS_MAX, &d->layers, &d->n_layers, error);
}

static int parse_object(const void *data, size_t n, json_t **ret, char **ret_error) {
        char error[JSON_ERROR_MAX] = "";
        json_t *j;
        int r;

        r = json_parse(data, n, OCI_DOCUMENT_MAX, &j, error);
        if (r < 0)
                return r == -ENOMEM ? r : image_error(ret_error, -EBADMSG, "malformed JSON: %s", error);
        if (!json_is_object(j)) {
                json_decref(j);
                return image_error(ret_error, -EBADMSG, "not a JSON object");
        }
        *ret = j;
        return 0;
}

static int check_manifest(const OciDocument *d, char **ret_error) {
        char q[IMAGE_QUOTE_MAX];

        if (!is_one_of(d->config.media_type, config_types))
                return image_error(ret_error, -EOPNOTSUPP, "no container image, but an artifact of type \"%s\"",
                                image_quote(d->config.media_type, q));
        if (d->config.size > OCI_DOCUMENT_MAX)
                return image_error(ret_error, -EBADMSG, "its configuration is larger than %d bytes", OCI_DOCUMENT_MAX);
        for (size_t i = 0; i < d->n_layers; i++)
                if (!is_one_of(d->layers[i].media_type, layer_types))
                        return image_error(ret_error, -EOPNOTSUPP,
                                        "layer %zu has type \"%s\", which is none of the layer types known "
                                        "here",
                                        i + 1, image_quote(d->layers[i].media_type, q));
        return 0;
}

int oci_document_parse(const void *data, size_t n, OciDocument *ret, char **ret_error) {
        static const JsonField index_fields[] = {
                { "mediaType", json_read_string, offsetof(OciDocument, media_type), 0 },
                { "manifests", read_manifests, 0, JSON_MANDATORY },
                {},
        };
        static const JsonField manifest_fields[] = {
                { "mediaType", json_read_string, offsetof(OciDocument, media_type), 0 },
                { "config", read_descriptor, offsetof(OciDocument, config), JSON_MANDATORY },
                { "layers", read_layers, 0, JSON_MANDATORY },
                {},
        };
        _cleanup_oci_document_ OciDocument d = {};
        _cleanup_json_ json_t *j = NULL;
        char error[JSON_ERROR_MAX] = "";
        json_t *version;
        int r;

        r = parse_object(data, n, &j, ret_error);
        if (r < 0)
                return r;
        version = json_object_get(j, "schemaVersion");
        if (json_is_integer(version) && json_integer_value(version) == 1)
                return image_error(ret_error, -EOPNOTSUPP,
                                "Docker's schema 1, which registries have given up; push the image anew");
        if (!json_is_integer(version) || json_integer_value(version) != 2)
                return image_error(ret_error, -EBADMSG, "\"schemaVersion\" is not 2");

        /* A document that could be read as either would be another image for another reader (CVE-2021-41190). */
        d.is_index = json_object_get(j, "manifests");
        if (d.is_index && (json_object_get(j, "layers") || json_object_get(j, "config")))
                return image_error(ret_error, -EBADMSG, "both an index and a manifest");
        r = json_read_object(j, d.is_index ? index_fields : manifest_fields, JSON_ALLOW_UNKNOWN, &d, error);
        if (r < 0)
                return r == -ENOMEM ? r : image_error(ret_error, -EBADMSG, "%s", error);
        if (d.media_type && (d.is_index ? !oci_media_type_is_index(d.media_type) : !is_manifest_type(d.media_type))) {
                char q[IMAGE_QUOTE_MAX];

                return image_error(ret_error, -EBADMSG, "\"mediaType\" is \"%s\", which its content is not",
                                image_quote(d.media_type, q));
        }
        if (!d.is_index) {
                r = check_manifest(&d, ret_error);
                if (r < 0)
                        return r;
        }
        *ret = d;
        d = (OciDocument) {};
        return 0;
}

const char *oci_architecture(void) {
        static const struct {
                const char *machine, *architecture;
        } table[] = {
                { "x86_64", "amd64" },
                { "aarch64", "arm64" },
                { "riscv64", "riscv64" },
                { "ppc64le", "ppc64le" },
                { "s390x", "s390x" },
                { "loongarch64", "loong64" },
        };
        struct utsname u;

        if (uname(&u) < 0)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (streq(u.machine, table[i].machine))
                        return table[i].architecture;
        return NULL;
}

/* Lower is plainer: the guest's processor, which may be emulated, runs the plainest for certain. "v8" of arm64 and "v1" of amd64 are what
 * no variant means. */
static unsigned variant_rank(const char *architecture, const char *variant) {
        unsigned base = streq(architecture, "arm64") ? 8 : 1, major = 0, minor = 0;
        const char *p;

        if (isempty(variant))
                return 0;
        if (variant[0] != 'v')
                return UINT16_MAX;
        p = variant + 1;
        for (; *p >= '0' && *p <= '9' && major < 100; p++)
                major = major * 10 + (unsigned) (*p - '0');
        if (*p == '.')
                for (p++; *p >= '0' && *p <= '9' && minor < 100; p++)
                        minor = minor * 10 + (unsigned) (*p - '0');
        if (*p || major < base)
                return UINT16_MAX;
        return (major - base) * 100 + minor;
}

static int no_such_platform(const OciDocument *d, const char *architecture, const char *ref_name, char **ret_error) {
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_free_ char *list = NULL;
        unsigned n = 0;

        for (size_t i = 0; i < d->n_manifests && n < 20; i++) {
                const OciDescriptor *m = d->manifests + i;
                char q[IMAGE_QUOTE_MAX], q2[IMAGE_QUOTE_MAX], q3[IMAGE_QUOTE_MAX];

                if (ref_name) {
                        if (m->ref_name)
                                strbuf_addf(&b, "%s%s", n++ > 0 ? ", " : "", image_quote(m->ref_name, q));
                } else if (m->os && m->architecture && !streq(m->os, "unknown"))
                        strbuf_addf(&b, "%s%s/%s%s%s", n++ > 0 ? ", " : "", image_quote(m->os, q),
                                        image_quote(m->architecture, q2), m->variant ? "/" : "",
                                        m->variant ? image_quote(m->variant, q3) : "");
        }
        if (strbuf_finish(&b, &list, NULL) < 0)
                return -ENOMEM;
        if (ref_name)
                return image_error(ret_error, -ENOENT, "has no image \"%s\" for linux/%s%s%s", ref_name, architecture,
                                *list ? "; its names are: " : "", list);
        return image_error(ret_error, -ENOENT, "has no image for linux/%s%s%s", architecture,
                        *list ? ", only for " : "", list);
}

int oci_index_select(const OciDocument *d, const char *architecture, const char *ref_name,
                const OciDescriptor **ret, char **ret_error) {
        const OciDescriptor *best = NULL;
        unsigned best_rank = 0;
        bool ambiguous = false;

        for (size_t i = 0; i < d->n_manifests; i++) {
                const OciDescriptor *m = d->manifests + i;
                unsigned rank = UINT16_MAX + 1;         /* says nothing about itself: good where nothing better is there */

                /* Of a type that is not known here is no error: image-index.md. */
                if (!oci_media_type_is_index(m->media_type) && !is_manifest_type(m->media_type))
                        continue;
                if (ref_name && !streq_ptr(m->ref_name, ref_name))
                        continue;
                if (m->os || m->architecture) {
                        if (!streq_ptr(m->os, "linux") || !streq_ptr(m->architecture, architecture))
                                continue;
                        rank = variant_rank(architecture, m->variant);
                }
                if (best && rank > best_rank)
                        continue;
                if (best && rank == best_rank) {
                        /* In a list the first of a platform counts; images under several names, or with no platform, are no such list. */
                        ambiguous |= !streq(m->digest, best->digest) &&
                                     (rank > UINT16_MAX ||
                                                     (m->ref_name && best->ref_name &&
                                                                     !streq(m->ref_name, best->ref_name)));
                        continue;
                }
                best = m;
                best_rank = rank;
                ambiguous = false;
        }
        if (!best)
                return no_such_platform(d, architecture, ref_name, ret_error);
        if (ambiguous)
                return image_error(ret_error, -EBADMSG,
                                "has several images%s%s; name one behind the path, as in oci:/PATH:NAME",
                                ref_name ? " of the name " : "", ref_name ?: "");
        *ret = best;
        return 0;
}

static int read_rootfs(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "type", json_read_string, offsetof(OciConfig, rootfs_type), JSON_MANDATORY },
                { "diff_ids", read_digests, offsetof(OciConfig, diff_ids), 0 },
                {},
        };

        return json_read_object(v, fields, JSON_ALLOW_UNKNOWN, target, error);
}

static int read_execution(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "Env", json_read_strv, offsetof(OciConfig, env), 0 },
                { "Entrypoint", json_read_strv, offsetof(OciConfig, entrypoint), 0 },
                { "Cmd", json_read_strv, offsetof(OciConfig, cmd), 0 },
                { "User", json_read_string, offsetof(OciConfig, user), 0 },
                { "WorkingDir", json_read_string, offsetof(OciConfig, working_dir), 0 },
                { "StopSignal", json_read_string, offsetof(OciConfig, stop_signal), 0 },
                {},
        };

        return json_read_object(v, fields, JSON_ALLOW_UNKNOWN, target, error);
}

int oci_config_parse(const void *data, size_t n, OciConfig *ret, char **ret_error) {
        static const JsonField fields[] = {
                { "os", json_read_string, offsetof(OciConfig, os), 0 },
                { "architecture", json_read_string, offsetof(OciConfig, architecture), 0 },
                { "config", read_execution, 0, 0 },
                { "rootfs", read_rootfs, 0, JSON_MANDATORY },
                {},
        };
        _cleanup_oci_config_ OciConfig c = {};
        _cleanup_json_ json_t *j = NULL;
        char error[JSON_ERROR_MAX] = "";
        int r;

        r = parse_object(data, n, &j, ret_error);
        if (r < 0)
                return r;
        r = json_read_object(j, fields, JSON_ALLOW_UNKNOWN, &c, error);
        if (r < 0)
                return r == -ENOMEM ? r : image_error(ret_error, -EBADMSG, "%s", error);
        if (!streq(c.rootfs_type, "layers"))
                return image_error(ret_error, -EOPNOTSUPP, "\"rootfs\" is not of type \"layers\"");
        STRV_FOREACH(e, c.env)
                if (!strchr(*e, '=') || **e == '=') {
                        char q[IMAGE_QUOTE_MAX];

                        return image_error(ret_error, -EBADMSG, "\"%s\" in \"Env\" is not NAME=VALUE", image_quote(*e, q));
                }
        /* Unset and empty mean the same in these. */
        if (c.user && !*c.user)
                c.user = (free(c.user), NULL);
        if (c.working_dir && !*c.working_dir)
                c.working_dir = (free(c.working_dir), NULL);
        if (c.stop_signal && !*c.stop_signal)
                c.stop_signal = (free(c.stop_signal), NULL);
        *ret = c;
        c = (OciConfig) {};
        return 0;
}
