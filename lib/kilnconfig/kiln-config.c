/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <limits.h>
#include <signal.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "base/wire.h"
#include "kilnconfig/kiln-config.h"
#include "layout/layout.h"

enum {
        CONFIG_BYTES_MAX = 64 * 1024,
        ID_LENGTH_MAX = 64,
        IMAGE_LENGTH_MAX = 4096,
        VOLUMES_MAX = 16,
};

KilnConfig *kiln_config_free(KilnConfig *c) {
        if (!c)
                return NULL;
        free(c->jail_id);
        free(c->name);
        free(c->image);
        free(c->version);
        free(c->vmm);
        free(c->address);
        free(c->firecracker_exec_path);
        free(c->firecracker_socket_path);
        free(c->firecracker_config_path);
        free(c->firecracker_vsock_uds_path);
        free(c->vm_logs_socket_path);
        free(c->exit_status_path);
        free(c->vmm_log_fifo_path);
        free(c->vmm_metrics_fifo_path);
        free(c->cpu_kind);
        for (size_t i = 0; i < c->n_volumes; i++) {
                free(c->volumes[i].device);
                free(c->volumes[i].key_path);
        }
        free(c->volumes);
        free(c);
        return NULL;
}

static int config_new_optional(KilnConfig **ret) {
        _cleanup_(kiln_config_freep) KilnConfig *c = calloc(1, sizeof(KilnConfig));

        if (!c)
                return -ENOMEM;
        c->log_level = LOG_INFO;
        c->vsock_stdout_port = WIRE_PORT_STREAM;
        c->vsock_exit_port = WIRE_PORT_STATUS;
        c->vsock_api_port = WIRE_PORT_API;
        c->vsock_key_port = WIRE_PORT_KEY;
        c->stop_signal = SIGTERM;
        c->stop_timeout_usec = 10 * USEC_PER_SEC;
        c->firecracker_exec_path = strdup("/" JAIL_VMM);
        c->vm_logs_socket_path = strdup("/run/systemd/journal/socket");
        if (!c->firecracker_exec_path || !c->vm_logs_socket_path)
                return -ENOMEM;
        *ret = TAKE_PTR(c);
        return 0;
}

int kiln_config_new(KilnConfig **ret) {
        _cleanup_(kiln_config_freep) KilnConfig *c = NULL;
        int r;

        r = config_new_optional(&c);
        if (r < 0)
                return r;
        c->firecracker_socket_path = strdup(JAIL_API_SOCKET);
        c->firecracker_config_path = strdup(JAIL_VMM_CONFIG);
        c->firecracker_vsock_uds_path = strdup(JAIL_VSOCK);
        c->exit_status_path = strdup(JAIL_EXIT_STATUS);
        c->vmm_log_fifo_path = strdup(JAIL_VMM_LOG);
        c->vmm_metrics_fifo_path = strdup(JAIL_VMM_METRICS);
        if (!c->firecracker_socket_path || !c->firecracker_config_path || !c->firecracker_vsock_uds_path ||
            !c->exit_status_path || !c->vmm_log_fifo_path || !c->vmm_metrics_fifo_path)
                return -ENOMEM;
        *ret = TAKE_PTR(c);
        return 0;
}

static int read_log(const JsonField *f, json_t *v, void *target, char *error) {
        _cleanup_free_ char *level = NULL;
        static const JsonField fields[] = {
                { "level", json_read_string, 0, 0 },
                {},
        };
        int r;

        r = json_read_object(v, fields, 0, &level, error);
        if (r < 0 || !level)
                return r;
        r = log_level_from_string(level);
        if (r < 0)
                return json_field_error(error, "\"level\": \"%.32s\" is no log level", level);
        *(int *) target = r;
        return 0;
}

/* Its target is the whole struct. */
static int read_resources(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "cpu_count", json_read_uint, offsetof(KilnConfig, cpu_count), 0 },
                { "memory_mb", json_read_uint, offsetof(KilnConfig, memory_mb), 0 },
                { "cpu_kind", json_read_string, offsetof(KilnConfig, cpu_kind), 0 },
                {},
        };

        return json_read_object(v, fields, 0, target, error);
}

static int read_volumes(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "device", json_read_string, offsetof(KilnVolume, device), JSON_MANDATORY },
                { "key_path", json_read_string, offsetof(KilnVolume, key_path), JSON_MANDATORY },
                {},
        };
        KilnConfig *c = target;

        return json_read_array(v, fields, VOLUMES_MAX, sizeof(KilnVolume), (void **) &c->volumes, &c->n_volumes, error);
}

