/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/wire.h"
#include "init/api.h"
#include "test.h"

typedef struct Fixture {
        Loop loop;
        ApiBackend backend;
        ApiServer *server;
        struct sockaddr_un address;
        socklen_t n_address;
        int last_signal;
        bool gone;                      /* no workload */
        int exec_result, exec_fd;
        char *exec_user;
} Fixture;

static char *give_status(void *userdata) {
        return strdup("{\"state\":\"running\"}\n");
}

static int take_signal(void *userdata, int signo) {
        Fixture *f = userdata;

        if (f->gone)
                return -ESRCH;
        f->last_signal = signo;
        return 0;
}

static int take_exec(void *userdata, const ExecRequest *request, int fd) {
        Fixture *f = userdata;

        f->exec_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        assert_ok(free_and_strdup(&f->exec_user, request->user));
        return f->exec_result;
}

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_ok(loop_open(&f->loop));
        f->backend = (ApiBackend) { .status = give_status, .metrics = give_status, .signal = take_signal, .exec = take_exec, .userdata = f };
        f->exec_fd = -EBADF;
        f->address.sun_family = AF_UNIX;
        assert_ok(bind(fd, (struct sockaddr *) &f->address, sizeof(sa_family_t)));      /* an abstract address of the kernel's choice */
        f->n_address = sizeof(f->address);
        assert_ok(getsockname(fd, (struct sockaddr *) &f->address, &f->n_address));
        assert_ok(listen(fd, 100));
        assert_ok(api_server_new(&f->loop, &f->backend, fd, &f->server));
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        api_server_free(f->server);
        assert_null(f->loop.timers);
        safe_close(f->loop.epoll_fd);
        safe_close(f->exec_fd);
        free(f->exec_user);
        free(f);
        return 0;
}

static int dial(Fixture *f) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_ok(connect(fd, (struct sockaddr *) &f->address, f->n_address));
        return fd;
}

static void on_timeout(LoopTimer *t) {
        *(bool *) t->userdata = true;
}

/* Turns until nothing happens for 10 ms. */
static void settle(Fixture *f) {
        bool done = false;
        LoopTimer t = { .func = on_timeout, .userdata = &done };

        while (!done) {
                loop_arm(&f->loop, &t, 10 * USEC_PER_MSEC);
                assert_ok(loop_turn(&f->loop));
        }
}

/* Sends, and returns what came back; *ret_closed says whether the connection has ended. */
static char *talk(Fixture *f, int fd, const char *request, size_t n, bool *ret_closed) {
        static char answer[262144];
        size_t got = 0;
        ssize_t k;

        for (size_t sent = 0; sent < n;) {
                k = send(fd, request + sent, n - sent, MSG_NOSIGNAL);
                if (k < 0 && errno == EPIPE)
                        break;
                if (k > 0)
                        sent += (size_t) k;
                settle(f);
        }
        settle(f);
        while ((k = recv(fd, answer + got, sizeof(answer) - 1 - got, 0)) > 0) {
                got += (size_t) k;
                settle(f);
        }
        *ret_closed = k == 0 || (k < 0 && errno != EAGAIN);
        answer[got] = 0;
        return answer;
}

