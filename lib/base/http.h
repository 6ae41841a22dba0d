/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* HTTP/1.1 messages (RFC 9112), strict and bounded: one parser for both directions, fed with what has arrived. Bodies have a
 * Content-Length or do not exist: Transfer-Encoding, obsolete line folding, bare LF and repeated Content-Length are errors. A
 * response of status 101 ends with its head; what comes behind it is another protocol's. No I/O. */

#include "base/macros.h"

typedef enum HttpKind {
        HTTP_REQUEST,
        HTTP_RESPONSE,
} HttpKind;

typedef struct HttpParser HttpParser;

/* head_max and body_max in bytes. The parser buffers at most both of them. */
int http_parser_new(HttpKind kind, size_t head_max, size_t body_max, HttpParser **ret);
HttpParser *http_parser_free(HttpParser *p);
DEFINE_TRIVIAL_CLEANUP_FUNC(HttpParser *, http_parser_free)

enum { HTTP_PARSER_DONE = 1 };

/* Takes bytes. 0: more are needed; HTTP_PARSER_DONE: the message is whole, and *ret_used says how many bytes of this call
 * belong to it. -EBADMSG: not HTTP as above; -EMSGSIZE: larger than allowed. */
int http_parser_feed(HttpParser *p, const void *data, size_t n, size_t *ret_used);
/* The peer has closed. 0 where nothing had been sent, HTTP_PARSER_DONE where the message is whole (a response without
 * Content-Length ends so), else -EBADMSG. */
int http_parser_eof(HttpParser *p);
/* Ready for the next message of the same connection. */
void http_parser_reset(HttpParser *p);

/* After HTTP_PARSER_DONE; all borrowed from the parser until reset. */
const char *http_method(const HttpParser *p);           /* requests: "GET" */
const char *http_target(const HttpParser *p);           /* requests: "/v1/status?x=y", checked to be printable ASCII */
unsigned http_status(const HttpParser *p);              /* responses: 200 */
const char *http_header(const HttpParser *p, const char *name); /* NULL where absent; names compare without case */
bool http_keep_alive(const HttpParser *p);              /* HTTP/1.1 without "Connection: close" */
const char *http_body(const HttpParser *p, size_t *ret_size);   /* NUL-terminated besides */

/* "GET", "/v1/x", NULL -> the bytes of a request with Host and, with a body, Content-Type: application/json and length. */
int http_format_request(const char *method, const char *target, const char *body, char **ret, size_t *ret_size);
/* Likewise a response. `reason` comes from the status. close: adds "Connection: close". */
int http_format_response(unsigned status, const char *body, bool close, char **ret, size_t *ret_size);
