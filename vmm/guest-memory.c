/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/guest-memory.h"

int guest_memory_add(GuestMemory *m, int fd, uint64_t offset, uint64_t size, uint64_t guest_address, uint64_t user_address) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), end;
        GuestRegion *region;
        struct stat st;
        int seals;
        void *p;

        if (m->n_regions >= GUEST_REGIONS_MAX)
                return -ENOSPC;
        if (size == 0 || offset % page != 0 || size > SIZE_MAX / 2 || __builtin_add_overflow(offset, size, &end) ||
            guest_address > UINT64_MAX - size || user_address > UINT64_MAX - size)
                return -EINVAL;
        if (fstat(fd, &st) < 0)
                return negative_errno();
        seals = fcntl(fd, F_GET_SEALS);
        if (!S_ISREG(st.st_mode) || (uint64_t) st.st_size < end || seals < 0 || !(seals & F_SEAL_SHRINK))
                return -EINVAL;

        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t) offset);
        if (p == MAP_FAILED)
                return negative_errno();
        (void) madvise(p, size, MADV_DONTDUMP);

        region = &m->regions[m->n_regions++];
        *region = (GuestRegion) {
                .guest_address = guest_address,
                .size = size,
                .user_address = user_address,
                .data = p,
        };
        return 0;
}

void guest_memory_clear(GuestMemory *m) {
        for (size_t i = 0; i < m->n_regions; i++)
                (void) munmap(m->regions[i].data, m->regions[i].size);
        m->n_regions = 0;
}

void *guest_memory_at(const GuestMemory *m, uint64_t guest_address, uint64_t size) {
        for (size_t i = 0; i < m->n_regions; i++) {
                const GuestRegion *r = &m->regions[i];
                uint64_t offset = guest_address - r->guest_address;

                if (guest_address >= r->guest_address && offset < r->size && size <= r->size - offset)
                        return r->data + offset;
        }
        return NULL;
}

void *guest_memory_at_user(const GuestMemory *m, uint64_t user_address, uint64_t size) {
        for (size_t i = 0; i < m->n_regions; i++) {
                const GuestRegion *r = &m->regions[i];
                uint64_t offset = user_address - r->user_address;

                if (user_address >= r->user_address && offset < r->size && size <= r->size - offset)
                        return r->data + offset;
        }
        return NULL;
}
