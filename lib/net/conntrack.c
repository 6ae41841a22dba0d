/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

#include "net/conntrack.h"
#include "net/tap.h"

typedef struct Flow {
        uint8_t protocol;
        uint32_t destination;           /* host byte order */
        uint16_t port;
        const struct nlattr *tuple;     /* what the kernel finds it by */
} Flow;

typedef struct Query {
        Netlink *n;
        const PublishedPort *ports;
        size_t n_ports;
        TapAddress *addresses;          /* the host's */
        size_t n_addresses;
        NetlinkBatch removal;
} Query;

static struct nlmsghdr *begin_message(Netlink *n, NetlinkBatch *b, uint16_t type, uint16_t flags) {
        void *p = netlink_batch_reserve(b);
        struct nlmsghdr *nlh;
        struct nfgenmsg *g;

        if (!p)
                return NULL;
        nlh = mnl_nlmsg_put_header(p);
        nlh->nlmsg_type = (uint16_t) (NFNL_SUBSYS_CTNETLINK << 8 | type);
        nlh->nlmsg_flags = NLM_F_REQUEST | flags;
        nlh->nlmsg_seq = netlink_next_seq(n);
        g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));
        g->nfgen_family = AF_INET;
        g->version = NFNETLINK_V0;
        return nlh;
}

static void read_tuple(const struct nlattr *tuple, Flow *flow) {
        const struct nlattr *a, *b;

        flow->tuple = tuple;
        mnl_attr_for_each_nested(a, tuple)
                switch (mnl_attr_get_type(a)) {
                case CTA_TUPLE_IP:
                        mnl_attr_for_each_nested(b, a)
                                if (mnl_attr_get_type(b) == CTA_IP_V4_DST)
                                        flow->destination = ntohl(mnl_attr_get_u32(b));
                        break;
                case CTA_TUPLE_PROTO:
                        mnl_attr_for_each_nested(b, a)
                                if (mnl_attr_get_type(b) == CTA_PROTO_NUM)
                                        flow->protocol = mnl_attr_get_u8(b);
                                else if (mnl_attr_get_type(b) == CTA_PROTO_DST_PORT)
                                        flow->port = ntohs(mnl_attr_get_u16(b));
                        break;
                }
}

/* What only passes through, be it to the same port elsewhere, is not ours. */
static bool is_of_host(const Query *q, uint32_t address) {
        for (size_t i = 0; i < q->n_addresses; i++)
                if (q->addresses[i].host == address)
                        return true;
        return address >> 24 == IN_LOOPBACKNET;
}

static bool is_to_be_forgotten(const Query *q, const Flow *flow) {
        if (flow->protocol != IPPROTO_UDP || !is_of_host(q, flow->destination))
                return false;
        for (size_t i = 0; i < q->n_ports; i++)
                if (published_port_collides(q->ports + i, &(PublishedPort) { .address = flow->destination, .host_port = flow->port, .protocol = IPPROTO_UDP }))
                        return true;
        return false;
}

static int on_flow(const struct nlmsghdr *nlh, void *userdata) {
        const struct nlattr *a;
        struct nlmsghdr *removal;
        Query *q = userdata;
        Flow flow = {};

        mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg))
                if (mnl_attr_get_type(a) == CTA_TUPLE_ORIG)
                        read_tuple(a, &flow);
        if (!is_to_be_forgotten(q, &flow))
                return 0;
        removal = begin_message(q->n, &q->removal, IPCTNL_MSG_CT_DELETE, NLM_F_ACK);
        if (!removal)
                return -ENOMEM;
        mnl_attr_put(removal, CTA_TUPLE_ORIG | NLA_F_NESTED, mnl_attr_get_payload_len(flow.tuple), mnl_attr_get_payload(flow.tuple));
        netlink_batch_commit(&q->removal, removal);
        return 0;
}

int conntrack_forget(Netlink *filter, Netlink *route, const PublishedPort *ports, size_t n_ports) {
        _cleanup_netlink_batch_ NetlinkBatch list = {};
        Query q = { .n = filter, .ports = ports, .n_ports = n_ports };
        struct nlmsghdr *nlh;
        bool any = false;
        int r;

        for (size_t i = 0; i < n_ports; i++)
                any = any || ports[i].protocol == IPPROTO_UDP;
        if (!any)
                return 0;
        nlh = begin_message(filter, &list, IPCTNL_MSG_CT_GET, NLM_F_DUMP);
        if (!nlh)
                return -ENOMEM;
        netlink_batch_commit(&list, nlh);
        r = tap_list_addresses(route, &q.addresses, &q.n_addresses);
        if (r >= 0)
                r = netlink_exchange(filter, &list, on_flow, &q);
        if (r >= 0 && q.removal.size > 0) {
                r = netlink_exchange(filter, &q.removal, NULL, NULL);
                if (r == -ENOENT) /* ended by itself meanwhile */
                        r = 0;
        }
        netlink_batch_done(&q.removal);
        free(q.addresses);
        return r;
}
