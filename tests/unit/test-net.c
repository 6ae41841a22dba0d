/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* In a network namespace of its own, with real TAPs: the test attaches to them as a VMM does, sends frames as a guest does, and looks at what
 * comes out where. The way out of the host is one more TAP, "up0". Needs root, tun and nftables; exits with 77 (skipped) without them. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "layout/layout.h"
#include "net/firewall.h"
#include "net/net.h"
#include "net/tap.h"
#include "test.h"

#define OUTSIDE "198.51.100.9"          /* a host behind up0's network */
#define UPLINK "192.0.2.1"              /* the host's address on up0 */
#define NEXT_HOP "192.0.2.2"

enum {
        WAIT_MSEC = 1500,               /* for a frame that must come */
        QUIET_MSEC = 150,               /* for one that must not */
        VNET_HEADER = 10,               /* struct virtio_net_hdr, before each frame of a TAP with IFF_VNET_HDR */
        FRAME_MAX = 2048,
        UID_A = 70001,
        UID_B = 70002,
};

static Store *store;
static NetRange range;
static char root[] = "/tmp/inferno-test-net.XXXXXX";
static int uplink_fd = -EBADF;
static const uint8_t uplink_mac[6] = { 2, 0, 0, 0, 0, 9 };

/* ---- frames ---- */

/* Ethernet, IPv4 and one of UDP, TCP, ICMP echo. */
typedef struct Packet {
        uint32_t source, destination;   /* host byte order */
        uint8_t protocol;
        uint16_t source_port, destination_port;
        bool reply;                     /* ICMP: echo reply; TCP: SYN|ACK */
        uint32_t acknowledge;           /* TCP, to be sent */
        uint32_t sequence;              /* TCP, as received */
        uint8_t icmp_type, icmp_code;   /* as received */
} Packet;

static uint16_t checksum(const void *data, size_t n, uint32_t sum) {
        const uint8_t *p = data;

        for (size_t i = 0; i < n; i++)
                sum += (uint32_t) p[i] << (i % 2 == 0 ? 8 : 0);
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return htons((uint16_t) ~sum);
}

static uint32_t ip4(const char *s) {
        struct in_addr in;

        assert_int_equal(inet_pton(AF_INET, s, &in), 1);
        return ntohl(in.s_addr);
}

static void interface_mac(const char *name, uint8_t mac[static 6]) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq ifr = {};

        snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
        assert_ok(ioctl(fd, SIOCGIFHWADDR, &ifr));
        memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
}

static void send_frame(int fd, const char *tap, const uint8_t source_mac[static 6], uint16_t type, const void *payload, size_t n) {
        uint8_t buf[FRAME_MAX] = {}, *p = buf + VNET_HEADER;

        interface_mac(tap, p);
        memcpy(p + 6, source_mac, 6);
        p[12] = (uint8_t) (type >> 8);
        p[13] = (uint8_t) type;
        memcpy(p + 14, payload, n);
        assert_int_equal(write(fd, buf, VNET_HEADER + 14 + n), VNET_HEADER + 14 + n);
}

static void send_packet(int fd, const char *tap, const uint8_t source_mac[static 6], const Packet *q) {
        struct {
                struct iphdr ip;
                union {
                        struct udphdr udp;
                        struct tcphdr tcp;
                        struct icmphdr icmp;
                };
        } p = {};
        size_t n = q->protocol == IPPROTO_UDP ? sizeof(p.udp) : q->protocol == IPPROTO_TCP ? sizeof(p.tcp) : sizeof(p.icmp);
        uint32_t pseudo = (q->source >> 16) + (q->source & 0xffff) + (q->destination >> 16) + (q->destination & 0xffff) + q->protocol + (uint32_t) n;

        p.ip = (struct iphdr) {
                .version = 4, .ihl = 5, .ttl = 64, .id = 1, .protocol = q->protocol, .tot_len = htons((uint16_t) (sizeof(p.ip) + n)),
                .saddr = htonl(q->source), .daddr = htonl(q->destination),
        };
        p.ip.check = checksum(&p.ip, sizeof(p.ip), 0);
        if (q->protocol == IPPROTO_UDP) {
                p.udp.source = htons(q->source_port);
                p.udp.dest = htons(q->destination_port);
                p.udp.len = htons((uint16_t) n);
                p.udp.check = checksum(&p.udp, n, pseudo);
        } else if (q->protocol == IPPROTO_TCP) {
                p.tcp.source = htons(q->source_port);
                p.tcp.dest = htons(q->destination_port);
                p.tcp.doff = 5;
                p.tcp.syn = 1;
                p.tcp.ack = q->reply;
                p.tcp.ack_seq = htonl(q->acknowledge);
                p.tcp.window = htons(1000);
                p.tcp.check = checksum(&p.tcp, n, pseudo);
        } else {
                p.icmp.type = q->reply ? ICMP_ECHOREPLY : ICMP_ECHO;
                p.icmp.un.echo.id = htons(q->source_port);
                p.icmp.checksum = checksum(&p.icmp, n, 0);
        }
        send_frame(fd, tap, source_mac, ETHERTYPE_IP, &p, sizeof(p.ip) + n);
}

/* Answers ARP for every address, as the only other station on the wire. */
static void answer_arp(int fd, const char *tap, const uint8_t mac[static 6], const struct ether_arp *query) {
        struct ether_arp a = *query;

        if (ntohs(query->ea_hdr.ar_op) != ARPOP_REQUEST)
                return;
        a.ea_hdr.ar_op = htons(ARPOP_REPLY);
        memcpy(a.arp_sha, mac, 6);
        memcpy(a.arp_spa, query->arp_tpa, 4);
        memcpy(a.arp_tha, query->arp_sha, 6);
        memcpy(a.arp_tpa, query->arp_spa, 4);
        send_frame(fd, tap, mac, ETHERTYPE_ARP, &a, sizeof(a));
}

