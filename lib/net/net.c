/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "layout/layout.h"
#include "net/conntrack.h"
#include "net/firewall.h"
#include "net/net.h"
#include "net/tap.h"

#define IP_FORWARD "/proc/sys/net/ipv4/ip_forward"

static int fail(int r, char **ret_error, char *sentence_consume) {
        *ret_error = sentence_consume;
        return r;
}

static int fail_store(int r, Store *store, char **ret_error) {
        return fail(r, ret_error, strdup(store_error(store)));
}

static int fail_firewall(int r, char **ret_error) {
        if (r == -EOPNOTSUPP)
                return fail(r, ret_error, strdup("The kernel has no nftables, or not all of its modules nf_tables, nft_ct, nft_masq, nft_nat, "
                                                 "nft_fib_inet, nft_reject_inet and nft_chain_nat: load them (modprobe), or boot a kernel that has them."));
        if (r == -EPERM || r == -EACCES)
                return fail(r, ret_error, strdup("Not permitted to change nftables: this needs root with CAP_NET_ADMIN."));
        return fail(r, ret_error, strf("Cannot change the nftables table 'inet inferno': %s.", strerrordesc_np(-r) ?: "unknown error"));
}

static int take_lock(char **ret_error) {
        _cleanup_free_ char *path = layout_path(LAYOUT_NET_LOCK);
        int r;

        if (!path)
                return fail(-ENOMEM, ret_error, NULL);
        r = mkdir_parent_of_at(AT_FDCWD, path, 0755);
        if (r >= 0)
                r = lock_file_at(AT_FDCWD, path);
        if (r < 0)
                return fail(r, ret_error, strf("Cannot lock '%s': %s.", path, strerrordesc_np(-r) ?: "unknown error"));
        return r;
}

/* Guests' packets come in by a TAP, which forwards; the replies come in by any other interface, which must forward too. Writing the
 * switch touches all interfaces, so that it is left alone where it is on. */
static int enable_forwarding(char **ret_error) {
        _cleanup_close_ int fd = open(IP_FORWARD, O_RDONLY | O_CLOEXEC);
        char c = 0;
        int r;

        if (fd >= 0 && read_full(fd, &c, 1) == 1 && c == '1')
                return 0;
        safe_close(fd);
        fd = open(IP_FORWARD, O_WRONLY | O_CLOEXEC);
        r = fd < 0 ? negative_errno() : write_full(fd, "1", 1);
        if (r < 0)
                return fail(r, ret_error, strf("Cannot switch on IPv4 forwarding (%s): %s. Set net.ipv4.ip_forward=1 on the host, see "
                                               "sysctl.d(5).", IP_FORWARD, strerrordesc_np(-r) ?: "unknown error"));
        return 0;
}

static int format_mark(const NetRange *range, char **ret) {
        NetAddress first;
        int r;

        r = net_range_address(range, 0, &first);
        if (r < 0)
                return r;
        *ret = strf("%s/%u", first.network_string, range->prefix);
        return *ret ? 0 : -ENOMEM;
}

static int make_guest(unsigned index, uint32_t address, const PublishedPort *ports, size_t n_ports, FirewallGuest *ret) {
        _cleanup_free_ char *tap = layout_tap_name(index);

        if (!tap)
                return -ENOMEM;
        *ret = (FirewallGuest) { .address = address, .ports = ports, .n_ports = n_ports };
        snprintf(ret->tap, sizeof(ret->tap), "%s", tap);
        return 0;
}

/* The guest's end of the /30 whose other end the TAP has. */
static uint32_t guest_of_host(uint32_t host) {
        return (host & (UINT32_MAX << (32 - NET_SUBNET_PREFIX))) + 2;
}

/* bind(2) is what tells: nobody can have the port then, at this address or at all of them, and the address is the host's. A listener of TCP refuses
 * us in spite of SO_REUSEADDR, which lets us pass what an earlier one has left in TIME_WAIT. */
static int check_port(const PublishedPort *p, char **ret_error) {
        const struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(p->host_port), .sin_addr.s_addr = htonl(p->address) };
        bool tcp = p->protocol == IPPROTO_TCP;
        _cleanup_free_ char *port = published_port_to_string(p);
        _cleanup_close_ int fd = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
        int one = 1, r;

        if (!port)
                return fail(-ENOMEM, ret_error, NULL);
        if (fd >= 0 && (!tcp || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) >= 0) &&
            bind(fd, (const struct sockaddr *) &sa, sizeof(sa)) >= 0)
                return 0;
        r = negative_errno();
        if (r == -EADDRINUSE)
                return fail(r, ret_error, strf("Port %s cannot be published: a program of this host uses it (ss -%slnp 'sport = :%u'). Stop that, or give "
                                               "Publish= another port.", port, tcp ? "t" : "u", p->host_port));
        if (r == -EADDRNOTAVAIL)
                return fail(r, ret_error, strf("Port %s cannot be published: the host does not have that address (ip -4 address). Order the unit after what "
                                               "sets it up, such as network-online.target, or correct Publish=.", port));
        return fail(r, ret_error, strf("Cannot find out whether port %s is free: %s.", port, strerrordesc_np(-r) ?: "unknown error"));
}

