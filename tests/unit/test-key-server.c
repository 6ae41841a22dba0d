/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "kiln/key-server.h"
#include "test.h"

static char dir[] = "/tmp/inferno-test-keys.XXXXXX";
static sd_event *event;
static KeyServer *server;
static unsigned n_warnings;

static void on_log(int level, const char *line, void *userdata) {
        if (level <= LOG_WARNING)
                n_warnings++;
        assert_null(strstr(line, "c2VjcmV0"));
}

static KilnVolume volumes[] = {
        { (char *) "/dev/vdc", (char *) "one" },
        { (char *) "/dev/vde", (char *) "two" },
};
static KilnConfig config = {
        .firecracker_vsock_uds_path = (char *) "v.sock", .vsock_key_port = 10003, .volumes = volumes, .n_volumes = ELEMENTSOF(volumes),
};

static void put_keys(void) {
        assert_ok(write_file_atomic_at(AT_FDCWD, "one", "secret", 6, 0400, 0));
        assert_ok(write_file_atomic_at(AT_FDCWD, "two", "\0\377", 2, 0400, 0));
}

static int setup(void **state) {
        strcpy(dir + strlen(dir) - 6, "XXXXXX");
        assert_non_null(mkdtemp(dir));
        assert_ok(chdir(dir));
        assert_ok(sd_event_new(&event));
        log_set_function(on_log, NULL);
        n_warnings = 0;
        put_keys();
        assert_ok(key_server_new(event, &config, &server));
        return 0;
}

static int teardown(void **state) {
        server = key_server_free(server);
        event = sd_event_unref(event);
        log_set_function(NULL, NULL);
        assert_ok(chdir("/"));
        return remove_tree_at(AT_FDCWD, dir);
}

static void turn(void) {
        while (sd_event_run(event, 0) > 0)
                ;
}

static int dial(void) {
        const struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "v.sock_10003" };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_ok(fd);
        assert_ok(connect(fd, (const struct sockaddr *) &sa, sizeof(sa)));
        return fd;
}

/* What comes back for these bytes; "" where it was closed without a word. */
static void ask(const char *request, size_t n, char *answer, size_t size) {
        _cleanup_close_ int fd = dial();
        size_t have = 0;

        for (size_t done = 0; done < n;) {
                ssize_t k = send(fd, request + done, n - done, MSG_NOSIGNAL);

                if (k < 0 && errno != EAGAIN)
                        break;
                done += (size_t) MAX(k, (ssize_t) 0);
                turn();
        }
        for (int i = 0; i < 100; i++) {
                ssize_t k;

                turn();
                k = recv(fd, answer + have, size - 1 - have, 0);
                if (k == 0 || (k < 0 && errno == ECONNRESET))
                        break;
                have += (size_t) MAX(k, (ssize_t) 0);
        }
        answer[have] = 0;
}

static void assert_status(const char *request, size_t n, const char *status) {
        char answer[4096], begin[32];
        unsigned before = n_warnings;

        ask(request, n, answer, sizeof(answer));
        snprintf(begin, sizeof(begin), "HTTP/1.1 %s ", status);
        if (!startswith(answer, begin))
                fail_msg("not \"%s\" but: %s", begin, answer);
        assert_null(strstr(answer, "c2VjcmV0"));
        /* Told at least once, and not each time. */
        assert_true(n_warnings > 0 && n_warnings <= before + 1);
}
#define ASSERT_STATUS(request, status) assert_status(request, sizeof(request) - 1, status)
#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void test_once(void **state) {
        char answer[4096];

        assert_true(access("one", F_OK) < 0);
        assert_true(access("two", F_OK) < 0);
        ask(GET("/v1/volume/key?device=/dev/vdc"), strlen(GET("/v1/volume/key?device=/dev/vdc")), answer, sizeof(answer));
        assert_non_null(startswith(answer, "HTTP/1.1 200 OK\r\n"));
        assert_true(endswith(answer, "\r\n\r\n{\"data\":{\"data\":{\"key\":\"c2VjcmV0\"}}}\n"));
        assert_int_equal(n_warnings, 0);
        ASSERT_STATUS(GET("/v1/volume/key?device=/dev/vdc"), "409");
        ask(GET("/v1/volume/key?device=/dev/vde"), strlen(GET("/v1/volume/key?device=/dev/vde")), answer, sizeof(answer));
        assert_true(endswith(answer, "{\"key\":\"AP8=\"}}}\n"));
}

static void test_refused(void **state) {
        static char large[1024 * 1024];
        char answer[4096];
        int fds[6];

        ASSERT_STATUS(GET("/v1/volume/key?device=/dev/vdd"), "403");
        ASSERT_STATUS(GET("/v1/volume/key?device=/dev/vdc&x=1"), "403");
        ASSERT_STATUS(GET("/v1/volume/key?device="), "403");
        ASSERT_STATUS(GET("/v1/volume/key"), "404");
        ASSERT_STATUS(GET("/"), "404");
        ASSERT_STATUS("POST /v1/volume/key?device=/dev/vdc HTTP/1.1\r\n\r\n", "405");
        ASSERT_STATUS("hello\r\n\r\n", "400");
        ASSERT_STATUS(GET("/v1/volume/key?device=/dev/vdc") "x", "400");
        ASSERT_STATUS("GET /v1/volume/key?device=/dev/vdc HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "431");

        memset(large, 'x', sizeof(large));
        memcpy(large, "GET / HTTP/1.1\r\nX: ", 19);
        ask(large, sizeof(large), answer, sizeof(answer));
        assert_true(answer[0] == 0 || startswith(answer, "HTTP/1.1 431 "));

        /* More at once than it takes, and half requests. */
        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = dial();
                turn();
        }
        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                ssize_t k = recv(fds[i], answer, sizeof(answer), 0);

                assert_true(i < 4 ? k < 0 && errno == EAGAIN : k == 0);
        }
        assert_int_equal(send(fds[0], "GET ", 4, MSG_NOSIGNAL), 4);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                safe_close(fds[i]);
        turn();
        ask(GET("/v1/volume/key?device=/dev/vdc"), strlen(GET("/v1/volume/key?device=/dev/vdc")), answer, sizeof(answer));
        assert_non_null(startswith(answer, "HTTP/1.1 200 "));
}

static void test_wiped(void **state) {
        key_server_wipe(server);
        ASSERT_STATUS(GET("/v1/volume/key?device=/dev/vdc"), "404");
        key_server_stop(server);
        assert_true(access("v.sock_10003", F_OK) < 0);
}

static void test_files(void **state) {
        KeyServer *s = NULL;

        assert_true(key_server_new(event, &config, &s) < 0);    /* they are gone */
        put_keys();
        assert_ok(write_file_atomic_at(AT_FDCWD, "one", "", 0, 0400, 0));
        assert_error(key_server_new(event, &config, &s), EBADMSG);
        assert_true(access("one", F_OK) < 0);
        assert_ok(symlink("/etc/passwd", "one"));
        assert_error(key_server_new(event, &config, &s), ELOOP);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_once, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_wiped, setup, teardown),
                cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
