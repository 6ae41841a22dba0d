/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* How far the layers of an image are, as lines of a terminal that are written anew as they change: one for each layer, with a bar, bytes and
 * rate, or, where there is no room for all of them, for those that something is done with; and one line of text. No I/O. */

#include "image/image.h"

typedef struct ProgressView ProgressView;

int progress_view_new(ProgressView **ret);
ProgressView *progress_view_free(ProgressView *v);
DEFINE_TRIVIAL_CLEANUP_FUNC(ProgressView *, progress_view_free)

/* usec is of a clock that does not go back. Without memory the view stays as it was. */
void progress_view_set_layers(ProgressView *v, const ImageLayer *layers, size_t n, uint64_t usec);
void progress_view_set_text(ProgressView *v, const char *text);

/* The bytes that put it onto a terminal of that size, in place of what was drawn before. Borrowed until the next call; NULL: no memory. */
const char *progress_view_draw(ProgressView *v, unsigned rows, unsigned columns);
/* The bytes that take it away again; the next drawing begins at the cursor. */
const char *progress_view_clear(ProgressView *v);