static int check_ports(const NetVm *vm, char **ret_error) {
        int r = 0;

        for (size_t i = 0; i < vm->n_ports && r >= 0; i++)
                r = check_port(vm->ports + i, ret_error);
        return r;
}

static bool publishes_on_loopback(const NetVm *vm) {
        for (size_t i = 0; i < vm->n_ports; i++)
                if (vm->ports[i].address == 0 || vm->ports[i].address >> 24 == 127)
                        return true;
        return false;
}

/* With the lock held. In this order, so that the database has all ports that the table may have. */
static int retract_ports(Store *store, Netlink *route, const NetRange *range, const char *vm, char **ret_error) {
        _cleanup_(netlink_closep) Netlink *filter = NULL;
        _cleanup_free_ PublishedPort *ports = NULL;
        NetAddress address = {};
        FirewallGuest guest;
        unsigned index;
        size_t n_ports;
        int r;

        r = store_network_get(store, vm, &index);
        if (r >= 0)
                r = store_ports_list(store, vm, &ports, &n_ports);
        if (r < 0)
                return fail_store(r, store, ret_error);
        (void) net_range_address(range, index, &address); /* of another Network= the table is made anew anyway */
        r = make_guest(index, address.guest, ports, n_ports, &guest);
        if (r < 0)
                return fail(r, ret_error, NULL);
        r = netlink_open(NETLINK_NETFILTER, &filter);
        if (r >= 0)
                r = firewall_remove_ports(filter, &guest);
        if (r < 0)
                return fail_firewall(r, ret_error);
        (void) conntrack_forget(filter, route, ports, n_ports);
        r = store_ports_release(store, vm);
        return r < 0 ? fail_store(r, store, ret_error) : 0;
}

/* With the lock held. Makes the ports the VM's in the database, in place of those that it had. A VM that has one of them, but no TAP, is what a power cut
 * has left. */
static int claim_ports(Store *store, Netlink *route, const NetRange *range, const NetVm *vm, char **ret_error) {
        for (;;) {
                _cleanup_free_ char *holder = NULL, *altname = NULL, *port = NULL;
                size_t i;
                int r;

                r = store_ports_claim(store, vm->name, vm->ports, vm->n_ports, &holder, &i);
                if (r == 0)
                        return 0;
                if (r < 0 && !holder)
                        return fail_store(r, store, ret_error);
                if (holder) {
                        altname = layout_tap_altname(holder);
                        port = published_port_to_string(vm->ports + i);
                        if (!altname || !port)
                                return fail(-ENOMEM, ret_error, NULL);
                        r = tap_is_present(route, altname);
                        if (r < 0)
                                return fail(r, ret_error, strf("Cannot look for network interface '%s': %s.", altname, strerrordesc_np(-r) ?: "unknown error"));
                        if (r > 0)
                                return fail(-EADDRINUSE, ret_error, strf("Port %s cannot be published: VM '%s' has it. Stop that VM, or give Publish= of one of "
                                                                         "them another port.", port, holder));
                }
                r = retract_ports(store, route, range, holder ?: vm->name, ret_error);
                if (r < 0)
                        return r;
        }
}

/* The new table has all VMs whose TAP is there, with the addresses that these have, and `self`. VMs of which only the database says that they are active
 * are what a power cut has left: they are active no more. */
static int rebuild_with(Store *store, Netlink *route, Netlink *filter, const char *mark, const StoreNetwork *networks, size_t n_networks,
                        const char *self_name, const FirewallGuest *self, char **ret_error) {
        _cleanup_free_ TapAddress *addresses = NULL;
        _cleanup_free_ FirewallGuest *guests = NULL;
        size_t n = 0, n_addresses;
        int r;

        r = tap_list_addresses(route, &addresses, &n_addresses);
        if (r < 0)
                return fail(r, ret_error, strf("Cannot list the host's addresses: %s.", strerrordesc_np(-r) ?: "unknown error"));
        guests = calloc(n_networks + 1, sizeof(*guests));
        if (!guests)
                return fail(-ENOMEM, ret_error, NULL);
        guests[n++] = *self;

        for (const StoreNetwork *w = networks; w < networks + n_networks; w++) {
                const TapAddress *a;

                if (!w->active || streq(w->vm, self_name))
                        continue;
                r = make_guest(w->index, 0, w->ports, w->n_ports, &guests[n]);
                if (r < 0)
                        return fail(r, ret_error, NULL);
                a = tap_find_address(addresses, n_addresses, guests[n].tap);
                if (a)
                        guests[n++].address = guest_of_host(a->host);
                else {
                        r = store_network_set_active(store, w->vm, false);
                        if (r < 0)
                                return fail_store(r, store, ret_error);
                }
        }
        r = firewall_rebuild(filter, mark, guests, n);
        return r < 0 ? fail_firewall(r, ret_error) : 0;
}

