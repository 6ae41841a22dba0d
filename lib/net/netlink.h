/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Requests to the kernel by netlink(7), several in one datagram, and their answers. Inside lib/net. */

#include <libmnl/libmnl.h>

#include "base/macros.h"

typedef struct Netlink Netlink;

/* `protocol`: NETLINK_ROUTE or NETLINK_NETFILTER. -EOPNOTSUPP where the kernel does not have it. */
int netlink_open(int protocol, Netlink **ret);
Netlink *netlink_close(Netlink *n);
DEFINE_TRIVIAL_CLEANUP_FUNC(Netlink *, netlink_close)

/* The index of the interface of that name, or -ENODEV. if_nametoindex(3) opens a socket for it, and takes a lack of those for a lack of it. */
int netlink_interface_index(Netlink *n, const char *name);

uint32_t netlink_next_seq(Netlink *n);

/* Messages in a row. */
typedef struct NetlinkBatch {
        uint8_t *data;
        size_t size, room;
        bool failed;                    /* no memory; netlink_exchange() says so */
} NetlinkBatch;

#define NETLINK_MESSAGE_BYTES_MAX ((size_t) 64 * 1024)

/* Where the next message is to be built, with room for NETLINK_MESSAGE_BYTES_MAX; NULL where there is no memory. */
void *netlink_batch_reserve(NetlinkBatch *b);
/* The message built there is complete. */
void netlink_batch_commit(NetlinkBatch *b, const struct nlmsghdr *nlh);
void netlink_batch_done(NetlinkBatch *b);
#define _cleanup_netlink_batch_ _cleanup_(netlink_batch_done)

/* For each message that is no acknowledgement; negative ends the reading. */
typedef int (*NetlinkCallback)(const struct nlmsghdr *nlh, void *userdata);

/* Sends the batch and reads all answers. The last message of it that can be answered must have NLM_F_ACK or NLM_F_DUMP. Returns the first
 * refusal (a negative errno of the kernel's). */
int netlink_exchange(Netlink *n, const NetlinkBatch *b, NetlinkCallback callback, void *userdata);
