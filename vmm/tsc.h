/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The rate of the host's time stamp counter. An emulated guest reads that same counter, but has nothing to calibrate it with: it would call
 * the counter unstable, keep time by counting ticks of 10 ms, and never stop ticking while it is idle. So it is told. */

#include "base/macros.h"

typedef struct TscSample {
        uint64_t ticks, nsec;
} TscSample;

void tsc_sample(TscSample *ret);

/* From two samples that lie a millisecond apart or more: good to about 10 parts in a million, which is what a clock's crystal is good
 * for. 0 where the counter is not known to run at one rate. */
unsigned tsc_khz(const TscSample *begin, const TscSample *end);
