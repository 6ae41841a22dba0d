/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/exec-frame.h"
#include "test.h"

/* All frames of `text`, as one line each, however it is cut. */
static char *parse(FrameSource source, const char *text, size_t n, size_t step) {
        FrameParser p = { .source = source };
        StrBuf b = {};
        char *result;
        int r = 0;

        for (size_t at = 0; at < n && r >= 0; at += step) {
                const char *data = text + at;
                size_t left = MIN(step, n - at);
                static char stream = 0;
                Frame f;

                if (at == 0)
                        stream = 0;
                while ((r = frame_parse(&p, &data, &left, &f)) > 0) {
                        if (f.n > 0) {
                                if (stream != (char) f.type)
                                        strbuf_addf(&b, "%c:", (char) f.type);
                                strbuf_add(&b, f.data, f.n);
                        } else
                                strbuf_addf(&b, "%c(%u,%u,%u,%s)", (char) f.type, f.value, f.rows, f.columns, f.message ?: "-");
                        stream = f.n > 0 ? (char) f.type : 0;
                }
                if (r == 0)
                        assert_int_equal(left, 0);
        }
        strbuf_adds(&b, r < 0 ? "!" : ".");
        assert_ok(strbuf_finish(&b, &result, NULL));
        return result;
}

static void assert_frames(FrameSource source, const char *text, size_t n, const char *expected) {
        for (size_t step = 1; step <= n; step++) {
                _cleanup_free_ char *s = parse(source, text, n, step);

                assert_string_equal(s, expected);
        }
}
#define assert_host(text, expected) assert_frames(FRAMES_OF_HOST, text, sizeof(text) - 1, expected)
#define assert_guest(text, expected) assert_frames(FRAMES_OF_GUEST, text, sizeof(text) - 1, expected)

static void test_host(void **state) {
        assert_host("i\0\0\5helloi\0\0\2, w\0\0\4\0\30\1\0s\0\0\1\17e\0\0\0s\0\0\1\100",
                    "i:hello, w(0,24,256,-)s(15,0,0,-)e(0,0,0,-)s(64,0,0,-).");
        assert_host("o\0\0\1x", "!");                   /* of the other side */
        assert_host("x\0\0\1\0", "!");
        assert_host("?\0\0\0", "!");
        assert_host("i\0\0\0", "!");                    /* empty */
        assert_host("e\0\0\1x", "!");
        assert_host("e\0\0\0i\0\0\1x", "e(0,0,0,-)!");  /* after the end of the input */
        assert_host("e\0\0\0e\0\0\0", "e(0,0,0,-)!");
        assert_host("s\0\0\1\0", "!");
        assert_host("s\0\0\1\101", "!");
        assert_host("s\0\0\2\1\1", "!");
        assert_host("w\0\0\2\0\30", "!");
        assert_host("i\0\177\374", ".");                /* the longest */
        assert_host("i\0\177\375", "!");
        assert_host("i\1\0\0", "!");
}

static void test_guest(void **state) {
        assert_guest("o\0\0\3outr\0\0\3errc\0\0\4\0\0\200\0x\0\0\1\7", "o:outr:errc(32768,0,0,-)x(7,0,0,).");
        assert_guest("x\0\0\3\177no", "x(127,0,0,no).");
        assert_guest("x\0\0\1\0o\0\0\1x", "x(0,0,0,)!");        /* behind the last */
        assert_guest("x\0\0\0", "!");
        assert_guest("x\0\0\3\0n\0", "!");
        assert_guest("x\0\4\2", "!");
        assert_guest("c\0\0\4\0\0\0\0", "!");
        assert_guest("c\0\0\4\0\0\200\1", "!");
        assert_guest("i\0\0\1x", "!");
        assert_guest("HTTP/1.1 200 OK\r\n\r\n", "!");
}

/* What is written is what is read. */
static void test_write(void **state) {
        char frame[FRAME_EXIT_MAX], *s;
        char longer[FRAME_MESSAGE_MAX + 10];

        s = parse(FRAMES_OF_HOST, frame, frame_window(frame, 24, 65535), 100);
        assert_string_equal(s, "w(0,24,65535,-).");
        free(s);
        s = parse(FRAMES_OF_HOST, frame, frame_signal(frame, 15), 100);
        assert_string_equal(s, "s(15,0,0,-).");
        free(s);
        s = parse(FRAMES_OF_HOST, frame, frame_stdin_end(frame), 100);
        assert_string_equal(s, "e(0,0,0,-).");
        free(s);
        s = parse(FRAMES_OF_GUEST, frame, frame_credit(frame, 32768), 100);
        assert_string_equal(s, "c(32768,0,0,-).");
        free(s);
        s = parse(FRAMES_OF_GUEST, frame, frame_exit(frame, 255, "why"), 100);
        assert_string_equal(s, "x(255,0,0,why).");
        free(s);
        memset(longer, 'a', sizeof(longer) - 1);
        longer[sizeof(longer) - 1] = 0;
        s = parse(FRAMES_OF_GUEST, frame, frame_exit(frame, 1, longer), 5000);
        assert_int_equal(strlen(s), strlen("x(1,0,0,).") + FRAME_MESSAGE_MAX);
        free(s);
        memcpy(frame + FRAME_HEADER_SIZE, "abc", 3);
        frame_header(frame, FRAME_STDOUT, 3);
        s = parse(FRAMES_OF_GUEST, frame, FRAME_HEADER_SIZE + 3, 100);
        assert_string_equal(s, "o:abc.");
        free(s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_host),
                cmocka_unit_test(test_guest),
                cmocka_unit_test(test_write),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