/* The next IPv4 packet that the kernel sends out of this TAP; false where none comes in time. */
static bool receive_packet(int fd, const char *tap, const uint8_t mac[static 6], int msec, Packet *ret) {
        for (;;) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                uint8_t buf[FRAME_MAX], *frame = buf + VNET_HEADER;
                const struct iphdr *ip = (const void *) (frame + 14);
                const uint8_t *l4;
                ssize_t k;

                if (poll(&p, 1, msec) <= 0)
                        return false;
                k = read(fd, buf, sizeof(buf));
                assert_true(k > VNET_HEADER + 14);
                if (frame[12] == 8 && frame[13] == 6) {
                        answer_arp(fd, tap, mac, (const void *) (frame + 14));
                        continue;
                }
                if (frame[12] != 8 || frame[13] != 0)
                        continue;
                l4 = (const uint8_t *) ip + ip->ihl * 4;
                *ret = (Packet) { .source = ntohl(ip->saddr), .destination = ntohl(ip->daddr), .protocol = ip->protocol };
                if (ip->protocol == IPPROTO_ICMP) {
                        ret->icmp_type = l4[0];
                        ret->icmp_code = l4[1];
                        ret->source_port = (uint16_t) (l4[4] << 8 | l4[5]);
                } else {
                        ret->source_port = (uint16_t) (l4[0] << 8 | l4[1]);
                        ret->destination_port = (uint16_t) (l4[2] << 8 | l4[3]);
                        if (ip->protocol == IPPROTO_TCP)
                                ret->sequence = ntohl(((const struct tcphdr *) l4)->seq);
                }
                return true;
        }
}

/* ---- host ---- */

static int attach_by(const char *device, const char *name) {
        int fd = open(device, O_RDWR | O_CLOEXEC | O_NONBLOCK);
        struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

        if (fd < 0)
                return negative_errno();
        snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
        if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
                int r = negative_errno();

                safe_close(fd);
                return r;
        }
        return fd;
}

static int attach(const char *name) {
        return attach_by("/dev/net/tun", name);
}

static void set_address(int fd, const char *name, unsigned long request, const char *address) {
        struct ifreq ifr = {};
        struct sockaddr_in *in = (void *) &ifr.ifr_addr;

        snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(ip4(address));
        assert_ok(ioctl(fd, request, &ifr));
}

static void bring_up(int fd, const char *name) {
        struct ifreq ifr = {};

        snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
        assert_ok(ioctl(fd, SIOCGIFFLAGS, &ifr));
        ifr.ifr_flags |= IFF_UP;
        assert_ok(ioctl(fd, SIOCSIFFLAGS, &ifr));
}

static char read_setting(const char *path) {
        _cleanup_free_ char *s = NULL;

        assert_ok(read_file_at(AT_FDCWD, path, 64, &s, NULL));
        return s[0];
}

static void write_setting(const char *path, const char *value) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        assert_ok(write_full(fd, value, strlen(value)));
}

static bool table_exists(void) {
        _cleanup_(netlink_closep) Netlink *n = NULL;
        FirewallGuest nobody = { .tap = "nobody", .address = 1 };

        assert_ok(netlink_open(NETLINK_NETFILTER, &n));
        return firewall_remove(n, &nobody) != -ENOENT;
}

static void flush_ruleset(void) {
        _cleanup_(netlink_closep) Netlink *n = NULL;

        assert_ok(netlink_open(NETLINK_NETFILTER, &n));
        assert_ok(firewall_remove_table(n));
        assert_false(table_exists());
}

/* ---- VMs ---- */

typedef struct Guest {
        const char *name;
        unsigned uid;
        char *tap;
        NetAddress address;
        int fd;
        const PublishedPort *ports;
        size_t n_ports;
} Guest;

static int up(Guest *g, char **ret_error) {
        unsigned index, uid;
        int r;

        assert_ok(store_vm_ensure(store, g->name, 70000, 1000, &uid));
        r = net_vm_up(store, &range, &(NetVm) { g->name, g->uid, g->uid, g->ports, g->n_ports }, &index, ret_error);
        if (r < 0)
                return r;
        free(g->tap);
        g->tap = layout_tap_name(index);
        assert_ok(net_range_address(&range, index, &g->address));
        return 0;
}

static void must_up(Guest *g) {
        _cleanup_free_ char *error = NULL;

        if (up(g, &error) < 0)
                fail_msg("%s: %s", g->name, error);
        assert_null(error);
}

static void must_attach(Guest *g) {
        g->fd = attach(g->tap);
        assert_ok(g->fd);
}

static void must_down(Guest *g) {
        _cleanup_free_ char *error = NULL;

        g->fd = safe_close(g->fd);
        if (net_vm_down(store, &range, g->name, &error) < 0)
                fail_msg("%s: %s", g->name, error);
        free(g->tap);
        g->tap = NULL;
}

#define GUEST(n, u) { .name = n, .uid = u, .fd = -EBADF }

static void guest_sends(const Guest *g, Packet p) {
        if (p.source == 0)
                p.source = g->address.guest;
        send_packet(g->fd, g->tap, g->address.mac, &p);
}

static bool guest_receives(const Guest *g, int msec, Packet *ret) {
        return receive_packet(g->fd, g->tap, g->address.mac, msec, ret);
}

static bool uplink_receives(int msec, Packet *ret) {
        return receive_packet(uplink_fd, "up0", uplink_mac, msec, ret);
}

/* ---- tests ---- */

static void test_interface(void **state) {
        _cleanup_(netlink_closep) Netlink *n = NULL;
        Guest a = GUEST("alpha", UID_A);
        struct ifreq ifr = {};
        _cleanup_close_ int fd = -EBADF;

        must_up(&a);
        assert_string_equal(a.tap, "inf0");
        assert_ok(netlink_open(NETLINK_ROUTE, &n));
        assert_int_equal(tap_is_present(n, "tap_inferno_alpha"), 1);
        assert_int_equal(tap_is_present(n, "tap_inferno_beta"), 0);
        assert_int_equal(read_setting("/proc/sys/net/ipv4/ip_forward"), '1');
        assert_int_equal(read_setting("/proc/sys/net/ipv4/conf/inf0/forwarding"), '1');
        assert_int_equal(read_setting("/proc/sys/net/ipv4/conf/inf0/rp_filter"), '1');
        assert_int_equal(read_setting("/proc/sys/net/ipv4/conf/inf0/proxy_arp"), '0');
        assert_int_equal(read_setting("/proc/sys/net/ipv4/conf/inf0/send_redirects"), '0');
        if (access("/proc/sys/net/ipv6", F_OK) >= 0)
                assert_int_equal(read_setting("/proc/sys/net/ipv6/conf/inf0/disable_ipv6"), '1');

        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "inf0");
        assert_ok(ioctl(fd, SIOCGIFADDR, &ifr));
        assert_int_equal(ntohl(((struct sockaddr_in *) &ifr.ifr_addr)->sin_addr.s_addr), a.address.host);
        assert_ok(ioctl(fd, SIOCGIFNETMASK, &ifr));
        assert_int_equal(ntohl(((struct sockaddr_in *) &ifr.ifr_netmask)->sin_addr.s_addr), ip4(NET_SUBNET_NETMASK));
        assert_ok(ioctl(fd, SIOCGIFFLAGS, &ifr));
        assert_true(ifr.ifr_flags & IFF_UP);

        /* Twice, also with a VMM attached. */
        must_up(&a);
        must_attach(&a);
        must_up(&a);
        assert_error(attach("inf0"), EBUSY);

        must_down(&a);
        assert_int_equal(if_nametoindex("inf0"), 0);
        assert_false(table_exists());
        must_down(&a);
}

