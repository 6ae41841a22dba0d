/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The guest's memory, as the VMM shares it by VHOST_USER_SET_MEM_TABLE. Every address that comes from the guest goes
 * through guest_memory_at(): nothing else in ember makes a pointer of one. What stands there can change at any time. */

#include "base/macros.h"

enum { GUEST_REGIONS_MAX = 8 };

typedef struct GuestRegion {
        uint64_t guest_address, size;
        uint64_t user_address;          /* in the VMM's own address space: rings are given so */
        uint8_t *data;                  /* in ours */
} GuestRegion;

typedef struct GuestMemory {
        GuestRegion regions[GUEST_REGIONS_MAX];
        size_t n_regions;
} GuestMemory;

/* Maps [offset, offset + size) of fd, which stays the caller's, as a further region. -EINVAL: an impossible region, or a file
 * that is shorter, or that could be made shorter behind our back (it needs F_SEAL_SHRINK). -ENOSPC: too many. */
int guest_memory_add(GuestMemory *m, int fd, uint64_t offset, uint64_t size, uint64_t guest_address, uint64_t user_address);
void guest_memory_clear(GuestMemory *m);

/* Where `size` bytes at a guest-physical address are; NULL unless all of them lie in one region. */
void *guest_memory_at(const GuestMemory *m, uint64_t guest_address, uint64_t size);
void *guest_memory_at_user(const GuestMemory *m, uint64_t user_address, uint64_t size);
