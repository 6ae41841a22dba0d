/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Flows that connection tracking knows. Inside lib/net. */

#include "base/published-port.h"
#include "net/netlink.h"

/* Forgets the flows of UDP to these ports of the host, wherever they lead: a program of the host has them no more, or never had. Where a packet leads is decided at the
 * first of its flow, and a client that goes on sending from one port, as of syslog or WireGuard, has one flow: without this it would never notice that a port is
 * published, or no longer. `filter` is a Netlink of NETLINK_NETFILTER, `route` of NETLINK_ROUTE; -EINVAL: the kernel has no ctnetlink. */
int conntrack_forget(Netlink *filter, Netlink *route, const PublishedPort *ports, size_t n_ports);
