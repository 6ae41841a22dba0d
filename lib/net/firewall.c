/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "base/str.h"
#include "net/firewall.h"

#define TABLE "inferno"
#define SET_TAPS "vm_taps"              /* {ifname} */
#define SET_ADDRESSES "vm_addresses"    /* {ifname . ipv4_addr} */
#define MAP_PORTS "published"           /* {inet_proto . inet_service : ipv4_addr . inet_service}: at all addresses of the host */
#define MAP_ADDRESS_PORTS "published_at" /* {ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service}: at one of them */
#define CHAIN_FROM_GUEST "from_guest"
#define CHAIN_TO_GUEST "to_guest"
#define CHAIN_PUBLISHED "to_published"

/* To be changed with every change of sets, chains or rules: a table that says something else is replaced. */
#define LAYOUT "Inferno 2"

enum {
        /* nft(8)'s own numbers of data types, six bits each in a concatenation: for what "nft list" prints. */
        NFT_TYPE_IPV4_ADDR = 7,
        NFT_TYPE_INET_PROTOCOL = 12,
        NFT_TYPE_INET_SERVICE = 13,
        NFT_TYPE_IFNAME = 41,
        NFT_TYPE_BITS = 6,
        NFT_BYTE_ORDER_HOST = 1,

        CT_STATE_INVALID = 1,
        CT_STATE_ESTABLISHED = 2,
        CT_STATE_RELATED = 4,

        PRIORITY_RAW = -300,
        PRIORITY_DSTNAT = -100,
        PRIORITY_FILTER = 0,
        PRIORITY_SRCNAT = 100,

        ELEMENTS_PER_MESSAGE = 256,
        MARK_BYTES_MAX = 128,

        IPV4_SOURCE_OFFSET = 12,
        IPV4_DESTINATION_OFFSET = 16,
        PORT_DESTINATION_OFFSET = 2,
        PORT_DNS = 53,
};

/* ---- rules ---- */

static struct nftnl_expr *add_expr(struct nftnl_rule *rule, const char *name) {
        struct nftnl_expr *e = nftnl_expr_alloc(name);

        if (e)
                nftnl_rule_add_expr(rule, e);
        return e;
}

static bool add_meta_to(struct nftnl_rule *rule, uint32_t key, uint32_t reg) {
        struct nftnl_expr *e = add_expr(rule, "meta");

        if (!e)
                return false;
        nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
        nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg);
        return true;
}

static bool add_meta(struct nftnl_rule *rule, uint32_t key) {
        return add_meta_to(rule, key, NFT_REG_1);
}

static bool add_payload(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t size, uint32_t reg) {
        struct nftnl_expr *e = add_expr(rule, "payload");

        if (!e)
                return false;
        nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
        nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
        nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, size);
        nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
        return true;
}

static bool add_compare(struct nftnl_rule *rule, uint32_t op, const void *data, uint32_t size) {
        struct nftnl_expr *e = add_expr(rule, "cmp");

        if (!e)
                return false;
        nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
        nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
        return nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, size) >= 0;
}

/* Goes on where what register 1 begins with is in the set (inverted: is not). */
static bool add_lookup(struct nftnl_rule *rule, const char *set, bool inverted) {
        struct nftnl_expr *e = add_expr(rule, "lookup");

        if (!e)
                return false;
        nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
        if (inverted)
                nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
        return nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set) >= 0;
}

static bool add_verdict(struct nftnl_rule *rule, int verdict, const char *chain) {
        struct nftnl_expr *e = add_expr(rule, "immediate");

        if (!e)
                return false;
        nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
        nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t) verdict);
        return !chain || nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain) >= 0;
}

/* An ICMP error instead of silence: a client in the guest fails at once, with "administratively prohibited". */
static bool add_reject(struct nftnl_rule *rule) {
        struct nftnl_expr *e = add_expr(rule, "reject");

        if (!e)
                return false;
        nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
        nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
        return true;
}

