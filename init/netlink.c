/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/netlink.h"

#define INTERFACE "eth0"

enum {
        LOOPBACK_IFINDEX = 1,           /* of every network namespace */
        ADDRESSES_MAX = 16,
};

static void *add_request(NetlinkBatch *b, uint16_t type, uint16_t flags, size_t body_size, size_t *ret_at) {
        size_t size = NLMSG_LENGTH(body_size);
        struct nlmsghdr *h;

        if (b->failed || sizeof(b->bytes) - b->size < NLMSG_ALIGN(size)) {
                b->failed = true;
                return NULL;
        }
        h = (struct nlmsghdr *) (b->bytes + b->size);
        memset(h, 0, NLMSG_ALIGN(size));
        *h = (struct nlmsghdr) {
                .nlmsg_len = (uint32_t) size,
                .nlmsg_type = type,
                .nlmsg_flags = (uint16_t) (NLM_F_REQUEST | NLM_F_ACK | flags),
                .nlmsg_seq = ++b->n,
        };
        *ret_at = b->size;
        b->size += NLMSG_ALIGN(size);
        return NLMSG_DATA(h);
}

/* To the request that begins at `at`, which is the last one. */
static void add_attribute(NetlinkBatch *b, size_t at, uint16_t type, const void *data, size_t n) {
        size_t size = RTA_LENGTH(n);
        struct nlmsghdr *h;
        struct rtattr *a;

        if (b->failed || sizeof(b->bytes) - b->size < RTA_ALIGN(size)) {
                b->failed = true;
                return;
        }
        a = (struct rtattr *) (b->bytes + b->size);
        memset(a, 0, RTA_ALIGN(size));
        a->rta_len = (unsigned short) size;
        a->rta_type = type;
        memcpy(RTA_DATA(a), data, n);
        b->size += RTA_ALIGN(size);
        h = (struct nlmsghdr *) (b->bytes + at);
        h->nlmsg_len = (uint32_t) (b->size - at);
}

void netlink_link_up(NetlinkBatch *b, unsigned ifindex) {
        struct ifinfomsg *m;
        size_t at;

        m = add_request(b, RTM_NEWLINK, 0, sizeof(*m), &at);
        if (m)
                *m = (struct ifinfomsg) {
                        .ifi_family = AF_UNSPEC,
                        .ifi_index = (int) ifindex,
                        .ifi_flags = IFF_UP,
                        .ifi_change = IFF_UP,
                };
}

void netlink_add_address(NetlinkBatch *b, unsigned ifindex, struct in_addr address, unsigned prefix) {
        struct in_addr broadcast = { address.s_addr | htonl(prefix < 32 ? UINT32_MAX >> prefix : 0) };
        struct ifaddrmsg *m;
        size_t at;

        m = add_request(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m), &at);
        if (!m)
                return;
        *m = (struct ifaddrmsg) {
                .ifa_family = AF_INET,
                .ifa_prefixlen = (uint8_t) prefix,
                .ifa_scope = RT_SCOPE_UNIVERSE,
                .ifa_index = ifindex,
        };
        add_attribute(b, at, IFA_LOCAL, &address, sizeof(address));
        add_attribute(b, at, IFA_ADDRESS, &address, sizeof(address));
        if (prefix < 31)        /* RFC 3021: a /31 has none */
                add_attribute(b, at, IFA_BROADCAST, &broadcast, sizeof(broadcast));
}

void netlink_add_default_route(NetlinkBatch *b, unsigned ifindex, struct in_addr gateway) {
        uint32_t index = ifindex;
        struct rtmsg *m;
        size_t at;

        m = add_request(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m), &at);
        if (!m)
                return;
        *m = (struct rtmsg) {
                .rtm_family = AF_INET,
                .rtm_table = RT_TABLE_MAIN,
                .rtm_protocol = RTPROT_BOOT,
                .rtm_scope = RT_SCOPE_UNIVERSE,
                .rtm_type = RTN_UNICAST,
        };
        add_attribute(b, at, RTA_GATEWAY, &gateway, sizeof(gateway));
        add_attribute(b, at, RTA_OIF, &index, sizeof(index));
}

/* 0, or the error of the first request that failed, whose number is then in *ret_seq. */
static int netlink_run(int fd, const NetlinkBatch *b, unsigned *ret_seq) {
        union {
                struct nlmsghdr header;
                char bytes[8192];
        } answer;
        unsigned n_answers = 0;
        int r = 0;

        *ret_seq = 0;
        if (b->failed)
                return -ENOBUFS;
        if (send(fd, b->bytes, b->size, 0) < 0)
                return negative_errno();
        while (n_answers < b->n) {
                ssize_t k = recv(fd, answer.bytes, sizeof(answer.bytes), 0);
                size_t left;

                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return negative_errno();
                }
                left = (size_t) k;
                for (struct nlmsghdr *h = &answer.header; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
                        struct nlmsgerr *e = NLMSG_DATA(h);

                        if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_len < NLMSG_LENGTH(sizeof(*e)))
                                continue;
                        n_answers++;
                        if (e->error < 0 && r == 0) {
                                r = e->error;
                                *ret_seq = h->nlmsg_seq;
                        }
                }
        }
        return r;
}

int network_set_up(const RunSpec *spec, Failure *failure) {
        struct ifreq ifr = { .ifr_name = INTERFACE };
        const char *what[2 * ADDRESSES_MAX + 2] = {};
        _cleanup_close_ int fd = -EBADF;
        const char *gateway = NULL;
        NetlinkBatch b = {};
        struct in_addr a;
        unsigned seq;
        int r;

        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        if (fd < 0)
                return failure_set(failure, errno, "cannot open a netlink socket: %m");

        netlink_link_up(&b, LOOPBACK_IFINDEX);
        what[b.n] = "set up the loopback interface";
        if (spec->n_ips > 0) {
                if (spec->n_ips > ADDRESSES_MAX)
                        return failure_set(failure, E2BIG, "more than %d addresses for " INTERFACE, ADDRESSES_MAX);
                if (ioctl(fd, SIOCGIFINDEX, &ifr) < 0)
                        return failure_set(failure, errno, "no network interface " INTERFACE ": %m");
                for (size_t i = 0; i < spec->n_ips; i++) {
                        if (inet_pton(AF_INET, spec->ips[i].ip, &a) != 1)
                                return failure_set(failure, EINVAL, "address \"%s\": %m", spec->ips[i].ip);
                        netlink_add_address(&b, (unsigned) ifr.ifr_ifindex, a, spec->ips[i].mask);
                        what[b.n] = "add the address to " INTERFACE;
                        gateway = gateway ?: spec->ips[i].gateway;
                }
                netlink_link_up(&b, (unsigned) ifr.ifr_ifindex);
                what[b.n] = "set " INTERFACE " up";
                if (gateway) {
                        if (inet_pton(AF_INET, gateway, &a) != 1)
                                return failure_set(failure, EINVAL, "gateway \"%s\": %m", gateway);
                        netlink_add_default_route(&b, (unsigned) ifr.ifr_ifindex, a);
                        what[b.n] = "add the default route";
                }
        }

        r = netlink_run(fd, &b, &seq);
        if (r < 0)
                return failure_set(failure, r, "cannot %s: %m", seq > 0 && seq <= b.n ? what[seq] : "set up the network");
        return 0;
}
