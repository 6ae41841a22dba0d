/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* kiln.json: what kiln is told about its VM. inferno-chroot writes it, kiln reads it, both by the one table of this library. */

#include "base/macros.h"
#include "json/json.h"

/* An encrypted volume. */
typedef struct KilnVolume {
        char *device;                   /* as the guest asks for it, "/dev/vdc" */
        char *key_path;                 /* kiln reads it once and removes it */
} KilnVolume;

typedef struct KilnConfig {
        char *jail_id;                  /* the version's ULID as the jailer's and the VMM's --id */
        char *name;                     /* of the VM */
        char *image;                    /* reference as the definition has it */
        char *version;                  /* ULID */
        char *vmm;                      /* "firecracker" or "ember" */
        char *address;                  /* of the guest, for people; NULL: not known */
        unsigned uid, gid;              /* that the jailer gives to kiln */
        int log_level;                  /* of kiln's own messages, syslog(3); log{level} has its name */

        /* All paths are inside the jail; relative ones are below its root, where kiln starts. */
        char *firecracker_exec_path;    /* "/firecracker" */
        char *firecracker_socket_path;  /* its API */
        char *firecracker_config_path;
        char *firecracker_vsock_uds_path;
        char *vm_logs_socket_path;      /* journald's native socket, "/run/systemd/journal/socket" */
        char *exit_status_path;
        char *vmm_log_fifo_path;        /* "logger" of firecracker.json; kiln makes it and reads it. NULL: none */
        char *vmm_metrics_fifo_path;    /* "metrics" likewise */

        unsigned vsock_stdout_port, vsock_exit_port, vsock_api_port, vsock_key_port;    /* wire.h's by default */

        unsigned stop_signal;           /* 1 to 64, SIGTERM by default */
        uint64_t stop_timeout_usec;     /* UINT64_MAX: for ever; 10 s by default */

        unsigned cpu_count, memory_mb;  /* resources{…}, for people; 0: not known */
        char *cpu_kind;

        KilnVolume *volumes;
        size_t n_volumes;
} KilnConfig;

/* One with the defaults above, and JAIL_*'s names for what has no default in kiln.json. jail_id, name, image, version and vmm
 * are the caller's to set. */
int kiln_config_new(KilnConfig **ret);
KilnConfig *kiln_config_free(KilnConfig *c);
DEFINE_TRIVIAL_CLEANUP_FUNC(KilnConfig *, kiln_config_free)

/* Strict: unknown keys, missing ones and impossible values are -EBADMSG with the reason in error (JSON_ERROR_MAX bytes). Errors of
 * reading as they are, with their text in error too. */
int kiln_config_parse(const void *data, size_t n, KilnConfig **ret, char *error);
int kiln_config_load(int dir_fd, const char *path, KilnConfig **ret, char *error);

/* The text of kiln.json, equal for equal configurations. -EBADMSG with the reason in error where kiln would not take it. */
int kiln_config_format(const KilnConfig *c, char **ret, char *error);