/* Goes on where connection tracking has one of these bits under that key. */
static bool add_connection(struct nftnl_rule *rule, uint32_t key, uint32_t bits) {
        struct nftnl_expr *ct = add_expr(rule, "ct"), *mask = add_expr(rule, "bitwise");
        uint32_t zero = 0;

        if (!ct || !mask)
                return false;
        nftnl_expr_set_u32(ct, NFTNL_EXPR_CT_KEY, key);
        nftnl_expr_set_u32(ct, NFTNL_EXPR_CT_DREG, NFT_REG_1);
        nftnl_expr_set_u32(mask, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
        nftnl_expr_set_u32(mask, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
        nftnl_expr_set_u32(mask, NFTNL_EXPR_BITWISE_LEN, sizeof(bits));
        return nftnl_expr_set(mask, NFTNL_EXPR_BITWISE_MASK, &bits, sizeof(bits)) >= 0 &&
                nftnl_expr_set(mask, NFTNL_EXPR_BITWISE_XOR, &zero, sizeof(zero)) >= 0 &&
                add_compare(rule, NFT_CMP_NEQ, &zero, sizeof(zero));
}

static bool add_protocol(struct nftnl_rule *rule, uint8_t protocol) {
        return add_meta(rule, NFT_META_L4PROTO) && add_compare(rule, NFT_CMP_EQ, &protocol, sizeof(protocol));
}

/* Goes on with IPv4 from or to 127.0.0.0/8, by the offset of the address. */
static bool add_is_loopback(struct nftnl_rule *rule, uint32_t offset) {
        uint8_t family = NFPROTO_IPV4, first = 127;

        return add_meta(rule, NFT_META_NFPROTO) && add_compare(rule, NFT_CMP_EQ, &family, sizeof(family)) &&
                add_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, offset, sizeof(first), NFT_REG_1) &&
                add_compare(rule, NFT_CMP_EQ, &first, sizeof(first));
}

static bool rule_not_from_guest(struct nftnl_rule *rule) {
        return add_meta(rule, NFT_META_IIFNAME) && add_lookup(rule, SET_TAPS, true) && add_verdict(rule, NF_ACCEPT, NULL);
}

static bool rule_ipv4_only(struct nftnl_rule *rule) {
        uint8_t family = NFPROTO_IPV4;

        return add_meta(rule, NFT_META_NFPROTO) && add_compare(rule, NFT_CMP_NEQ, &family, sizeof(family)) &&
                add_verdict(rule, NF_DROP, NULL);
}

/* Register 1 takes the 16 bytes of a name, so that the address behind it goes into register 2. */
static bool rule_own_address_only(struct nftnl_rule *rule) {
        uint8_t family = NFPROTO_IPV4;

        return add_meta(rule, NFT_META_NFPROTO) && add_compare(rule, NFT_CMP_EQ, &family, sizeof(family)) &&
                add_meta(rule, NFT_META_IIFNAME) &&
                add_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, IPV4_SOURCE_OFFSET, sizeof(uint32_t), NFT_REG_2) &&
                add_lookup(rule, SET_ADDRESSES, true) && add_verdict(rule, NF_DROP, NULL);
}

/* A TAP of a VM that publishes ports on the loopback has route_localnet, without which the kernel itself would drop these. */
static bool rule_no_loopback(struct nftnl_rule *rule) {
        return add_is_loopback(rule, IPV4_DESTINATION_OFFSET) && add_verdict(rule, NF_DROP, NULL);
}

static bool rule_from_guest(struct nftnl_rule *rule) {
        return add_meta(rule, NFT_META_IIFNAME) && add_lookup(rule, SET_TAPS, false) && add_verdict(rule, NF_ACCEPT, NULL);
}

/* It comes from another machine: the host's own way to its loopback goes through "output". As the destination is changed before the kernel
 * would drop it as a Martian, whoever is on the same wire would get at what is published for this host alone. */
static bool rule_loopback_from_outside(struct nftnl_rule *rule) {
        return add_is_loopback(rule, IPV4_DESTINATION_OFFSET) && add_verdict(rule, NF_ACCEPT, NULL);
}

static bool rule_jump_published(struct nftnl_rule *rule) {
        return add_verdict(rule, NFT_JUMP, CHAIN_PUBLISHED);
}

/* What is routed through the host to another one is not for its own ports. */
static bool rule_not_to_host(struct nftnl_rule *rule) {
        struct nftnl_expr *e = add_expr(rule, "fib");
        uint32_t local = RTN_LOCAL;

        if (!e)
                return false;
        nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
        nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
        nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
        return add_compare(rule, NFT_CMP_NEQ, &local, sizeof(local)) && add_verdict(rule, NF_ACCEPT, NULL);
}

/* The key is in registers of four bytes from register 1 on; the map's value, address and port, takes its place, where there is one. */
static bool add_dnat(struct nftnl_rule *rule, const char *map) {
        struct nftnl_expr *lookup = add_expr(rule, "lookup"), *nat = add_expr(rule, "nat");

        if (!lookup || !nat)
                return false;
        nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
        nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_DREG, NFT_REG_1);
        nftnl_expr_set_u32(nat, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
        nftnl_expr_set_u32(nat, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
        nftnl_expr_set_u32(nat, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFT_REG_1);
        nftnl_expr_set_u32(nat, NFTNL_EXPR_NAT_REG_PROTO_MIN, NFT_REG32_01);
        return nftnl_expr_set_str(lookup, NFTNL_EXPR_LOOKUP_SET, map) >= 0;
}

static bool add_destination_port(struct nftnl_rule *rule, uint32_t reg) {
        return add_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, PORT_DESTINATION_OFFSET, sizeof(uint16_t), reg);
}