static int rebuild(Store *store, Netlink *route, Netlink *filter, const char *mark, const char *self_name, const FirewallGuest *self, char **ret_error) {
        StoreNetwork *networks;
        size_t n_networks;
        int r;

        r = store_network_list(store, &networks, &n_networks);
        if (r < 0)
                return fail_store(r, store, ret_error);
        r = rebuild_with(store, route, filter, mark, networks, n_networks, self_name, self, ret_error);
        store_networks_free(networks, n_networks);
        return r;
}

static int admit_guest(Store *store, Netlink *route, const NetRange *range, const char *vm, const FirewallGuest *guest, char **ret_error) {
        _cleanup_(netlink_closep) Netlink *filter = NULL;
        _cleanup_free_ char *mark = NULL;
        int r;

        r = format_mark(range, &mark);
        if (r < 0)
                return fail(r, ret_error, NULL);
        r = netlink_open(NETLINK_NETFILTER, &filter);
        if (r < 0)
                return fail_firewall(r, ret_error);
        r = firewall_is_current(filter, mark);
        if (r < 0)
                return fail_firewall(r, ret_error);
        /* Not there; flushed by somebody meanwhile; or there is a port that leads elsewhere, of which the database knows nothing. */
        r = r == 0 ? -ENOENT : firewall_add(filter, guest);
        if (r == -ENOENT || r == -EEXIST)
                r = rebuild(store, route, filter, mark, vm, guest, ret_error);
        else if (r < 0)
                r = fail_firewall(r, ret_error);
        /* Without ctnetlink only flows that are under way would miss it. */
        if (r >= 0)
                (void) conntrack_forget(filter, route, guest->ports, guest->n_ports);
        return r;
}

/* With the lock held, and the TAP gone: removes the VM's elements, the table with the last TAP, and makes it inactive. In this order, so that the database
 * has all ports that the table may have. Where it cannot be used (store is NULL, or fails) the rest is done all the same: the next net_vm_up() finds a
 * VM that is active without a TAP. */
static int dismiss_guest(Store *store, Netlink *route, const char *vm, FirewallGuest *guests, size_t n_guests, char **ret_error) {
        _cleanup_(netlink_closep) Netlink *filter = NULL;
        _cleanup_free_ PublishedPort *ports = NULL;
        size_t n_ports = 0;
        int r, k;

        r = store ? store_ports_list(store, vm, &ports, &n_ports) : 0;
        k = netlink_open(NETLINK_NETFILTER, &filter);
        if (k >= 0)
                k = tap_any_left(route);
        if (k == 0)
                k = firewall_remove_table(filter);
        else
                for (size_t i = 0; i < n_guests && k >= 0; i++) {
                        /* One of the two addresses is what the ports lead to, the TAP's if it was there. */
                        if (i == 0) {
                                guests[i].ports = ports;
                                guests[i].n_ports = n_ports;
                        }
                        k = store && r >= 0 ? firewall_remove(filter, &guests[i]) : firewall_remove_with_all_ports(filter, &guests[i]);
                        if (k == -ENOENT)
                                k = 0;
                }
        if (k >= 0)
                (void) conntrack_forget(filter, route, ports, n_ports);
        if (k == -EOPNOTSUPP) /* no nftables, no elements */
                k = 0;
        if (k < 0)
                (void) fail_firewall(k, ret_error);
        if (store && r >= 0 && k >= 0)
                r = store_network_set_active(store, vm, false);
        if (r < 0) {
                free(*ret_error);
                (void) fail_store(r, store, ret_error);
        }
        return r < 0 ? r : k;
}