/* Only the VM's own user with the VM's own group gets at it. */
static void test_owner(void **state) {
        static const struct {
                unsigned uid, gid;
                int result;
        } users[] = {
                { UID_A, UID_A, 0 },
                { UID_B, UID_B, EPERM },
                { UID_B, UID_A, EPERM },
                { UID_A, UID_B, EPERM },
        };
        _cleanup_free_ char *device = strf("%s/tun", root);
        Guest a = GUEST("alpha", UID_A);

        /* The jail's own node, as the jailer makes it. */
        if (mknod(device, S_IFCHR | 0600, makedev(10, 200)) < 0)
                skip();
        assert_ok(chmod(root, 0711));
        must_up(&a);
        for (size_t i = 0; i < ELEMENTSOF(users); i++) {
                int status;
                pid_t pid;

                assert_ok(chown(device, users[i].uid, users[i].gid));
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        int r;

                        if (setresgid(users[i].gid, users[i].gid, users[i].gid) < 0 || setresuid(users[i].uid, users[i].uid, users[i].uid) < 0)
                                _exit(255);
                        r = attach_by(device, "inf0");
                        _exit(r >= 0 ? 0 : -r);
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFEXITED(status));
                assert_int_equal(WEXITSTATUS(status), users[i].result);
        }
        must_down(&a);
}

static void test_outwards(void **state) {
        Guest a = GUEST("alpha", UID_A);
        Packet p;

        must_up(&a);
        must_attach(&a);
        guest_sends(&a, (Packet) { .destination = ip4(OUTSIDE), .protocol = IPPROTO_UDP, .source_port = 4000, .destination_port = 123 });
        assert_true(uplink_receives(WAIT_MSEC, &p));
        assert_int_equal(p.source, ip4(UPLINK));
        assert_int_equal(p.destination, ip4(OUTSIDE));
        assert_int_equal(p.destination_port, 123);

        /* The reply comes back. */
        send_packet(uplink_fd, "up0", uplink_mac, &(Packet) { .source = ip4(OUTSIDE), .destination = ip4(UPLINK), .protocol = IPPROTO_UDP,
                                                              .source_port = 123, .destination_port = p.source_port });
        assert_true(guest_receives(&a, WAIT_MSEC, &p));
        assert_int_equal(p.source, ip4(OUTSIDE));
        assert_int_equal(p.destination, a.address.guest);
        assert_int_equal(p.destination_port, 4000);

        /* What nobody asked for does not. */
        send_packet(uplink_fd, "up0", uplink_mac, &(Packet) { .source = ip4(OUTSIDE), .destination = a.address.guest, .protocol = IPPROTO_UDP,
                                                              .source_port = 123, .destination_port = 5000 });
        send_packet(uplink_fd, "up0", uplink_mac, &(Packet) { .source = ip4(OUTSIDE), .destination = a.address.guest, .protocol = IPPROTO_TCP,
                                                              .source_port = 123, .destination_port = 80 });
        assert_false(guest_receives(&a, QUIET_MSEC, &p));

        /* A segment without a connection, which masquerade does not touch, does not leave with the guest's own address. */
        guest_sends(&a, (Packet) { .destination = ip4(OUTSIDE), .protocol = IPPROTO_TCP, .source_port = 4001, .destination_port = 80, .reply = true });
        assert_false(uplink_receives(QUIET_MSEC, &p));
        must_down(&a);
}

static void test_spoofing(void **state) {
        Guest a = GUEST("alpha", UID_A), b = GUEST("beta", UID_B);
        static const char *const sources[] = { UPLINK, OUTSIDE, "10.1.2.3", "0.0.0.0", "127.0.0.1", "172.16.0.1", "172.16.0.3" };
        Packet p;

        must_up(&a);
        must_up(&b);
        must_attach(&a);
        must_attach(&b);
        /* So that it is the rules that hold. */
        write_setting("/proc/sys/net/ipv4/conf/inf0/rp_filter", "0");
        for (size_t i = 0; i < ELEMENTSOF(sources); i++) {
                Packet q = { .source = ip4(sources[i]), .destination = ip4(OUTSIDE), .protocol = IPPROTO_UDP, .source_port = 1, .destination_port = 2 };

                send_packet(a.fd, a.tap, a.address.mac, &q);
                q.destination = a.address.host;
                send_packet(a.fd, a.tap, a.address.mac, &q);
        }
        /* Another guest's address, which is in the set, but with the other's TAP. */
        guest_sends(&a, (Packet) { .source = b.address.guest, .destination = ip4(OUTSIDE), .protocol = IPPROTO_UDP, .source_port = 1, .destination_port = 2 });
        assert_false(uplink_receives(QUIET_MSEC, &p));
        assert_false(guest_receives(&a, 0, &p));
        assert_false(guest_receives(&b, 0, &p));

        /* And the test would have seen it. */
        guest_sends(&a, (Packet) { .destination = ip4(OUTSIDE), .protocol = IPPROTO_UDP, .source_port = 1, .destination_port = 2 });
        assert_true(uplink_receives(WAIT_MSEC, &p));
        must_down(&a);
        must_down(&b);
}

/* Even where somebody switches it on for the TAP. */
static void test_no_ipv6(void **state) {
        /* UDP to all nodes, port 53, which is open to guests, from a link-local address that has the guest's IPv4 address where an IPv4 header has its source. */
        uint8_t datagram[40 + 8] = { 0x60, [5] = 8, [6] = IPPROTO_UDP, [7] = 1, [8] = 0xfe, 0x80, [12] = 172, 16, 0, 2, [23] = 1,
                                     [24] = 0xff, 0x02, [39] = 1, [41] = 1, [43] = 53, [45] = 8 };
        _cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(53) };
        Guest a = GUEST("alpha", UID_A);
        uint16_t sum;

        if (fd < 0)
                skip();
        assert_ok(bind(fd, (struct sockaddr *) &in6, sizeof(in6)));
        must_up(&a);
        must_attach(&a);
        write_setting("/proc/sys/net/ipv6/conf/inf0/disable_ipv6", "0");
        sum = checksum(datagram + 8, sizeof(datagram) - 8, IPPROTO_UDP + 8);
        memcpy(datagram + 46, &sum, sizeof(sum));
        send_frame(a.fd, a.tap, a.address.mac, ETHERTYPE_IPV6, datagram, sizeof(datagram));
        assert_int_equal(poll(&(struct pollfd) { .fd = fd, .events = POLLIN }, 1, QUIET_MSEC), 0);
        must_down(&a);
}

