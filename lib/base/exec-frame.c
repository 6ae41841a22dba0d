/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "base/exec-frame.h"

typedef struct FrameRule {
        FrameType type;
        FrameSource source;
        size_t min, max;                /* of the payload */
        bool in_parts;
} FrameRule;

static const FrameRule rules[] = {
        { FRAME_STDIN,     FRAMES_OF_HOST,  1, FRAME_PAYLOAD_MAX,     true  },
        { FRAME_STDIN_END, FRAMES_OF_HOST,  0, 0,                     false },
        { FRAME_WINDOW,    FRAMES_OF_HOST,  4, 4,                     false },
        { FRAME_SIGNAL,    FRAMES_OF_HOST,  1, 1,                     false },
        { FRAME_STDOUT,    FRAMES_OF_GUEST, 1, FRAME_PAYLOAD_MAX,     true  },
        { FRAME_STDERR,    FRAMES_OF_GUEST, 1, FRAME_PAYLOAD_MAX,     true  },
        { FRAME_CREDIT,    FRAMES_OF_GUEST, 4, 4,                     false },
        { FRAME_EXIT,      FRAMES_OF_GUEST, 1, 1 + FRAME_MESSAGE_MAX, false },
};

static const FrameRule *find_rule(const FrameParser *p) {
        for (size_t i = 0; i < ELEMENTSOF(rules); i++)
                if (rules[i].type == (FrameType) p->header[0] && rules[i].source == p->source)
                        return rules + i;
        return NULL;
}

static int fail(FrameParser *p) {
        p->failed = true;
        return -EBADMSG;
}

/* The header is whole. */
static int check_header(FrameParser *p) {
        const FrameRule *rule = find_rule(p);

        p->length = (size_t) p->header[1] << 16 | (size_t) p->header[2] << 8 | p->header[3];
        p->done = 0;
        if (!rule || p->length < rule->min || p->length > rule->max)
                return fail(p);
        if (p->input_ended && (rule->type == FRAME_STDIN || rule->type == FRAME_STDIN_END))
                return fail(p);
        return 0;
}

/* The payload of a frame that is given as a whole is there. */
static int read_whole(FrameParser *p, Frame *ret) {
        const unsigned char *b = (const unsigned char *) p->payload;

        *ret = (Frame) { .type = (FrameType) p->header[0] };
        switch (ret->type) {
        case FRAME_STDIN_END:
                p->input_ended = true;
                break;
        case FRAME_WINDOW:
                ret->rows = (unsigned) b[0] << 8 | b[1];
                ret->columns = (unsigned) b[2] << 8 | b[3];
                break;
        case FRAME_SIGNAL:
                ret->value = b[0];
                if (b[0] < 1 || b[0] > 64)
                        return fail(p);
                break;
        case FRAME_CREDIT:
                ret->value = (unsigned) b[0] << 24 | (unsigned) b[1] << 16 | (unsigned) b[2] << 8 | b[3];
                if (ret->value < 1 || ret->value > FRAME_INPUT_MAX)
                        return fail(p);
                break;
        default:
                ret->value = b[0];
                if (memchr(p->payload + 1, 0, p->length - 1))
                        return fail(p);
                p->payload[p->length] = 0;
                ret->message = p->payload + 1;
                p->ended = true;
                break;
        }
        return 1;
}

int frame_parse(FrameParser *p, const char **data, size_t *n, Frame *ret) {
        if (p->failed)
                return -EBADMSG;
        for (;;) {
                const FrameRule *rule;
                size_t k;
                int r;

                if (p->n_header < FRAME_HEADER_SIZE) {
                        if (*n == 0)
                                return 0;
                        if (p->ended)
                                return fail(p);
                        p->header[p->n_header++] = (unsigned char) **data;
                        (*data)++;
                        (*n)--;
                        if (p->n_header < FRAME_HEADER_SIZE)
                                continue;
                        r = check_header(p);
                        if (r < 0)
                                return r;
                }
                rule = find_rule(p);
                k = MIN(*n, p->length - p->done);
                if (rule->in_parts) {
                        if (k == 0)
                                return 0;
                        *ret = (Frame) { .type = rule->type, .data = *data, .n = k };
                } else if (k > 0)
                        memcpy(p->payload + p->done, *data, k);
                p->done += k;
                *data += k;
                *n -= k;
                if (p->done == p->length)
                        p->n_header = 0;
                if (rule->in_parts)
                        return 1;
                return p->n_header == 0 ? read_whole(p, ret) : 0;
        }
}

void frame_header(char header[static FRAME_HEADER_SIZE], FrameType type, size_t n) {
        header[0] = (char) type;
        header[1] = (char) (n >> 16);
        header[2] = (char) (n >> 8);
        header[3] = (char) n;
}

size_t frame_stdin_end(char out[static FRAME_SMALL_MAX]) {
        frame_header(out, FRAME_STDIN_END, 0);
        return FRAME_HEADER_SIZE;
}

size_t frame_window(char out[static FRAME_SMALL_MAX], unsigned rows, unsigned columns) {
        frame_header(out, FRAME_WINDOW, 4);
        out[4] = (char) (rows >> 8);
        out[5] = (char) rows;
        out[6] = (char) (columns >> 8);
        out[7] = (char) columns;
        return FRAME_HEADER_SIZE + 4;
}

size_t frame_signal(char out[static FRAME_SMALL_MAX], unsigned signo) {
        frame_header(out, FRAME_SIGNAL, 1);
        out[4] = (char) signo;
        return FRAME_HEADER_SIZE + 1;
}

size_t frame_credit(char out[static FRAME_SMALL_MAX], unsigned n) {
        frame_header(out, FRAME_CREDIT, 4);
        for (int i = 0; i < 4; i++)
                out[4 + i] = (char) (n >> (24 - 8 * i));
        return FRAME_HEADER_SIZE + 4;
}

size_t frame_exit(char out[static FRAME_EXIT_MAX], unsigned exit_code, const char *message) {
        size_t n = strnlen(message, FRAME_MESSAGE_MAX);

        frame_header(out, FRAME_EXIT, 1 + n);
        out[4] = (char) exit_code;
        memcpy(out + 5, message, n);
        return FRAME_HEADER_SIZE + 1 + n;
}
