/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* run.json: what the guest's init is told. inferno-initramfs writes it, init reads it, both by this one struct. */

#include "base/macros.h"
#include "json/json.h"

enum { RUN_SPEC_BYTES_MAX = 4 * 1024 * 1024, RUN_SSH_HOST_KEY_MAX = 4096 };

typedef struct RunAddress {
        char *ip, *gateway;             /* "172.16.0.2", "172.16.0.1"; gateway NULL: no default route */
        unsigned mask;                  /* prefix length, 1 to 32 */
} RunAddress;

typedef struct RunFile {
        char *path;                     /* absolute, in the image */
        unsigned mode;                  /* permissions, at most 07777 */
        char *content;
} RunFile;

typedef struct RunHost {
        char *host, *ip;                /* a line of /etc/hosts */
} RunHost;

typedef struct RunMount {
        char *device, *fs_type;
        char *mount_point;              /* root only: "/" */
        char *options;                  /* root only; NULL: none */
} RunMount;

typedef struct RunVolume {
        char *device, *name;            /* "/dev/vdc", "data1" */
        char *mount_point, *fs_type;
        char *options;                  /* of the mount: NULL or words of "noatime,nosuid,nodev,noexec" */
        bool read_only;
        bool make_fs;                   /* "mkfs": where the volume is blank */
        bool discard;                   /* the device is told what is not used any more */

        /* Of an encrypted one, as its header must have them: a LUKS2 UUID, "aes-xts-plain64", bytes. NULL: not encrypted. */
        char *luks_uuid, *luks_cipher;
        unsigned luks_key_bytes;
} RunVolume;

typedef struct RunSpec {
        char *id;                       /* name of the VM */
        char *hostname;

        char *command;                  /* process.cmd, the first word */
        char **args;                    /* process.args, the rest */
        char **env;                     /* NAME=VALUE, each name once */
        char *cwd;                      /* absolute */
        char *user;                     /* "", "name", "uid", "name:group", …: resolved by the image's passwd and group */

        RunAddress *ips;                /* of eth0 */
        size_t n_ips;
        char **nameservers;             /* NULL or none: the image's /etc/resolv.conf stays */
        RunHost *hosts;
        size_t n_hosts;
        RunFile *files;
        size_t n_files;

        /* Of the SSH server. No host key: there is none. */
        char *ssh_host_key;             /* base64 of the file */
        char **ssh_keys;                /* the lines of authorized_keys */
        unsigned ssh_tcp_port;          /* where SSH is served on the network, too; 0: nowhere */

        RunMount root;                  /* the image, read-only */
        RunMount upper;                 /* the writable layer */
        RunMount programs;              /* what is brought along; no device: nothing */
        RunVolume *volumes;
        size_t n_volumes;
        bool upper_whole;               /* it has all of the image, so it is the root directory by itself */
        bool upper_ephemeral;           /* it is dropped after this run, so nobody waits for it to be written back */

        bool debug;                     /* log.debug: init tells the kernel's log what it does, and when */
        unsigned vsock_stdout_port, vsock_exit_port, vsock_api_port, vsock_key_port, vsock_ssh_port;    /* wire.h's by default */
        unsigned stop_signal;           /* 1 to 64, SIGTERM by default */
} RunSpec;

/* One with the defaults above. */
int run_spec_new(RunSpec **ret);
RunSpec *run_spec_free(RunSpec *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(RunSpec *, run_spec_free)

/* Strict: unknown keys, missing ones and impossible values are -EBADMSG with the reason in error (JSON_ERROR_MAX bytes). */
int run_spec_parse(const void *data, size_t n, RunSpec **ret, char *error);

/* The text of run.json, equal for equal specifications. -EBADMSG with the reason in error where init would not take it. */
int run_spec_format(const RunSpec *s, char **ret, char *error);

/* What both check. */
int run_spec_check(const RunSpec *s, char *error);
