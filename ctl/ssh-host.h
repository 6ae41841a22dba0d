/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What guests are called for ssh(1): the VM's name and ".inferno". ssh/20-inferno.conf has the same for whoever calls ssh himself. */

#include "base/macros.h"

#define SSH_HOST_SUFFIX ".inferno"

/* The VM that a host name stands for. NULL: none, and that was said. */
char *ssh_host_to_vm(const char *host);
