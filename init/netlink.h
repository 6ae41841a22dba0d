/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The guest's network over rtnetlink(7): all requests in one message to the kernel, all answers in one or two back. */

#include <linux/netlink.h>
#include <netinet/in.h>

#include "init/failure.h"
#include "runspec/runspec.h"

/* Requests with NLM_F_ACK, numbered from 1 by nlmsg_seq. */
typedef struct NetlinkBatch {
        union {
                struct nlmsghdr header;         /* alignment */
                char bytes[4096];
        };
        size_t size;
        unsigned n;
        bool failed;                            /* full */
} NetlinkBatch;

void netlink_link_up(NetlinkBatch *b, unsigned ifindex);
void netlink_add_address(NetlinkBatch *b, unsigned ifindex, struct in_addr address, unsigned prefix);
void netlink_add_default_route(NetlinkBatch *b, unsigned ifindex, struct in_addr gateway);

/* Loopback up; addresses, link and default route of eth0, where the specification has any. */
int network_set_up(const RunSpec *spec, Failure *failure);