/* JSON's integers end at INT64_MAX here, which is as good as for ever. */
static int read_timeout(const JsonField *f, json_t *v, void *target, char *error) {
        uint64_t *t = target;
        int r;

        r = json_read_uint64(f, v, t, error);
        if (r >= 0 && *t >= INT64_MAX)
                *t = UINT64_MAX;
        return r;
}

#define FIELD(name, type, flags) { #name, json_read_##type, offsetof(KilnConfig, name), (flags) }
static const JsonField config_fields[] = {
        FIELD(jail_id, string, JSON_MANDATORY),
        FIELD(name, string, JSON_MANDATORY),
        FIELD(image, string, JSON_MANDATORY),
        FIELD(version, string, JSON_MANDATORY),
        FIELD(vmm, string, JSON_MANDATORY),
        FIELD(address, string, 0),
        FIELD(uid, uint, 0),
        FIELD(gid, uint, 0),
        { "log", read_log, offsetof(KilnConfig, log_level), 0 },
        FIELD(firecracker_exec_path, string, 0),
        FIELD(firecracker_socket_path, string, JSON_MANDATORY),
        FIELD(firecracker_config_path, string, JSON_MANDATORY),
        FIELD(firecracker_vsock_uds_path, string, JSON_MANDATORY),
        FIELD(vm_logs_socket_path, string, 0),
        FIELD(exit_status_path, string, JSON_MANDATORY),
        FIELD(vmm_log_fifo_path, string, 0),
        FIELD(vmm_metrics_fifo_path, string, 0),
        FIELD(vsock_stdout_port, uint, 0),
        FIELD(vsock_exit_port, uint, 0),
        FIELD(vsock_api_port, uint, 0),
        FIELD(vsock_key_port, uint, 0),
        FIELD(stop_signal, uint, 0),
        { "stop_timeout_usec", read_timeout, offsetof(KilnConfig, stop_timeout_usec), 0 },
        { "resources", read_resources, 0, 0 },
        { "volumes", read_volumes, 0, 0 },
        {},
};
#undef FIELD

/* Firecracker's rule for --id. */
static bool id_is_valid(const char *s) {
        size_t n = strlen(s);

        if (n < 1 || n > ID_LENGTH_MAX)
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char) *s) && *s != '-')
                        return false;
        return true;
}

/* Text that goes into journal fields and the status line as it is. */
static bool text_is_printable(const char *s) {
        if (!*s || strlen(s) > IMAGE_LENGTH_MAX)
                return false;
        for (; *s; s++)
                if ((unsigned char) *s < ' ' || *s == 0x7f)
                        return false;
        return true;
}

static int config_check(const KilnConfig *c, char *error) {
        const unsigned ports[] = { c->vsock_stdout_port, c->vsock_exit_port, c->vsock_api_port, c->vsock_key_port };
        const unsigned *wrong = wire_wrong_port(ports, ELEMENTSOF(ports));
        const struct {
                const char *key, *path;
                size_t max;
        } paths[] = {
                { "firecracker_exec_path", c->firecracker_exec_path, PATH_MAX },
                { "firecracker_config_path", c->firecracker_config_path, PATH_MAX },
                { "firecracker_socket_path", c->firecracker_socket_path, sizeof(((struct sockaddr_un *) 0)->sun_path) },
                /* "_4294967295" comes behind it */
                { "firecracker_vsock_uds_path", c->firecracker_vsock_uds_path, sizeof(((struct sockaddr_un *) 0)->sun_path) - 11 },
                { "vm_logs_socket_path", c->vm_logs_socket_path, sizeof(((struct sockaddr_un *) 0)->sun_path) },
                { "exit_status_path", c->exit_status_path, PATH_MAX },
        };

        if (!c->jail_id || !id_is_valid(c->jail_id))
                return json_field_error(error, "\"jail_id\": not 1 to %d letters, digits and hyphens", ID_LENGTH_MAX);
        if (!c->name || !vm_name_is_valid(c->name))
                return json_field_error(error, "\"name\": not a valid name of a VM");
        if (!c->image || !text_is_printable(c->image))
                return json_field_error(error, "\"image\": empty, too long, or with control characters");
        if (!c->version || !ulid_is_valid(c->version))
                return json_field_error(error, "\"version\": not a ULID");
        if (!c->vmm || (!streq(c->vmm, "firecracker") && !streq(c->vmm, "ember")))
                return json_field_error(error, "\"vmm\": neither \"firecracker\" nor \"ember\"");
        if (c->address && !text_is_printable(c->address))
                return json_field_error(error, "\"address\": empty, too long, or with control characters");
        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                if (isempty(paths[i].path) || strlen(paths[i].path) >= paths[i].max)
                        return json_field_error(error, "\"%s\": empty, or longer than %zu bytes", paths[i].key, paths[i].max - 1);
        if ((c->vmm_log_fifo_path && !*c->vmm_log_fifo_path) || (c->vmm_metrics_fifo_path && !*c->vmm_metrics_fifo_path))
                return json_field_error(error, "the path of a FIFO is empty");
        if (wrong)
                return json_field_error(error, "vsock port %u is none, or stands for two purposes", *wrong);
        for (size_t i = 0; i < c->n_volumes; i++)
                if (!c->volumes[i].device || !startswith(c->volumes[i].device, "/dev/") || !text_is_printable(c->volumes[i].device) ||
                    isempty(c->volumes[i].key_path) || strlen(c->volumes[i].key_path) >= PATH_MAX)
                        return json_field_error(error, "\"volumes\": entry %zu is not a device with the path of its key", i);
        if (!log_level_to_string(c->log_level))
                return json_field_error(error, "\"log\": %d is no log level", c->log_level);
        if (c->stop_signal < 1 || c->stop_signal > 64)
                return json_field_error(error, "\"stop_signal\": not a signal number of 1 to 64");
        return 0;
}

