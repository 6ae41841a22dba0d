/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Publish=[IP:]HOSTPORT:GUESTPORT[/tcp|/udp], inferno.vm(5): podman's --publish, without what leaves something to chance. */

#include "definition/definition.h"

/* Ports in a row. */
typedef struct PublishRange {
        PublishedPort first;
        unsigned count;                 /* 1 … PUBLISHED_PORTS_MAX */
} PublishRange;

/* -EINVAL: *ret_reason says what was wanted (static). */
int publish_parse(const char *word, PublishRange *ret, const char **ret_reason);
