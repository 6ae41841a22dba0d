/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the kernel says of a thin pool: Documentation/admin-guide/device-mapper/thin-provisioning.rst, "Status" and "Table". */

#include "base/macros.h"

typedef enum ThinState {
        THIN_GOOD,
        THIN_FULL,                      /* out of data space */
        THIN_READ_ONLY,
        THIN_FAILED,                    /* neither read nor written */
} ThinState;

typedef struct ThinUsage {
        ThinState state;
        bool needs_check;               /* of its metadata, by thin_check(8), before it is written to again */
        bool queues;                    /* when it is full, writers wait for room, and hang, instead of being told */
        uint64_t data_used, data_total; /* bytes */
        uint64_t metadata_used, metadata_total;
} ThinUsage;

/* `status` and `table` are the parameters of the thin-pool target. -EBADMSG. */
int thin_usage_parse(const char *status, const char *table, ThinUsage *ret);

/* Of data or metadata, whichever is closer to its end; rounded down. */
unsigned thin_usage_percent(const ThinUsage *u);

/* "active", "full", "read-only", "failed" */
const char *thin_state_to_string(ThinState s);
