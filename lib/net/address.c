/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/parse.h"
#include "base/str.h"
#include "net/address.h"

enum { PREFIX_MIN = 8 };

static uint32_t netmask(unsigned prefix) {
        return UINT32_MAX << (32 - prefix);
}

/* Ranges that no host may have, as {network, prefix}: a guest there could not be reached, or would take the host's own. */
static bool range_is_special(const NetRange *r) {
        static const NetRange special[] = {
                { 0, 8 },                       /* 0.0.0.0/8 */
                { UINT32_C(127) << 24, 8 },
                { UINT32_C(0xa9fe) << 16, 16 }, /* 169.254.0.0/16 */
                { UINT32_C(7) << 29, 3 },       /* 224.0.0.0/3 */
        };

        for (size_t i = 0; i < ELEMENTSOF(special); i++)
                if (((r->network ^ special[i].network) & netmask(MIN(r->prefix, special[i].prefix))) == 0)
                        return true;
        return false;
}

int net_range_parse(const char *cidr, NetRange *ret) {
        const char *slash = strchr(cidr, '/');
        char address[INET_ADDRSTRLEN];
        struct in_addr in;
        NetRange range;
        int r;

        if (!slash || (size_t) (slash - cidr) >= sizeof(address))
                return -EINVAL;
        memcpy(address, cidr, (size_t) (slash - cidr));
        address[slash - cidr] = 0;
        if (inet_pton(AF_INET, address, &in) != 1)
                return -EINVAL;
        r = parse_uint(slash + 1, &range.prefix);
        if (r < 0)
                return r;
        if (range.prefix < PREFIX_MIN || range.prefix > NET_SUBNET_PREFIX)
                return -ERANGE;
        range.network = ntohl(in.s_addr);
        if ((range.network & ~netmask(range.prefix)) != 0 || range_is_special(&range))
                return -EINVAL;
        *ret = range;
        return 0;
}

unsigned net_range_subnets(const NetRange *range) {
        return 1u << (NET_SUBNET_PREFIX - range->prefix);
}

static void format_address(uint32_t address, char buf[static INET_ADDRSTRLEN]) {
        struct in_addr in = { .s_addr = htonl(address) };

        (void) inet_ntop(AF_INET, &in, buf, INET_ADDRSTRLEN);
}

int net_range_address(const NetRange *range, unsigned index, NetAddress *ret) {
        NetAddress a = {};

        if (index >= net_range_subnets(range))
                return -ERANGE;
        a.network = range->network + ((uint32_t) index << (32 - NET_SUBNET_PREFIX));
        a.host = a.network + 1;
        a.guest = a.network + 2;
        format_address(a.network, a.network_string);
        format_address(a.host, a.host_string);
        format_address(a.guest, a.guest_string);

        a.mac[0] = 0x06;
        a.mac[1] = 0x00;
        for (unsigned i = 0; i < 4; i++)
                a.mac[2 + i] = (uint8_t) (a.guest >> (24 - 8 * i));
        snprintf(a.mac_string, sizeof(a.mac_string), "%02x:%02x:%02x:%02x:%02x:%02x",
                 a.mac[0], a.mac[1], a.mac[2], a.mac[3], a.mac[4], a.mac[5]);
        *ret = a;
        return 0;
}
