/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "layout/layout.h"
#include "net/address.h"
#include "net/tap.h"

#define TUN_DEVICE "/dev/net/tun"

/* What Firecracker and QEMU ask for when they attach. */
enum { TAP_FLAGS = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

typedef struct Link {
        int index;
        char name[IFNAMSIZ];
        bool is_tap;
        bool is_inferno;                /* has one of our alternative names */
        bool has_altname;               /* has the one that was asked about */
        bool is_up;
        uint32_t owner, group;          /* -1: none */
        uint32_t host;                  /* first IPv4 address of prefix /30; 0: none */
        unsigned n_addresses;

        const char *altname;            /* borrowed, the one asked about */
} Link;

/* ---- asking ---- */

static void read_tun_data(const struct nlattr *data, Link *link) {
        const struct nlattr *a;

        mnl_attr_for_each_nested(a, data)
                switch (mnl_attr_get_type(a)) {
                case IFLA_TUN_TYPE:
                        link->is_tap = mnl_attr_get_u8(a) == IFF_TAP;
                        break;
                case IFLA_TUN_OWNER:
                        link->owner = mnl_attr_get_u32(a);
                        break;
                case IFLA_TUN_GROUP:
                        link->group = mnl_attr_get_u32(a);
                        break;
                }
}

static void read_link_info(const struct nlattr *info, Link *link) {
        const struct nlattr *a, *data = NULL;
        bool is_tun = false;

        mnl_attr_for_each_nested(a, info)
                switch (mnl_attr_get_type(a)) {
                case IFLA_INFO_KIND:
                        is_tun = streq(mnl_attr_get_str(a), "tun");
                        break;
                case IFLA_INFO_DATA:
                        data = a;
                        break;
                }
        if (is_tun && data)
                read_tun_data(data, link);
}

static int on_link(const struct nlmsghdr *nlh, void *userdata) {
        const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
        Link *link = userdata;
        const struct nlattr *a, *p;

        if (nlh->nlmsg_type != RTM_NEWLINK)
                return 0;
        link->index = ifi->ifi_index;
        link->is_up = ifi->ifi_flags & IFF_UP;
        mnl_attr_for_each(a, nlh, sizeof(*ifi))
                switch (mnl_attr_get_type(a)) {
                case IFLA_IFNAME:
                        snprintf(link->name, sizeof(link->name), "%s", mnl_attr_get_str(a));
                        break;
                case IFLA_LINKINFO:
                        read_link_info(a, link);
                        break;
                case IFLA_PROP_LIST:
                        mnl_attr_for_each_nested(p, a) {
                                if (mnl_attr_get_type(p) != IFLA_ALT_IFNAME)
                                        continue;
                                if (startswith(mnl_attr_get_str(p), LAYOUT_TAP_ALTNAME_PREFIX))
                                        link->is_inferno = true;
                                if (streq(mnl_attr_get_str(p), link->altname))
                                        link->has_altname = true;
                        }
                        break;
                }
        return 0;
}

static uint32_t read_address(const struct nlmsghdr *nlh, const char **ret_label) {
        const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
        const struct nlattr *a;
        uint32_t address = 0;

        if (nlh->nlmsg_type != RTM_NEWADDR || ifa->ifa_family != AF_INET)
                return 0;
        mnl_attr_for_each(a, nlh, sizeof(*ifa))
                switch (mnl_attr_get_type(a)) {
                case IFA_LOCAL:
                        address = ntohl(mnl_attr_get_u32(a));
                        break;
                case IFA_LABEL:
                        if (ret_label)
                                *ret_label = mnl_attr_get_str(a);
                        break;
                }
        return address;
}

static int on_link_address(const struct nlmsghdr *nlh, void *userdata) {
        const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
        uint32_t address = read_address(nlh, NULL);
        Link *link = userdata;

        /* A kernel without strict checking dumps the addresses of all interfaces. */
        if (address == 0 || (int) ifa->ifa_index != link->index)
                return 0;
        link->n_addresses++;
        if (link->host == 0 && ifa->ifa_prefixlen == NET_SUBNET_PREFIX)
                link->host = address;
        return 0;
}

static struct nlmsghdr *begin_link_message(Netlink *n, NetlinkBatch *b, uint16_t type, uint16_t flags, int index, unsigned up) {
        void *p = netlink_batch_reserve(b);
        struct nlmsghdr *nlh;
        struct ifinfomsg *ifi;

