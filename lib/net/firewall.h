/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The table "inet inferno" of nftables: made as a whole, then a guest is one element in each of its two sets, and one in a map for each of its
 * published ports. Every change is one transaction of the kernel's. inferno-tap(8) says in words what the rules do. Inside lib/net. */

#include <net/if.h>

#include "base/published-port.h"
#include "net/netlink.h"

typedef struct FirewallGuest {
        char tap[IFNAMSIZ];
        uint32_t address;               /* host byte order */
        const PublishedPort *ports;     /* borrowed */
        size_t n_ports;
} FirewallGuest;

/* All of them take a Netlink of NETLINK_NETFILTER, and return -EOPNOTSUPP where the kernel has no nftables. */

/* Whether the table is there, made by this version of the code for `mark`, and has all its rules: 1 or 0. */
int firewall_is_current(Netlink *n, const char *mark);
/* Puts a new table with these guests in the place of what is there. `mark` is what firewall_is_current() compares. */
int firewall_rebuild(Netlink *n, const char *mark, const FirewallGuest *guests, size_t n_guests);
/* Fine with a guest that is there already. -ENOENT: no table; -EEXIST: one of its ports leads elsewhere. */
int firewall_add(Netlink *n, const FirewallGuest *guest);
/* Fine with a guest that is not there, and with ports that are not. -ENOENT: no table. */
int firewall_remove(Netlink *n, const FirewallGuest *guest);
/* Its ports alone, fine where there is no table. */
int firewall_remove_ports(Netlink *n, const FirewallGuest *guest);
/* The same as firewall_remove() where it is not known which ports the guest has: all that lead to its address go. Its cost grows with the ports of all guests. */
int firewall_remove_with_all_ports(Netlink *n, const FirewallGuest *guest);
/* Removes the table; a missing one is fine. */
int firewall_remove_table(Netlink *n);
