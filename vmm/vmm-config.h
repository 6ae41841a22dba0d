/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* firecracker.json: what Firecracker's --config-file takes, read as Firecracker reads it (unknown keys at the top are
 * ignored, unknown keys below are errors). What ember cannot do is refused by name, never silently left out. */

#include "json/json.h"

enum {
        VMM_VCPUS_MAX = 32,
        VMM_DEVICES_MAX = 17,                   /* what Firecracker can place on x86 */
        VMM_CMDLINE_MAX = 2048,                 /* COMMAND_LINE_SIZE of Linux on x86, with its NUL */
        VMM_CONFIG_BYTES_MAX = 1024 * 1024,
        VMM_UDS_PATH_MAX = 96,                  /* with "_4294967295" it still is a sockaddr_un */
};

/* Firecracker's token bucket: `size` tokens, refilled in `refill_time` milliseconds, and a burst at the beginning. 0: no limit. */
typedef struct VmmTokenBucket {
        uint64_t size, one_time_burst, refill_time;
} VmmTokenBucket;

typedef struct VmmRateLimiter {
        VmmTokenBucket bandwidth;               /* tokens are bytes */
        VmmTokenBucket ops;
} VmmRateLimiter;

typedef struct VmmDrive {
        char *drive_id, *partuuid, *path_on_host;
        bool is_root_device, is_read_only;
        bool writeback;                         /* cache_type: flushes are honoured */
        VmmRateLimiter rate_limiter;
} VmmDrive;

typedef struct VmmNetwork {
        char *iface_id, *host_dev_name;
        char *guest_mac;                        /* NULL: QEMU chooses */
        unsigned mtu;                           /* 0: not told */
} VmmNetwork;

typedef struct VmmConfig {
        char *kernel_image_path, *initrd_path, *boot_args;      /* boot_args: NULL for Firecracker's default ones */

        unsigned vcpu_count;
        uint64_t mem_size_mib;
        bool smt;

        VmmDrive *drives;                       /* the root device first, as in Firecracker */
        size_t n_drives;
        VmmNetwork *networks;
        size_t n_networks;

        bool vsock;
        unsigned guest_cid;
        char *uds_path;

        bool entropy;
        VmmRateLimiter entropy_limiter;

        bool balloon, balloon_deflate_on_oom, balloon_reporting;
        uint64_t balloon_mib;

        char *log_path, *log_level;
        char *metrics_path;
        bool metrics_emit_id;
        json_t *metrics_properties;             /* object of strings, or NULL */

        json_t *document;                       /* the whole, for GET /vm/config */
} VmmConfig;

/* Reads the text. -EBADMSG (malformed), -EOPNOTSUPP (Firecracker can, ember cannot), with one line in error, of
 * JSON_ERROR_MAX bytes. */
int vmm_config_parse(const void *text, size_t n, VmmConfig **ret, char *error);
VmmConfig *vmm_config_free(VmmConfig *c);
DEFINE_TRIVIAL_CLEANUP_FUNC(VmmConfig *, vmm_config_free)

/* Firecracker's names of log levels to syslog's: "Warn", "warning", "DEBUG" -> LOG_WARNING …; "Off" -> -1. -EINVAL. */
int vmm_log_level_from_string(const char *s, int *ret);
/* Alphanumeric and "-", 1 to 64 bytes: what Firecracker takes as --id. */
bool vmm_instance_id_is_valid(const char *s);
