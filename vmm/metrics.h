/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Metrics as Firecracker writes them: one JSON object per line, counters since the line before. Those that ember really has:
 * "block" and "block_<drive_id>", "vsock". */

#include "vmm/vmm-config.h"
#include "vmm/vsock-muxer.h"

typedef struct Metrics Metrics;

/* Owns fd_consume, also on failure. Both strings are borrowed. */
int metrics_new(int fd_consume, const VmmConfig *config, const char *id, Metrics **ret);
Metrics *metrics_free(Metrics *m);
DEFINE_TRIVIAL_CLEANUP_FUNC(Metrics *, metrics_free)

/* What QEMU's query-blockstats has returned; NULL changes nothing. */
void metrics_set_blockstats(Metrics *m, json_t *result);
/* vsock may be NULL. Never waits: -EAGAIN where a FIFO is full. */
int metrics_write(Metrics *m, const VsockCounters *vsock);
