/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The JSON documents of an image: index, manifest and configuration, OCI's (image-spec 1.1) and Docker's (schema 2, which differs in media
 * types alone). Parsing only; who calls has checked the digest of the bytes. Errors are sentences without a subject: the caller
 * knows which document it was. */

#include "base/macros.h"
#include "image/digest.h"

enum {
        OCI_DOCUMENT_MAX = 4 * 1024 * 1024,     /* what registries accept as a manifest; bounds the configuration, too */
        OCI_LAYERS_MAX = 1024,
        OCI_INDEX_ENTRIES_MAX = 65536,
};

typedef struct OciDescriptor {
        char *media_type;
        char *digest;                           /* valid */
        uint64_t size;
        char *os, *architecture, *variant;      /* platform; NULL where it has none */
        char *ref_name;                         /* annotation org.opencontainers.image.ref.name */
} OciDescriptor;

/* A list of manifests, or the manifest of one image: a document says which it is. */
typedef struct OciDocument {
        bool is_index;
        char *media_type;                       /* NULL: the document does not say */

        OciDescriptor *manifests;               /* index */
        size_t n_manifests;

        OciDescriptor config;                   /* manifest */
        OciDescriptor *layers;                  /* lowest first */
        size_t n_layers;
} OciDocument;

void oci_document_done(OciDocument *d);
#define _cleanup_oci_document_ _cleanup_(oci_document_done)

/* -EBADMSG: malformed; -EOPNOTSUPP: well-formed, but no container image that we can run (schema 1, encrypted layers, artifacts). */
int oci_document_parse(const void *data, size_t n, OciDocument *ret, char **ret_error);
/* media_type of a descriptor or of an HTTP header says index, where the document itself does not matter. */
bool oci_media_type_is_index(const char *media_type);
/* Docker's schema 2, as skopeo's --format wants to know. */
bool oci_media_type_is_docker(const char *media_type);

/* The architecture of this machine as Go has it ("amd64", "arm64", …); NULL where Inferno has none. */
const char *oci_architecture(void);

/* The entry for linux on `architecture`; where several fit, the plainest variant, then the first. With ref_name only entries that bear it.
 * -ENOENT: none (the sentence lists what there is); -EBADMSG: several that are not told apart by platform. Borrowed from d. */
int oci_index_select(const OciDocument *d, const char *architecture, const char *ref_name,
                const OciDescriptor **ret, char **ret_error);

/* config.md. Unset is NULL; an array that is there and empty is an empty Strv. */
typedef struct OciConfig {
        char *os, *architecture;
        char **env, **entrypoint, **cmd;
        char *user, *working_dir, *stop_signal;
        char *rootfs_type;
        char **diff_ids;                        /* valid digests */
} OciConfig;

void oci_config_done(OciConfig *c);
#define _cleanup_oci_config_ _cleanup_(oci_config_done)
int oci_config_parse(const void *data, size_t n, OciConfig *ret, char **ret_error);
