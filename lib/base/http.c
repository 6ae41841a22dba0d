/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/http.h"
#include "base/parse.h"
#include "base/str.h"

enum { HEADERS_MAX = 64 };

typedef struct HttpHeader {
        const char *name, *value;       /* in head */
} HttpHeader;

struct HttpParser {
        HttpKind kind;
        size_t head_max, body_max;

        char *head;                     /* up to and with the empty line; then cut into strings in place */
        size_t head_size;
        bool head_parsed;

        const char *method, *target;
        unsigned status;
        bool http_1_0;
        HttpHeader headers[HEADERS_MAX];
        size_t n_headers;

        char *body;
        size_t body_size, body_expected;
        bool body_until_eof;
        bool done;
};

int http_parser_new(HttpKind kind, size_t head_max, size_t body_max, HttpParser **ret) {
        HttpParser *p = calloc(1, sizeof(HttpParser));

        if (!p)
                return -ENOMEM;
        p->kind = kind;
        p->head_max = head_max;
        p->body_max = body_max;
        *ret = p;
        return 0;
}

/* Bodies may have secrets. */
static void free_body(HttpParser *p) {
        if (p->body)
                explicit_bzero(p->body, p->body_size);
        free(p->body);
}

void http_parser_reset(HttpParser *p) {
        free(p->head);
        free_body(p);
        *p = (HttpParser) { .kind = p->kind, .head_max = p->head_max, .body_max = p->body_max };
}

HttpParser *http_parser_free(HttpParser *p) {
        if (p) {
                free(p->head);
                free_body(p);
                free(p);
        }
        return NULL;
}

static bool is_token(const char *s) {
        if (!*s)
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char) *s) && !strchr("!#$%&'*+-.^_`|~", *s))
                        return false;
        return true;
}

static int parse_start_line(HttpParser *p, char *line) {
        const char *version;
        char *sp1, *sp2;

        sp1 = strchr(line, ' ');
        if (!sp1)
                return -EBADMSG;
        *sp1++ = 0;

        if (p->kind == HTTP_REQUEST) {
                sp2 = strchr(sp1, ' ');
                if (!sp2)
                        return -EBADMSG;
                *sp2++ = 0;
                if (!is_token(line) || *sp1 != '/')
                        return -EBADMSG;
                for (const char *s = sp1; *s; s++)
                        if (*s <= ' ' || *s >= 0x7f)
                                return -EBADMSG;
                p->method = line;
                p->target = sp1;
                version = sp2;
        } else {
                sp2 = strchr(sp1, ' ');
                if (sp2)
                        *sp2 = 0;
                if (strlen(sp1) != 3 || parse_uint(sp1, &p->status) < 0 || p->status < 100 || p->status > 599)
                        return -EBADMSG;
                version = line;
        }
        if (streq(version, "HTTP/1.0"))
                p->http_1_0 = true;
        else if (!streq(version, "HTTP/1.1"))
                return -EBADMSG;
        return 0;
}

static int parse_header_line(HttpParser *p, char *line) {
        char *colon = strchr(line, ':'), *value, *end;

        if (!colon || p->n_headers >= HEADERS_MAX)
                return -EBADMSG;
        *colon = 0;
        if (!is_token(line))    /* also: folded lines, space before the colon */
                return -EBADMSG;
        value = colon + 1 + strspn(colon + 1, " \t");
        end = value + strlen(value);
        while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                *--end = 0;
        for (const char *s = value; *s; s++)
                if ((unsigned char) *s < ' ' && *s != '\t')
                        return -EBADMSG;
        p->headers[p->n_headers++] = (HttpHeader) { line, value };
        return 0;
}

static int parse_head(HttpParser *p) {
        const char *length = NULL;
        bool first = true;
        int r;

        if (memchr(p->head, 0, p->head_size))
                return -EBADMSG;
        for (char *line = p->head;;) {
                char *eol = strchr(line, '\n');

                if (!eol || eol == line || eol[-1] != '\r')
                        return -EBADMSG;
                eol[-1] = 0;
                if (strchr(line, '\r'))
                        return -EBADMSG;
                if (eol - 1 == line)
                        break;
                r = first ? parse_start_line(p, line) : parse_header_line(p, line);
                if (r < 0)
                        return r;
                first = false;
                line = eol + 1;
        }
        if (first)
                return -EBADMSG;

        for (size_t i = 0; i < p->n_headers; i++)
                if (strcasecmp(p->headers[i].name, "Content-Length") == 0) {
                        if (length)
                                return -EBADMSG;
                        length = p->headers[i].value;
                } else if (strcasecmp(p->headers[i].name, "Transfer-Encoding") == 0)
                        return -EBADMSG;

        if (length) {
                uint64_t n;

                r = parse_u64(length, &n);
                if (r == -ERANGE || (r >= 0 && n > p->body_max))
                        return -EMSGSIZE;
                if (r < 0)
                        return -EBADMSG;
                p->body_expected = (size_t) n;
        } else if (p->kind == HTTP_RESPONSE)
                p->body_until_eof = p->status >= 200 && p->status != 204 && p->status != 304;
        p->head_parsed = true;
        return 0;
}

