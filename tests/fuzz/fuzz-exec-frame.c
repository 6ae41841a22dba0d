/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames of both directions: what they are does not depend on how they are cut, nothing leads out of the input, and every value is in its bounds. */

#include <stdlib.h>
#include <string.h>

#include "base/exec-frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Summary {
        uint64_t hash;                  /* of all frames, and bytes of streams */
        bool failed, ended;
} Summary;

static void add(Summary *s, const void *data, size_t n) {
        for (size_t i = 0; i < n; i++)
                s->hash = (s->hash ^ ((const unsigned char *) data)[i]) * UINT64_C(1099511628211);
}

static void check(FrameSource source, const Frame *f) {
        bool stream = f->type == FRAME_STDIN || f->type == FRAME_STDOUT || f->type == FRAME_STDERR;

        if (stream != (f->n > 0))
                abort();
        if ((f->type == FRAME_STDIN || f->type == FRAME_STDIN_END || f->type == FRAME_WINDOW || f->type == FRAME_SIGNAL) != (source == FRAMES_OF_HOST))
                abort();
        if (f->type == FRAME_SIGNAL && (f->value < 1 || f->value > 64))
                abort();
        if (f->type == FRAME_CREDIT && (f->value < 1 || f->value > FRAME_INPUT_MAX))
                abort();
        if (f->type == FRAME_EXIT && (f->value > 255 || strlen(f->message) > FRAME_MESSAGE_MAX))
                abort();
}

static Summary parse(FrameSource source, const char *data, size_t size, size_t step) {
        FrameParser p = { .source = source };
        Summary s = {};
        Frame f;

        for (size_t at = 0; at < size && !s.failed; at += step) {
                size_t n = MIN(step, size - at);
                const char *d = data + at;
                int r;

                while ((r = frame_parse(&p, &d, &n, &f)) > 0) {
                        check(source, &f);
                        add(&s, &f.type, 1);
                        for (size_t i = 0; i < f.n; i++, i < f.n ? add(&s, &f.type, 1) : (void) 0)
                                add(&s, f.data + i, 1);
                        add(&s, &f.value, sizeof(f.value));
                        add(&s, &f.rows, sizeof(f.rows));
                        add(&s, &f.columns, sizeof(f.columns));
                        if (f.message)
                                add(&s, f.message, strlen(f.message));
                        s.ended = s.ended || f.type == FRAME_EXIT;
                }
                s.failed = r < 0;
                if (r == 0 && n > 0)
                        abort();
        }
        return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        FrameSource source;
        Summary a, b;

        if (size < 2)
                return 0;
        source = data[0] & 1 ? FRAMES_OF_GUEST : FRAMES_OF_HOST;
        a = parse(source, (const char *) data + 2, size - 2, size);
        b = parse(source, (const char *) data + 2, size - 2, data[1] + 1U);
        if (a.failed != b.failed || a.ended != b.ended)
                abort();
        return 0;
}
