/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The clock that kiln measures by, which nobody can set. */

#include <time.h>

#include "base/macros.h"

static inline uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}
