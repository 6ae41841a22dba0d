/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/http.h"
#include "test.h"

static int feed_all(HttpKind kind, const char *text, HttpParser **ret) {
        size_t used;
        int r;

        assert_ok(http_parser_new(kind, 256, 64, ret));
        r = http_parser_feed(*ret, text, strlen(text), &used);
        return r;
}

static void test_request(void **state) {
        static const char text[] = "POST /v1/signal HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcdGET";

        /* However the bytes are cut, the message is the same and what follows it is left alone. */
        for (size_t cut = 0; cut <= 60; cut++) {
                _cleanup_(http_parser_freep) HttpParser *p = NULL;
                size_t used = 0, used2 = 0, n;
                int r;

                assert_ok(http_parser_new(HTTP_REQUEST, 256, 64, &p));
                r = http_parser_feed(p, text, cut, &used);
                if (r == 0) {
                        assert_int_equal(used, cut);
                        r = http_parser_feed(p, text + cut, sizeof(text) - 1 - cut, &used2);
                }
                assert_int_equal(r, HTTP_PARSER_DONE);
                assert_int_equal(used + used2, sizeof(text) - 1 - 3);
                assert_string_equal(http_method(p), "POST");
                assert_string_equal(http_target(p), "/v1/signal");
                assert_string_equal(http_header(p, "hOST"), "x");
                assert_string_equal(http_body(p, &n), "abcd");
                assert_int_equal(n, 4);
                assert_true(http_keep_alive(p));
        }
}

static void test_refused(void **state) {
        static const struct {
                HttpKind kind;
                int error;
                const char *text;
        } cases[] = {
                { HTTP_REQUEST, EBADMSG, "GET / HTTP/1.1\nHost: x\r\n\r\n" },
                { HTTP_REQUEST, EBADMSG, "GET  / HTTP/1.1\r\n\r\n" },
                { HTTP_REQUEST, EBADMSG, "GET / HTTP/2.0\r\n\r\n" },
                { HTTP_REQUEST, EBADMSG, "GET http://x/ HTTP/1.1\r\n\r\n" },
                { HTTP_REQUEST, EBADMSG, "\r\n\r\n" },
                { HTTP_REQUEST, EBADMSG, "GET / HTTP/1.1\r\nA : b\r\n\r\n" },
                { HTTP_REQUEST, EBADMSG, "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n" },
                { HTTP_REQUEST, EBADMSG, "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" },
                { HTTP_REQUEST, EBADMSG, "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n" },
                { HTTP_REQUEST, EBADMSG, "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n" },
                { HTTP_REQUEST, EMSGSIZE, "GET / HTTP/1.1\r\nContent-Length: 65\r\n\r\n" },
                { HTTP_REQUEST, EMSGSIZE, "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n" },
                { HTTP_RESPONSE, EBADMSG, "HTTP/1.1 20 OK\r\n\r\n" },
                { HTTP_RESPONSE, EBADMSG, "HTTP/1.1 999 OK\r\n\r\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(http_parser_freep) HttpParser *p = NULL;

                assert_int_equal(feed_all(cases[i].kind, cases[i].text, &p), -cases[i].error);
        }
}

static void test_endless_head(void **state) {
        _cleanup_(http_parser_freep) HttpParser *p = NULL;
        size_t used;
        int r = 0;

        assert_ok(http_parser_new(HTTP_REQUEST, 8192, 64, &p));
        for (int i = 0; i < 100000 && r == 0; i++)
                r = http_parser_feed(p, "GET /aaaa", 9, &used);
        assert_error(r, EMSGSIZE);
}

static void test_response_until_eof(void **state) {
        _cleanup_(http_parser_freep) HttpParser *p = NULL;

        assert_int_equal(feed_all(HTTP_RESPONSE, "HTTP/1.1 200 OK\r\n\r\nabc", &p), 0);
        assert_int_equal(http_parser_eof(p), HTTP_PARSER_DONE);
        assert_string_equal(http_body(p, NULL), "abc");
        assert_int_equal(http_status(p), 200);
}

/* The head of a 101 is all of it; what comes behind it is left. */
static void test_response_switching(void **state) {
        static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nbehind";
        _cleanup_(http_parser_freep) HttpParser *p = NULL;
        size_t used;

        assert_ok(http_parser_new(HTTP_RESPONSE, 8192, 65536, &p));
        assert_int_equal(http_parser_feed(p, answer, sizeof(answer) - 1, &used), HTTP_PARSER_DONE);
        assert_string_equal(answer + used, "behind");
        assert_int_equal(http_status(p), 101);
}

static void test_format(void **state) {
        _cleanup_(http_parser_freep) HttpParser *p = NULL;
        _cleanup_free_ char *s = NULL, *t = NULL;
        size_t n, used;

        assert_ok(http_format_request("PUT", "/actions", "{}", &s, &n));
        assert_ok(http_parser_new(HTTP_REQUEST, 8192, 64, &p));
        assert_int_equal(http_parser_feed(p, s, n, &used), HTTP_PARSER_DONE);
        assert_string_equal(http_body(p, NULL), "{}");
        assert_ok(http_format_response(404, NULL, true, &t, &n));
        assert_string_equal(t, "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_request),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_endless_head),
                cmocka_unit_test(test_response_until_eof),
                cmocka_unit_test(test_response_switching),
                cmocka_unit_test(test_format),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