        if (!p)
                return NULL;
        nlh = mnl_nlmsg_put_header(p);
        nlh->nlmsg_type = type;
        nlh->nlmsg_flags = NLM_F_REQUEST | flags;
        nlh->nlmsg_seq = netlink_next_seq(n);
        ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
        ifi->ifi_family = AF_UNSPEC;
        ifi->ifi_index = index;
        ifi->ifi_flags = up;
        ifi->ifi_change = up;
        return nlh;
}

static struct nlmsghdr *begin_address_message(Netlink *n, NetlinkBatch *b, uint16_t type, uint16_t flags, int index) {
        void *p = netlink_batch_reserve(b);
        struct nlmsghdr *nlh;
        struct ifaddrmsg *ifa;

        if (!p)
                return NULL;
        nlh = mnl_nlmsg_put_header(p);
        nlh->nlmsg_type = type;
        nlh->nlmsg_flags = NLM_F_REQUEST | flags;
        nlh->nlmsg_seq = netlink_next_seq(n);
        ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
        ifa->ifa_family = AF_INET;
        ifa->ifa_index = (uint32_t) index;
        return nlh;
}

/* The interface that has `name` as its name or alternative name. -ENODEV: none. */
static int link_get(Netlink *n, const char *name, const char *altname, Link *ret) {
        _cleanup_netlink_batch_ NetlinkBatch b = {}, list = {};
        Link link = { .owner = UINT32_MAX, .group = UINT32_MAX, .altname = altname };
        struct nlmsghdr *nlh;
        int r;

        nlh = begin_link_message(n, &b, RTM_GETLINK, NLM_F_ACK, 0, 0);
        if (!nlh)
                return -ENOMEM;
        mnl_attr_put_strz(nlh, IFLA_ALT_IFNAME, name);
        netlink_batch_commit(&b, nlh);
        r = netlink_exchange(n, &b, on_link, &link);
        if (r < 0)
                return r;
        if (link.index <= 0)
                return -ENODEV;

        nlh = begin_address_message(n, &list, RTM_GETADDR, NLM_F_DUMP, link.index);
        if (!nlh)
                return -ENOMEM;
        netlink_batch_commit(&list, nlh);
        r = netlink_exchange(n, &list, on_link_address, &link);
        if (r < 0)
                return r;
        *ret = link;
        return 0;
}

typedef struct AddressList {
        TapAddress *items;
        size_t n;
} AddressList;

static int on_any_address(const struct nlmsghdr *nlh, void *userdata) {
        const char *label = NULL;
        uint32_t address = read_address(nlh, &label);
        AddressList *l = userdata;
        TapAddress *a;

        if (address == 0 || !label)
                return 0;
        a = GREEDY_APPEND(l->items, l->n);
        if (!a)
                return -ENOMEM;
        *a = (TapAddress) { .host = address };
        snprintf(a->name, sizeof(a->name), "%s", label);
        l->n++;
        return 0;
}

static int compare_addresses(const void *a, const void *b) {
        return strcmp(((const TapAddress *) a)->name, ((const TapAddress *) b)->name);
}

int tap_list_addresses(Netlink *n, TapAddress **ret, size_t *ret_n) {
        _cleanup_netlink_batch_ NetlinkBatch b = {};
        struct nlmsghdr *nlh = begin_address_message(n, &b, RTM_GETADDR, NLM_F_DUMP, 0);
        AddressList l = {};
        int r;

        if (!nlh)
                return -ENOMEM;
        netlink_batch_commit(&b, nlh);
        r = netlink_exchange(n, &b, on_any_address, &l);
        if (r < 0) {
                free(l.items);
                return r;
        }
        if (l.n > 0)
                qsort(l.items, l.n, sizeof(*l.items), compare_addresses);
        *ret = l.items;
        *ret_n = l.n;
        return 0;
}

const TapAddress *tap_find_address(const TapAddress *list, size_t n, const char *name) {
        TapAddress key = {};

        snprintf(key.name, sizeof(key.name), "%s", name);
        return n > 0 ? bsearch(&key, list, n, sizeof(*list), compare_addresses) : NULL;
}

int tap_any_left(Netlink *n) {
        _cleanup_free_ TapAddress *list = NULL;
        size_t n_list;
        int r;

        r = tap_list_addresses(n, &list, &n_list);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_list; i++) {
                const char *number = startswith(list[i].name, LAYOUT_TAP_PREFIX);

                if (number && *number && number[strspn(number, "0123456789")] == 0)
                        return 1;
        }
        return 0;
}

/* ---- changing ---- */

/* Sets *ret_error to the sentence (consumed) and returns r. */
static int fail(int r, char **ret_error, char *sentence_consume) {
        *ret_error = sentence_consume;
        return r;
}

static int fail_step(int r, char **ret_error, const char *name, const char *step) {
        if (r == -EPERM || r == -EACCES)
                return fail(r, ret_error, strf("Not permitted to %s network interface '%s': this needs root with CAP_NET_ADMIN.", step, name));
        return fail(r, ret_error, strf("Cannot %s network interface '%s': %s.", step, name, strerrordesc_np(-r) ?: "unknown error"));
}

