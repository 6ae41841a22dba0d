/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "base/wire.h"
#include "layout/layout.h"
#include "runspec/build.h"
#include "runspec/env-file.h"
#include "ssh/public-key.h"

enum { RESOLV_CONF_BYTES_MAX = 64 * 1024 };

static int _printf_(3, 4) fail(char **ret_error, int r, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        if (vasprintf(ret_error, format, ap) < 0)
                *ret_error = NULL;
        va_end(ap);
        return *ret_error ? r : -ENOMEM;
}

static int append(char ***v, char *const *more) {
        int r = 0;

        STRV_FOREACH(s, more)
                if (r >= 0)
                        r = strv_extend(v, *s);
        return r;
}

int run_command_merge(const Definition *d, const ImageConfig *image, char ***ret) {
        _cleanup_strv_ char **v = NULL;
        int r;

        r = append(&v, d->entrypoint ?: image->entrypoint);
        if (r >= 0 && (d->command || !d->entrypoint))
                r = append(&v, d->command ?: image->cmd);
        if (r < 0)
                return r;
        if (!v || isempty(v[0]))
                return -ENODATA;
        *ret = TAKE_PTR(v);
        return 0;
}

int run_nameservers_parse(const char *resolv_conf, char ***ret) {
        _cleanup_strv_ char **v = NULL;

        for (const char *line = resolv_conf; *line;) {
                const char *end = line + strcspn(line, "\n"), *p = line + strspn(line, " \t");
                char address[INET_ADDRSTRLEN];
                struct in_addr a;
                size_t n;

                line = *end ? end + 1 : end;
                p = startswith(p, "nameserver");
                if (!p || (*p != ' ' && *p != '\t'))
                        continue;
                p += strspn(p, " \t");
                n = strcspn(p, " \t\r\n#;");
                if (n >= sizeof(address))
                        continue;
                memcpy(address, p, n);
                address[n] = 0;
                if (inet_pton(AF_INET, address, &a) != 1 || (ntohl(a.s_addr) >> 24) == IN_LOOPBACKNET || a.s_addr == INADDR_ANY)
                        continue;
                if (!strv_contains(v, address) && strv_extend(&v, address) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(v);
        return 0;
}

/* What systemd-resolved asks itself stands in a file of its own, where /etc/resolv.conf names its stub on loopback. */
static int host_nameservers(char ***ret) {
        static const char *const files[] = { "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf" };

        *ret = NULL;
        for (size_t i = 0; i < ELEMENTSOF(files) && !*ret; i++) {
                _cleanup_free_ char *path = layout_path(files[i]), *text = NULL;
                int r;

                if (!path)
                        return -ENOMEM;
                r = read_file_at(AT_FDCWD, path, RESOLV_CONF_BYTES_MAX, &text, NULL);
                if (r >= 0)
                        r = run_nameservers_parse(text, ret);
                if (r == -ENOMEM)
                        return r;
        }
        return 0;
}

static int add_environment_file(const Definition *d, const char *file, char ***env, char **ret_error) {
        bool optional = file[0] == '-';
        const char *name = file + optional;
        _cleanup_free_ char *path = layout_path(name), *text = NULL;
        unsigned line = 0;
        size_t n;
        int r;

        if (!path)
                return -ENOMEM;
        r = read_file_at(AT_FDCWD, path, ENV_FILE_BYTES_MAX, &text, &n);
        if (r == -ENOENT && optional)
                return 0;
        if (r < 0)
                return fail(ret_error, r, "Cannot read EnvironmentFile=%s of VM '%s': %s.%s", name, d->name, strerrordesc_np(-r),
                            r == -ENOENT ? " With a \"-\" before it it may be missing." : "");
        r = env_file_parse(text, n, env, &line);
        if (r == -EBADMSG)
                return fail(ret_error, r, "%s:%u: not NAME=VALUE with a name of letters, digits and underscores.", path, line);
        return r;
}

static int build_environment(const Definition *d, const ImageConfig *image, char ***env, char **ret_error) {
        int r = 0;

        STRV_FOREACH(e, image->env)
                if (r >= 0 && strchr(*e, '=') && **e != '=')
                        r = env_set(env, *e);
        STRV_FOREACH(f, d->environment_files)
                if (r >= 0)
                        r = add_environment_file(d, *f, env, ret_error);
        STRV_FOREACH(e, d->environment)
                if (r >= 0)
                        r = env_set(env, *e);
        return r;
}

/* The keys that stand in the definition, and those of the files that it names. */
static int build_ssh_keys(const Definition *d, RunSpec *s, char **ret_error) {
        STRV_FOREACH(k, d->ssh_keys) {
                _cleanup_free_ char *path = NULL, *text = NULL;
                const char *reason;
                unsigned line = 0;
                size_t n;
                int r;

                if (**k != '/') {
                        r = ssh_public_key_add(&s->ssh_keys, *k);
                        if (r == -E2BIG)
                                return fail(ret_error, -EINVAL, "SSHKey= of VM '%s' gives more than %d keys.", d->name, SSH_KEYS_MAX);
                        if (r < 0)
                                return r;
                        continue;
                }
                path = layout_path(*k);
                if (!path)
                        return -ENOMEM;
                r = read_file_at(AT_FDCWD, path, SSH_KEY_FILE_MAX, &text, &n);
                if (r < 0)
                        return fail(ret_error, r, "Cannot read SSHKey=%s of VM '%s': %s.", *k, d->name, strerrordesc_np(-r));
                r = ssh_public_keys_parse(text, n, &s->ssh_keys, &line, &reason);
                if (r == -EINVAL && line > 0)
                        return fail(ret_error, r, "%s:%u: SSHKey= of VM '%s': %s.", path, line, d->name, reason);
                if (r == -EINVAL)
                        return fail(ret_error, r, "%s: SSHKey= of VM '%s': %s.", path, d->name, reason);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The port of SSH, where the host lets others get at it. */
static unsigned ssh_tcp_port(const Definition *d) {
        for (size_t i = 0; i < d->n_published; i++)
                if (d->published[i].protocol == IPPROTO_TCP && d->published[i].guest_port == WIRE_PORT_SSH)
                        return WIRE_PORT_SSH;
        return 0;
}

/* "NAME:ADDRESS"; an IPv6 address has colons of its own. */
static int build_hosts(const Definition *d, RunSpec *s) {
        STRV_FOREACH(h, d->add_hosts) {
                const char *colon = strchr(*h, ':');
                RunHost *slot = GREEDY_APPEND(s->hosts, s->n_hosts);

                if (!slot)
                        return -ENOMEM;
                *slot = (RunHost) { strndup(*h, colon ? (size_t) (colon - *h) : strlen(*h)), strdup(colon ? colon + 1 : "") };
                s->n_hosts++;
                if (!slot->host || !slot->ip)
                        return -ENOMEM;
        }
        return 0;
}

static int build_address(const NetAddress *address, RunSpec *s) {
        s->ips = calloc(1, sizeof(RunAddress));
        if (!s->ips)
                return -ENOMEM;
        s->n_ips = 1;
        s->ips[0] = (RunAddress) { strdup(address->guest_string), strdup(address->host_string), NET_SUBNET_PREFIX };
        return s->ips[0].ip && s->ips[0].gateway ? 0 : -ENOMEM;
}

/* docs/architecture.md, "Devices of the guest". */
static int build_mounts(const Definition *d, const ImageConfig *image, RunSpec *s) {
        s->root = (RunMount) { strdup("/dev/vda"), strdup(image->rootfs_type), strdup("/"), strdup("ro") };
        s->upper = (RunMount) { .device = strdup("/dev/vdb"), .fs_type = strdup("ext4") };
        s->upper_ephemeral = d->root == ROOT_EPHEMERAL;
        s->upper_whole = d->root_backend == ROOT_LVM_THIN;
        if (!s->root.device || !s->root.fs_type || !s->root.mount_point || !s->root.options || !s->upper.device || !s->upper.fs_type)
                return -ENOMEM;
        if (definition_brings_programs(d)) {
                s->programs = (RunMount) { .device = layout_guest_volume(d->n_volumes), .fs_type = strdup("squashfs") };
                if (!s->programs.device || !s->programs.fs_type)
                        return -ENOMEM;
        }
        s->volumes = calloc(d->n_volumes + 1, sizeof(RunVolume));
        if (!s->volumes)
                return -ENOMEM;
        for (size_t i = 0; i < d->n_volumes; i++) {
                const VolumeUse *use = d->volumes + i;
                RunVolume *v = s->volumes + s->n_volumes++;

                *v = (RunVolume) {
                        .device = layout_guest_volume(i), .name = strdup(use->name), .mount_point = strdup(use->mount_point),
                        .fs_type = strdup("ext4"), .options = use->options ? strdup(use->options) : NULL, .read_only = use->read_only,
                        .make_fs = use->make_fs && !use->read_only, .discard = use->discard,
                };
                if (!v->device || !v->name || !v->mount_point || !v->fs_type || (use->options && !v->options))
                        return -ENOMEM;
        }
        return 0;
}

int run_spec_build(const Definition *d, const ImageConfig *image, const NetAddress *address, RunSpec **ret, char **ret_error) {
        const char *user = d->user ?: image->user, *directory = d->working_directory ?: image->working_dir;
        _cleanup_(run_spec_freep) RunSpec *s = NULL;
        _cleanup_strv_ char **command = NULL;
        char error[JSON_ERROR_MAX] = "";
        int r, signo;

        *ret_error = NULL;
        r = run_spec_new(&s);
        if (r < 0)
                return r;

        r = run_command_merge(d, image, &command);
        if (r == -ENODATA)
                return fail(ret_error, -EINVAL, "Image \"%s\" of VM '%s' does not say what to run: give Command= or Entrypoint=.", d->image, d->name);
        if (r < 0)
                return r;
        s->command = strdup(command[0]);
        s->args = strv_copy(command + 1);
        s->id = strdup(d->name);
        s->hostname = strdup(d->hostname);
        if (!s->command || !s->args || !s->id || !s->hostname)
                return -ENOMEM;
        if (user) {
                r = free_and_strdup(&s->user, user);
                if (r < 0)
                        return r;
        }
        if (!isempty(directory)) {
                /* A relative one, as image-spec allows, is meant from the root. */
                free(s->cwd);
                s->cwd = strf("%s%s", directory[0] == '/' ? "" : "/", directory);
                if (!s->cwd)
                        return -ENOMEM;
        }

        signo = d->stop_signal > 0 ? d->stop_signal : !isempty(image->stop_signal) ? parse_signal(image->stop_signal) : SIGTERM;
        if (signo < 0)
                return fail(ret_error, -EBADMSG, "Image \"%s\" of VM '%s' has the stop signal \"%s\", which is none: give StopSignal=.", d->image,
                            d->name, image->stop_signal);
        s->stop_signal = (unsigned) signo;

        r = build_environment(d, image, &s->env, ret_error);
        if (r >= 0)
                r = build_mounts(d, image, s);
        if (r >= 0)
                r = build_address(address, s);
        if (r >= 0)
                r = build_hosts(d, s);
        if (r >= 0)
                r = build_ssh_keys(d, s, ret_error);
        if (r < 0)
                return r;
        s->ssh_tcp_port = s->ssh_keys ? ssh_tcp_port(d) : 0;
        if (d->dns)
                s->nameservers = strv_copy(d->dns);
        else
                r = host_nameservers(&s->nameservers);
        if (r < 0 || (d->dns && !s->nameservers))
                return -ENOMEM;
        s->debug = log_get_max_level() >= LOG_DEBUG;

        r = run_spec_check(s, error);
        if (r < 0)
                return fail(ret_error, -EINVAL, "VM '%s' cannot be described to its guest: %s.", d->name, error);
        *ret = TAKE_PTR(s);
        return 0;
}