static int add_body(HttpParser *p, const char *data, size_t n) {
        char *q;

        if (n > p->body_max - p->body_size)
                return -EMSGSIZE;
        /* Where its length is known it is never copied to another place. */
        q = p->body && !p->body_until_eof ? p->body : realloc(p->body, MAX(p->body_expected, p->body_size + n) + 1);
        if (!q)
                return -ENOMEM;
        p->body = q;
        if (n > 0)
                memcpy(q + p->body_size, data, n);
        p->body_size += n;
        q[p->body_size] = 0;
        return 0;
}

int http_parser_feed(HttpParser *p, const void *data, size_t n, size_t *ret_used) {
        const char *d = data;
        size_t used = 0;
        int r;

        if (p->done)
                return -EBADMSG;

        while (!p->head_parsed && used < n) {
                const char *nl = memchr(d + used, '\n', n - used);
                size_t k = nl ? (size_t) (nl - (d + used)) + 1 : n - used;
                char *q;

                if (k > p->head_max - p->head_size)
                        return -EMSGSIZE;
                q = realloc(p->head, p->head_size + k + 1);
                if (!q)
                        return -ENOMEM;
                p->head = q;
                memcpy(q + p->head_size, d + used, k);
                p->head_size += k;
                q[p->head_size] = 0;
                used += k;
                /* The empty line ends the head: what we have ends with CRLF and is that alone, or has one before it. */
                if (nl && ((p->head_size == 2 && memcmp(q, "\r\n", 2) == 0) ||
                           (p->head_size >= 4 && memcmp(q + p->head_size - 4, "\r\n\r\n", 4) == 0))) {
                        r = parse_head(p);
                        if (r < 0)
                                return r;
                }
        }
        if (p->head_parsed) {
                size_t k = p->body_until_eof ? n - used : MIN(n - used, p->body_expected - p->body_size);

                r = add_body(p, d + used, k);
                if (r < 0)
                        return r;
                used += k;
        }
        *ret_used = used;
        if (p->head_parsed && !p->body_until_eof && p->body_size == p->body_expected) {
                p->done = true;
                return HTTP_PARSER_DONE;
        }
        return 0;
}

int http_parser_eof(HttpParser *p) {
        if (p->done)
                return HTTP_PARSER_DONE;
        if (p->head_size == 0)
                return 0;
        if (p->head_parsed && p->body_until_eof) {
                p->done = true;
                return HTTP_PARSER_DONE;
        }
        return -EBADMSG;
}

const char *http_method(const HttpParser *p) {
        return p->method;
}

const char *http_target(const HttpParser *p) {
        return p->target;
}

unsigned http_status(const HttpParser *p) {
        return p->status;
}

const char *http_header(const HttpParser *p, const char *name) {
        for (size_t i = 0; i < p->n_headers; i++)
                if (strcasecmp(p->headers[i].name, name) == 0)
                        return p->headers[i].value;
        return NULL;
}

bool http_keep_alive(const HttpParser *p) {
        const char *c = http_header(p, "Connection");

        return !p->http_1_0 && !p->body_until_eof && !(c && strcasecmp(c, "close") == 0);
}

const char *http_body(const HttpParser *p, size_t *ret_size) {
        if (ret_size)
                *ret_size = p->body_size;
        return p->body ?: "";
}

static int format_message(StrBuf *b, const char *body, bool always_length, char **ret, size_t *ret_size) {
        if (body)
                strbuf_addf(b, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
        else if (always_length)
                strbuf_adds(b, "Content-Length: 0\r\n");
        strbuf_adds(b, "\r\n");
        if (body)
                strbuf_adds(b, body);
        return strbuf_finish(b, ret, ret_size);
}

int http_format_request(const char *method, const char *target, const char *body, char **ret, size_t *ret_size) {
        _cleanup_strbuf_ StrBuf b = {};

        strbuf_addf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n", method, target);
        return format_message(&b, body, false, ret, ret_size);
}

static const char *reason(unsigned status) {
        switch (status) {
        case 200: return "OK";
        case 204: return "No Content";
        case 400: return "Bad Request";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 408: return "Request Timeout";
        case 409: return "Conflict";
        case 413: return "Content Too Large";
        case 431: return "Request Header Fields Too Large";
        case 500: return "Internal Server Error";
        case 503: return "Service Unavailable";
        default:  return "Status";
        }
}

int http_format_response(unsigned status, const char *body, bool close, char **ret, size_t *ret_size) {
        _cleanup_strbuf_ StrBuf b = {};

        strbuf_addf(&b, "HTTP/1.1 %u %s\r\n%s", status, reason(status), close ? "Connection: close\r\n" : "");
        return format_message(&b, body, status != 204, ret, ret_size);
}
