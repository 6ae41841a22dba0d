/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <net/if.h>
#include <strings.h>
#include <syslog.h>

#include "base/str.h"
#include "vmm/vmm-config.h"

#define FIELD(type, key, member, reader, flags) { key, reader, offsetof(type, member), flags }

static int read_token_bucket(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                FIELD(VmmTokenBucket, "size", size, json_read_uint64, JSON_MANDATORY),
                FIELD(VmmTokenBucket, "one_time_burst", one_time_burst, json_read_uint64, 0),
                FIELD(VmmTokenBucket, "refill_time", refill_time, json_read_uint64, JSON_MANDATORY),
                {}
        };
        VmmTokenBucket *b = target;
        int r;

        /* Firecracker's own reader does not mind unknown keys here, and only here. */
        r = json_read_object(v, fields, JSON_ALLOW_UNKNOWN, b, error);
        if (r < 0)
                return r;
        if (b->size == 0 || b->refill_time == 0)
                *b = (VmmTokenBucket) {};       /* Firecracker: such a bucket limits nothing */
        return 0;
}

static int read_rate_limiter(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                FIELD(VmmRateLimiter, "bandwidth", bandwidth, read_token_bucket, 0),
                FIELD(VmmRateLimiter, "ops", ops, read_token_bucket, 0),
                {}
        };

        return json_read_object(v, fields, 0, target, error);
}

/* For devices that QEMU cannot limit: a limiter that limits nothing passes. */
static int read_no_rate_limiter(const JsonField *f, json_t *v, void *target, char *error) {
        VmmRateLimiter limiter = {};
        int r;

        r = read_rate_limiter(f, v, &limiter, error);
        if (r < 0)
                return r;
        if (limiter.bandwidth.size > 0 || limiter.ops.size > 0) {
                (void) json_field_error(error, "ember cannot limit network interfaces; leave the limit away or use Firecracker");
                return -EOPNOTSUPP;
        }
        return 0;
}

static int read_path(const JsonField *f, json_t *v, void *target, char *error) {
        if (json_is_string(v) && json_string_length(v) == 0)
                return json_field_error(error, "empty");
        return json_read_string(f, v, target, error);
}

static int read_boot_source(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                FIELD(VmmConfig, "kernel_image_path", kernel_image_path, read_path, JSON_MANDATORY),
                FIELD(VmmConfig, "initrd_path", initrd_path, read_path, 0),
                FIELD(VmmConfig, "boot_args", boot_args, json_read_string, 0),
                {}
        };

        return json_read_object(v, fields, 0, target, error);
}

static int read_vcpu_count(const JsonField *f, json_t *v, void *target, char *error) {
        int r;

        r = json_read_uint(f, v, target, error);
        if (r < 0)
                return r;
        if (*(unsigned *) target < 1 || *(unsigned *) target > VMM_VCPUS_MAX)
                return json_field_error(error, "not 1 to %d", VMM_VCPUS_MAX);
        return 0;
}

static int read_mem_size(const JsonField *f, json_t *v, void *target, char *error) {
        int r;

        r = json_read_uint64(f, v, target, error);
        if (r < 0)
                return r;
        if (*(uint64_t *) target < 1 || *(uint64_t *) target > 16 * 1024 * 1024)
                return json_field_error(error, "not 1 to %d MiB", 16 * 1024 * 1024);
        return 0;
}

/* Keys whose only value that ember can do is "None", which is Firecracker's default. */
static int read_none(const JsonField *f, json_t *v, void *target, char *error) {
        if (!json_is_string(v))
                return json_field_error(error, "not a string");
        if (!streq(json_string_value(v), "None")) {
                (void) json_field_error(error, "ember supports \"None\" only");
                return -EOPNOTSUPP;
        }
        return 0;
}

static int read_machine_config(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                FIELD(VmmConfig, "vcpu_count", vcpu_count, read_vcpu_count, JSON_MANDATORY),
                FIELD(VmmConfig, "mem_size_mib", mem_size_mib, read_mem_size, JSON_MANDATORY),
                FIELD(VmmConfig, "smt", smt, json_read_bool, 0),
                { "cpu_template", read_none },
                { "huge_pages", read_none },
                { "track_dirty_pages" },        /* for snapshots, which ember does not make */
                {}
        };
        VmmConfig *c = target;
        int r;

        r = json_read_object(v, fields, 0, target, error);
        if (r < 0)
                return r;
        if (c->smt && c->vcpu_count > 1 && c->vcpu_count % 2 != 0)
                return json_field_error(error, "with \"smt\" vcpu_count must be 1 or even");
        return 0;
}

