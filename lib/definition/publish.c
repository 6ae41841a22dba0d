/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/parse.h"
#include "base/str.h"
#include "definition/config-key.h"
#include "definition/publish.h"
#include "definition/words.h"

static int wrong(const char **ret_reason, const char *reason) {
        *ret_reason = reason;
        return -EINVAL;
}

/* "80" or "8000-8010"; cuts s. */
static bool parse_ports(char *s, uint16_t *ret_first, unsigned *ret_count) {
        char *dash = strchr(s, '-');
        unsigned first, last;

        if (dash)
                *dash++ = 0;
        if (parse_uint(s, &first) < 0 || parse_uint(dash ?: s, &last) < 0 || first < 1 || last > UINT16_MAX || last < first)
                return false;
        *ret_first = (uint16_t) first;
        *ret_count = last - first + 1;
        return true;
}

/* An address that a host can have; 0.0.0.0 stands for all of them. */
static bool parse_address(const char *s, uint32_t *ret) {
        struct in_addr in;
        uint32_t a;

        if (inet_pton(AF_INET, s, &in) != 1)
                return false;
        a = ntohl(in.s_addr);
        if (a != 0 && (a >> 24 == 0 || a >> 24 >= 224))
                return false;
        *ret = a;
        return true;
}

int publish_parse(const char *word, PublishRange *ret, const char **ret_reason) {
        static const char ports_wanted[] = "ports are from 1 to 65535, and a range such as 8000-8010 begins with the lower one";
        PublishRange p = { .first.protocol = IPPROTO_TCP };
        _cleanup_free_ char *copy = strdup(word);
        char *host, *guest, *protocol;
        unsigned guest_count;

        if (!copy)
                return -ENOMEM;
        protocol = strchr(copy, '/');
        if (protocol) {
                *protocol++ = 0;
                if (streq(protocol, "udp"))
                        p.first.protocol = IPPROTO_UDP;
                else if (!streq(protocol, "tcp"))
                        return wrong(ret_reason, "the protocol is tcp or udp, in small letters");
        }
        guest = strrchr(copy, ':');
        if (!guest)
                return wrong(ret_reason, "wanted is HOSTPORT:GUESTPORT, for no port of the host is chosen at random");
        *guest++ = 0;
        host = strrchr(copy, ':');
        if (host) {
                *host++ = 0;
                if (strpbrk(copy, ":[]"))
                        return wrong(ret_reason, "guests have no IPv6, so that only IPv4 addresses of the host can be published");
                if (!parse_address(copy, &p.first.address))
                        return wrong(ret_reason, "before the ports stands an IPv4 address of the host, such as 127.0.0.1, or 0.0.0.0 for all of them");
        } else
                host = copy;
        if (*host == 0)
                return wrong(ret_reason, "wanted is HOSTPORT:GUESTPORT, for no port of the host is chosen at random");
        if (!parse_ports(host, &p.first.host_port, &p.count) || !parse_ports(guest, &p.first.guest_port, &guest_count))
                return wrong(ret_reason, ports_wanted);
        if (p.count != guest_count)
                return wrong(ret_reason, "the ranges of host and guest are not equally long");
        if (p.count > PUBLISHED_PORTS_MAX)
                return wrong(ret_reason, "a VM can have 256 published ports at most");
        *ret = p;
        return 0;
}

static bool ranges_collide(const PublishRange *a, const PublishRange *b) {
        PublishedPort p = b->first;

        /* The first port that both have, if they have one. */
        p.host_port = MAX(a->first.host_port, b->first.host_port);
        return p.host_port < a->first.host_port + a->count && p.host_port < b->first.host_port + b->count &&
                published_port_collides(&p, &(PublishedPort) { .address = a->first.address, .host_port = p.host_port, .protocol = a->first.protocol });
}

/* The words that came before are good: they went through here. */
int config_parse_publish(const char *value, void *field, const char **ret_reason) {
        _cleanup_strv_ char **words = NULL, **all = NULL;
        char ***list = field;
        int r;

        all = strv_copy(*list);
        if (!all)
                return -ENOMEM;
        r = words_split(value, &words, ret_reason);
        if (r < 0)
                return r;
        STRV_FOREACH(word, words) {
                unsigned total;
                PublishRange p;

                r = publish_parse(*word, &p, ret_reason);
                if (r < 0)
                        return r;
                total = p.count;
                STRV_FOREACH(before, all) {
                        PublishRange other;

                        r = publish_parse(*before, &other, ret_reason);
                        if (r < 0)
                                return r;
                        if (ranges_collide(&p, &other))
                                return wrong(ret_reason, "a port of the host is given twice; at one address and at all of them it is the same");
                        total += other.count;
                }
                if (total > PUBLISHED_PORTS_MAX)
                        return wrong(ret_reason, "a VM can have 256 published ports at most");
                r = strv_extend(&all, *word);
                if (r < 0)
                        return r;
        }
        strv_free(*list);
        *list = TAKE_PTR(all);
        return 0;
}