int net_vm_up(Store *store, const NetRange *range, const NetVm *vm, unsigned *ret_index, char **ret_error) {
        _cleanup_(netlink_closep) Netlink *route = NULL;
        _cleanup_free_ char *name = NULL, *altname = NULL;
        _cleanup_close_ int lock = -EBADF;
        FirewallGuest guest;
        NetAddress address;
        unsigned index;
        int r;

        *ret_error = NULL;
        r = enable_forwarding(ret_error);
        if (r < 0)
                return r;
        r = netlink_open(NETLINK_ROUTE, &route);
        if (r < 0)
                return fail(r, ret_error, strf("Cannot open a netlink socket: %s.", strerrordesc_np(-r) ?: "unknown error"));
        lock = take_lock(ret_error);
        if (lock < 0)
                return lock;

        r = store_network_ensure(store, vm->name, net_range_subnets(range), &index);
        if (r < 0)
                return fail_store(r, store, ret_error);
        r = net_range_address(range, index, &address);
        if (r < 0)
                return fail(r, ret_error, strf("The database gives VM '%s' subnet %u, which its network does not have.", vm->name, index));
        name = layout_tap_name(index);
        altname = layout_tap_altname(vm->name);
        if (!name || !altname)
                return fail(-ENOMEM, ret_error, NULL);
        r = make_guest(index, address.guest, vm->ports, vm->n_ports, &guest);
        if (r < 0)
                return fail(r, ret_error, NULL);
        /* Of one that is up, the ports are in use by it. */
        r = vm->n_ports > 0 ? tap_is_present(route, altname) : 1;
        if (r == 0)
                r = check_ports(vm, ret_error);
        if (r < 0)
                return r;

        /* Active first, so that nobody's rebuild leaves it out; then the rules, so that there is no moment at which the TAP has none. */
        r = store_network_set_active(store, vm->name, true);
        if (r < 0)
                return fail_store(r, store, ret_error);
        r = claim_ports(store, route, range, vm, ret_error);
        if (r >= 0)
                r = admit_guest(store, route, range, vm->name, &guest, ret_error);
        if (r >= 0)
                r = tap_up(route, &(TapSpec) {
                                .name = name,
                                .altname = altname,
                                .uid = vm->uid,
                                .gid = vm->gid,
                                .host = address.host,
                                .route_localnet = publishes_on_loopback(vm),
                        }, ret_error);
        if (r < 0) {
                /* Unless the TAP is there and in use. */
                if (tap_is_present(route, altname) == 0) {
                        _cleanup_free_ char *undo_error = NULL;

                        (void) dismiss_guest(store, route, vm->name, &guest, 1, &undo_error);
                }
                return r;
        }
        *ret_index = index;
        return 0;
}

int net_check(char **ret_error) {
        static const PublishedPort ports[] = {
                { .protocol = IPPROTO_TCP, .host_port = 80, .guest_port = 80 },
                { .address = INADDR_LOOPBACK, .protocol = IPPROTO_UDP, .host_port = 53, .guest_port = 53 },
        };
        static const FirewallGuest guest = { .tap = LAYOUT_TAP_PREFIX "0", .address = INADDR_LOOPBACK, .ports = ports, .n_ports = ELEMENTSOF(ports) };
        _cleanup_(netlink_closep) Netlink *filter = NULL;
        int r;

        *ret_error = NULL;
        if (unshare(CLONE_NEWNET) < 0) {
                r = negative_errno();
                return fail(r, ret_error, strf("Cannot make a network namespace: %s.", strerrordesc_np(-r) ?: "unknown error"));
        }
        r = netlink_open(NETLINK_NETFILTER, &filter);
        if (r >= 0)
                r = firewall_rebuild(filter, "check", &guest, 1);
        return r < 0 ? fail_firewall(r, ret_error) : 0;
}

int net_vm_down(Store *store, const NetRange *range, const char *vm, char **ret_error) {
        _cleanup_(netlink_closep) Netlink *route = NULL;
        _cleanup_free_ char *altname = layout_tap_altname(vm);
        _cleanup_close_ int lock = -EBADF;
        FirewallGuest guests[2] = {};
        size_t n_guests = 0;
        NetAddress address;
        uint32_t host = 0;
        unsigned index;
        int r;

        *ret_error = NULL;
        if (!altname)
                return fail(-ENOMEM, ret_error, NULL);
        r = netlink_open(NETLINK_ROUTE, &route);
        if (r < 0)
                return fail(r, ret_error, strf("Cannot open a netlink socket: %s.", strerrordesc_np(-r) ?: "unknown error"));

        /* Not under the lock, as the kernel takes its time for it. Before the rules go: a TAP without rules is never up. */
        r = tap_down(route, altname, guests[0].tap, &host, ret_error);
        if (r < 0)
                return r;
        if (r == 0 && host != 0)
                guests[n_guests++].address = guest_of_host(host);

        lock = take_lock(ret_error);
        if (lock < 0)
                return lock;
        r = store ? store_network_get(store, vm, &index) : -ENOENT;
        /* The TAP may be gone already, or may have had an address of another Network=. */
        if (r >= 0 && range && net_range_address(range, index, &address) >= 0) {
                r = make_guest(index, address.guest, NULL, 0, &guests[n_guests++]);
                if (r < 0)
                        return fail(r, ret_error, NULL);
        }
        /* Of a guest whose address nothing tells, the ports at least. */
        return dismiss_guest(store, route, vm, guests, MAX(n_guests, (size_t) 1), ret_error);
}
