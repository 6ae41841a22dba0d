/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "layout/layout.h"
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
                return fail(r, ret_error, strdup("The kernel has no nftables, or not all of its modules nf_tables, nft_ct, nft_masq, nft_reject_inet "
                                                 "and nft_chain_nat: load them (modprobe), or boot a kernel that has them."));
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

static int make_guest(unsigned index, uint32_t address, FirewallGuest *ret) {
        _cleanup_free_ char *tap = layout_tap_name(index);

        if (!tap)
                return -ENOMEM;
        *ret = (FirewallGuest) { .address = address };
        snprintf(ret->tap, sizeof(ret->tap), "%s", tap);
        return 0;
}

/* The guest's end of the /30 whose other end the TAP has. */
static uint32_t guest_of_host(uint32_t host) {
        return (host & (UINT32_MAX << (32 - NET_SUBNET_PREFIX))) + 2;
}

/* All VMs whose TAP is there, with the addresses that these have, and `self`. VMs of which only the database says that they are active
 * are what a power cut has left: they are active no more. */
static int collect_guests(Store *store, Netlink *route, const char *self_name, const FirewallGuest *self,
                          FirewallGuest **ret, size_t *ret_n, char **ret_error) {
        _cleanup_strv_ char **active = NULL;
        _cleanup_free_ TapAddress *addresses = NULL;
        _cleanup_free_ FirewallGuest *guests = NULL;
        size_t n = 0, n_addresses;
        int r;

        r = store_network_list_active(store, &active);
        if (r < 0)
                return fail_store(r, store, ret_error);
        r = tap_list_addresses(route, &addresses, &n_addresses);
        if (r < 0)
                return fail(r, ret_error, strf("Cannot list the host's addresses: %s.", strerrordesc_np(-r) ?: "unknown error"));
        guests = calloc(strv_length(active) + 1, sizeof(*guests));
        if (!guests)
                return fail(-ENOMEM, ret_error, NULL);
        guests[n++] = *self;

        STRV_FOREACH(vm, active) {
                const TapAddress *a;
                unsigned index;

                if (streq(*vm, self_name))
                        continue;
                r = store_network_get(store, *vm, &index);
                if (r < 0)
                        return fail_store(r, store, ret_error);
                r = make_guest(index, 0, &guests[n]);
                if (r < 0)
                        return fail(r, ret_error, NULL);
                a = tap_find_address(addresses, n_addresses, guests[n].tap);
                if (a)
                        guests[n++].address = guest_of_host(a->host);
                else {
                        r = store_network_set_active(store, *vm, false);
                        if (r < 0)
                                return fail_store(r, store, ret_error);
                }
        }
        *ret = TAKE_PTR(guests);
        *ret_n = n;
        return 0;
}

static int admit_guest(Store *store, Netlink *route, const NetRange *range, const char *vm, const FirewallGuest *guest, char **ret_error) {
        _cleanup_(netlink_closep) Netlink *filter = NULL;
        _cleanup_free_ FirewallGuest *guests = NULL;
        _cleanup_free_ char *mark = NULL;
        size_t n_guests = 0;
        int r;

        r = format_mark(range, &mark);
        if (r < 0)
                return fail(r, ret_error, NULL);
        r = netlink_open(NETLINK_NETFILTER, &filter);
        if (r < 0)
                return fail_firewall(r, ret_error);
        r = firewall_is_current(filter, mark);
        if (r > 0) {
                r = firewall_add(filter, guest);
                if (r >= 0)
                        return 0;
                if (r == -ENOENT) /* somebody has flushed the rules meanwhile */
                        r = 0;
        }
        if (r < 0)
                return fail_firewall(r, ret_error);

        r = collect_guests(store, route, vm, guest, &guests, &n_guests, ret_error);
        if (r < 0)
                return r;
        r = firewall_rebuild(filter, mark, guests, n_guests);
        return r < 0 ? fail_firewall(r, ret_error) : 0;
}

/* With the lock held, and the TAP gone: makes the VM inactive and removes its elements, the table with the last TAP. Where the database cannot
 * be used (store is NULL, or fails) the rest is done all the same: the next net_vm_up() finds a VM that is active without a TAP. */
static int dismiss_guest(Store *store, Netlink *route, const char *vm, const FirewallGuest *guests, size_t n_guests, char **ret_error) {
        _cleanup_(netlink_closep) Netlink *filter = NULL;
        int r, k;

        r = store ? store_network_set_active(store, vm, false) : 0;
        if (r < 0)
                (void) fail_store(r, store, ret_error);
        k = netlink_open(NETLINK_NETFILTER, &filter);
        if (k == -EOPNOTSUPP)
                return r; /* no nftables, no elements */
        if (k >= 0)
                k = tap_any_left(route);
        if (k == 0)
                k = firewall_remove_table(filter);
        else
                for (size_t i = 0; i < n_guests && k >= 0; i++) {
                        k = firewall_remove(filter, &guests[i]);
                        if (k == -ENOENT)
                                k = 0;
                }
        if (r < 0 || k >= 0 || k == -EOPNOTSUPP)
                return r;
        return fail_firewall(k, ret_error);
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
        r = make_guest(index, address.guest, &guest);
        if (r < 0)
                return fail(r, ret_error, NULL);

        /* Active first, so that nobody's rebuild leaves it out; then the rules, so that there is no moment at which the TAP has none. */
        r = store_network_set_active(store, vm->name, true);
        if (r < 0)
                return fail_store(r, store, ret_error);
        r = admit_guest(store, route, range, vm->name, &guest, ret_error);
        if (r >= 0)
                r = tap_up(route, &(TapSpec) {
                                .name = name,
                                .altname = altname,
                                .uid = vm->uid,
                                .gid = vm->gid,
                                .host = address.host,
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

int net_vm_down(Store *store, const NetRange *range, const char *vm, char **ret_error) {
        _cleanup_(netlink_closep) Netlink *route = NULL;
        _cleanup_free_ char *altname = layout_tap_altname(vm);
        _cleanup_close_ int lock = -EBADF;
        FirewallGuest guests[2];
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
                r = make_guest(index, address.guest, &guests[n_guests++]);
                if (r < 0)
                        return fail(r, ret_error, NULL);
        }
        return dismiss_guest(store, route, vm, guests, n_guests, ret_error);
}
