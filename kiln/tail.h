/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The last bytes of a stream without end, kept for the report when something went wrong. */

#include "base/macros.h"

enum {
        TAIL_BYTES = 8 * 1024,
        TAIL_LINES = 50,
        TAIL_TEXT_MAX = TAIL_BYTES + 1,
};

typedef struct Tail {
        char ring[TAIL_BYTES];
        size_t end, size;
} Tail;

void tail_add(Tail *t, const void *data, size_t n);
/* The last TAIL_LINES whole lines as one text, oldest first, without empty ones, with "?" for control characters; a line that has
 * lost its beginning is left out. */
void tail_text(const Tail *t, char ret[TAIL_TEXT_MAX]);