static void test_isolation(void **state) {
        Guest a = GUEST("alpha", UID_A), b = GUEST("beta", UID_B);
        Packet p;

        must_up(&a);
        must_up(&b);
        must_attach(&a);
        must_attach(&b);
        guest_sends(&a, (Packet) { .destination = b.address.guest, .protocol = IPPROTO_TCP, .source_port = 4000, .destination_port = 80 });
        assert_true(guest_receives(&a, WAIT_MSEC, &p));
        assert_int_equal(p.protocol, IPPROTO_ICMP);
        assert_int_equal(p.icmp_type, ICMP_DEST_UNREACH);
        assert_int_equal(p.icmp_code, ICMP_PKT_FILTERED);
        guest_sends(&a, (Packet) { .destination = b.address.guest, .protocol = IPPROTO_UDP, .source_port = 4000, .destination_port = 53 });
        guest_sends(&a, (Packet) { .destination = b.address.guest, .protocol = IPPROTO_ICMP, .source_port = 7 });
        assert_false(guest_receives(&b, QUIET_MSEC, &p));
        must_down(&a);
        must_down(&b);
}

static void test_host(void **state) {
        Guest a = GUEST("alpha", UID_A);
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(80) };
        _cleanup_close_ int fd = -EBADF;
        int error = -1;
        Packet p;

        must_up(&a);
        must_attach(&a);

        /* The guest pings the host, on its TAP's address and on its others. */
        guest_sends(&a, (Packet) { .destination = a.address.host, .protocol = IPPROTO_ICMP, .source_port = 7 });
        assert_true(guest_receives(&a, WAIT_MSEC, &p));
        assert_int_equal(p.icmp_type, ICMP_ECHOREPLY);

        /* It asks for a name: there is no server here, which the host itself says. */
        guest_sends(&a, (Packet) { .destination = a.address.host, .protocol = IPPROTO_UDP, .source_port = 4000, .destination_port = 53 });
        assert_true(guest_receives(&a, WAIT_MSEC, &p));
        assert_int_equal(p.icmp_type, ICMP_DEST_UNREACH);
        assert_int_equal(p.icmp_code, ICMP_PORT_UNREACH);
        guest_sends(&a, (Packet) { .destination = a.address.host, .protocol = IPPROTO_TCP, .source_port = 4000, .destination_port = 53 });
        assert_true(guest_receives(&a, WAIT_MSEC, &p));
        assert_int_equal(p.protocol, IPPROTO_TCP);

        /* Anything else of the host is forbidden, whichever of its addresses is asked. */
        for (int i = 0; i < 2; i++) {
                guest_sends(&a, (Packet) { .destination = i == 0 ? a.address.host : ip4(UPLINK), .protocol = IPPROTO_TCP,
                                           .source_port = (uint16_t) (4001 + i), .destination_port = 22 });
                assert_true(guest_receives(&a, WAIT_MSEC, &p));
                assert_int_equal(p.icmp_type, ICMP_DEST_UNREACH);
                assert_int_equal(p.icmp_code, ICMP_PKT_FILTERED);
        }

        /* The host connects to the guest freely. */
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        to.sin_addr.s_addr = htonl(a.address.guest);
        assert_int_equal(connect(fd, (struct sockaddr *) &to, sizeof(to)), -1);
        assert_int_equal(errno, EINPROGRESS);
        assert_true(guest_receives(&a, WAIT_MSEC, &p));
        assert_int_equal(p.protocol, IPPROTO_TCP);
        assert_int_equal(p.destination_port, 80);
        assert_int_equal(p.source, a.address.host);
        guest_sends(&a, (Packet) { .destination = a.address.host, .protocol = IPPROTO_TCP, .source_port = 80, .destination_port = p.source_port,
                                   .acknowledge = p.sequence + 1, .reply = true });
        assert_int_equal(poll(&(struct pollfd) { .fd = fd, .events = POLLOUT }, 1, WAIT_MSEC), 1);
        assert_ok(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t) { sizeof(error) }));
        assert_int_equal(error, 0);

        /* And whoever is no guest finds the host as it is. */
        send_packet(uplink_fd, "up0", uplink_mac, &(Packet) { .source = ip4(OUTSIDE), .destination = ip4(UPLINK), .protocol = IPPROTO_TCP,
                                                              .source_port = 4000, .destination_port = 22 });
        assert_true(uplink_receives(WAIT_MSEC, &p));
        assert_int_equal(p.protocol, IPPROTO_TCP);
        must_down(&a);
}

/* The rules of a running VM come back when somebody has taken them away; nobody else's table is touched. */
static void test_flush(void **state) {
        Guest a = GUEST("alpha", UID_A), b = GUEST("beta", UID_B), c = GUEST("gamma", UID_A + 2);
        Packet p;

        must_up(&a);
        must_attach(&a);
        must_up(&b);
        flush_ruleset();
        must_up(&c);
        assert_true(table_exists());

        guest_sends(&a, (Packet) { .destination = ip4(OUTSIDE), .protocol = IPPROTO_UDP, .source_port = 4000, .destination_port = 123 });
        assert_true(uplink_receives(WAIT_MSEC, &p));
        assert_int_equal(p.source, ip4(UPLINK));
        guest_sends(&a, (Packet) { .source = ip4("10.1.2.3"), .destination = ip4(OUTSIDE), .protocol = IPPROTO_UDP, .source_port = 1, .destination_port = 2 });
        guest_sends(&a, (Packet) { .destination = b.address.guest, .protocol = IPPROTO_UDP, .source_port = 1, .destination_port = 2 });
        assert_false(uplink_receives(QUIET_MSEC, &p));

        /* Stopping works without the table, too. */
        flush_ruleset();
        must_down(&b);
        must_down(&c);
        must_up(&a);
        assert_true(table_exists());
        must_down(&a);
        assert_false(table_exists());
}

/* A power cut leaves active rows without TAPs. */
static void test_ghosts(void **state) {
        Guest a = GUEST("alpha", UID_A), b = GUEST("beta", UID_B);
        _cleanup_strv_ char **active = NULL;
        unsigned uid, index;

        assert_ok(store_vm_ensure(store, b.name, 70000, 1000, &uid));
        assert_ok(store_network_ensure(store, b.name, net_range_subnets(&range), &index));
        assert_ok(store_network_set_active(store, b.name, true));
        must_up(&a);
        assert_ok(store_network_list_active(store, &active));
        assert_int_equal(strv_length(active), 1);
        assert_string_equal(active[0], "alpha");
        must_down(&a);
        assert_false(table_exists());
}

