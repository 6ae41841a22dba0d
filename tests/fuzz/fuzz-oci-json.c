/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "image/oci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte chooses which document the rest is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_oci_document_ OciDocument d = {};
        _cleanup_oci_config_ OciConfig c = {};
        char *error = NULL;

        if (size < 1)
                return 0;
        if (data[0] == 'c') {
                if (oci_config_parse(data + 1, size - 1, &c, &error) < 0 && !error)
                        abort();
        } else if (oci_document_parse(data + 1, size - 1, &d, &error) < 0) {
                if (!error)
                        abort();
        } else if (d.is_index) {
                const OciDescriptor *entry;

                if (oci_index_select(&d, "amd64", data[0] == 'n' ? "latest" : NULL, &entry, &error) >= 0 && !digest_is_valid(entry->digest))
                        abort();
        } else
                for (size_t i = 0; i < d.n_layers; i++)
                        if (!digest_is_valid(d.layers[i].digest))
                                abort();
        free(error);
        return 0;
}
