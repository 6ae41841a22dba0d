/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <limits.h>
#include <signal.h>

#include "base/base64.h"
#include "base/parse.h"
#include "base/str.h"
#include "base/wire.h"
#include "runspec/runspec.h"

enum { ENTRIES_MAX = 4096 };

static void run_mount_done(RunMount *m) {
        free(m->device);
        free(m->fs_type);
        free(m->mount_point);
        free(m->options);
}

RunSpec *run_spec_free(RunSpec *s) {
        if (!s)
                return NULL;
        free(s->id);
        free(s->hostname);
        free(s->command);
        strv_free(s->args);
        strv_free(s->env);
        free(s->cwd);
        free(s->user);
        for (size_t i = 0; i < s->n_ips; i++) {
                free(s->ips[i].ip);
                free(s->ips[i].gateway);
        }
        free(s->ips);
        strv_free(s->nameservers);
        free(s->ssh_host_key);
        strv_free(s->ssh_keys);
        for (size_t i = 0; i < s->n_hosts; i++) {
                free(s->hosts[i].host);
                free(s->hosts[i].ip);
        }
        free(s->hosts);
        for (size_t i = 0; i < s->n_files; i++) {
                free(s->files[i].path);
                free(s->files[i].content);
        }
        free(s->files);
        for (size_t i = 0; i < s->n_volumes; i++) {
                RunVolume *v = s->volumes + i;

                free(v->device);
                free(v->name);
                free(v->mount_point);
                free(v->fs_type);
                free(v->options);
                free(v->luks_uuid);
                free(v->luks_cipher);
        }
        free(s->volumes);
        run_mount_done(&s->root);
        run_mount_done(&s->upper);
        run_mount_done(&s->programs);
        free(s);
        return NULL;
}

int run_spec_new(RunSpec **ret) {
        _cleanup_(run_spec_freep) RunSpec *s = calloc(1, sizeof(RunSpec));

        if (!s)
                return -ENOMEM;
        s->vsock_stdout_port = WIRE_PORT_STREAM;
        s->vsock_exit_port = WIRE_PORT_STATUS;
        s->vsock_api_port = WIRE_PORT_API;
        s->vsock_key_port = WIRE_PORT_KEY;
        s->vsock_ssh_port = WIRE_PORT_SSH;
        s->stop_signal = SIGTERM;
        s->cwd = strdup("/");
        s->user = strdup("");
        if (!s->cwd || !s->user)
                return -ENOMEM;
        *ret = TAKE_PTR(s);
        return 0;
}

/* The readers of objects and arrays have the whole RunSpec as their target. */

static int read_process(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "cmd", json_read_string, offsetof(RunSpec, command), JSON_MANDATORY },
                { "args", json_read_strv, offsetof(RunSpec, args), 0 },
                {},
        };

        return json_read_object(v, fields, 0, target, error);
}

static int read_log(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "format", NULL, 0, 0 },       /* streams go out as they are: lines and times are the journal's work */
                { "timestamp", NULL, 0, 0 },
                { "debug", json_read_bool, offsetof(RunSpec, debug), 0 },
                {},
        };

        return json_read_object(v, fields, 0, target, error);
}

static int read_etc_resolv(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "nameservers", json_read_strv, offsetof(RunSpec, nameservers), 0 },
                {},
        };

        return json_read_object(v, fields, 0, target, error);
}

static int read_root(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "device", json_read_string, offsetof(RunSpec, root.device), JSON_MANDATORY },
                { "mount_point", json_read_string, offsetof(RunSpec, root.mount_point), 0 },
                { "fs_type", json_read_string, offsetof(RunSpec, root.fs_type), JSON_MANDATORY },
                { "options", json_read_string, offsetof(RunSpec, root.options), 0 },
                {},
        };

        return json_read_object(v, fields, 0, target, error);
}

