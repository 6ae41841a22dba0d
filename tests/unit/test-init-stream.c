/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/stream.h"
#include "test.h"

typedef struct Fixture {
        Loop loop;
        Stream *stream;
        int host, guest;                /* the host's end of the socket, the workload's of the pipe */
        unsigned n_changes;
} Fixture;

static void on_change(Stream *s) {
        Fixture *f = s->userdata;

        f->n_changes++;
}

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));
        int sockets[2], pipes[2];

        assert_ok(loop_open(&f->loop));
        assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets));
        assert_ok(pipe2(pipes, O_CLOEXEC | O_NONBLOCK));
        f->stream = calloc(1, sizeof(Stream));
        f->stream->changed = on_change;
        f->stream->userdata = f;
        assert_ok(stream_start(f->stream, &f->loop, sockets[0], "stdout\n"));
        assert_ok(stream_attach(f->stream, pipes[0]));
        f->host = sockets[1];
        f->guest = pipes[1];
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        safe_close(f->stream->channel.source.fd);
        safe_close(f->stream->pipe.fd);
        safe_close(f->host);
        safe_close(f->guest);
        safe_close(f->loop.epoll_fd);
        free(f->stream);
        free(f);
        return 0;
}

static void on_timeout(LoopTimer *t) {
        *(bool *) t->userdata = true;
}

/* Turns until nothing happens for a millisecond. */
static void settle(Fixture *f) {
        bool done = false;
        LoopTimer t = { .func = on_timeout, .userdata = &done };

        while (!done) {
                loop_arm(&f->loop, &t, USEC_PER_MSEC);
                assert_ok(loop_turn(&f->loop));
        }
        loop_disarm(&f->loop, &t);
}

static void test_all_arrives(void **state) {
        Fixture *f = *state;
        size_t sent = 0, got = 0;
        static const char header[] = "stdout\n";

        /* Far more than all buffers hold: numbered bytes, so that a lost or repeated one shows. */
        while (got < 4000000 + sizeof(header) - 1) {
                char data[8192];
                ssize_t k;

                for (size_t i = 0; i < sizeof(data); i++)
                        data[i] = (char) ((sent + i) % 251);
                k = sent < 4000000 ? write(f->guest, data, MIN(sizeof(data), 4000000 - sent)) : 0;
                if (k > 0)
                        sent += (size_t) k;
                if (sent == 4000000)
                        f->guest = safe_close(f->guest);
                settle(f);
                k = recv(f->host, data, sizeof(data), 0);
                for (ssize_t i = 0; i < k; i++, got++)
                        if (got < sizeof(header) - 1)
                                assert_int_equal(data[i], header[got]);
                        else
                                assert_int_equal((unsigned char) data[i], (got - sizeof(header) + 1) % 251);
        }
        settle(f);
        assert_true(stream_is_flushed(f->stream));
        assert_int_equal(f->stream->n_bytes, 4000000);
}

/* A host that does not read stops the writer at the pipe, and nothing grows or spins. */
static void test_back_pressure(void **state) {
        Fixture *f = *state;
        static const char data[65536] = { 1 };
        size_t sent = 0;
        ssize_t k;

        do {
                settle(f);
                k = write(f->guest, data, sizeof(data));
                if (k > 0)
                        sent += (size_t) k;
        } while (k > 0 && sent < MIB(16));
        assert_true(k < 0 && errno == EAGAIN);
        assert_true(sent < MIB(16));
        assert_false(f->stream->pipe.added);
        f->guest = safe_close(f->guest);
        settle(f);
        assert_false(stream_is_flushed(f->stream));

        f->host = safe_close(f->host);
        settle(f);
        assert_int_equal(f->stream->channel.state, CHANNEL_CLOSED);
        assert_true(stream_is_flushed(f->stream));
}

/* With the host gone the workload can print on. */
static void test_dropped(void **state) {
        Fixture *f = *state;
        static const char data[65536] = { 1 };

        f->host = safe_close(f->host);
        settle(f);
        assert_true(f->n_changes > 0);
        for (size_t i = 0; i < 10; i++) {
                assert_int_equal(write(f->guest, data, sizeof(data)), sizeof(data));
                settle(f);
        }
        f->guest = safe_close(f->guest);
        settle(f);
        assert_true(stream_is_flushed(f->stream));
}

static void test_timers(void **state) {
        Fixture *f = *state;
        bool a = false, b = false, c = false;
        LoopTimer ta = { .func = on_timeout, .userdata = &a }, tb = { .func = on_timeout, .userdata = &b }, tc = { .func = on_timeout, .userdata = &c };

        settle(f);
        loop_arm(&f->loop, &ta, 20 * USEC_PER_MSEC);
        loop_arm(&f->loop, &tb, 5 * USEC_PER_MSEC);
        loop_arm(&f->loop, &tc, 1 * USEC_PER_MSEC);
        loop_disarm(&f->loop, &tc);
        assert_ok(loop_turn(&f->loop));
        assert_true(b && !a);
        assert_ok(loop_turn(&f->loop));
        assert_true(a);
        assert_false(c);
        assert_null(f->loop.timers);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_all_arrives, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_back_pressure, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_dropped, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_timers, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
