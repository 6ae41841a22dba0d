/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* For the fuzz targets of HTTP servers: one connection that sends the input as it is. The input's first byte says how it is cut into
 * pieces, and whether the answers are read as they come or only when all is sent. What comes back has to be HTTP. */

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/http.h"

typedef struct HttpPlay {
        int fd;
        HttpParser *parser;             /* of the answer that is arriving */
        unsigned n_answers;
        bool ended;                     /* the server has closed */
} HttpPlay;

static void play_read(HttpPlay *p) {
        char buf[4096];
        ssize_t n;

        while ((n = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
                for (size_t at = 0, used; at < (size_t) n; at += used) {
                        int r = http_parser_feed(p->parser, buf + at, (size_t) n - at, &used);

                        if (r < 0)
                                abort();
                        if (r == HTTP_PARSER_DONE) {
                                p->n_answers++;
                                http_parser_reset(p->parser);
                        }
                }
        p->ended = n == 0 || (n < 0 && errno != EAGAIN);
}

/* turn: has the server do all that it can do now. Returns how many whole answers came. */
static unsigned http_play(const struct sockaddr_un *address, socklen_t n_address, const uint8_t *data, size_t size, void (*turn)(void)) {
        HttpPlay p = { .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
        size_t step = size > 0 ? (data[0] & 127) * 8 + 1 : 1;

        if (http_parser_new(HTTP_RESPONSE, 8192, 65536, &p.parser) < 0 || connect(p.fd, (const struct sockaddr *) address, n_address) < 0)
                abort();
        for (size_t i = 1; i < size && !p.ended; i += step) {
                (void) !send(p.fd, data + i, MIN(step, size - i), MSG_NOSIGNAL | MSG_DONTWAIT);
                turn();
                if (data[0] & 128)
                        play_read(&p);
        }
        turn();
        play_read(&p);
        http_parser_free(p.parser);
        close(p.fd);
        turn();
        return p.n_answers;
}