static bool rule_publish(struct nftnl_rule *rule) {
        uint8_t family = NFPROTO_IPV4;

        return add_meta(rule, NFT_META_NFPROTO) && add_compare(rule, NFT_CMP_EQ, &family, sizeof(family)) &&
                add_meta_to(rule, NFT_META_L4PROTO, NFT_REG32_00) && add_destination_port(rule, NFT_REG32_01) && add_dnat(rule, MAP_PORTS);
}

static bool rule_publish_at(struct nftnl_rule *rule) {
        uint8_t family = NFPROTO_IPV4;

        return add_meta(rule, NFT_META_NFPROTO) && add_compare(rule, NFT_CMP_EQ, &family, sizeof(family)) &&
                add_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, IPV4_DESTINATION_OFFSET, sizeof(uint32_t), NFT_REG32_00) &&
                add_meta_to(rule, NFT_META_L4PROTO, NFT_REG32_01) && add_destination_port(rule, NFT_REG32_02) &&
                add_dnat(rule, MAP_ADDRESS_PORTS);
}

static bool rule_accept_published(struct nftnl_rule *rule) {
        return add_connection(rule, NFT_CT_STATUS, IPS_DST_NAT) && add_verdict(rule, NF_ACCEPT, NULL);
}

static bool rule_accept_replies(struct nftnl_rule *rule) {
        return add_connection(rule, NFT_CT_STATE, CT_STATE_ESTABLISHED | CT_STATE_RELATED) && add_verdict(rule, NF_ACCEPT, NULL);
}

static bool rule_accept_ping(struct nftnl_rule *rule) {
        uint8_t type = ICMP_ECHO;

        return add_protocol(rule, IPPROTO_ICMP) && add_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, 0, sizeof(type), NFT_REG_1) &&
                add_compare(rule, NFT_CMP_EQ, &type, sizeof(type)) && add_verdict(rule, NF_ACCEPT, NULL);
}

static bool add_accept_dns(struct nftnl_rule *rule, uint8_t protocol) {
        uint16_t port = htons(PORT_DNS);

        return add_protocol(rule, protocol) &&
                add_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, PORT_DESTINATION_OFFSET, sizeof(port), NFT_REG_1) &&
                add_compare(rule, NFT_CMP_EQ, &port, sizeof(port)) && add_verdict(rule, NF_ACCEPT, NULL);
}

static bool rule_accept_dns_udp(struct nftnl_rule *rule) {
        return add_accept_dns(rule, IPPROTO_UDP);
}

static bool rule_accept_dns_tcp(struct nftnl_rule *rule) {
        return add_accept_dns(rule, IPPROTO_TCP);
}

static bool rule_reject(struct nftnl_rule *rule) {
        return add_reject(rule);
}

static bool rule_jump_from_guest(struct nftnl_rule *rule) {
        return add_meta(rule, NFT_META_IIFNAME) && add_lookup(rule, SET_TAPS, false) && add_verdict(rule, NFT_JUMP, CHAIN_FROM_GUEST);
}

static bool rule_jump_to_guest(struct nftnl_rule *rule) {
        return add_meta(rule, NFT_META_OIFNAME) && add_lookup(rule, SET_TAPS, false) && add_verdict(rule, NFT_JUMP, CHAIN_TO_GUEST);
}

static bool rule_reject_to_guest(struct nftnl_rule *rule) {
        return add_meta(rule, NFT_META_OIFNAME) && add_lookup(rule, SET_TAPS, false) && add_reject(rule);
}

/* What connection tracking does not know has no masquerade, and would leave with the guest's own address. */
static bool rule_drop_invalid(struct nftnl_rule *rule) {
        return add_connection(rule, NFT_CT_STATE, CT_STATE_INVALID) && add_verdict(rule, NF_DROP, NULL);
}

static bool rule_drop(struct nftnl_rule *rule) {
        return add_verdict(rule, NF_DROP, NULL);
}

static bool rule_masquerade(struct nftnl_rule *rule) {
        return add_meta(rule, NFT_META_IIFNAME) && add_lookup(rule, SET_TAPS, false) &&
                add_meta(rule, NFT_META_OIFNAME) && add_lookup(rule, SET_TAPS, true) && add_expr(rule, "masq");
}

/* The guest sees the address of its TAP, since the host's 127.0.0.1 is not the guest's. */
static bool rule_masquerade_loopback(struct nftnl_rule *rule) {
        return add_meta(rule, NFT_META_OIFNAME) && add_lookup(rule, SET_TAPS, false) && add_is_loopback(rule, IPV4_SOURCE_OFFSET) &&
                add_expr(rule, "masq");
}