static int read_upper(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "device", json_read_string, offsetof(RunSpec, upper.device), JSON_MANDATORY },
                { "fs_type", json_read_string, offsetof(RunSpec, upper.fs_type), JSON_MANDATORY },
                { "ephemeral", json_read_bool, offsetof(RunSpec, upper_ephemeral), 0 },
                { "whole", json_read_bool, offsetof(RunSpec, upper_whole), 0 },
                {},
        };

        return json_read_object(v, fields, 0, target, error);
}

static int read_programs(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "device", json_read_string, offsetof(RunSpec, programs.device), JSON_MANDATORY },
                { "fs_type", json_read_string, offsetof(RunSpec, programs.fs_type), JSON_MANDATORY },
                {},
        };

        return json_read_object(v, fields, 0, target, error);
}

/* Its target is the RunVolume. */
static int read_encrypted(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "uuid", json_read_string, offsetof(RunVolume, luks_uuid), JSON_MANDATORY },
                { "cipher", json_read_string, offsetof(RunVolume, luks_cipher), JSON_MANDATORY },
                { "key_size", json_read_uint, offsetof(RunVolume, luks_key_bytes), JSON_MANDATORY },
                {},
        };

        return json_read_object(v, fields, 0, target, error);
}

static int read_volumes(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "device", json_read_string, offsetof(RunVolume, device), JSON_MANDATORY },
                { "name", json_read_string, offsetof(RunVolume, name), JSON_MANDATORY },
                { "mount_point", json_read_string, offsetof(RunVolume, mount_point), JSON_MANDATORY },
                { "fs_type", json_read_string, offsetof(RunVolume, fs_type), JSON_MANDATORY },
                { "options", json_read_string, offsetof(RunVolume, options), 0 },
                { "read_only", json_read_bool, offsetof(RunVolume, read_only), 0 },
                { "mkfs", json_read_bool, offsetof(RunVolume, make_fs), 0 },
                { "discard", json_read_bool, offsetof(RunVolume, discard), 0 },
                { "encrypted", read_encrypted, 0, 0 },
                {},
        };
        RunSpec *s = target;

        return json_read_array(v, fields, ENTRIES_MAX, sizeof(RunVolume), (void **) &s->volumes, &s->n_volumes, error);
}

static int read_mounts(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "root", read_root, 0, JSON_MANDATORY },
                { "upper", read_upper, 0, JSON_MANDATORY },
                { "volumes", read_volumes, 0, 0 },
                { "programs", read_programs, 0, 0 },
                {},
        };

        return json_read_object(v, fields, 0, target, error);
}

static int read_ips(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "ip", json_read_string, offsetof(RunAddress, ip), JSON_MANDATORY },
                { "gateway", json_read_string, offsetof(RunAddress, gateway), 0 },
                { "mask", json_read_uint, offsetof(RunAddress, mask), JSON_MANDATORY },
                {},
        };
        RunSpec *s = target;

        return json_read_array(v, fields, ENTRIES_MAX, sizeof(RunAddress), (void **) &s->ips, &s->n_ips, error);
}

static int read_files(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "path", json_read_string, offsetof(RunFile, path), JSON_MANDATORY },
                { "mode", json_read_uint, offsetof(RunFile, mode), JSON_MANDATORY },
                { "content", json_read_string, offsetof(RunFile, content), JSON_MANDATORY },
                {},
        };
        RunSpec *s = target;

        return json_read_array(v, fields, ENTRIES_MAX, sizeof(RunFile), (void **) &s->files, &s->n_files, error);
}

static int read_ssh(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "authorized_keys", json_read_strv, offsetof(RunSpec, ssh_keys), JSON_MANDATORY },
                { "host_key", json_read_string, offsetof(RunSpec, ssh_host_key), JSON_MANDATORY },
                { "tcp_port", json_read_uint, offsetof(RunSpec, ssh_tcp_port), 0 },
                { "vsock_port", json_read_uint, offsetof(RunSpec, vsock_ssh_port), 0 },
                {},
        };

        return json_read_object(v, fields, 0, target, error);
}

