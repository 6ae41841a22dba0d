/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* TAP interfaces: made by tun(4)'s ioctl()s, named, addressed and set up by rtnetlink(7). Inside lib/net.
 *
 * Whether an interface is Inferno's is told by its alternative name, "tap_inferno_<vm>": it is given before the interface becomes
 * persistent, so that whatever is left by a killed program has it. */

#include <net/if.h>

#include "net/netlink.h"

typedef struct TapSpec {
        const char *name;               /* layout_tap_name() */
        const char *altname;            /* layout_tap_altname() */
        unsigned uid, gid;              /* who may attach to it, besides root */
        uint32_t host;                  /* address, host byte order; its prefix is /30 */
        bool route_localnet;            /* what the host sends from 127.0.0.0/8 may leave by it */
} TapSpec;

/* All of them take a Netlink of NETLINK_ROUTE, and set *ret_error to a sentence for people when they fail (NULL: no memory). */

/* Makes the TAP, or takes the one that is there when it is as it should be; what a crash has left otherwise is removed first.
 * -EEXIST: an interface of that name is somebody else's; -EBUSY: Inferno's, but not as it should be and in use; -EOPNOTSUPP: no tun. */
int tap_up(Netlink *n, const TapSpec *spec, char **ret_error);

enum { TAP_ABSENT = 1 };

/* Removes the interface of that alternative name. TAP_ABSENT: there is none. *ret_name and *ret_host (0 where it has none) say what it had. */
int tap_down(Netlink *n, const char *altname, char ret_name[static IFNAMSIZ], uint32_t *ret_host, char **ret_error);

/* 1: there is a TAP of that alternative name; 0: none; or a negative errno. */
int tap_is_present(Netlink *n, const char *altname);

/* 1: there is an interface with the name of a TAP of Inferno's, and an address; 0: none; or a negative errno. */
int tap_any_left(Netlink *n);

/* Name and IPv4 address of each interface that has one, sorted by name. */
typedef struct TapAddress {
        char name[IFNAMSIZ];
        uint32_t host;                  /* host byte order */
} TapAddress;
int tap_list_addresses(Netlink *n, TapAddress **ret, size_t *ret_n);
const TapAddress *tap_find_address(const TapAddress *list, size_t n, const char *name);