static const struct {
        const char *name;
        uint32_t key_type, key_size;
        uint32_t data_type, data_size;  /* 0: a set, no map */
} sets[] = {
        { SET_TAPS, NFT_TYPE_IFNAME, IFNAMSIZ },
        { SET_ADDRESSES, NFT_TYPE_IFNAME << NFT_TYPE_BITS | NFT_TYPE_IPV4_ADDR, IFNAMSIZ + 4 },
        { MAP_PORTS, NFT_TYPE_INET_PROTOCOL << NFT_TYPE_BITS | NFT_TYPE_INET_SERVICE, 8,
          NFT_TYPE_IPV4_ADDR << NFT_TYPE_BITS | NFT_TYPE_INET_SERVICE, 8 },
        { MAP_ADDRESS_PORTS, (NFT_TYPE_IPV4_ADDR << NFT_TYPE_BITS | NFT_TYPE_INET_PROTOCOL) << NFT_TYPE_BITS | NFT_TYPE_INET_SERVICE, 12,
          NFT_TYPE_IPV4_ADDR << NFT_TYPE_BITS | NFT_TYPE_INET_SERVICE, 8 },
};

static const struct {
        const char *name;
        const char *type;               /* NULL: no base chain */
        uint32_t hook;
        int32_t priority;
} chains[] = {
        { "prerouting", "filter", NF_INET_PRE_ROUTING, PRIORITY_RAW },
        { CHAIN_PUBLISHED },
        { "prerouting_nat", "nat", NF_INET_PRE_ROUTING, PRIORITY_DSTNAT },
        { "output_nat", "nat", NF_INET_LOCAL_OUT, PRIORITY_DSTNAT },
        { "input", "filter", NF_INET_LOCAL_IN, PRIORITY_FILTER },
        { CHAIN_FROM_GUEST },
        { CHAIN_TO_GUEST },
        { "forward", "filter", NF_INET_FORWARD, PRIORITY_FILTER },
        { "postrouting", "nat", NF_INET_POST_ROUTING, PRIORITY_SRCNAT },
};

/* The comments stand in "nft list table inet inferno". */
static const struct {
        const char *chain;
        bool (*build)(struct nftnl_rule *rule);
        const char *comment;
} rules[] = {
        { "prerouting", rule_not_from_guest, "not from a guest: not our business" },
        { "prerouting", rule_ipv4_only, "guests have no IPv6" },
        { "prerouting", rule_own_address_only, "a guest sends from its own address only" },
        { "prerouting", rule_no_loopback, "a guest does not reach the loopback of the host" },

        { CHAIN_PUBLISHED, rule_not_to_host, "on its way to another host" },
        { CHAIN_PUBLISHED, rule_publish, "published at all addresses of the host" },
        { CHAIN_PUBLISHED, rule_publish_at, "published at this one" },

        { "prerouting_nat", rule_from_guest, "published ports are not for guests" },
        { "prerouting_nat", rule_loopback_from_outside, "the loopback is not for other hosts" },
        { "prerouting_nat", rule_jump_published, NULL },

        { "output_nat", rule_jump_published, NULL },

        { "input", rule_not_from_guest, "not from a guest: not our business" },
        { "input", rule_accept_replies, "replies to what the host began" },
        { "input", rule_accept_ping, "guests may ping the host" },
        { "input", rule_accept_dns_udp, "guests may ask a name server on the host" },
        { "input", rule_accept_dns_tcp, "guests may ask a name server on the host" },
        { "input", rule_reject, "nothing else of the host is for guests" },

        { CHAIN_FROM_GUEST, rule_reject_to_guest, "guests do not reach each other" },
        { CHAIN_FROM_GUEST, rule_drop_invalid, "would leave without masquerade" },

        { CHAIN_TO_GUEST, rule_accept_replies, "replies to what the guest began" },
        { CHAIN_TO_GUEST, rule_accept_published, "what comes by a published port" },
        { CHAIN_TO_GUEST, rule_drop, "guests are not reached from outside" },

        { "forward", rule_jump_from_guest, NULL },
        { "forward", rule_jump_to_guest, NULL },

        { "postrouting", rule_masquerade, "guests speak with the host's address" },
        { "postrouting", rule_masquerade_loopback, "from the loopback of the host to a published port" },
};

/* ---- messages ---- */

static struct nlmsghdr *begin_message(Netlink *n, NetlinkBatch *b, uint16_t type, uint16_t flags) {
        char *p = netlink_batch_reserve(b);

        return p ? nftnl_nlmsg_build_hdr(p, type, NFPROTO_INET, flags, netlink_next_seq(n)) : NULL;
}