static int open_tun(const char *name, int flags, int *ret_fd, char **ret_error) {
        _cleanup_close_ int fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
        struct ifreq ifr = { .ifr_flags = (short) flags };

        if (fd < 0) {
                int r = negative_errno();

                if (r == -EPERM || r == -EACCES)
                        return fail(r, ret_error, strf("Not permitted to open " TUN_DEVICE ": this needs root, and in a container the device "
                                                       "passed in."));
                if (r == -ENOENT || r == -ENODEV || r == -ENXIO || r == -ENOTDIR)
                        return fail(-EOPNOTSUPP, ret_error, strf("There is no " TUN_DEVICE ": load the kernel module (modprobe tun), or in a "
                                                                 "container have the device passed in."));
                return fail(r, ret_error, strf("Cannot open " TUN_DEVICE ": %s.", strerrordesc_np(-r) ?: "unknown error"));
        }
        snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
        if (ioctl(fd, TUNSETIFF, &ifr) < 0)
                return fail_step(negative_errno(), ret_error, name, flags & IFF_TUN_EXCL ? "make" : "attach to");
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int link_delete(Netlink *n, const Link *link, char **ret_error) {
        _cleanup_netlink_batch_ NetlinkBatch b = {};
        struct nlmsghdr *nlh = begin_link_message(n, &b, RTM_DELLINK, NLM_F_ACK, link->index, 0);
        int r;

        if (!nlh)
                return fail(-ENOMEM, ret_error, NULL);
        netlink_batch_commit(&b, nlh);
        r = netlink_exchange(n, &b, NULL, NULL);
        return r < 0 && r != -ENODEV ? fail_step(r, ret_error, link->name, "remove") : 0;
}

/* Removes what an earlier start has left, unless a VMM is attached to it. */
static int remove_stale(Netlink *n, const Link *link, char **ret_error) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!link->is_tap || !link->is_inferno)
                return fail(-EEXIST, ret_error, strf("Network interface '%s' exists and is not Inferno's: rename it (ip link set '%s' name …) "
                                                     "or remove it (ip link delete '%s').", link->name, link->name, link->name));
        r = open_tun(link->name, TAP_FLAGS, &fd, ret_error);
        if (r == -EBUSY) {
                free(*ret_error);
                return fail(r, ret_error, strf("Network interface '%s' is in use, but not set up as VM '%s' needs it now: stop the VM that "
                                               "uses it, then start this one again.", link->name,
                                               link->altname + strlen(LAYOUT_TAP_ALTNAME_PREFIX)));
        }
        if (r < 0)
                return r;
        return link_delete(n, link, ret_error);
}

static int set_altname(Netlink *n, int index, const char *altname) {
        _cleanup_netlink_batch_ NetlinkBatch b = {};
        struct nlmsghdr *nlh = begin_link_message(n, &b, RTM_NEWLINKPROP, NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE | NLM_F_APPEND, index, 0);
        struct nlattr *list;

        if (!nlh)
                return -ENOMEM;
        list = mnl_attr_nest_start(nlh, IFLA_PROP_LIST);
        mnl_attr_put_strz(nlh, IFLA_ALT_IFNAME, altname);
        mnl_attr_nest_end(nlh, list);
        netlink_batch_commit(&b, nlh);
        return netlink_exchange(n, &b, NULL, NULL);
}

/* Guests have no IPv6 yet: without this the host would give the TAP an address of its own. Where a container has /proc/sys read-only, the
 * firewall alone keeps IPv6 out. */
static int disable_ipv6(const char *name) {
        _cleanup_free_ char *path = strf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
        _cleanup_close_ int fd = -EBADF;

        if (!path)
                return -ENOMEM;
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT || errno == EROFS ? 0 : negative_errno(); /* ENOENT: a kernel without IPv6 */
        return write_full(fd, "1", 1);
}