static void test_left_overs(void **state) {
        Guest a = GUEST("alpha", UID_A), b = GUEST("beta", UID_B);
        _cleanup_free_ char *error = NULL, *error2 = NULL, *tap = NULL;
        unsigned before;
        int fd;

        /* A TAP that a crash has left with another owner is made anew; one in use is not. */
        must_up(&a);
        before = if_nametoindex(a.tap);
        a.uid = UID_B;
        must_up(&a);
        assert_int_not_equal(if_nametoindex(a.tap), before);
        must_attach(&a);
        a.uid = UID_A;
        assert_error(up(&a, &error), EBUSY);
        assert_non_null(strstr(error, "'inf0' is in use"));
        assert_true(table_exists());
        must_down(&a);

        /* Somebody else's interface of that name. */
        fd = attach("inf0");
        assert_ok(fd);
        assert_error(up(&a, &error2), EEXIST);
        assert_non_null(strstr(error2, "'inf0' exists and is not Inferno's"));
        assert_false(table_exists());
        must_down(&a);
        assert_int_not_equal(if_nametoindex("inf0"), 0);
        safe_close(fd);

        /* "ip link delete" by somebody: neither start nor stop minds. */
        must_up(&a);
        must_up(&b);
        tap = strdup(a.tap);
        {
                _cleanup_(netlink_closep) Netlink *n = NULL;
                _cleanup_free_ char *e = NULL;
                char name[IFNAMSIZ];
                uint32_t host;

                assert_ok(netlink_open(NETLINK_ROUTE, &n));
                assert_int_equal(tap_down(n, "tap_inferno_alpha", name, &host, &e), 0);
                assert_string_equal(name, tap);
                assert_int_equal(host, a.address.host);
                assert_int_equal(tap_down(n, "tap_inferno_alpha", name, &host, &e), TAP_ABSENT);
        }
        must_up(&a);
        must_down(&a);
        must_down(&b);
        assert_false(table_exists());
}

/* Network= changed while a VM runs: its rules follow its TAP, and go with it. */
static void test_changed_network(void **state) {
        Guest a = GUEST("alpha", UID_A), b = GUEST("beta", UID_B);
        NetRange old = range;
        Packet p;

        must_up(&a);
        must_attach(&a);
        assert_ok(net_range_parse("10.77.0.0/16", &range));
        must_up(&b);
        assert_int_equal(b.address.network >> 16, 10 << 8 | 77);
        guest_sends(&a, (Packet) { .destination = ip4(OUTSIDE), .protocol = IPPROTO_UDP, .source_port = 4000, .destination_port = 123 });
        assert_true(uplink_receives(WAIT_MSEC, &p));
        must_down(&a);
        must_down(&b);
        assert_false(table_exists());
        range = old;
}

#define PORT(p, at, host, guest) { .protocol = p, .address = at, .host_port = host, .guest_port = guest }

/* What comes for the port of a client outside: connections of earlier tests may still be tried. */
static bool client_receives(uint16_t port, Packet *ret) {
        while (uplink_receives(WAIT_MSEC, ret))
                if (ret->destination_port == port)
                        return true;
        return false;
}

/* Where a SYN, or a datagram, from `source` to this port ends; by what, *ret. */
typedef enum Way { WAY_NOWHERE, WAY_GUEST, WAY_BACK } Way;

static Way knock(const Guest *g, uint32_t source, uint32_t destination, uint16_t port, uint8_t protocol, Packet *ret) {
        static uint16_t source_port = 20000;    /* a new connection each time */

        send_packet(uplink_fd, "up0", uplink_mac, &(Packet) { .source = source, .destination = destination, .protocol = protocol,
                                                              .source_port = ++source_port, .destination_port = port });
        /* The host may still end connections of earlier tests. */
        while (guest_receives(g, QUIET_MSEC, ret))
                if (ret->source == source && ret->source_port == source_port)
                        return WAY_GUEST;
        while (uplink_receives(0, ret))
                if (ret->destination == source)
                        return WAY_BACK;
        return WAY_NOWHERE;
}

static int host_connects(const char *address, uint16_t port) {
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip4(address)) };
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_ok(fd);
        assert_true(connect(fd, (struct sockaddr *) &to, sizeof(to)) >= 0 || errno == EINPROGRESS);
        return TAKE_FD(fd);
}

/* The guest takes the connection, which the host finds made. *ret is the SYN as the guest has seen it. */
static void host_gets_through(const Guest *g, const char *address, uint16_t port, Packet *ret) {
        _cleanup_close_ int fd = host_connects(address, port);
        struct sockaddr_in self;
        int error = -1;

        assert_ok(getsockname(fd, (struct sockaddr *) &self, &(socklen_t) { sizeof(self) }));
        do
                assert_true(guest_receives(g, WAIT_MSEC, ret));
        while (ret->protocol != IPPROTO_TCP || ret->source_port != ntohs(self.sin_port));
        guest_sends(g, (Packet) { .destination = ret->source, .protocol = IPPROTO_TCP, .source_port = ret->destination_port,
                                  .destination_port = ret->source_port, .acknowledge = ret->sequence + 1, .reply = true });
        assert_int_equal(poll(&(struct pollfd) { .fd = fd, .events = POLLOUT }, 1, WAIT_MSEC), 1);
        assert_ok(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t) { sizeof(error) }));
        assert_int_equal(error, 0);
}

static void host_is_refused(const char *address, uint16_t port) {
        _cleanup_close_ int fd = host_connects(address, port);
        int error = -1;

        assert_int_equal(poll(&(struct pollfd) { .fd = fd, .events = POLLOUT }, 1, WAIT_MSEC), 1);
        assert_ok(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t) { sizeof(error) }));
        assert_int_equal(error, ECONNREFUSED);
}

static int host_serves(int type, const char *address, uint16_t port) {
        struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip4(address)) };
        int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

        assert_ok(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int)));
        assert_ok(bind(fd, (struct sockaddr *) &at, sizeof(at)));
        if (type == SOCK_STREAM)
                assert_ok(listen(fd, 1));
        return fd;
}