/* All between these two is one transaction. */
static void begin_transaction(Netlink *n, NetlinkBatch *b) {
        char *p = netlink_batch_reserve(b);

        if (p)
                netlink_batch_commit(b, nftnl_batch_begin(p, netlink_next_seq(n)));
}

static void end_transaction(Netlink *n, NetlinkBatch *b) {
        char *p = netlink_batch_reserve(b);

        if (p)
                netlink_batch_commit(b, nftnl_batch_end(p, netlink_next_seq(n)));
}

/* nft(8)'s way of keeping a comment: one TLV of userdata. Returns the count of bytes in buf, 0 for none. */
static uint32_t comment_udata(const char *comment, uint8_t type, uint8_t buf[static 2 + MARK_BYTES_MAX]) {
        size_t size = comment ? strlen(comment) + 1 : 0;

        if (size == 0 || size > MARK_BYTES_MAX)
                return 0;
        buf[0] = type;
        buf[1] = (uint8_t) size;
        memcpy(buf + 2, comment, size);
        return (uint32_t) size + 2;
}

static void put_table(Netlink *n, NetlinkBatch *b, uint16_t type, uint16_t flags, const char *comment) {
        struct nftnl_table *t = nftnl_table_alloc();
        struct nlmsghdr *nlh = begin_message(n, b, type, flags);
        uint8_t udata[2 + MARK_BYTES_MAX];
        uint32_t size = comment_udata(comment, NFTNL_UDATA_TABLE_COMMENT, udata);

        if (t && nlh && nftnl_table_set_str(t, NFTNL_TABLE_NAME, TABLE) >= 0 &&
            (size == 0 || nftnl_table_set_data(t, NFTNL_TABLE_USERDATA, udata, size) >= 0)) {
                nftnl_table_nlmsg_build_payload(nlh, t);
                netlink_batch_commit(b, nlh);
        } else
                b->failed = true;
        if (t)
                nftnl_table_free(t);
}

static void put_set(Netlink *n, NetlinkBatch *b, uint32_t id) {
        typeof(&sets[0]) d = &sets[id - 1];
        /* "nft list" would print a lone name as nothing without its note of the byte order. */
        static const uint32_t byte_order = NFT_BYTE_ORDER_HOST;
        uint8_t udata[2 + sizeof(byte_order)] = { NFTNL_UDATA_SET_KEYBYTEORDER, sizeof(byte_order) };
        struct nftnl_set *s = nftnl_set_alloc();
        struct nlmsghdr *nlh = begin_message(n, b, NFT_MSG_NEWSET, NLM_F_CREATE);

        memcpy(udata + 2, &byte_order, sizeof(byte_order));
        if (s && nlh && nftnl_set_set_str(s, NFTNL_SET_TABLE, TABLE) >= 0 && nftnl_set_set_str(s, NFTNL_SET_NAME, d->name) >= 0 &&
            nftnl_set_set_data(s, NFTNL_SET_USERDATA, udata, sizeof(udata)) >= 0) {
                nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
                nftnl_set_set_u32(s, NFTNL_SET_ID, id);
                nftnl_set_set_u32(s, NFTNL_SET_FLAGS, d->data_size > 0 ? NFT_SET_MAP : 0);
                nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, d->key_type);
                nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, d->key_size);
                if (d->data_size > 0) {
                        nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, d->data_type);
                        nftnl_set_set_u32(s, NFTNL_SET_DATA_LEN, d->data_size);
                }
                nftnl_set_nlmsg_build_payload(nlh, s);
                netlink_batch_commit(b, nlh);
        } else
                b->failed = true;
        if (s)
                nftnl_set_free(s);
}

static void put_chain(Netlink *n, NetlinkBatch *b, const char *name, const char *type, uint32_t hook, int32_t priority) {
        struct nftnl_chain *c = nftnl_chain_alloc();
        struct nlmsghdr *nlh = begin_message(n, b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);

        if (c && nlh && nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, TABLE) >= 0 && nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name) >= 0 &&
            (!type || nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, type) >= 0)) {
                if (type) {
                        nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, hook);
                        nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, priority);
                        nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
                }
                nftnl_chain_nlmsg_build_payload(nlh, c);
                netlink_batch_commit(b, nlh);
        } else
                b->failed = true;
        if (c)
                nftnl_chain_free(c);
}

static void put_rule(Netlink *n, NetlinkBatch *b, const char *chain, bool (*build)(struct nftnl_rule *rule), const char *comment, uint16_t flags) {
        struct nftnl_rule *rule = nftnl_rule_alloc();
        struct nlmsghdr *nlh = begin_message(n, b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | flags);
        uint8_t udata[2 + MARK_BYTES_MAX];
        uint32_t size = comment_udata(comment, NFTNL_UDATA_RULE_COMMENT, udata);

        if (rule && nlh && nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, TABLE) >= 0 && nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chain) >= 0 &&
            build(rule) && (size == 0 || nftnl_rule_set_data(rule, NFTNL_RULE_USERDATA, udata, size) >= 0)) {
                nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
                nftnl_rule_nlmsg_build_payload(nlh, rule);
                netlink_batch_commit(b, nlh);
        } else
                b->failed = true;
        if (rule)
                nftnl_rule_free(rule);
}

