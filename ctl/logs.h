/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The journal of VMs, read and printed: what guests, kiln, the steps of a start and systemd say of them. An entry is a VM's by what journald itself
 * knows of its sender, never by fields that anybody can set. */

#include "base/macros.h"

typedef struct LogQuery {
        char *const *vms;               /* NULL: all */
        char *const *streams;           /* of INFERNO_STREAM=; NULL: whatever there is */
        int priority_min, priority_max; /* 0 to 7: all */
        uint64_t since, until;          /* microseconds since 1970; 0 and UINT64_MAX: not limited */
        unsigned lines;                 /* the last ones; UINT_MAX: all */
        bool follow, json;
} LogQuery;

/* Prints the entries to standard output, oldest first, and with `follow` what comes, until nobody reads that any more. *ret_printed (may be NULL) is how many. */
int logs_print(const LogQuery *q, uint64_t *ret_printed, char **ret_error);

/* Whether the journal has anything of a VM, whatever its time. 1, 0. */
int logs_has(const char *vm, char **ret_error);

/* "err", "3": all up to that one; "warning..err", as journalctl(1). -EINVAL. */
int logs_parse_priority(const char *s, int *ret_min, int *ret_max);

/* One entry's message as text: continued lines are indented; made fit for a terminal where that is asked for. For tests. NULL: no memory. */
char *logs_format_message(const void *message, size_t n, size_t indent, bool fit);
