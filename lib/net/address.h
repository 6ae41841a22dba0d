/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Addresses of guests: which /30 of the site's network belongs to an index, and what stands in it. Arithmetic alone, no I/O. */

#include "base/macros.h"

/* Network= of inferno.conf. */
typedef struct NetRange {
        uint32_t network;               /* host byte order */
        unsigned prefix;                /* 8 … 30 */
} NetRange;

#define NET_SUBNET_PREFIX 30u
#define NET_SUBNET_NETMASK "255.255.255.252"

/* One /30: network, host (.1), guest (.2), broadcast. */
typedef struct NetAddress {
        uint32_t network, host, guest;  /* host byte order */
        char network_string[16];        /* "172.16.0.0" */
        char host_string[16];           /* "172.16.0.1": the TAP's, and the guest's gateway */
        char guest_string[16];          /* "172.16.0.2" */
        uint8_t mac[6];                 /* of the guest's eth0 */
        char mac_string[18];            /* "06:00:ac:10:00:02" */
} NetAddress;

/* "172.16.0.0/12". -EINVAL where it is no such thing, has bits set behind the prefix, or is no range for hosts (this network, loopback,
 * link-local, multicast and above; RFC 6890); -ERANGE where the prefix is shorter than 8 or longer than 30. */
int net_range_parse(const char *cidr, NetRange *ret);

/* How many /30s there are in it: indices go from 0 to this less one. */
unsigned net_range_subnets(const NetRange *range);

/* The /30 of an index; -ERANGE where the range has no such. The MAC is locally administered unicast (IEEE 802c: second digit 6), the
 * guest's address in its last four bytes, so that it is stable and unique on the host. */
int net_range_address(const NetRange *range, unsigned index, NetAddress *ret);