/* Keys and values as they stand in the registers: a name padded to 16 bytes, all else in four bytes each, as on the wire. */
typedef struct GuestKey {
        char tap[IFNAMSIZ];
        uint32_t address;
} GuestKey;
_Static_assert(sizeof(GuestKey) == IFNAMSIZ + 4, "a key without holes");

typedef struct PortKey {
        uint32_t address;               /* not in the key of MAP_PORTS, which begins behind it */
        uint8_t protocol, zero[3];
        uint16_t port, zero2;
} PortKey;
_Static_assert(sizeof(PortKey) == 12, "a key without holes");

typedef struct PortTarget {
        uint32_t address;
        uint16_t port, zero;
} PortTarget;
_Static_assert(sizeof(PortTarget) == 8, "a value without holes");

/* Elements of one set, as many messages as they need. */
typedef struct Elements {
        Netlink *n;
        NetlinkBatch *b;
        uint16_t type, flags;           /* of the messages */
        const char *set;
        struct nftnl_set *s;            /* with what the next message has; NULL: nothing yet */
        size_t count;
} Elements;

static void elements_flush(Elements *l, uint16_t flags) {
        struct nlmsghdr *nlh;

        if (!l->s)
                return;
        nlh = begin_message(l->n, l->b, l->type, l->flags | flags);
        if (nlh && nftnl_set_set_str(l->s, NFTNL_SET_TABLE, TABLE) >= 0 && nftnl_set_set_str(l->s, NFTNL_SET_NAME, l->set) >= 0) {
                nftnl_set_elems_nlmsg_build_payload(nlh, l->s);
                netlink_batch_commit(l->b, nlh);
        } else
                l->b->failed = true;
        nftnl_set_free(l->s);
        l->s = NULL;
        l->count = 0;
}

/* `target` NULL: of a set, or to be removed from a map. */
static void elements_add(Elements *l, const void *key, uint32_t key_size, const PortTarget *target) {
        struct nftnl_set_elem *e;

        if (l->count == ELEMENTS_PER_MESSAGE)
                elements_flush(l, 0);
        if (!l->s)
                l->s = nftnl_set_alloc();
        e = l->s ? nftnl_set_elem_alloc() : NULL;
        if (!e || nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, key, key_size) < 0 ||
            (target && nftnl_set_elem_set(e, NFTNL_SET_ELEM_DATA, target, sizeof(*target)) < 0)) {
                if (e)
                        nftnl_set_elem_free(e);
                l->b->failed = true;
                return;
        }
        nftnl_set_elem_add(l->s, e);
        l->count++;
}

static Elements elements_begin(Netlink *n, NetlinkBatch *b, uint16_t type, const char *set) {
        return (Elements) { .n = n, .b = b, .type = type, .flags = type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0, .set = set };
}

static void put_guests(Netlink *n, NetlinkBatch *b, uint16_t type, const FirewallGuest *guests, size_t n_guests, bool last) {
        Elements taps = elements_begin(n, b, type, SET_TAPS), addresses = elements_begin(n, b, type, SET_ADDRESSES);

        for (size_t i = 0; i < n_guests; i++) {
                GuestKey key = { .address = htonl(guests[i].address) };

                memcpy(key.tap, guests[i].tap, strnlen(guests[i].tap, sizeof(key.tap) - 1));
                elements_add(&taps, key.tap, sizeof(key.tap), NULL);
                elements_add(&addresses, &key, sizeof(key), NULL);
        }
        elements_flush(&taps, 0);
        elements_flush(&addresses, last ? NLM_F_ACK : 0);
}

static void add_port(Elements *ports, Elements *address_ports, const PortKey *key, const PortTarget *target) {
        if (key->address == 0)
                elements_add(ports, &key->protocol, sizeof(*key) - offsetof(PortKey, protocol), target);
        else
                elements_add(address_ports, key, sizeof(*key), target);
}

static void put_ports(Netlink *n, NetlinkBatch *b, uint16_t type, const FirewallGuest *guests, size_t n_guests) {
        Elements ports = elements_begin(n, b, type, MAP_PORTS), address_ports = elements_begin(n, b, type, MAP_ADDRESS_PORTS);

        for (size_t i = 0; i < n_guests; i++)
                for (size_t k = 0; k < guests[i].n_ports; k++) {
                        const PublishedPort *p = guests[i].ports + k;
                        PortKey key = { .address = htonl(p->address), .protocol = p->protocol, .port = htons(p->host_port) };
                        PortTarget target = { .address = htonl(guests[i].address), .port = htons(p->guest_port) };

                        add_port(&ports, &address_ports, &key, type == NFT_MSG_NEWSETELEM ? &target : NULL);
                }
        elements_flush(&ports, NLM_F_ACK);
        elements_flush(&address_ports, NLM_F_ACK);
}

