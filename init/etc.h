/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the guest's files say about the guest: hostname, hosts, resolv.conf, and the files of the specification. */

#include "init/failure.h"
#include "runspec/runspec.h"

/* The content of /etc/hosts: localhost as docker has it, the guest's own name, then the specification's. */
int etc_format_hosts(const RunSpec *spec, char **ret, size_t *ret_size);

/* Writes all of them below root_fd. /etc/resolv.conf stays the image's where there are no name servers. */
int etc_set_up(const RunSpec *spec, int root_fd, Failure *failure);