static void test_routes(void **state) {
        static const struct {
                const char *method, *target, *body;
                unsigned status;
                int signal;
        } cases[] = {
                { "GET", "/v1/ping", "", 200, 0 },
                { "GET", "/v1/status", "", 200, 0 },
                { "GET", "/v1/metrics", "", 200, 0 },
                { "POST", "/v1/signal", "{\"signal\":15}", 200, 15 },
                { "POST", "/v1/signal", "{\"signal\":64}", 200, 64 },
                { "POST", "/v1/signal", "{\"signal\":0}", 400, 0 },
                { "POST", "/v1/signal", "{\"signal\":65}", 400, 0 },
                { "POST", "/v1/signal", "{\"signal\":\"TERM\"}", 400, 0 },
                { "POST", "/v1/signal", "{\"signal\":9,\"all\":true}", 400, 0 },
                { "POST", "/v1/signal", "{\"signal\":9}x", 400, 0 },
                { "POST", "/v1/signal", "{}", 400, 0 },
                { "POST", "/v1/signal", "", 400, 0 },
                { "GET", "/v1/signal", "", 405, 0 },
                { "POST", "/v1/ping", "", 405, 0 },
                { "DELETE", "/v1/status", "", 405, 0 },
                { "GET", "/", "", 404, 0 },
                { "GET", "/v1/ping/", "", 404, 0 },
                { "GET", "/v1/file", "", 404, 0 },
                { "GET", "/v1/files", "", 405, 0 },
                { "POST", "/v1/files", "", 400, 0 },
                { "POST", "/v1/files", "{}", 400, 0 },
                { "POST", "/v1/files", "{\"action\":\"read\"}", 400, 0 },
                { "POST", "/v1/files", "{\"action\":\"remove\",\"path\":\"/a\"}", 400, 0 },
                { "POST", "/v1/files", "{\"action\":7,\"path\":\"/a\"}", 400, 0 },
                { "POST", "/v1/files", "{\"action\":\"read\",\"path\":\"\"}", 400, 0 },
                { "POST", "/v1/files", "{\"action\":\"read\",\"path\":\"/a\",\"name\":\"a/b\"}", 400, 0 },
                { "POST", "/v1/files", "{\"action\":\"read\",\"path\":\"/a\",\"name\":\"..\"}", 400, 0 },
                { "POST", "/v1/files", "{\"action\":\"write\",\"path\":\"/a\",\"name\":\".\"}", 400, 0 },
                { "POST", "/v1/files", "{\"action\":\"read\",\"path\":\"/a\",\"argv\":[\"sh\"]}", 400, 0 },
                { "GET", "/v1/exec", "", 405, 0 },
                { "POST", "/v1/exec", "", 400, 0 },
                { "POST", "/v1/exec", "{}", 400, 0 },
                { "POST", "/v1/exec", "{\"argv\":[]}", 400, 0 },
                { "POST", "/v1/exec", "{\"argv\":[\"\"]}", 400, 0 },
                { "POST", "/v1/exec", "{\"argv\":\"sh\"}", 400, 0 },
                { "POST", "/v1/exec", "{\"argv\":[\"sh\"],\"root\":true}", 400, 0 },
                { "POST", "/v1/exec", "{\"argv\":[\"sh\"],\"env\":[\"A\"]}", 400, 0 },
                { "POST", "/v1/exec", "{\"argv\":[\"sh\"],\"env\":[\"=A\"]}", 400, 0 },
                { "POST", "/v1/exec", "{\"argv\":[\"sh\"],\"cwd\":\"tmp\"}", 400, 0 },
                { "POST", "/v1/exec", "{\"argv\":[\"sh\"],\"terminal\":true,\"rows\":65536}", 400, 0 },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *body = NULL;

                f->last_signal = 0;
                assert_int_equal(api_handle(&f->backend, cases[i].method, cases[i].target, cases[i].body, strlen(cases[i].body), 7, &body),
                                cases[i].status);
                assert_int_equal(f->last_signal, cases[i].signal);
                assert_non_null(body);
        }
        f->gone = true;
        _cleanup_free_ char *body = NULL;
        assert_int_equal(api_handle(&f->backend, "POST", "/v1/signal", "{\"signal\":15}", 13, 7, &body), 409);
}

static void test_connection(void **state) {
        static const char ping[] = "GET /v1/ping HTTP/1.1\r\n\r\n";
        static const char both[] = "GET /v1/ping HTTP/1.1\r\n\r\nPOST /v1/signal HTTP/1.1\r\nConnection: close\r\nContent-Length: 13\r\n\r\n{\"signal\":10}";
        Fixture *f = *state;
        bool closed;
        int fd = dial(f);
        char *s;

        /* kept open, and answered however it is cut */
        s = talk(f, fd, ping, 7, &closed);
        assert_string_equal(s, "");
        s = talk(f, fd, ping + 7, sizeof(ping) - 1 - 7, &closed);
        assert_non_null(startswith(s, "HTTP/1.1 200 OK\r\n"));
        assert_non_null(strstr(s, "{\"status\":\"ok\"}"));
        assert_false(closed);
        /* two at once, then closed as asked */
        s = talk(f, fd, both, sizeof(both) - 1, &closed);
        assert_non_null(strstr(s + 1, "HTTP/1.1 200 OK\r\nConnection: close"));
        assert_true(closed);
        assert_int_equal(f->last_signal, 10);
        safe_close(fd);
}