/* ---- operations ---- */

static void table_comment(const char *mark, char buf[static MARK_BYTES_MAX]) {
        snprintf(buf, MARK_BYTES_MAX, "%s, %s", LAYOUT, mark);
}

typedef struct TableQuery {
        const char *comment;            /* as it should be */
        bool matches;
        size_t n_rules;
} TableQuery;

static int on_table(const struct nlmsghdr *nlh, void *userdata) {
        TableQuery *q = userdata;
        struct nftnl_table *t = nftnl_table_alloc();
        uint8_t expected[2 + MARK_BYTES_MAX];
        uint32_t size = comment_udata(q->comment, NFTNL_UDATA_TABLE_COMMENT, expected), found_size = 0;
        const void *found;

        if (!t)
                return -ENOMEM;
        if (nftnl_table_nlmsg_parse(nlh, t) >= 0) {
                found = nftnl_table_get_data(t, NFTNL_TABLE_USERDATA, &found_size);
                q->matches = found && found_size == size && memcmp(found, expected, size) == 0;
        }
        nftnl_table_free(t);
        return 0;
}

static int on_rule(const struct nlmsghdr *nlh, void *userdata) {
        TableQuery *q = userdata;

        q->n_rules++;
        return 0;
}

int firewall_is_current(Netlink *n, const char *mark) {
        _cleanup_netlink_batch_ NetlinkBatch get = {}, list = {};
        char comment[MARK_BYTES_MAX];
        TableQuery q = { .comment = comment };
        struct nlmsghdr *nlh;
        int r;

        table_comment(mark, comment);
        put_table(n, &get, NFT_MSG_GETTABLE, NLM_F_ACK, NULL);
        r = netlink_exchange(n, &get, on_table, &q);
        if (r == -ENOENT)
                return 0;
        if (r == -EINVAL) /* what nfnetlink says where nf_tables is missing */
                return -EOPNOTSUPP;
        if (r < 0)
                return r;
        if (!q.matches)
                return 0;

        /* "nft flush table" leaves the table and takes the rules. */
        nlh = begin_message(n, &list, NFT_MSG_GETRULE, NLM_F_DUMP);
        if (!nlh)
                return -ENOMEM;
        mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, TABLE);
        netlink_batch_commit(&list, nlh);
        r = netlink_exchange(n, &list, on_rule, &q);
        if (r < 0)
                return r;
        return q.n_rules == ELEMENTSOF(rules);
}

int firewall_rebuild(Netlink *n, const char *mark, const FirewallGuest *guests, size_t n_guests) {
        _cleanup_netlink_batch_ NetlinkBatch b = {};
        char comment[MARK_BYTES_MAX];
        int r;

        table_comment(mark, comment);
        begin_transaction(n, &b);
        /* Made where it is missing, so that it can be removed, so that it is new. */
        put_table(n, &b, NFT_MSG_NEWTABLE, NLM_F_CREATE, NULL);
        put_table(n, &b, NFT_MSG_DELTABLE, 0, NULL);
        put_table(n, &b, NFT_MSG_NEWTABLE, NLM_F_CREATE, comment);
        for (uint32_t id = 1; id <= ELEMENTSOF(sets); id++)
                put_set(n, &b, id);
        for (size_t i = 0; i < ELEMENTSOF(chains); i++)
                put_chain(n, &b, chains[i].name, chains[i].type, chains[i].hook, chains[i].priority);
        put_guests(n, &b, NFT_MSG_NEWSETELEM, guests, n_guests, false);
        put_ports(n, &b, NFT_MSG_NEWSETELEM, guests, n_guests);
        for (size_t i = 0; i < ELEMENTSOF(rules); i++)
                put_rule(n, &b, rules[i].chain, rules[i].build, rules[i].comment, i == ELEMENTSOF(rules) - 1 ? NLM_F_ACK : 0);
        end_transaction(n, &b);

        /* -ENOENT: an expression or a type of chain that the kernel does not have. */
        r = netlink_exchange(n, &b, NULL, NULL);
        return r == -ENOENT ? -EOPNOTSUPP : r;
}