static void test_published(void **state) {
        const PublishedPort ports[] = {
                PORT(IPPROTO_TCP, 0, 8080, 80), PORT(IPPROTO_UDP, 0, 53, 5353), PORT(IPPROTO_TCP, 0x7f000001, 9000, 90),
                PORT(IPPROTO_TCP, 0xc0000201, 7000, 70), PORT(IPPROTO_TCP, 0xc0000201, 7001, 71),
        };
        Guest a = GUEST("alpha", UID_A), b = GUEST("beta", UID_B);
        Packet p, q;

        a.ports = ports;
        a.n_ports = ELEMENTSOF(ports);
        must_up(&a);
        must_up(&b);
        must_attach(&a);
        must_attach(&b);
        assert_int_equal(read_setting("/proc/sys/net/ipv4/conf/inf0/route_localnet"), '1');
        assert_int_equal(read_setting("/proc/sys/net/ipv4/conf/inf1/route_localnet"), '0');

        /* From outside, with the client's address; and the answer comes from where the client has asked. */
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 8080, IPPROTO_TCP, &p), WAY_GUEST);
        assert_int_equal(p.source, ip4(OUTSIDE));
        assert_int_equal(p.destination, a.address.guest);
        assert_int_equal(p.destination_port, 80);
        guest_sends(&a, (Packet) { .destination = p.source, .protocol = IPPROTO_TCP, .source_port = 80, .destination_port = p.source_port,
                                   .acknowledge = p.sequence + 1, .reply = true });
        assert_true(client_receives(p.source_port, &q));
        assert_int_equal(q.source, ip4(UPLINK));
        assert_int_equal(q.source_port, 8080);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 53, IPPROTO_UDP, &p), WAY_GUEST);
        assert_int_equal(p.source, ip4(OUTSIDE));
        assert_int_equal(p.destination_port, 5353);
        guest_sends(&a, (Packet) { .destination = p.source, .protocol = IPPROTO_UDP, .source_port = 5353, .destination_port = p.source_port });
        assert_true(client_receives(p.source_port, &q));
        assert_int_equal(q.source_port, 53);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 7001, IPPROTO_TCP, &p), WAY_GUEST);
        assert_int_equal(p.destination_port, 71);

        /* What is not published: another port, another protocol, another address, what is routed through, the guest itself. */
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 8081, IPPROTO_TCP, &p), WAY_BACK);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 8080, IPPROTO_UDP, &p), WAY_BACK);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 9000, IPPROTO_TCP, &p), WAY_BACK);
        assert_int_equal(knock(&a, ip4(OUTSIDE), a.address.host, 7000, IPPROTO_TCP, &p), WAY_BACK);
        assert_int_not_equal(knock(&a, ip4(OUTSIDE), ip4("203.0.113.5"), 8080, IPPROTO_TCP, &p), WAY_GUEST);
        assert_int_equal(knock(&a, ip4(OUTSIDE), a.address.guest, 80, IPPROTO_TCP, &p), WAY_NOWHERE);
        /* And the loopback is the host's own, for whoever is on the wire. */
        assert_int_equal(knock(&a, ip4(NEXT_HOP), ip4("127.0.0.1"), 9000, IPPROTO_TCP, &p), WAY_NOWHERE);
        assert_int_equal(knock(&a, ip4(NEXT_HOP), ip4("127.0.0.1"), 8080, IPPROTO_TCP, &p), WAY_NOWHERE);

        /* The host itself, by its loopback and by its addresses. */
        host_gets_through(&a, "127.0.0.1", 8080, &p);
        assert_int_equal(p.source, a.address.host);
        assert_int_equal(p.destination_port, 80);
        host_gets_through(&a, UPLINK, 8080, &p);
        assert_int_equal(p.source, ip4(UPLINK));
        host_gets_through(&a, "127.0.0.1", 9000, &p);
        assert_int_equal(p.destination_port, 90);
        host_gets_through(&a, UPLINK, 7000, &p);
        host_is_refused("127.0.0.1", 7000);
        host_is_refused("127.0.0.2", 9000);

        /* Guests do not, whoever publishes it. */
        for (int i = 0; i < 2; i++) {
                const Guest *g = i == 0 ? &a : &b;

                guest_sends(g, (Packet) { .destination = ip4(UPLINK), .protocol = IPPROTO_TCP, .source_port = 4000, .destination_port = 8080 });
                do
                        assert_true(guest_receives(g, WAIT_MSEC, &p));
                while (p.protocol != IPPROTO_ICMP);
                assert_int_equal(p.icmp_type, ICMP_DEST_UNREACH);
                assert_int_equal(p.icmp_code, ICMP_PKT_FILTERED);
                while (guest_receives(&a, QUIET_MSEC, &p))
                        assert_false(p.source_port == 4000 && p.destination_port == 80);
        }

        must_down(&a);
        assert_int_equal(knock(&b, ip4(OUTSIDE), ip4(UPLINK), 8080, IPPROTO_TCP, &p), WAY_BACK);
        host_is_refused("127.0.0.1", 8080);
        must_down(&b);
        assert_false(table_exists());
}

/* A guest whose TAP takes the host's packets from 127.0.0.1 cannot send there; without the rules it could, which is what they are for. */
static void test_loopback_is_closed(void **state) {
        const PublishedPort port = PORT(IPPROTO_TCP, 0x7f000001, 9000, 90);
        _cleanup_close_ int fd = host_serves(SOCK_DGRAM, "127.0.0.1", 53);
        Guest a = GUEST("alpha", UID_A);
        const Packet query = { .destination = ip4("127.0.0.1"), .protocol = IPPROTO_UDP, .source_port = 4000, .destination_port = 53 };
        struct pollfd p = { .fd = fd, .events = POLLIN };

        a.ports = &port;
        a.n_ports = 1;
        must_up(&a);
        must_attach(&a);
        guest_sends(&a, query);
        assert_int_equal(poll(&p, 1, QUIET_MSEC), 0);
        flush_ruleset();
        guest_sends(&a, query);
        assert_int_equal(poll(&p, 1, WAIT_MSEC), 1);
        must_down(&a);
}