static int read_cache_type(const JsonField *f, json_t *v, void *target, char *error) {
        if (!json_is_string(v) || (!streq(json_string_value(v), "Unsafe") && !streq(json_string_value(v), "Writeback")))
                return json_field_error(error, "neither \"Unsafe\" nor \"Writeback\"");
        *(bool *) target = streq(json_string_value(v), "Writeback");
        return 0;
}

static int read_io_engine(const JsonField *f, json_t *v, void *target, char *error) {
        if (!json_is_string(v) || (!streq(json_string_value(v), "Sync") && !streq(json_string_value(v), "Async")))
                return json_field_error(error, "neither \"Sync\" nor \"Async\"");
        return 0;                       /* QEMU's I/O is asynchronous in any case */
}

static int read_drives(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                FIELD(VmmDrive, "drive_id", drive_id, json_read_string, JSON_MANDATORY),
                FIELD(VmmDrive, "partuuid", partuuid, json_read_string, 0),
                FIELD(VmmDrive, "is_root_device", is_root_device, json_read_bool, JSON_MANDATORY),
                FIELD(VmmDrive, "cache_type", writeback, read_cache_type, 0),
                FIELD(VmmDrive, "is_read_only", is_read_only, json_read_bool, 0),
                FIELD(VmmDrive, "path_on_host", path_on_host, read_path, JSON_MANDATORY),
                FIELD(VmmDrive, "rate_limiter", rate_limiter, read_rate_limiter, 0),
                { "io_engine", read_io_engine },
                { "socket", .flags = JSON_UNSUPPORTED },
                {}
        };
        VmmConfig *c = target;
        int r;

        r = json_read_array(v, fields, VMM_DEVICES_MAX, sizeof(VmmDrive), (void **) &c->drives, &c->n_drives, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < c->n_drives; i++) {
                VmmDrive *d = &c->drives[i];

                for (size_t k = 0; k < i; k++)
                        if (streq(c->drives[k].drive_id, d->drive_id))
                                return json_field_error(error, "drive_id \"%.64s\" is there twice", d->drive_id);
                if (d->is_root_device && i > 0) {
                        VmmDrive root = *d;

                        if (c->drives[0].is_root_device)
                                return json_field_error(error, "a second root device, \"%.64s\"", d->drive_id);
                        memmove(c->drives + 1, c->drives, i * sizeof(VmmDrive));
                        c->drives[0] = root;
                }
        }
        return 0;
}

/* Names that Linux takes for interfaces (dev_valid_name()), without "%", which would make TUNSETIFF choose. */
static int read_interface_name(const JsonField *f, json_t *v, void *target, char *error) {
        const char *s = json_string_value(v);

        if (!s || *s == 0 || strlen(s) >= IFNAMSIZ || streq(s, ".") || streq(s, ".."))
                return json_field_error(error, "not the name of an interface");
        for (const char *p = s; *p; p++)
                if (*p <= ' ' || *p >= 0x7f || strchr("/:%,", *p))
                        return json_field_error(error, "not the name of an interface");
        return json_read_string(f, v, target, error);
}

static int read_mac(const JsonField *f, json_t *v, void *target, char *error) {
        const char *s = json_string_value(v);

        if (!s || strlen(s) != 17)
                return json_field_error(error, "not a MAC address");
        for (size_t i = 0; i < 17; i++)
                if (i % 3 == 2 ? s[i] != ':' : !isxdigit((unsigned char) s[i]))
                        return json_field_error(error, "not a MAC address");
        return json_read_string(f, v, target, error);
}

static int read_mtu(const JsonField *f, json_t *v, void *target, char *error) {
        int r;

        r = json_read_uint(f, v, target, error);
        if (r < 0)
                return r;
        if (*(unsigned *) target < 68 || *(unsigned *) target > 65535)
                return json_field_error(error, "not 68 to 65535");
        return 0;
}

