/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/published-port.h"
#include "base/str.h"

int published_port_compare(const void *a, const void *b) {
        const PublishedPort *x = a, *y = b;

        if (x->address != y->address)
                return x->address < y->address ? -1 : 1;
        if (x->protocol != y->protocol)
                return x->protocol < y->protocol ? -1 : 1;
        return (x->host_port > y->host_port) - (x->host_port < y->host_port);
}

const char *published_port_protocol(const PublishedPort *p) {
        return p->protocol == IPPROTO_UDP ? "udp" : "tcp";
}

static const char *address_to_string(uint32_t address, char buf[static INET_ADDRSTRLEN]) {
        const struct in_addr in = { .s_addr = htonl(address) };

        return inet_ntop(AF_INET, &in, buf, INET_ADDRSTRLEN);
}

char *published_port_address(const PublishedPort *p) {
        char address[INET_ADDRSTRLEN];

        return strdup(address_to_string(p->address, address));
}

char *published_port_to_string(const PublishedPort *p) {
        char address[INET_ADDRSTRLEN];

        return strf("%s:%u/%s", address_to_string(p->address, address), p->host_port, published_port_protocol(p));
}

/* Whether b is the next port of a range that a is in. */
static bool is_next(const PublishedPort *a, const PublishedPort *b) {
        return a->address == b->address && a->protocol == b->protocol && a->host_port + 1 == b->host_port && a->guest_port + 1 == b->guest_port;
}

char *published_ports_to_string(const PublishedPort *ports, size_t n) {
        _cleanup_strbuf_ StrBuf b = {};
        char *s = NULL;

        strbuf_adds(&b, "");
        for (size_t i = 0, k; i < n; i = k) {
                const PublishedPort *first = ports + i, *last;
                char address[INET_ADDRSTRLEN];

                for (k = i + 1; k < n && is_next(ports + k - 1, ports + k); k++)
                        ;
                last = ports + k - 1;
                strbuf_addf(&b, "%s%s:%u", i > 0 ? ", " : "", address_to_string(first->address, address), first->host_port);
                if (last > first)
                        strbuf_addf(&b, "-%u->%u-%u", last->host_port, first->guest_port, last->guest_port);
                else
                        strbuf_addf(&b, "->%u", first->guest_port);
                strbuf_addf(&b, "/%s", published_port_protocol(first));
        }
        return strbuf_finish(&b, &s, NULL) < 0 ? NULL : s;
}