/* A client that goes on sending from the same port gets to the guest when there is one, and no longer when there is none. */
static void test_published_flow(void **state) {
        const PublishedPort port = PORT(IPPROTO_UDP, 0, 514, 514);
        const Packet datagram = { .source = ip4(OUTSIDE), .destination = ip4(UPLINK), .protocol = IPPROTO_UDP, .source_port = 5140, .destination_port = 514 };
        Guest a = GUEST("alpha", UID_A), b = GUEST("beta", UID_B);
        struct sockaddr_in from;
        socklen_t n = sizeof(from);
        Packet p;
        char c;
        int fd;

        must_up(&b);
        /* A program of the host has answered, and is no more. */
        fd = host_serves(SOCK_DGRAM, UPLINK, 514);
        send_packet(uplink_fd, "up0", uplink_mac, &datagram);
        assert_int_equal(poll(&(struct pollfd) { .fd = fd, .events = POLLIN }, 1, WAIT_MSEC), 1);
        assert_ok(recvfrom(fd, &c, 1, 0, (struct sockaddr *) &from, &n));
        assert_ok(sendto(fd, "x", 1, 0, (struct sockaddr *) &from, n));
        close(fd);
        assert_true(client_receives(5140, &p));
        for (int i = 0; i < 2; i++) {
                Guest *g = i == 0 ? &a : &b;

                send_packet(uplink_fd, "up0", uplink_mac, &datagram);
                do
                        assert_true(uplink_receives(WAIT_MSEC, &p));
                while (p.icmp_type != ICMP_DEST_UNREACH);
                g->ports = &port;
                g->n_ports = 1;
                must_up(g);
                must_attach(g);
                for (int k = 0; k < 2; k++) {
                        send_packet(uplink_fd, "up0", uplink_mac, &datagram);
                        do
                                assert_true(guest_receives(g, WAIT_MSEC, &p));
                        while (p.source_port != 5140);
                        guest_sends(g, (Packet) { .destination = p.source, .protocol = IPPROTO_UDP, .source_port = 514, .destination_port = 5140 });
                        assert_true(client_receives(5140, &p));
                        assert_int_equal(p.source_port, 514);
                }
                /* No longer, though the VM goes on; and when it ends. */
                if (i == 0) {
                        g->n_ports = 0;
                        must_up(g);
                        send_packet(uplink_fd, "up0", uplink_mac, &datagram);
                        do
                                assert_true(uplink_receives(WAIT_MSEC, &p));
                        while (p.icmp_type != ICMP_DEST_UNREACH);
                }
                must_down(g);
        }
}

static void test_published_conflicts(void **state) {
        const PublishedPort port = PORT(IPPROTO_TCP, 0, 8080, 80), at = PORT(IPPROTO_TCP, 0x7f000001, 8080, 80),
                            nowhere = PORT(IPPROTO_UDP, 0xcb007105, 53, 53), udp = PORT(IPPROTO_UDP, 0, 5300, 53), others[] = { udp, port },
                            kept = PORT(IPPROTO_TCP, 0, 8181, 80);
        Guest a = GUEST("alpha", UID_A), b = GUEST("beta", UID_B);
        _cleanup_free_ char *error = NULL, *error2 = NULL, *error3 = NULL, *error4 = NULL, *error5 = NULL, *error6 = NULL;
        _cleanup_strv_ char **active = NULL;
        int fd;
        Packet p;

        /* Programs of the host, at this address or at another, TCP and UDP. */
        a.ports = &port;
        a.n_ports = 1;
        fd = host_serves(SOCK_STREAM, "127.0.0.1", 8080);
        assert_error(up(&a, &error), EADDRINUSE);
        assert_string_equal(error, "Port 0.0.0.0:8080/tcp cannot be published: a program of this host uses it (ss -tlnp 'sport = :8080'). Stop that, or "
                                   "give Publish= another port.");
        assert_false(table_exists());
        assert_int_equal(if_nametoindex("inf0"), 0);
        assert_ok(store_network_list_active(store, &active));
        assert_int_equal(strv_length(active), 0);
        safe_close(fd);
        fd = host_serves(SOCK_DGRAM, "0.0.0.0", 5300);
        a.ports = &udp;
        assert_error(up(&a, &error2), EADDRINUSE);
        assert_non_null(strstr(error2, "Port 0.0.0.0:5300/udp cannot be published: a program of this host uses it (ss -ulnp"));
        safe_close(fd);
        a.ports = &nowhere;
        assert_error(up(&a, &error3), EADDRNOTAVAIL);
        assert_non_null(strstr(error3, "Port 203.0.113.5:53/udp cannot be published: the host does not have that address"));

        /* Another VM. */
        a.ports = &port;
        must_up(&a);
        must_attach(&a);
        b.ports = &at;
        b.n_ports = 1;
        assert_error(up(&b, &error4), EADDRINUSE);
        assert_string_equal(error4, "Port 127.0.0.1:8080/tcp cannot be published: VM 'alpha' has it. Stop that VM, or give Publish= of one of them another port.");
        b.ports = others;
        b.n_ports = 2;
        assert_error(up(&b, &error5), EADDRINUSE);
        assert_int_equal(if_nametoindex("inf1"), 0);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 8080, IPPROTO_TCP, &p), WAY_GUEST);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 5300, IPPROTO_UDP, &p), WAY_BACK);

        /* One that is up is not in its own way, nor is what has begun to listen since. */
        fd = host_serves(SOCK_STREAM, "0.0.0.0", 8080);
        must_up(&a);
        safe_close(fd);

        /* Other ports of one that is up: the old ones go. */
        a.ports = &udp;
        must_up(&a);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 8080, IPPROTO_TCP, &p), WAY_BACK);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 5300, IPPROTO_UDP, &p), WAY_GUEST);
        must_down(&a);

        /* Where it cannot have them, it keeps those that it has. */
        must_up(&b);
        a.ports = &kept;
        must_up(&a);
        must_attach(&a);
        a.ports = &port;
        assert_error(up(&a, &error6), EADDRINUSE);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 8181, IPPROTO_TCP, &p), WAY_GUEST);
        must_down(&a);
        must_down(&b);
        assert_false(table_exists());
}