static int read_networks(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                FIELD(VmmNetwork, "iface_id", iface_id, json_read_string, JSON_MANDATORY),
                FIELD(VmmNetwork, "host_dev_name", host_dev_name, read_interface_name, JSON_MANDATORY),
                FIELD(VmmNetwork, "guest_mac", guest_mac, read_mac, 0),
                FIELD(VmmNetwork, "mtu", mtu, read_mtu, 0),
                { "rx_rate_limiter", read_no_rate_limiter },
                { "tx_rate_limiter", read_no_rate_limiter },
                {}
        };
        VmmConfig *c = target;
        int r;

        r = json_read_array(v, fields, VMM_DEVICES_MAX, sizeof(VmmNetwork), (void **) &c->networks, &c->n_networks, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < c->n_networks; i++) {
                const VmmNetwork *n = &c->networks[i];

                for (size_t k = 0; k < i; k++) {
                        if (streq(c->networks[k].iface_id, n->iface_id))
                                return json_field_error(error, "iface_id \"%.64s\" is there twice", n->iface_id);
                        if (n->guest_mac && c->networks[k].guest_mac && strcasecmp(c->networks[k].guest_mac, n->guest_mac) == 0)
                                return json_field_error(error, "the MAC address %s is in use already", n->guest_mac);
                }
        }
        return 0;
}

static int read_guest_cid(const JsonField *f, json_t *v, void *target, char *error) {
        int r;

        r = json_read_uint(f, v, target, error);
        if (r < 0)
                return r;
        if (*(unsigned *) target < 3 || *(unsigned *) target == UINT32_MAX)
                return json_field_error(error, "not 3 to %u", UINT32_MAX - 1);
        return 0;
}

static int read_uds_path(const JsonField *f, json_t *v, void *target, char *error) {
        if (json_is_string(v) && json_string_length(v) > VMM_UDS_PATH_MAX)
                return json_field_error(error, "longer than %d bytes", VMM_UDS_PATH_MAX);
        return read_path(f, v, target, error);
}

static int read_vsock(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                FIELD(VmmConfig, "guest_cid", guest_cid, read_guest_cid, JSON_MANDATORY),
                FIELD(VmmConfig, "uds_path", uds_path, read_uds_path, JSON_MANDATORY),
                { "vsock_id" },         /* deprecated */
                {}
        };

        ((VmmConfig *) target)->vsock = true;
        return json_read_object(v, fields, 0, target, error);
}

static int read_entropy(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                FIELD(VmmConfig, "rate_limiter", entropy_limiter, read_rate_limiter, 0),
                {}
        };
        VmmConfig *c = target;
        int r;

        c->entropy = true;
        r = json_read_object(v, fields, 0, target, error);
        if (r < 0)
                return r;
        if (c->entropy_limiter.ops.size > 0) {
                (void) json_field_error(error, "ember limits the bandwidth of entropy, not its \"ops\"");
                return -EOPNOTSUPP;
        }
        return 0;
}

static int read_false(const JsonField *f, json_t *v, void *target, char *error) {
        if (!json_is_false(v) && !(json_is_integer(v) && json_integer_value(v) == 0)) {
                (void) json_field_error(error, "not supported by ember");
                return -EOPNOTSUPP;
        }
        return 0;
}

static int read_balloon(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                FIELD(VmmConfig, "amount_mib", balloon_mib, json_read_uint64, JSON_MANDATORY),
                FIELD(VmmConfig, "deflate_on_oom", balloon_deflate_on_oom, json_read_bool, JSON_MANDATORY),
                FIELD(VmmConfig, "free_page_reporting", balloon_reporting, json_read_bool, 0),
                { "stats_polling_interval_s", read_false },
                { "free_page_hinting", read_false },
                {}
        };

        ((VmmConfig *) target)->balloon = true;
        return json_read_object(v, fields, 0, target, error);
}

int vmm_log_level_from_string(const char *s, int *ret) {
        static const struct {
                const char *name;
                int level;
        } levels[] = {
                { "off", -1 },          { "error", LOG_ERR },  { "warn", LOG_WARNING },
                { "warning", LOG_WARNING }, { "info", LOG_INFO }, { "debug", LOG_DEBUG },
                { "trace", LOG_DEBUG },
        };

        for (size_t i = 0; i < ELEMENTSOF(levels); i++)
                if (strcasecmp(levels[i].name, s) == 0) {
                        *ret = levels[i].level;
                        return 0;
                }
        return -EINVAL;
}