/* Address, then the interface's own settings of ip-sysctl, then up, in one datagram. */
static int set_up(Netlink *n, int index, const TapSpec *spec) {
        const struct {
                uint16_t id;
                uint32_t value;
        } settings[] = {
                { IPV4_DEVCONF_FORWARDING, 1 },
                { IPV4_DEVCONF_RP_FILTER, 1 },          /* strict: what comes in must be routed back the same way */
                { IPV4_DEVCONF_PROXY_ARP, 0 },
                { IPV4_DEVCONF_SEND_REDIRECTS, 0 },     /* there is no shorter way from one guest to another */
                { IPV4_DEVCONF_ACCEPT_REDIRECTS, 0 },
                { IPV4_DEVCONF_ROUTE_LOCALNET, spec->route_localnet },
        };
        _cleanup_netlink_batch_ NetlinkBatch b = {};
        struct nlattr *families, *family, *conf;
        struct nlmsghdr *nlh;

        nlh = begin_address_message(n, &b, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, index);
        if (!nlh)
                return -ENOMEM;
        ((struct ifaddrmsg *) mnl_nlmsg_get_payload(nlh))->ifa_prefixlen = NET_SUBNET_PREFIX;
        mnl_attr_put_u32(nlh, IFA_LOCAL, htonl(spec->host));
        mnl_attr_put_u32(nlh, IFA_ADDRESS, htonl(spec->host));
        netlink_batch_commit(&b, nlh);

        nlh = begin_link_message(n, &b, RTM_NEWLINK, NLM_F_ACK, index, IFF_UP);
        if (!nlh)
                return -ENOMEM;
        families = mnl_attr_nest_start(nlh, IFLA_AF_SPEC);
        family = mnl_attr_nest_start(nlh, AF_INET);
        conf = mnl_attr_nest_start(nlh, IFLA_INET_CONF);
        for (size_t i = 0; i < ELEMENTSOF(settings); i++)
                mnl_attr_put_u32(nlh, settings[i].id, settings[i].value);
        mnl_attr_nest_end(nlh, conf);
        mnl_attr_nest_end(nlh, family);
        mnl_attr_nest_end(nlh, families);
        netlink_batch_commit(&b, nlh);
        return netlink_exchange(n, &b, NULL, NULL);
}

static int tap_create(Netlink *n, const TapSpec *spec, char **ret_error) {
        _cleanup_close_ int fd = -EBADF;
        int index, r;

        /* The interface is this descriptor's until the last step: whoever is killed before leaves nothing. */
        r = open_tun(spec->name, TAP_FLAGS | IFF_TUN_EXCL, &fd, ret_error);
        if (r < 0)
                return r;
        r = index = netlink_interface_index(n, spec->name);
        if (r < 0)
                return fail_step(r, ret_error, spec->name, "find the new");
        if (ioctl(fd, TUNSETOWNER, (unsigned long) spec->uid) < 0 || ioctl(fd, TUNSETGROUP, (unsigned long) spec->gid) < 0)
                return fail_step(negative_errno(), ret_error, spec->name, "set the owner of");
        r = set_altname(n, index, spec->altname);
        if (r < 0)
                return fail_step(r, ret_error, spec->name, "give its alternative name to");
        r = disable_ipv6(spec->name);
        if (r < 0)
                return fail_step(r, ret_error, spec->name, "switch off IPv6 on");
        r = set_up(n, index, spec);
        if (r < 0)
                return fail_step(r, ret_error, spec->name, "set up");
        if (ioctl(fd, TUNSETPERSIST, 1UL) < 0)
                return fail_step(negative_errno(), ret_error, spec->name, "keep");
        return 0;
}

int tap_up(Netlink *n, const TapSpec *spec, char **ret_error) {
        Link link;
        int r;

        r = link_get(n, spec->name, spec->altname, &link);
        if (r >= 0) {
                if (link.is_tap && link.has_altname && streq(link.name, spec->name) && link.owner == spec->uid && link.group == spec->gid &&
                    link.host == spec->host && link.n_addresses == 1) {
                        r = set_up(n, link.index, spec);
                        return r < 0 ? fail_step(r, ret_error, spec->name, "set up") : 0;
                }
                r = remove_stale(n, &link, ret_error);
                if (r < 0)
                        return r;
        } else if (r != -ENODEV)
                return fail_step(r, ret_error, spec->name, "look for");

        /* The VM had another number before. */
        r = link_get(n, spec->altname, spec->altname, &link);
        if (r >= 0) {
                r = remove_stale(n, &link, ret_error);
                if (r < 0)
                        return r;
        } else if (r != -ENODEV)
                return fail_step(r, ret_error, spec->altname, "look for");

        return tap_create(n, spec, ret_error);
}

int tap_is_present(Netlink *n, const char *altname) {
        Link link;
        int r = link_get(n, altname, altname, &link);

        return r == -ENODEV ? 0 : r < 0 ? r : link.is_tap && link.has_altname;
}

int tap_down(Netlink *n, const char *altname, char ret_name[static IFNAMSIZ], uint32_t *ret_host, char **ret_error) {
        Link link;
        int r;

        r = link_get(n, altname, altname, &link);
        if (r == -ENODEV)
                return TAP_ABSENT;
        if (r < 0)
                return fail_step(r, ret_error, altname, "look for");
        if (!link.is_tap || !link.has_altname)
                return TAP_ABSENT;
        r = link_delete(n, &link, ret_error);
        if (r < 0)
                return r;
        memcpy(ret_name, link.name, IFNAMSIZ);
        *ret_host = link.host;
        return 0;
}
