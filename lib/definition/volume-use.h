/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Volume=NAME:/MOUNT/POINT[:OPTION[,OPTION…]], inferno.vm(5). */

#include "definition/definition.h"

/* A guest has at most 17 virtio devices, with ember (vmm/qemu-command.c) 8; image, writable layer, disk of programs, network, vsock and entropy are
 * six of them. */
enum { VOLUME_USES_MAX = 11, VOLUME_USES_MAX_EMBER = 2 };

/* -EINVAL: *ret_reason says what was wanted (static). */
int volume_use_parse(const char *line, VolumeUse *ret, const char **ret_reason);
void volume_use_done(VolumeUse *u);