static int read_log_level(const JsonField *f, json_t *v, void *target, char *error) {
        int level;

        if (!json_is_string(v) || vmm_log_level_from_string(json_string_value(v), &level) < 0)
                return json_field_error(error, "not Off, Error, Warn, Info, Debug or Trace");
        return json_read_string(f, v, target, error);
}

static int read_logger(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                FIELD(VmmConfig, "log_path", log_path, read_path, 0),
                FIELD(VmmConfig, "level", log_level, read_log_level, 0),
                { "show_level" },       /* how Firecracker's own lines look */
                { "show_log_origin" },
                { "module" },
                {}
        };

        return json_read_object(v, fields, 0, target, error);
}

static int read_properties(const JsonField *f, json_t *v, void *target, char *error) {
        const char *key;
        json_t *value;

        if (!json_is_object(v))
                return json_field_error(error, "not an object");
        json_object_foreach(v, key, value)
                if (!json_is_string(value))
                        return json_field_error(error, "\"%.64s\" is not a string", key);
        return json_read_value(f, v, target, error);
}

static int read_metrics(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                FIELD(VmmConfig, "metrics_path", metrics_path, read_path, JSON_MANDATORY),
                FIELD(VmmConfig, "emit_id", metrics_emit_id, json_read_bool, 0),
                FIELD(VmmConfig, "properties", metrics_properties, read_properties, 0),
                {}
        };

        return json_read_object(v, fields, 0, target, error);
}

VmmConfig *vmm_config_free(VmmConfig *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < c->n_drives; i++) {
                free(c->drives[i].drive_id);
                free(c->drives[i].partuuid);
                free(c->drives[i].path_on_host);
        }
        free(c->drives);
        for (size_t i = 0; i < c->n_networks; i++) {
                free(c->networks[i].iface_id);
                free(c->networks[i].host_dev_name);
                free(c->networks[i].guest_mac);
        }
        free(c->networks);
        free(c->kernel_image_path);
        free(c->initrd_path);
        free(c->boot_args);
        free(c->uds_path);
        free(c->log_path);
        free(c->log_level);
        free(c->metrics_path);
        json_decref(c->metrics_properties);
        json_decref(c->document);
        free(c);
        return NULL;
}

int vmm_config_parse(const void *text, size_t n, VmmConfig **ret, char *error) {
        static const JsonField fields[] = {
                { "boot-source", read_boot_source, 0, JSON_MANDATORY },
                { "drives", read_drives, 0, JSON_MANDATORY },
                { "machine-config", read_machine_config },
                { "network-interfaces", read_networks },
                { "vsock", read_vsock },
                { "entropy", read_entropy },
                { "balloon", read_balloon },
                { "logger", read_logger },
                { "metrics", read_metrics },
                { "cpu-config", .flags = JSON_UNSUPPORTED },
                { "mmds-config", .flags = JSON_UNSUPPORTED },
                { "memory-hotplug", .flags = JSON_UNSUPPORTED },
                { "pmem", .flags = JSON_UNSUPPORTED },
                {}
        };
        _cleanup_(vmm_config_freep) VmmConfig *c = NULL;
        size_t n_devices;
        int r;

        c = calloc(1, sizeof(VmmConfig));
        if (!c)
                return -ENOMEM;
        c->vcpu_count = 1;
        c->mem_size_mib = 128;
        r = json_parse(text, n, VMM_CONFIG_BYTES_MAX, &c->document, error);
        if (r < 0)
                return r;
        r = json_read_object(c->document, fields, JSON_ALLOW_UNKNOWN, c, error);
        if (r < 0)
                return r;

        n_devices = c->n_drives + c->n_networks + c->vsock + c->entropy + c->balloon;
        if (n_devices > VMM_DEVICES_MAX)
                return json_field_error(error, "%zu devices, more than the %d there is room for", n_devices, VMM_DEVICES_MAX);
        if (c->balloon_mib > c->mem_size_mib)
                return json_field_error(error, "\"balloon\": amount_mib is more than the guest's memory");
        *ret = TAKE_PTR(c);
        return 0;
}

bool vmm_instance_id_is_valid(const char *s) {
        size_t n = strlen(s);

        if (n < 1 || n > 64)
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char) *s) && *s != '-')
                        return false;
        return true;
}