int firewall_add(Netlink *n, const FirewallGuest *guest) {
        _cleanup_netlink_batch_ NetlinkBatch b = {};
        int r;

        begin_transaction(n, &b);
        put_ports(n, &b, NFT_MSG_NEWSETELEM, guest, 1);
        put_guests(n, &b, NFT_MSG_NEWSETELEM, guest, 1, true);
        end_transaction(n, &b);
        r = netlink_exchange(n, &b, NULL, NULL);
        return r == -EBUSY ? -EEXIST : r; /* by the version of the kernel */
}

/* The elements of the maps that lead to one address, on their way out. */
typedef struct PortQuery {
        uint32_t address;               /* as on the wire */
        Elements ports, address_ports;
} PortQuery;

static int on_ports(const struct nlmsghdr *nlh, void *userdata) {
        struct nftnl_set_elems_iter *iter;
        struct nftnl_set_elem *e;
        struct nftnl_set *s = nftnl_set_alloc();
        PortQuery *q = userdata;

        if (!s)
                return -ENOMEM;
        iter = nftnl_set_elems_nlmsg_parse(nlh, s) >= 0 ? nftnl_set_elems_iter_create(s) : NULL;
        while (iter && (e = nftnl_set_elems_iter_next(iter))) {
                uint32_t key_size = 0, target_size = 0;
                const void *key = nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &key_size);
                const PortTarget *target = nftnl_set_elem_get(e, NFTNL_SET_ELEM_DATA, &target_size);
                PortKey k = {};

                if (!key || key_size > sizeof(k) || !target || target_size != sizeof(*target) || target->address != q->address)
                        continue;
                memcpy((uint8_t *) &k + sizeof(k) - key_size, key, key_size);
                add_port(&q->ports, &q->address_ports, &k, NULL);
        }
        if (iter)
                nftnl_set_elems_iter_destroy(iter);
        nftnl_set_free(s);
        return 0;
}

static int put_removal_of_found_ports(Netlink *n, NetlinkBatch *b, uint32_t address) {
        static const char *const maps[] = { MAP_PORTS, MAP_ADDRESS_PORTS };
        PortQuery q = {
                .address = htonl(address),
                .ports = elements_begin(n, b, NFT_MSG_DELSETELEM, MAP_PORTS),
                .address_ports = elements_begin(n, b, NFT_MSG_DELSETELEM, MAP_ADDRESS_PORTS),
        };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(maps) && r >= 0; i++) {
                _cleanup_netlink_batch_ NetlinkBatch list = {};
                struct nlmsghdr *nlh = begin_message(n, &list, NFT_MSG_GETSETELEM, NLM_F_DUMP);

                if (nlh) {
                        mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, TABLE);
                        mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, maps[i]);
                        netlink_batch_commit(&list, nlh);
                }
                r = netlink_exchange(n, &list, on_ports, &q);
                if (r == -ENOENT) /* no table, or that of an older Inferno */
                        r = 0;
        }
        elements_flush(&q.ports, NLM_F_ACK);
        elements_flush(&q.address_ports, NLM_F_ACK);
        return r;
}

/* `whole`: not its ports alone; `known`: guest->ports are all that it has. */
static int remove_guest(Netlink *n, const FirewallGuest *guest, bool whole, bool known) {
        _cleanup_netlink_batch_ NetlinkBatch b = {};
        size_t nothing;
        int r = 0;

        begin_transaction(n, &b);
        nothing = b.size;
        if (known)
                put_ports(n, &b, NFT_MSG_DELSETELEM, guest, 1);
        else
                r = put_removal_of_found_ports(n, &b, guest->address);
        if (r < 0)
                return r;
        if (whole) {
                /* Removing what is not there would fail the transaction. */
                put_guests(n, &b, NFT_MSG_NEWSETELEM, guest, 1, false);
                put_guests(n, &b, NFT_MSG_DELSETELEM, guest, 1, true);
        } else if (b.size == nothing)
                return 0;
        end_transaction(n, &b);
        r = netlink_exchange(n, &b, NULL, NULL);
        return r == -ENOENT && known && guest->n_ports > 0 ? remove_guest(n, guest, whole, false) : r;
}

int firewall_remove(Netlink *n, const FirewallGuest *guest) {
        return remove_guest(n, guest, true, true);
}

int firewall_remove_ports(Netlink *n, const FirewallGuest *guest) {
        return remove_guest(n, guest, false, true);
}

int firewall_remove_with_all_ports(Netlink *n, const FirewallGuest *guest) {
        return remove_guest(n, guest, true, false);
}

int firewall_remove_table(Netlink *n) {
        _cleanup_netlink_batch_ NetlinkBatch b = {};
        int r;

        begin_transaction(n, &b);
        put_table(n, &b, NFT_MSG_DELTABLE, NLM_F_ACK, NULL);
        end_transaction(n, &b);
        r = netlink_exchange(n, &b, NULL, NULL);
        return r == -ENOENT ? 0 : r;
}
