/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "vmm/metrics.h"
#include "vmm/qemu-command.h"

typedef struct BlockCounters {
        uint64_t read_bytes, write_bytes, read_count, write_count, flush_count;
} BlockCounters;

/* Name here, place, name in QEMU. */
static const struct {
        const char *name;
        size_t offset;
        const char *qemu_name;
} block_fields[] = {
        { "read_bytes", offsetof(BlockCounters, read_bytes), "rd_bytes" },
        { "write_bytes", offsetof(BlockCounters, write_bytes), "wr_bytes" },
        { "read_count", offsetof(BlockCounters, read_count), "rd_operations" },
        { "write_count", offsetof(BlockCounters, write_count), "wr_operations" },
        { "flush_count", offsetof(BlockCounters, flush_count), "flush_operations" },
};

static const struct {
        const char *name;
        size_t offset;
} vsock_fields[] = {
        { "rx_bytes_count", offsetof(VsockCounters, rx_bytes_count) },
        { "rx_packets_count", offsetof(VsockCounters, rx_packets_count) },
        { "rx_read_fails", offsetof(VsockCounters, rx_read_fails) },
        { "tx_bytes_count", offsetof(VsockCounters, tx_bytes_count) },
        { "tx_packets_count", offsetof(VsockCounters, tx_packets_count) },
        { "tx_write_fails", offsetof(VsockCounters, tx_write_fails) },
        { "conns_added", offsetof(VsockCounters, conns_added) },
        { "conns_killed", offsetof(VsockCounters, conns_killed) },
        { "conns_removed", offsetof(VsockCounters, conns_removed) },
};

struct Metrics {
        int fd;
        const VmmConfig *config;
        const char *id;
        BlockCounters block[VMM_DEVICES_MAX], block_written[VMM_DEVICES_MAX];
        VsockCounters vsock_written;
};

#define FIELD_OF(base, offset) (*(const uint64_t *) (const void *) ((const char *) (base) + (offset)))

int metrics_new(int fd_consume, const VmmConfig *config, const char *id, Metrics **ret) {
        _cleanup_close_ int fd = fd_consume;
        Metrics *m = calloc(1, sizeof(Metrics));

        if (!m)
                return -ENOMEM;
        m->fd = TAKE_FD(fd);
        m->config = config;
        m->id = id;
        *ret = m;
        return 0;
}

Metrics *metrics_free(Metrics *m) {
        if (m) {
                safe_close(m->fd);
                free(m);
        }
        return NULL;
}

void metrics_set_blockstats(Metrics *m, json_t *result) {
        size_t i;
        json_t *e;

        json_array_foreach(result, i, e) {
                const char *node = json_string_value(json_object_get(e, "node-name"));
                json_t *stats = json_object_get(e, "stats");

                for (size_t d = 0; node && d < m->config->n_drives; d++) {
                        char name[QEMU_NODE_NAME_MAX];

                        qemu_drive_node(d, name);
                        if (!streq(name, node))
                                continue;
                        for (size_t f = 0; f < ELEMENTSOF(block_fields); f++)
                                *(uint64_t *) (void *) ((char *) &m->block[d] + block_fields[f].offset) =
                                                (uint64_t) json_integer_value(json_object_get(stats, block_fields[f].qemu_name));
                }
        }
}

static int set_delta(json_t *object, const char *name, const void *now, const void *before, size_t offset) {
        return json_object_set_new(object, name, json_integer((json_int_t) (FIELD_OF(now, offset) - FIELD_OF(before, offset))));
}

static json_t *block_json(const BlockCounters *now, const BlockCounters *before) {
        json_t *j = json_object();

        for (size_t f = 0; j && f < ELEMENTSOF(block_fields); f++)
                if (set_delta(j, block_fields[f].name, now, before, block_fields[f].offset) < 0) {
                        json_decref(j);
                        return NULL;
                }
        return j;
}

static json_t *vsock_json(const VsockCounters *now, const VsockCounters *before) {
        json_t *j = json_object();

        for (size_t f = 0; j && f < ELEMENTSOF(vsock_fields); f++)
                if (set_delta(j, vsock_fields[f].name, now, before, vsock_fields[f].offset) < 0) {
                        json_decref(j);
                        return NULL;
                }
        return j;
}

int metrics_write(Metrics *m, const VsockCounters *vsock) {
        BlockCounters sum = {}, sum_written = {};
        _cleanup_json_ json_t *j = NULL;
        _cleanup_free_ char *text = NULL;
        struct timespec now;
        ssize_t n;
        int r;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        j = json_pack("{s:I}", "utc_timestamp_ms", (json_int_t) now.tv_sec * 1000 + now.tv_nsec / 1000000);
        if (!j)
                return -ENOMEM;
        r = m->config->metrics_emit_id ? json_object_set_new(j, "id", json_string(m->id)) : 0;
        if (r >= 0 && m->config->metrics_properties)
                r = json_object_set(j, "properties", m->config->metrics_properties);
        for (size_t d = 0; d < m->config->n_drives && r >= 0; d++) {
                _cleanup_free_ char *name = strf("block_%s", m->config->drives[d].drive_id);

                for (size_t f = 0; f < ELEMENTSOF(block_fields); f++) {
                        *(uint64_t *) (void *) ((char *) &sum + block_fields[f].offset) += FIELD_OF(&m->block[d], block_fields[f].offset);
                        *(uint64_t *) (void *) ((char *) &sum_written + block_fields[f].offset) +=
                                        FIELD_OF(&m->block_written[d], block_fields[f].offset);
                }
                r = name ? json_object_set_new(j, name, block_json(&m->block[d], &m->block_written[d])) : -1;
        }
        if (r >= 0)
                r = json_object_set_new(j, "block", block_json(&sum, &sum_written));
        if (r >= 0 && vsock)
                r = json_object_set_new(j, "vsock", vsock_json(vsock, &m->vsock_written));
        text = r >= 0 ? json_format(j) : NULL;
        if (!text)
                return -ENOMEM;

        n = write(m->fd, text, strlen(text));
        if (n < 0)
                return negative_errno();
        memcpy(m->block_written, m->block, sizeof(m->block));
        if (vsock)
                m->vsock_written = *vsock;
        return (size_t) n == strlen(text) ? 0 : -EIO;
}
