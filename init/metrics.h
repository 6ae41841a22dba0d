/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* GET /v1/metrics: what the workload uses, by its cgroup, and what the guest has, by its kernel. Counters begin with the guest. No path of the image is
 * looked up for it. */

#include "init/cgroup.h"
#include "init/mounts.h"
#include "json/json.h"

typedef struct Metrics {
        int meminfo_fd, net_fd;         /* of /proc, opened before anything of the image ran */
} Metrics;
#define METRICS_NULL { .meminfo_fd = -EBADF, .net_fd = -EBADF }

/* What cannot be opened is not told. */
void metrics_open(Metrics *m);

/* {cpu{usage_usec, user_usec, system_usec}, memory{current, limit, anon, file, guest_total, guest_available}, tasks,
 *  disk{root{size, free}, volumes[{name, size, free}], read_bytes, written_bytes}, network{received_bytes, received_packets, sent_bytes, sent_packets},
 *  pressure{cpu, io, memory: {some_usec, full_usec}}}; a part that the kernel cannot tell is not there, and a memory limit that is none is null. */
char *metrics_format(const Metrics *m, const Cgroup *cgroup, const Mounts *mounts);

/* The parts, from the texts of cpu.stat, io.stat, a *.pressure and /proc/net/dev. NULL: the text is none. */
json_t *metrics_parse_cpu(const char *text);
json_t *metrics_parse_pressure(const char *text);
json_t *metrics_parse_network(const char *text);
/* Sums of all devices into *object. */
void metrics_parse_io(const char *text, json_t *object);