static void test_malformed(void **state) {
        static const struct {
                const char *request, *answer;
        } cases[] = {
                { "NONSENSE\r\n\r\n", "HTTP/1.1 400 " },
                { "GET /v1/ping HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 400 " },
                { "POST /v1/signal HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n", "HTTP/1.1 413 " },
        };
        Fixture *f = *state;
        bool closed;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int fd = dial(f);

                assert_non_null(startswith(talk(f, fd, cases[i].request, strlen(cases[i].request), &closed), cases[i].answer));
                assert_true(closed);
                safe_close(fd);
        }
}

/* The connection is another's from the moment on at which that one takes it; otherwise it goes on. */
static void test_exec(void **state) {
#define EXEC "POST /v1/exec HTTP/1.1\r\nContent-Length: 40\r\n\r\n{\"argv\":[\"sh\",\"-c\",\"true\"],\"user\":\"www\"}"
        static const char request[] = EXEC, early[] = EXEC "i";
        static const struct {
                int result;
                const char *answer;
        } cases[] = {
                { -ESRCH, "HTTP/1.1 409 " },
                { -EBUSY, "HTTP/1.1 503 " },
                { -ENOMEM, "HTTP/1.1 500 " },
        };
        Fixture *f = *state;
        bool closed;
        int fd = dial(f);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                f->exec_result = cases[i].result;
                assert_non_null(startswith(talk(f, fd, request, sizeof(request) - 1, &closed), cases[i].answer));
                assert_false(closed);
                f->exec_fd = safe_close(f->exec_fd);
        }
        f->exec_result = 0;
        assert_string_equal(talk(f, fd, request, sizeof(request) - 1, &closed), "");
        assert_false(closed);
        assert_string_equal(f->exec_user, "www");
        assert_int_equal(send(f->exec_fd, "x", 1, 0), 1);
        assert_string_equal(talk(f, fd, "i", 1, &closed), "x");
        assert_int_equal(recv(f->exec_fd, &(char) { 0 }, 1, 0), 1);
        f->exec_fd = safe_close(f->exec_fd);
        safe_close(fd);

        fd = dial(f);
        assert_non_null(startswith(talk(f, fd, early, sizeof(early) - 1, &closed), "HTTP/1.1 400 "));
        assert_int_equal(f->exec_fd, -EBADF);
        safe_close(fd);
}

static void test_endless_header(void **state) {
        static char header[100000];
        Fixture *f = *state;
        bool closed;
        int fd = dial(f);

        memset(header, 'a', sizeof(header));
        memcpy(header, "GET /", 5);
        (void) talk(f, fd, header, sizeof(header), &closed);
        assert_true(closed);
        safe_close(fd);
}

/* More connections than places: the others wait and are served when one is free. */
static void test_many(void **state) {
        static const char ping[] = "GET /v1/ping HTTP/1.1\r\n\r\n";
        Fixture *f = *state;
        int fds[API_CONNECTIONS_MAX + 4];
        bool closed;

        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = dial(f);
        settle(f);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                const char *s = talk(f, fds[i], ping, sizeof(ping) - 1, &closed);

                if (i < API_CONNECTIONS_MAX)
                        assert_non_null(startswith(s, "HTTP/1.1 200"));
                else
                        assert_string_equal(s, "");
        }
        for (size_t i = 0; i < 4; i++)
                safe_close(fds[i]);
        for (size_t i = API_CONNECTIONS_MAX; i < ELEMENTSOF(fds); i++)
                assert_non_null(startswith(talk(f, fds[i], "", 0, &closed), "HTTP/1.1 200"));
        for (size_t i = 4; i < ELEMENTSOF(fds); i++)
                safe_close(fds[i]);
        settle(f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_routes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_connection, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_malformed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_exec, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_endless_header, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
