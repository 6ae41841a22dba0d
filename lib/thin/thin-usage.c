/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "base/str.h"
#include "thin/thin-usage.h"

enum { SECTOR = 512, METADATA_BLOCK = 4096 };

/* "<transaction> <used>/<total metadata blocks> <used>/<total data blocks> <held root> ro|rw|out_of_data_space <discards>
 * error_if_no_space|queue_if_no_space needs_check|- <low water mark of the metadata>", or "Fail", or "Error". */
int thin_usage_parse(const char *status, const char *table, ThinUsage *ret) {
        uint64_t metadata_used, metadata_total, data_used, data_total, block;
        char mode[32], when_full[32], check[32];

        if (sscanf(table, "%*s %*s %" SCNu64, &block) != 1 || block < 1 || block > UINT32_MAX)
                return -EBADMSG;
        if (startswith(status, "Fail") || startswith(status, "Error")) {
                *ret = (ThinUsage) { .state = THIN_FAILED };
                return 0;
        }
        if (sscanf(status, "%*s %" SCNu64 "/%" SCNu64 " %" SCNu64 "/%" SCNu64 " %*s %31s %*s %31s %31s", &metadata_used, &metadata_total,
                   &data_used, &data_total, mode, when_full, check) != 7 ||
            metadata_total < 1 || data_total < 1 || metadata_used > metadata_total || data_used > data_total ||
            metadata_total > UINT64_MAX / METADATA_BLOCK / 100 || data_total > UINT64_MAX / SECTOR / 100 / block)
                return -EBADMSG;
        *ret = (ThinUsage) {
                .state = streq(mode, "rw") ? THIN_GOOD : streq(mode, "ro") ? THIN_READ_ONLY : THIN_FULL,
                .needs_check = streq(check, "needs_check"),
                .queues = streq(when_full, "queue_if_no_space"),
                .data_used = data_used * block * SECTOR,
                .data_total = data_total * block * SECTOR,
                .metadata_used = metadata_used * METADATA_BLOCK,
                .metadata_total = metadata_total * METADATA_BLOCK,
        };
        return 0;
}

unsigned thin_usage_percent(const ThinUsage *u) {
        uint64_t data = u->data_total > 0 ? u->data_used * 100 / u->data_total : 100;
        uint64_t metadata = u->metadata_total > 0 ? u->metadata_used * 100 / u->metadata_total : 100;

        return (unsigned) MAX(data, metadata);
}

const char *thin_state_to_string(ThinState s) {
        static const char *const names[] = {
                [THIN_GOOD] = "active", [THIN_FULL] = "full", [THIN_READ_ONLY] = "read-only", [THIN_FAILED] = "failed",
        };

        return names[s];
}
