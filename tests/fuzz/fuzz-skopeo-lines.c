/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "image/oci.h"
#include "image/progress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What skopeo writes to its terminal, in which a registry's words may stand: what is known of the layers stays in its bounds. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        TerminalLines t = {};
        Progress p = {};

        for (size_t i = 0; i < size; i++) {
                const char *line = terminal_lines_take(&t, (char) data[i]);

                if (!line)
                        continue;
                for (const char *c = line; *c; c++)
                        if ((unsigned char) *c < ' ')
                                abort();
                (void) progress_take_line(&p, line);
        }
        if (p.n > OCI_LAYERS_MAX)
                abort();
        for (size_t i = 0; i < p.n; i++)
                if (strlen(p.layers[i].id) != IMAGE_LAYER_ID_MAX || p.layers[i].done > p.layers[i].size)
                        abort();
        progress_done(&p);
        return 0;
}
