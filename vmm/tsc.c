/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <cpuid.h>
#include <time.h>
#include <x86intrin.h>

#include "vmm/tsc.h"

enum { TRIES = 8 };

void tsc_sample(TscSample *ret) {
        uint64_t narrowest = UINT64_MAX;

        /* Being interrupted between the two clocks is what spoils a sample: the quickest try is the best. */
        for (int i = 0; i < TRIES; i++) {
                struct timespec ts;
                uint64_t before, after;

                before = __rdtsc();
                (void) clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
                after = __rdtsc();
                if (after - before >= narrowest)
                        continue;
                narrowest = after - before;
                ret->ticks = before + (after - before) / 2;
                ret->nsec = (uint64_t) ts.tv_sec * NSEC_PER_SEC + (uint64_t) ts.tv_nsec;
        }
}

/* The processor says so, or a hypervisor stands before it, which hides that it does. */
static bool counter_is_constant(void) {
        unsigned a, b, c, d;

        if (__get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1U << 8))
                return true;
        return __get_cpuid(1, &a, &b, &c, &d) && (c & 1U << 31);
}

unsigned tsc_khz(const TscSample *begin, const TscSample *end) {
        uint64_t khz;

        if (end->nsec <= begin->nsec || end->ticks <= begin->ticks || !counter_is_constant())
                return 0;
        khz = (uint64_t) ((unsigned __int128) (end->ticks - begin->ticks) * 1000000 / (end->nsec - begin->nsec));
        return khz >= 100000 && khz <= 10000000 ? (unsigned) khz : 0;
}