/* Steps that were killed, power cuts, and what others do to the table. */
static void test_published_left_overs(void **state) {
        const PublishedPort ports[] = { PORT(IPPROTO_TCP, 0, 8080, 80), PORT(IPPROTO_TCP, 0xc0000201, 7000, 70) };
        Guest a = GUEST("alpha", UID_A), b = GUEST("beta", UID_B), c = GUEST("gamma", UID_A + 2);
        _cleanup_(netlink_closep) Netlink *n = NULL;
        FirewallGuest ghost = { .tap = "inf1", .address = range.network + 6, .ports = ports, .n_ports = 2 };
        _cleanup_free_ char *error = NULL;
        PublishedPort *left;
        char *holder;
        unsigned v;
        size_t i;
        Packet p;

        assert_ok(netlink_open(NETLINK_NETFILTER, &n));
        must_up(&c);
        must_attach(&c);

        /* A VM whose start was killed before its TAP was there: who takes one of its ports takes all from it, and the other leads nowhere. */
        assert_ok(store_vm_ensure(store, b.name, 70000, 1000, &v));
        assert_ok(store_network_ensure(store, b.name, net_range_subnets(&range), &v));
        assert_ok(store_network_set_active(store, b.name, true));
        assert_ok(store_ports_claim(store, b.name, ports, 2, &holder, &i));
        assert_ok(firewall_add(n, &ghost));
        a.ports = ports;
        a.n_ports = 1;
        must_up(&a);
        must_attach(&a);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 8080, IPPROTO_TCP, &p), WAY_GUEST);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 7000, IPPROTO_TCP, &p), WAY_BACK);
        assert_ok(store_ports_list(store, b.name, &left, &i));
        assert_int_equal(i, 0);
        free(left);

        /* Elements alone, of which the database knows nothing. */
        ghost.ports = ports + 1;
        ghost.n_ports = 1;
        assert_ok(firewall_add(n, &ghost));
        must_down(&a);
        a.n_ports = 2;
        must_up(&a);
        must_attach(&a);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 7000, IPPROTO_TCP, &p), WAY_GUEST);

        /* "nft flush ruleset", then any start. */
        flush_ruleset();
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 8080, IPPROTO_TCP, &p), WAY_BACK);
        must_up(&c);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 8080, IPPROTO_TCP, &p), WAY_GUEST);
        assert_int_equal(knock(&a, ip4(OUTSIDE), ip4(UPLINK), 7000, IPPROTO_TCP, &p), WAY_GUEST);

        /* Without the database the table alone says which ports the VM has. */
        safe_close(TAKE_FD(a.fd));
        if (net_vm_down(NULL, &range, a.name, &error) < 0)
                fail_msg("%s", error);
        assert_int_equal(knock(&c, ip4(OUTSIDE), ip4(UPLINK), 8080, IPPROTO_TCP, &p), WAY_BACK);
        assert_int_equal(knock(&c, ip4(OUTSIDE), ip4(UPLINK), 7000, IPPROTO_TCP, &p), WAY_BACK);
        must_up(&a);

        /* Somebody has removed elements: those that are left go. */
        assert_ok(firewall_remove(n, &(FirewallGuest) { .tap = "inf0", .ports = ports, .n_ports = 1 }));
        must_down(&a);
        assert_int_equal(knock(&c, ip4(OUTSIDE), ip4(UPLINK), 7000, IPPROTO_TCP, &p), WAY_BACK);
        must_down(&b);
        must_down(&c);
        assert_false(table_exists());
}

/* Many: each its own subnet, and the table holds them all when it has to be made anew. */
static void test_many(void **state) {
        enum { N = 600 };
        _cleanup_(netlink_closep) Netlink *n = NULL;
        _cleanup_free_ FirewallGuest *guests = calloc(N, sizeof(FirewallGuest));

        assert_non_null(guests);
        for (unsigned i = 0; i < N; i++) {
                guests[i].address = range.network + 4 * i + 2;
                snprintf(guests[i].tap, sizeof(guests[i].tap), "inf%u", i);
        }
        assert_ok(netlink_open(NETLINK_NETFILTER, &n));
        assert_ok(firewall_rebuild(n, "x", guests, N));
        assert_int_equal(firewall_is_current(n, "x"), 1);
        assert_int_equal(firewall_is_current(n, "y"), 0);
        for (unsigned i = 0; i < N; i += 100) {
                assert_ok(firewall_add(n, &guests[i]));
                assert_ok(firewall_remove(n, &guests[i]));
                assert_ok(firewall_remove(n, &guests[i]));
        }
        assert_int_equal(firewall_is_current(n, "x"), 1);
        assert_ok(firewall_remove_table(n));
        assert_ok(firewall_remove_table(n));
        assert_int_equal(firewall_is_current(n, "x"), 0);
        assert_error(firewall_add(n, &guests[0]), ENOENT);
}

/* The host of the tests: a network namespace with a way out. */
static void make_host(void) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
        struct sockaddr_in *gateway = (void *) &route.rt_gateway;

        bring_up(fd, "lo");
        uplink_fd = attach("up0");
        assert_ok(uplink_fd);
        set_address(fd, "up0", SIOCSIFADDR, UPLINK);
        set_address(fd, "up0", SIOCSIFNETMASK, "255.255.255.0");
        bring_up(fd, "up0");
        route.rt_dst.sa_family = route.rt_genmask.sa_family = gateway->sin_family = AF_INET;
        gateway->sin_addr.s_addr = htonl(ip4(NEXT_HOP));
        assert_ok(ioctl(fd, SIOCADDRT, &route));
}

static int group_setup(void **state) {
        _cleanup_free_ char *error = NULL;

        assert_non_null(mkdtemp(root));
        assert_ok(layout_set_root(root));
        assert_ok(store_open(&store, &error));
        assert_ok(net_range_parse("172.16.0.0/12", &range));
        make_host();
        return 0;
}

static int group_teardown(void **state) {
        safe_close(uplink_fd);
        store = store_free(store);
        layout_set_root(NULL);
        return remove_tree_at(AT_FDCWD, root);
}

/* What this machine lacks; NULL: nothing. */
static const char *missing(void) {
        _cleanup_(netlink_closep) Netlink *n = NULL;
        FirewallGuest nobody = { .tap = "nobody", .address = 1 };
        int fd;

        if (geteuid() != 0)
                return "not root";
        if (unshare(CLONE_NEWNET) < 0)
                return "no network namespaces";
        fd = attach("probe0");
        if (fd < 0)
                return "no usable /dev/net/tun";
        safe_close(fd);
        if (netlink_open(NETLINK_NETFILTER, &n) < 0 || firewall_rebuild(n, "probe", &nobody, 1) < 0 || firewall_remove_table(n) < 0)
                return "no usable nftables";
        return NULL;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_interface),
                cmocka_unit_test(test_owner),
                cmocka_unit_test(test_outwards),
                cmocka_unit_test(test_spoofing),
                cmocka_unit_test(test_no_ipv6),
                cmocka_unit_test(test_isolation),
                cmocka_unit_test(test_host),
                cmocka_unit_test(test_flush),
                cmocka_unit_test(test_ghosts),
                cmocka_unit_test(test_left_overs),
                cmocka_unit_test(test_changed_network),
                cmocka_unit_test(test_published),
                cmocka_unit_test(test_loopback_is_closed),
                cmocka_unit_test(test_published_flow),
                cmocka_unit_test(test_published_conflicts),
                cmocka_unit_test(test_published_left_overs),
                cmocka_unit_test(test_many),
        };
        const char *why = missing();

        if (why) {
                fprintf(stderr, "SKIP: %s\n", why);
                return 77;
        }
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
