/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Guests that do not answer as they should. The VMM's socket is played by a thread, in a tree of its own. */

#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/wire.h"
#include "ctl/guest.h"
#include "json/json.h"
#include "layout/layout.h"
#include "test.h"

#define ULID "01ARZ3NDEKTSV4RRFFQ69G5FAV"
#define JAIL "/var/lib/inferno/vms/kiln/" ULID "/root"
#define PATIENCE (300 * USEC_PER_MSEC)          /* for guests that never answer */
#define LONG (60 * USEC_PER_SEC)                /* for those that do, however busy the machine is */

static char root[] = "/tmp/test-ctl-guest-XXXXXX";

/* What it sends, and does then. */
typedef struct Peer {
        const char *hello;              /* in answer to CONNECT; NULL: closes at once */
        const char *answer;             /* in answer to the request; NULL: closes at once */
        bool endless;                   /* sends the answer again and again */
        bool silent;                    /* sends nothing more, and does not close */
} Peer;

static int listen_fd;

static void *play(void *userdata) {
        const Peer *p = userdata;
        int fd = accept(listen_fd, NULL, NULL);
        char line[4096];

        if (fd < 0)
                return NULL;
        if (p->hello && read(fd, line, sizeof(line)) > 0 && send(fd, p->hello, strlen(p->hello), MSG_NOSIGNAL) > 0) {
                struct pollfd wait = { .fd = fd, .events = POLLRDHUP };

                if (p->answer && read(fd, line, sizeof(line)) > 0)
                        while (send(fd, p->answer, strlen(p->answer), MSG_NOSIGNAL) > 0 && p->endless)
                                ;
                /* Until the other side closes. */
                if (p->silent)
                        (void) poll(&wait, 1, -1);
        }
        close(fd);
        return NULL;
}

static int call(const Peer *peer, uint64_t timeout_usec, json_t **ret, char **ret_error) {
        pthread_t thread;
        int r;

        assert_int_equal(pthread_create(&thread, NULL, play, (void *) peer), 0);
        r = guest_call("web1", "GET", "/v1/status", NULL, timeout_usec, ret, ret_error);
        pthread_join(thread, NULL);
        return r;
}

static int setup(void **state) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        _cleanup_free_ char *current = NULL;

        assert_non_null(mkdtemp(root));
        assert_ok(layout_set_root(root));
        snprintf(a.sun_path, sizeof(a.sun_path), "%s" JAIL "/v.sock", root);
        assert_ok(mkdir_parent_of_at(AT_FDCWD, a.sun_path, 0755));
        current = layout_vm_current("web1");
        assert_ok(mkdir_parent_of_at(AT_FDCWD, current, 0755));
        assert_ok(symlink("../kiln/" ULID, current));
        listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(listen_fd >= 0);
        assert_ok(bind(listen_fd, (struct sockaddr *) &a, sizeof(a)));
        assert_ok(listen(listen_fd, 4));
        return 0;
}

static int teardown(void **state) {
        close(listen_fd);
        return remove_tree_at(AT_FDCWD, root);
}

static void test_answer(void **state) {
        static const Peer good = { "OK 1073741824\n", "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"state\":\"running\"}" };
        _cleanup_json_ json_t *j = NULL;
        _cleanup_free_ char *error = NULL;

        assert_ok(call(&good, LONG, &j, &error));
        assert_string_equal(json_string_value(json_object_get(j, "state")), "running");
        assert_null(error);
}

static void test_wrong_answers(void **state) {
        static const struct {
                Peer peer;
                uint64_t timeout;
                int error;
                const char *said;
        } cases[] = {
                { { NULL }, LONG, ECONNREFUSED, "does not listen" },
                { { "ERR\n" }, LONG, ECONNREFUSED, "does not listen" },
                { { "OK OK OK OK OK OK OK OK OK OK OK OK OK OK OK OK" }, LONG, ECONNREFUSED, "does not listen" },
                { { "OK 1", .silent = true }, PATIENCE, ETIMEDOUT, "no connection" },
                { { "OK 1\n", .silent = true }, PATIENCE, ETIMEDOUT, "nothing within" },
                { { "OK 1\n", "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{", .silent = true }, PATIENCE, ETIMEDOUT, "nothing within" },
                { { "OK 1\n" }, LONG, EBADMSG, "not answer as it should" },
                { { "OK 1\n", "garbage\n" }, LONG, EBADMSG, "not answer as it should" },
                { { "OK 1\n", "\r\n\r\n\r\n", .endless = true }, LONG, EBADMSG, "not answer as it should" },
                { { "OK 1\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{" }, LONG, EBADMSG, "not answer as it should" },
                { { "OK 1\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" }, LONG, EBADMSG, "not answer as it should" },
                { { "OK 1\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" }, LONG, EMSGSIZE, "more than is allowed" },
                { { "OK 1\n", "HTTP/1.1 200 OK\r\n\r\n{}", .endless = true }, LONG, EMSGSIZE, "more than is allowed" },
                { { "OK 1\n", "HTTP/1.1 409 Conflict\r\nContent-Length: 18\r\n\r\n{\"error\":\"\\u001b\"}" }, LONG, EREMOTEIO, "refuses: \\x1b (409)" },
                { { "OK 1\n", "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n[]" }, LONG, EREMOTEIO, "refuses: it does not say why (500)" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *error = NULL;
                json_t *j = NULL;
                int r;

                r = call(&cases[i].peer, cases[i].timeout, &j, &error);
                if (r != -cases[i].error || !error || !strstr(error, cases[i].said))
                        fail_msg("case %zu: %d, %s", i, r, error ?: "nothing said");
                assert_null(j);
        }
}

/* A VM whose guest has escaped owns the directory of the socket. */
static void test_no_socket(void **state) {
        _cleanup_free_ char *socket_path = strjoin(root, JAIL "/v.sock"), *other = strjoin(root, JAIL "/other"), *error = NULL, *error2 = NULL;
        json_t *j;

        assert_error(guest_call("web2", "GET", "/v1/status", NULL, LONG, &j, &error), ENOTCONN);
        assert_ok(rename(socket_path, other));
        assert_ok(symlink("other", socket_path));
        assert_error(guest_call("web1", "GET", "/v1/status", NULL, LONG, &j, &error2), ENOTCONN);
        assert_ok(rename(other, socket_path));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answer),
                cmocka_unit_test(test_wrong_answers),
                cmocka_unit_test(test_no_socket),
        };

        setlocale(LC_CTYPE, "C.UTF-8");
        return cmocka_run_group_tests(tests, setup, teardown);
}