static int read_etc_hosts(const JsonField *f, json_t *v, void *target, char *error) {
        static const JsonField fields[] = {
                { "host", json_read_string, offsetof(RunHost, host), JSON_MANDATORY },
                { "ip", json_read_string, offsetof(RunHost, ip), JSON_MANDATORY },
                {},
        };
        RunSpec *s = target;

        return json_read_array(v, fields, ENTRIES_MAX, sizeof(RunHost), (void **) &s->hosts, &s->n_hosts, error);
}

static const JsonField run_spec_fields[] = {
        { "id", json_read_string, offsetof(RunSpec, id), JSON_MANDATORY },
        { "hostname", json_read_string, offsetof(RunSpec, hostname), JSON_MANDATORY },
        { "process", read_process, 0, JSON_MANDATORY },
        { "env", json_read_strv, offsetof(RunSpec, env), 0 },
        { "cwd", json_read_string, offsetof(RunSpec, cwd), 0 },
        { "user", json_read_string, offsetof(RunSpec, user), 0 },
        { "ips", read_ips, 0, 0 },
        { "log", read_log, 0, 0 },
        { "mounts", read_mounts, 0, JSON_MANDATORY },
        { "files", read_files, 0, 0 },
        { "etc_resolv", read_etc_resolv, 0, 0 },
        { "etc_hosts", read_etc_hosts, 0, 0 },
        { "ssh", read_ssh, 0, 0 },
        { "vsock_stdout_port", json_read_uint, offsetof(RunSpec, vsock_stdout_port), 0 },
        { "vsock_exit_port", json_read_uint, offsetof(RunSpec, vsock_exit_port), 0 },
        { "vsock_api_port", json_read_uint, offsetof(RunSpec, vsock_api_port), 0 },
        { "vsock_key_port", json_read_uint, offsetof(RunSpec, vsock_key_port), 0 },
        { "stop_signal", json_read_uint, offsetof(RunSpec, stop_signal), 0 },
        {},
};

static bool address_is_valid(const char *s, bool ipv6_too) {
        struct in6_addr a;

        return inet_pton(AF_INET, s, &a) == 1 || (ipv6_too && inet_pton(AF_INET6, s, &a) == 1);
}

/* A path to be looked up below the image's root. */
static bool path_is_valid(const char *s) {
        return s && s[0] == '/' && strlen(s) < PATH_MAX;
}

/* A word of /etc/hosts or /etc/resolv.conf: nothing that ends the word or the line. */
static bool word_is_valid(const char *s) {
        if (!*s || strlen(s) > 255)
                return false;
        for (; *s; s++)
                if ((unsigned char) *s <= ' ' || *s == '#' || *s == 0x7f)
                        return false;
        return true;
}

static bool mount_is_valid(const RunMount *m) {
        return m->device && startswith(m->device, "/dev/") && path_is_valid(m->device) && !isempty(m->fs_type);
}

static bool volume_is_valid(const RunVolume *v) {
        return v->device && startswith(v->device, "/dev/") && path_is_valid(v->device) && v->name && vm_name_is_valid(v->name) &&
               path_is_valid(v->mount_point) && v->mount_point[1] && !isempty(v->fs_type) &&
               (!v->luks_uuid || (strlen(v->luks_uuid) == 36 && !isempty(v->luks_cipher) && !strstr(v->luks_cipher, "null") &&
                                  v->luks_key_bytes >= 32));
}

