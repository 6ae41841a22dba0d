/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writing half, in a file of its own so that init does not link it. */

#include "base/str.h"
#include "runspec/runspec.h"

/* NULL: no memory, or not UTF-8. */
static json_t *strv_to_json(char *const *v) {
        _cleanup_json_ json_t *a = json_array();

        STRV_FOREACH(s, v)
                if (json_array_append_new(a, json_string(*s)) < 0)
                        return NULL;
        return TAKE_PTR(a);
}

static json_t *ips_to_json(const RunSpec *s) {
        _cleanup_json_ json_t *a = json_array();

        for (size_t i = 0; i < s->n_ips; i++)
                if (json_array_append_new(a, json_pack("{s:s,s:s*,s:I}", "ip", s->ips[i].ip, "gateway", s->ips[i].gateway,
                                                     "mask", (json_int_t) s->ips[i].mask)) < 0)
                        return NULL;
        return TAKE_PTR(a);
}

static json_t *files_to_json(const RunSpec *s) {
        _cleanup_json_ json_t *a = json_array();

        for (size_t i = 0; i < s->n_files; i++)
                if (json_array_append_new(a, json_pack("{s:s,s:I,s:s}", "path", s->files[i].path, "mode",
                                                     (json_int_t) s->files[i].mode, "content", s->files[i].content)) < 0)
                        return NULL;
        return TAKE_PTR(a);
}

static json_t *hosts_to_json(const RunSpec *s) {
        _cleanup_json_ json_t *a = json_array();

        for (size_t i = 0; i < s->n_hosts; i++)
                if (json_array_append_new(a, json_pack("{s:s,s:s}", "host", s->hosts[i].host, "ip", s->hosts[i].ip)) < 0)
                        return NULL;
        return TAKE_PTR(a);
}

static json_t *volumes_to_json(const RunSpec *s) {
        _cleanup_json_ json_t *a = json_array();

        for (size_t i = 0; i < s->n_volumes; i++) {
                const RunVolume *v = s->volumes + i;
                json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:s*,s:b,s:b,s:b}", "device", v->device, "name", v->name, "mount_point", v->mount_point,
                                      "fs_type", v->fs_type, "options", v->options, "read_only", (int) v->read_only, "mkfs", (int) v->make_fs,
                                      "discard", (int) v->discard);

                if (json_array_append_new(a, o) < 0)
                        return NULL;
                if (v->luks_uuid && json_object_set_new(o, "encrypted", json_pack("{s:s,s:s,s:I}", "uuid", v->luks_uuid, "cipher", v->luks_cipher,
                                                                                "key_size", (json_int_t) v->luks_key_bytes)) < 0)
                        return NULL;
        }
        return TAKE_PTR(a);
}

int run_spec_format(const RunSpec *s, char **ret, char *error) {
        _cleanup_json_ json_t *j = NULL;
        char *text;
        int r;

        r = run_spec_check(s, error);
        if (r < 0)
                return r;

        /* "o" takes the reference; a NULL one makes json_pack() fail and free the rest. */
        j = json_pack("{s:s,s:s,s:{s:s,s:o},s:o,s:s,s:s}",
                      "id", s->id, "hostname", s->hostname,
                      "process", "cmd", s->command, "args", strv_to_json(s->args),
                      "env", strv_to_json(s->env), "cwd", s->cwd, "user", s->user);
        if (!j)
                return json_field_error(error, "command, arguments, environment, working directory or user are not valid UTF-8");
        r = json_object_update_new(j, json_pack("{s:o,s:{s:o},s:o,s:o}",
                      "ips", ips_to_json(s), "etc_resolv", "nameservers", strv_to_json(s->nameservers),
                      "etc_hosts", hosts_to_json(s), "files", files_to_json(s)));
        if (r < 0)
                return json_field_error(error, "addresses, hosts or files are not valid UTF-8");
        r = json_object_update_new(j, json_pack("{s:{s:s,s:b,s:b},s:{s:{s:s,s:s,s:s,s:s*},s:{s:s,s:s,s:b,s:o*},s:o}}",
                      "log", "format", "raw", "timestamp", 0, "debug", (int) s->debug,
                      "mounts",
                      "root", "device", s->root.device, "mount_point", s->root.mount_point ?: "/", "fs_type", s->root.fs_type,
                      "options", s->root.options,
                      "upper", "device", s->upper.device, "fs_type", s->upper.fs_type,
                      "ephemeral", (int) s->upper_ephemeral, "whole", s->upper_whole ? json_true() : NULL,
                      "volumes", volumes_to_json(s)));
        if (r >= 0 && s->programs.device)
                r = json_object_set_new(json_object_get(j, "mounts"), "programs",
                                        json_pack("{s:s,s:s}", "device", s->programs.device, "fs_type", s->programs.fs_type));
        if (r < 0)
                return json_field_error(error, "mounts are not valid UTF-8");
        r = json_object_update_new(j, json_pack("{s:I,s:I,s:I,s:I,s:I}",
                      "vsock_stdout_port", (json_int_t) s->vsock_stdout_port,
                      "vsock_exit_port", (json_int_t) s->vsock_exit_port,
                      "vsock_api_port", (json_int_t) s->vsock_api_port,
                      "vsock_key_port", (json_int_t) s->vsock_key_port,
                      "stop_signal", (json_int_t) s->stop_signal));
        if (r < 0)
                return -ENOMEM;
        if (s->ssh_host_key && json_object_set_new(j, "ssh", json_pack("{s:o,s:s,s:I,s:I}", "authorized_keys", strv_to_json(s->ssh_keys), "host_key",
                                                                       s->ssh_host_key, "tcp_port", (json_int_t) s->ssh_tcp_port,
                                                                       "vsock_port", (json_int_t) s->vsock_ssh_port)) < 0)
                return json_field_error(error, "keys of SSH are not valid UTF-8");
        text = json_format(j);
        if (!text)
                return -ENOMEM;
        if (strlen(text) > RUN_SPEC_BYTES_MAX) {
                free(text);
                return json_field_error(error, "larger than %d bytes", RUN_SPEC_BYTES_MAX);
        }
        *ret = text;
        return 0;
}
