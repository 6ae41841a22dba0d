/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* QEMU's command line for a guest as firecracker.json describes it: the microvm machine, with the devices that Firecracker gives. */

#include "vmm/vmm-config.h"

typedef enum QemuAccelerator {
        QEMU_TCG,
        QEMU_KVM,
} QemuAccelerator;

typedef struct QemuOptions {
        const char *program;            /* path of QEMU */
        const char *id;                 /* as in --id */
        QemuAccelerator accelerator;
        bool sandbox;
        unsigned tsc_khz;               /* for emulation, see tsc.h; 0: unknown */
        int qmp_fd, vhost_fd;           /* numbers that the sockets will have in QEMU; vhost_fd is used with a vsock only */
} QemuOptions;

/* The argument vector, NULL-terminated. -E2BIG, -EOPNOTSUPP with a line in error (JSON_ERROR_MAX bytes) where the guest has more devices than the
 * machine has slots, or a kernel command line that cannot be passed on. */
int qemu_command(const VmmConfig *c, const QemuOptions *o, char ***ret, char *error);

/* The block backend (a node name of QEMU's) of a drive of c->drives. */
enum { QEMU_NODE_NAME_MAX = 32 };
void qemu_drive_node(size_t drive, char ret[QEMU_NODE_NAME_MAX]);