/* One line, as it will stand in a file. */
static bool line_is_valid(const char *s) {
        for (const char *p = s; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        return false;
        return *s != 0;
}

int run_spec_check(const RunSpec *s, char *error) {
        const unsigned ports[] = { s->vsock_stdout_port, s->vsock_exit_port, s->vsock_api_port, s->vsock_key_port, s->vsock_ssh_port };
        const unsigned *wrong = wire_wrong_port(ports, ELEMENTSOF(ports));

        if (!s->id || !vm_name_is_valid(s->id))
                return json_field_error(error, "\"id\": not a valid name of a VM");
        if (!s->hostname || !hostname_is_valid(s->hostname))
                return json_field_error(error, "\"hostname\": not a valid host name");
        if (isempty(s->command))
                return json_field_error(error, "\"process\": the command is empty");
        STRV_FOREACH(e, s->env)
                if (!strchr(*e, '=') || **e == '=')
                        return json_field_error(error, "\"env\": \"%.64s\" is not NAME=VALUE", *e);
        if (!path_is_valid(s->cwd))
                return json_field_error(error, "\"cwd\": not an absolute path");
        if (!s->user)
                return json_field_error(error, "\"user\" is missing");
        for (size_t i = 0; i < s->n_ips; i++) {
                const RunAddress *a = s->ips + i;

                if (!a->ip || !address_is_valid(a->ip, false) || (a->gateway && !address_is_valid(a->gateway, false)) ||
                    a->mask < 1 || a->mask > 32)
                        return json_field_error(error, "\"ips\": entry %zu is not an IPv4 address with prefix length and gateway", i);
        }
        STRV_FOREACH(n, s->nameservers)
                if (!address_is_valid(*n, true))
                        return json_field_error(error, "\"etc_resolv\": \"%.64s\" is not an address", *n);
        for (size_t i = 0; i < s->n_hosts; i++)
                if (!s->hosts[i].host || !word_is_valid(s->hosts[i].host) || !s->hosts[i].ip || !address_is_valid(s->hosts[i].ip, true))
                        return json_field_error(error, "\"etc_hosts\": entry %zu is not a name with an address", i);
        for (size_t i = 0; i < s->n_files; i++) {
                const RunFile *f = s->files + i;

                if (!path_is_valid(f->path) || endswith(f->path, "/") || f->mode > 07777 || !f->content)
                        return json_field_error(error, "\"files\": entry %zu has no absolute path, or a wrong mode", i);
        }
        if (!mount_is_valid(&s->root) || (s->root.mount_point && !streq(s->root.mount_point, "/")))
                return json_field_error(error, "\"mounts\": \"root\" is not a device with its file system for \"/\"");
        if (!mount_is_valid(&s->upper))
                return json_field_error(error, "\"mounts\": \"upper\" is not a device with its file system");
        if (s->programs.device && !mount_is_valid(&s->programs))
                return json_field_error(error, "\"mounts\": \"programs\" is not a device with its file system");
        for (size_t i = 0; i < s->n_volumes; i++)
                if (!volume_is_valid(s->volumes + i))
                        return json_field_error(error, "\"mounts\": entry %zu of \"volumes\" is not a named device with its file system and place", i);
        if (s->ssh_host_key && (isempty(s->ssh_host_key) || strlen(s->ssh_host_key) > BASE64_SIZE(RUN_SSH_HOST_KEY_MAX)))
                return json_field_error(error, "\"ssh\": not a host key");
        STRV_FOREACH(k, s->ssh_keys)
                if (!line_is_valid(*k))
                        return json_field_error(error, "\"ssh\": an authorized key is not a line of text");
        if (s->ssh_tcp_port > UINT16_MAX)
                return json_field_error(error, "\"ssh\": %u is no port of TCP", s->ssh_tcp_port);
        if (wrong)
                return json_field_error(error, "vsock port %u is none, or stands for two purposes", *wrong);
        if (s->stop_signal < 1 || s->stop_signal > 64)
                return json_field_error(error, "\"stop_signal\": not a signal number of 1 to 64");
        return 0;
}

int run_spec_parse(const void *data, size_t n, RunSpec **ret, char *error) {
        _cleanup_(run_spec_freep) RunSpec *s = NULL;
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = json_parse(data, n, RUN_SPEC_BYTES_MAX, &j, error);
        if (r < 0)
                return r;
        r = run_spec_new(&s);
        if (r < 0)
                return r;
        r = json_read_object(j, run_spec_fields, 0, s, error);
        if (r < 0)
                return r;
        r = run_spec_check(s, error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}
