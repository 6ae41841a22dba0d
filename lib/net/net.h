/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The network of a VM on the host: number and address out of the database, TAP, forwarding, nftables. inferno-tap(8) has the rules. */

#include "net/address.h"
#include "store/store.h"

typedef struct NetVm {
        const char *name;
        unsigned uid, gid;              /* who may attach to the TAP */
        const PublishedPort *ports;     /* borrowed; without collisions */
        size_t n_ports;
} NetVm;

/* Gives the VM its /30 and makes its TAP work: idempotent, also while the VM runs. Where the table of nftables is missing or not as it
 * should be, it is made anew with all VMs whose TAP is there, so that running ones have their rules back. The VM needs its row
 * (store_vm_ensure()). *ret_index as of net_range_address().
 *
 * Before its TAP is there, no program of the host may have one of its ports; nothing holds them for the VM afterwards. -EADDRINUSE: a program of the
 * host has one, or another VM that is up; -EADDRNOTAVAIL: the host does not have the address.
 *
 * -EOPNOTSUPP: the kernel has no tun or no nftables; -EPERM, -EACCES, -EROFS: not allowed to; -EEXIST: the name of the TAP is taken by
 * somebody else's interface; -EBUSY: by another VM's; -EDQUOT: no /30 is left; and those of the store. *ret_error is a sentence for people
 * then (NULL: no memory). What it began is undone. */
int net_vm_up(Store *store, const NetRange *range, const NetVm *vm, unsigned *ret_index, char **ret_error);

/* Makes the table in a new network namespace, which the process is in from then on: whether the kernel has all that it needs. Errors as above. */
int net_check(char **ret_error);

/* Removes TAP and nftables elements, and with the last VM the table. The number stays in the database. Nothing there is fine. Whatever
 * fails, the rest is done; the first error is returned. What the TAP itself says is enough: store is NULL where the database, range where
 * inferno.conf cannot be read. */
int net_vm_down(Store *store, const NetRange *range, const char *vm, char **ret_error);
