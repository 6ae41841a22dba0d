/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Flows that connection tracking knows. Inside lib/net. */

#include "base/published-port.h"
#include "net/netlink.h"

/* Forgets the flows of UDP to these ports of the host that nobody has answered, or that lead elsewhere (DNAT). Where a packet leads is decided at the first of its
 * flow, and a client that goes on sending from one port, as of syslog or WireGuard, has one flow: without this it would never notice that a port is
 * published, or no longer. A Netlink of NETLINK_NETFILTER; -EINVAL: the kernel has no ctnetlink. */
int conntrack_forget(Netlink *n, const PublishedPort *ports, size_t n_ports);
