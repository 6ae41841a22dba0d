/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "init/superblock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The beginning of a volume, however short. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Superblock s;

        superblock_parse(data, size, &s);
        if (s.ext4 ? s.other != NULL || s.size % 1024 != 0 : s.size != 0 || s.needs_check || s.needs_replay || s.is_new)
                abort();
        return 0;
}
