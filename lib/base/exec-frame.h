/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What host and guest say to each other behind "101 Switching Protocols" of POST /v1/exec (wire.h): frames of four bytes of header, the type
 * and the length of the payload (24 bits, big-endian), and the payload. No I/O.
 *
 * host -> guest   FRAME_STDIN         bytes for the program's standard input, or for its terminal
 *                 FRAME_STDIN_END     there are no more; an end of the connection would end the program too
 *                 FRAME_WINDOW        rows and columns of the terminal, 16 bits each
 *                 FRAME_SIGNAL        a number of 1 to 64, to the program's process group
 * guest -> host   FRAME_STDOUT        what the program has written; with a terminal all of it
 *                 FRAME_STDERR
 *                 FRAME_CREDIT        so many bytes of standard input (32 bits) have gone on to the program or were dropped
 *                 FRAME_EXIT          the last one: the exit code, and behind it a sentence for people where the program was not executed
 *
 * At most FRAME_INPUT_MAX bytes of standard input may be on their way, sent and not yet credited: so the guest always reads what comes, and a signal,
 * or the host's going, never waits behind input that a program does not want. The other way the socket's own flow control does. */

#include "base/macros.h"

typedef enum FrameType {
        FRAME_STDIN = 'i',
        FRAME_STDIN_END = 'e',
        FRAME_WINDOW = 'w',
        FRAME_SIGNAL = 's',
        FRAME_STDOUT = 'o',
        FRAME_STDERR = 'r',
        FRAME_CREDIT = 'c',
        FRAME_EXIT = 'x',
} FrameType;

enum {
        FRAME_HEADER_SIZE = 4,
        FRAME_PAYLOAD_MAX = 32 * 1024 - FRAME_HEADER_SIZE,
        FRAME_INPUT_MAX = 32 * 1024,
        FRAME_MESSAGE_MAX = 1024,       /* of FRAME_EXIT */
};

typedef enum FrameSource {
        FRAMES_OF_HOST,
        FRAMES_OF_GUEST,
} FrameSource;

typedef struct Frame {
        FrameType type;
        const char *data;               /* FRAME_STDIN, FRAME_STDOUT, FRAME_STDERR: a part of the payload, borrowed, never empty */
        size_t n;
        unsigned value;                 /* FRAME_SIGNAL, FRAME_CREDIT, FRAME_EXIT */
        unsigned rows, columns;
        const char *message;            /* FRAME_EXIT: a string, borrowed; "": none. Any bytes but NUL */
} Frame;

typedef struct FrameParser {
        FrameSource source;
        unsigned char header[FRAME_HEADER_SIZE];
        size_t n_header;
        size_t length, done;            /* of the payload */
        char payload[1 + FRAME_MESSAGE_MAX + 1];        /* of a type that is given as a whole */
        bool input_ended, ended;
        bool failed;
} FrameParser;

/* Takes what has come, and gives the next frame, or part of one, of it: 1 and *ret; 0: all was taken. -EBADMSG: not as above, for ever. */
int frame_parse(FrameParser *p, const char **data, size_t *n, Frame *ret);

/* Writes the header of a frame; n is at most FRAME_PAYLOAD_MAX. */
void frame_header(char header[static FRAME_HEADER_SIZE], FrameType type, size_t n);
/* Whole frames without bytes of their own. Each returns its size, at most FRAME_SMALL_MAX. */
enum { FRAME_SMALL_MAX = FRAME_HEADER_SIZE + 4 };
size_t frame_stdin_end(char out[static FRAME_SMALL_MAX]);
size_t frame_window(char out[static FRAME_SMALL_MAX], unsigned rows, unsigned columns);
size_t frame_signal(char out[static FRAME_SMALL_MAX], unsigned signo);
size_t frame_credit(char out[static FRAME_SMALL_MAX], unsigned n);
/* At most FRAME_EXIT_MAX bytes; a longer message is cut. */
enum { FRAME_EXIT_MAX = FRAME_HEADER_SIZE + 1 + FRAME_MESSAGE_MAX };
size_t frame_exit(char out[static FRAME_EXIT_MAX], unsigned exit_code, const char *message);
