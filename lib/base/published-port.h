/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A port of the host that leads to one of a guest: what definition, database and firewall tell each other of Publish=, inferno.vm(5). */

#include "base/macros.h"

/* Of one VM. */
enum { PUBLISHED_PORTS_MAX = 256 };

typedef struct PublishedPort {
        uint32_t address;               /* of the host, host byte order; 0: all that it has */
        uint16_t host_port, guest_port;
        uint8_t protocol;               /* IPPROTO_TCP, IPPROTO_UDP */
} PublishedPort;

/* Whether they cannot both be there: the same port of the same address, or of any address and of all. */
static inline bool published_port_collides(const PublishedPort *a, const PublishedPort *b) {
        return a->protocol == b->protocol && a->host_port == b->host_port && (a->address == b->address || a->address == 0 || b->address == 0);
}

/* By address, protocol, port of the host; for qsort(3). */
int published_port_compare(const void *a, const void *b);

const char *published_port_protocol(const PublishedPort *p);    /* "tcp", "udp"; static */

char *published_port_address(const PublishedPort *p);           /* "0.0.0.0"; NULL: no memory */

/* "0.0.0.0:8080/tcp": what is taken of the host. NULL: no memory. */
char *published_port_to_string(const PublishedPort *p);
/* "0.0.0.0:8080->80/tcp, 10.0.0.1:7000-7003->7000-7003/udp": ports in a row, as they are given, are one range. NULL: no memory. */
char *published_ports_to_string(const PublishedPort *ports, size_t n);
