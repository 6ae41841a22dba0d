/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* How far the layers of an image are, and what skopeo(1) says of that: on a terminal it has a line for each blob, "Copying blob 2cf3eeeba850
 * [==>---] 1.1MiB / 8.0MiB", written anew a few times a second, and it tells nothing of the kind to pipes. No I/O. */

#include "image/image.h"

typedef struct Progress {
        ImageLayer *layers;             /* lowest first, where the manifest is known; else as skopeo has begun them */
        size_t n;
} Progress;

void progress_done(Progress *p);

/* The layer with this digest ("sha256:<hex>", or as many digits as ImageLayer.id has), added where it is not there yet. NULL: no memory, or more than a
 * manifest may have. */
ImageLayer *progress_layer(Progress *p, const char *digest);
/* A line of skopeo's, without escape sequences. Whether it says something new of a layer. */
bool progress_take_line(Progress *p, const char *line);

/* The lines out of what a terminal gets: control sequences (ECMA-48) and control characters are left out, what is longer is cut. */
enum { PROGRESS_LINE_MAX = 512 };
typedef struct TerminalLines {
        char line[PROGRESS_LINE_MAX];
        size_t n;
        enum { LINES_TEXT, LINES_ESCAPE, LINES_SEQUENCE } state;
} TerminalLines;
/* Takes one byte; the line, until the next call, where that ends it, else NULL. */
const char *terminal_lines_take(TerminalLines *t, char c);