static int config_from_json(json_t *j, KilnConfig **ret, char *error) {
        _cleanup_(kiln_config_freep) KilnConfig *c = NULL;
        int r;

        r = config_new_optional(&c);
        if (r < 0)
                return r;
        r = json_read_object(j, config_fields, 0, c, error);
        if (r < 0)
                return r;
        r = config_check(c, error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

int kiln_config_parse(const void *data, size_t n, KilnConfig **ret, char *error) {
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = json_parse(data, n, CONFIG_BYTES_MAX, &j, error);
        if (r < 0)
                return r;
        return config_from_json(j, ret, error);
}

int kiln_config_load(int dir_fd, const char *path, KilnConfig **ret, char *error) {
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = json_parse_file(dir_fd, path, CONFIG_BYTES_MAX, &j, error);
        if (r < 0)
                return r;
        return config_from_json(j, ret, error);
}

int kiln_config_format(const KilnConfig *c, char **ret, char *error) {
        _cleanup_json_ json_t *j = NULL;
        char *s;
        int r;

        r = config_check(c, error);
        if (r < 0)
                return r;
        j = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s*,s:I,s:I,s:{s:s}}",
                      "jail_id", c->jail_id, "name", c->name, "image", c->image, "version", c->version, "vmm", c->vmm,
                      "address", c->address, "uid", (json_int_t) c->uid, "gid", (json_int_t) c->gid,
                      "log", "level", log_level_to_string(c->log_level));
        if (!j)
                return json_field_error(error, "a value is not valid UTF-8");
        r = json_object_update_new(j, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s*,s:s*}",
                      "firecracker_exec_path", c->firecracker_exec_path,
                      "firecracker_socket_path", c->firecracker_socket_path,
                      "firecracker_config_path", c->firecracker_config_path,
                      "firecracker_vsock_uds_path", c->firecracker_vsock_uds_path,
                      "vm_logs_socket_path", c->vm_logs_socket_path,
                      "exit_status_path", c->exit_status_path,
                      "vmm_log_fifo_path", c->vmm_log_fifo_path,
                      "vmm_metrics_fifo_path", c->vmm_metrics_fifo_path));
        if (r < 0)
                return -ENOMEM;
        r = json_object_update_new(j, json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:{s:I,s:I,s:s*}}",
                      "vsock_stdout_port", (json_int_t) c->vsock_stdout_port,
                      "vsock_exit_port", (json_int_t) c->vsock_exit_port,
                      "vsock_api_port", (json_int_t) c->vsock_api_port,
                      "vsock_key_port", (json_int_t) c->vsock_key_port,
                      "stop_signal", (json_int_t) c->stop_signal,
                      "stop_timeout_usec", (json_int_t) MIN(c->stop_timeout_usec, (uint64_t) INT64_MAX),
                      "resources", "cpu_count", (json_int_t) c->cpu_count, "memory_mb", (json_int_t) c->memory_mb,
                      "cpu_kind", c->cpu_kind));
        if (r < 0)
                return -ENOMEM;
        if (c->n_volumes > 0) {
                json_t *volumes = json_array();

                for (size_t i = 0; i < c->n_volumes; i++)
                        if (json_array_append_new(volumes, json_pack("{s:s,s:s}", "device", c->volumes[i].device,
                                                                   "key_path", c->volumes[i].key_path)) < 0) {
                                json_decref(volumes);
                                return -ENOMEM;
                        }
                if (json_object_set_new(j, "volumes", volumes) < 0)
                        return -ENOMEM;
        }
        s = json_format(j);
        if (!s)
                return -ENOMEM;
        *ret = s;
        return 0;
}
