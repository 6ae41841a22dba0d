/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ember's pieces that talk to others: the loop, the API, QEMU's process and monitor. */

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "json/json.h"
#include "test.h"
#include "vmm/api-server.h"
#include "vmm/metrics.h"
#include "vmm/qemu-process.h"
#include "vmm/qmp.h"
#include "vmm/tsc.h"

static char directory[] = "/tmp/test-ember.XXXXXX";
static bool have_directory = false;
static EventLoop *loop;

static int set_up(void **state) {
        if (!have_directory) {
                assert_non_null(mkdtemp(directory));
                assert_ok(chdir(directory));
                have_directory = true;
        }
        return event_loop_new(&loop);
}

static int tear_down(void **state) {
        loop = event_loop_free(loop);
        return 0;
}

static void run(void) {
        for (int i = 0; i < 16; i++)
                assert_ok(event_loop_run_once(loop, 0));
}

/* --- loop --- */

static EventSource sources[2];
static int calls;

/* Whoever is called first removes the other, whose event has come already. */
static int remove_other(EventSource *source, uint32_t events) {
        calls++;
        event_source_remove(&sources[source == &sources[0]]);
        return 0;
}

static void test_removal_in_dispatch(void **state) {
        int a[2], b[2];

        assert_ok(pipe(a));
        assert_ok(pipe(b));
        assert_ok(event_source_add(&sources[0], loop, a[0], EPOLLIN, remove_other));
        assert_ok(event_source_add(&sources[1], loop, b[0], EPOLLIN, remove_other));
        assert_int_equal(write(a[1], "", 1) + write(b[1], "", 1), 2);
        calls = 0;
        assert_ok(event_loop_run_once(loop, 0));
        assert_int_equal(calls, 1);
        for (size_t i = 0; i < 2; i++) {
                event_source_remove(&sources[i]);
                event_source_remove(&sources[i]);
                close(a[i]);
                close(b[i]);
        }
}

static EventTimer timers[3];

static int on_timer(EventTimer *t) {
        calls++;
        event_timer_remove(&timers[2]);
        return 0;
}

static void test_timers(void **state) {
        uint64_t begin = now_usec();

        /* Both are due, and the one that comes first removes the other. */
        calls = 0;
        event_timer_set(&timers[2], loop, begin + 1, on_timer);
        event_timer_set(&timers[1], loop, begin + 1, on_timer);
        assert_ok(event_loop_run_once(loop, UINT64_MAX));
        assert_int_equal(calls, 1);
        begin = now_usec();
        event_timer_set(&timers[0], loop, begin + 20000, on_timer);
        assert_ok(event_loop_run_once(loop, UINT64_MAX));
        assert_int_equal(calls, 2);
        assert_true(now_usec() - begin >= 20000);
        event_timer_remove(&timers[0]);
}

/* Two measurements of one counter agree. */
static void test_tsc(void **state) {
        TscSample a, b, c;
        unsigned first, second;

        tsc_sample(&a);
        usleep(20000);
        tsc_sample(&b);
        usleep(20000);
        tsc_sample(&c);
        first = tsc_khz(&a, &b);
        second = tsc_khz(&b, &c);
        assert_true((first == 0) == (second == 0));
        assert_true(llabs((long long) first - (long long) second) <= first / 1000);
        assert_int_equal(tsc_khz(&b, &b), 0);
        assert_int_equal(tsc_khz(&b, &a), 0);
}

/* --- API --- */

static void test_requests(void **state) {
        static const struct {
                const char *method, *target, *body;
                int expected;           /* ApiRequest or negative errno */
        } cases[] = {
                { "GET", "/", "", API_GET_INSTANCE },
                { "GET", "/version", "", API_GET_VERSION },
                { "GET", "/machine-config", "", API_GET_MACHINE_CONFIG },
                { "GET", "/vm/config", "", API_GET_VM_CONFIG },
                { "PUT", "/actions", "{\"action_type\":\"FlushMetrics\"}", API_FLUSH_METRICS },
                { "PUT", "/actions", "{\"action_type\":\"SendCtrlAltDel\"}", API_SEND_CTRL_ALT_DEL },
                { "PUT", "/actions", "{\"action_type\":\"InstanceStart\"}", -EBADMSG },
                { "PUT", "/actions", "{\"action_type\":\"Explode\"}", -EBADMSG },
                { "PUT", "/actions", "{\"action_type\":\"FlushMetrics\",\"x\":1}", -EBADMSG },
                { "PUT", "/actions", "{", -EBADMSG },
                { "PUT", "/actions", "", -EBADMSG },
                { "GET", "/", "x", -EBADMSG },
                { "PUT", "/drives/a", "{}", -EBADMSG },
                { "PATCH", "/vm", "{}", -EBADMSG },
                { "DELETE", "/drives/a", "", -EBADMSG },
                { "POST", "/", "", -EBADMSG },
                { "GET", "/nonsense", "", -EBADMSG },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char fault[API_FAULT_MAX] = "";
                ApiRequest request;
                int r = api_parse_request(cases[i].method, cases[i].target, cases[i].body, strlen(cases[i].body), &request, fault);

                assert_int_equal(r < 0 ? r : (int) request, cases[i].expected);
                assert_true((r < 0) == (*fault != 0));
        }
}

static ApiServer *server;
static uint64_t later;                  /* the client whose request is not answered at once */

static void on_request(ApiRequest request, uint64_t client, void *userdata) {
        if (request == API_FLUSH_METRICS)
                later = client;
        else
                api_server_respond(server, client, 200, "{}");
}

static int dial(void) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "api" };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_ok(connect(fd, (struct sockaddr *) &sa, sizeof(sa)));
        return fd;
}

static void say(int fd, const char *text) {
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        run();
}

static void assert_heard(int fd, const char *expected) {
        char text[1024];
        ssize_t n = read(fd, text, sizeof(text) - 1);

        assert_true(n > 0);
        text[n] = 0;
        if (!startswith(text, expected))
                fail_msg("\"%s\" does not begin with \"%s\"", text, expected);
}

#define FLUSH "PUT /actions HTTP/1.1\r\nContent-Length: 30\r\n\r\n{\"action_type\":\"FlushMetrics\"}"

static void test_api_server(void **state) {
        int fd, fds[12];
        char c;

        (void) unlink("api");
        assert_ok(api_server_new(loop, "api", 64, on_request, NULL, &server));
        assert_error(api_server_new(loop, "api", 64, on_request, NULL, &server), EADDRINUSE);

        fd = dial();
        say(fd, "GET / HTTP/1.1\r\n\r\n");
        assert_heard(fd, "HTTP/1.1 200 OK\r\n");
        say(fd, "GET /no");
        say(fd, " HTTP/1.1\r\n\r\n");
        assert_heard(fd, "HTTP/1.1 400 Bad Request\r\n");
        /* Answered later, and the one behind it in order. */
        say(fd, FLUSH "GET / HTTP/1.1\r\n\r\n");
        assert_int_equal(read(fd, &c, 1), -1);
        api_server_respond(server, later, 204, NULL);
        run();
        assert_heard(fd, "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK");
        /* A client that does not wait for its answer. */
        say(fd, FLUSH);
        close(fd);
        run();
        api_server_respond(server, later, 204, NULL);

        fd = dial();
        say(fd, "PUT /actions HTTP/1.1\r\nContent-Length: 65\r\n\r\n");
        assert_heard(fd, "HTTP/1.1 413 ");
        assert_int_equal(read(fd, &c, 1), 0);
        close(fd);
        fd = dial();
        say(fd, "EHLO\r\n\r\n");
        assert_heard(fd, "HTTP/1.1 400 ");
        assert_int_equal(read(fd, &c, 1), 0);
        close(fd);

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = dial();
                run();
        }
        assert_heard(fds[11], "HTTP/1.1 503 ");
        say(fds[9], "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
        assert_heard(fds[9], "HTTP/1.1 200 OK\r\nConnection: close\r\n");
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close(fds[i]);
        run();
        server = api_server_free(server);
}

/* --- QEMU --- */

static void test_process(void **state) {
        char *good[] = { (char *) "/bin/sh", (char *) "-c", (char *) "read x <&5; [ \"$x\" = hello ] && [ -z \"$HOME\" ] && ! { true >&6; } 2>/dev/null && exit 7", NULL };
        char *bad[] = { (char *) "/no/such/program", NULL };
        int p[2], status, extra = fcntl(0, F_DUPFD, 6);
        QemuProcess q;

        assert_ok(pipe2(p, O_CLOEXEC));
        assert_int_equal(write(p[1], "hello\n", 6), 6);
        assert_ok(qemu_process_start(good, (const int[]) { p[1], p[1], p[0] }, 3, 3, &q));
        assert_ok(qemu_process_reap(&q, &status));
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 7);
        qemu_process_done(&q);
        assert_error(qemu_process_start(bad, NULL, 0, 3, &q), ENOENT);
        close(p[0]);
        close(p[1]);
        close(extra);
}

static void test_process_dies_with_us(void **state) {
        char *sleeper[] = { (char *) "/bin/sleep", (char *) "60", NULL };
        int p[2], status;
        pid_t pid, child = 0;

        assert_ok(pipe2(p, O_CLOEXEC));
        pid = fork();
        if (pid == 0) {
                QemuProcess q;

                if (qemu_process_start(sleeper, NULL, 0, 3, &q) < 0 || write(p[1], &q.pid, sizeof(q.pid)) < 0)
                        _exit(1);
                pause();
        }
        assert_int_equal(read(p[0], &child, sizeof(child)), sizeof(child));
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        close(p[1]);
        /* The child holds no end of our pipe, so watch the process itself. */
        for (int i = 0; i < 500 && kill(child, 0) == 0; i++) {
                char path[64];
                _cleanup_free_ char *stat = NULL;

                snprintf(path, sizeof(path), "/proc/%d/stat", child);
                if (read_file_at(AT_FDCWD, path, 4096, &stat, NULL) < 0 || strstr(stat, ") Z"))
                        break;
                usleep(10000);
                assert_int_not_equal(i, 499);
        }
        close(p[0]);
}

static char seen[256];

static int on_event(const char *event, json_t *data, void *userdata) {
        strncat(seen, event, sizeof(seen) - strlen(seen) - 1);
        strcat(seen, " ");
        return 0;
}

static void on_reply(json_t *result, void *userdata) {
        snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s=%s ", (const char *) userdata,
                        result ? json_string_value(result) ?: "?" : "none");
}

static void test_qmp(void **state) {
        Qmp *q;
        int pair[2];
        char text[1024];
        ssize_t n;

        assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
        assert_ok(qmp_new(loop, pair[1], on_event, NULL, &q));
        assert_ok(qmp_command(q, "a", NULL, on_reply, (void *) "a"));
        assert_ok(qmp_command(q, "b", json_pack("{s:i}", "x", 1), on_reply, (void *) "b"));
        assert_ok(qmp_command(q, "c", NULL, on_reply, (void *) "c"));
        n = read(pair[0], text, sizeof(text) - 1);
        assert_true(n > 0);
        text[n] = 0;
        assert_string_equal(text, "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"a\"}\n{\"arguments\":{\"x\":1},\"execute\":\"b\"}\n{\"execute\":\"c\"}\n");

        *seen = 0;
        say(pair[0], "{\"QMP\": {\"version\": {}}}\r\n{\"return\": {}}\r\n{\"return\": \"1\"}\r\n{\"event\": \"STOP\"}\r\n{\"error\": {\"desc\":");
        assert_string_equal(seen, "a=1 STOP ");
        say(pair[0], " \"no\"}}\r\n");
        assert_string_equal(seen, "a=1 STOP b=none ");
        close(pair[0]);
        run();
        assert_string_equal(seen, "a=1 STOP b=none c=none ");
        assert_error(qmp_command(q, "d", NULL, NULL, NULL), EPIPE);
        qmp_free(q);

        /* Nonsense, and lines without end. */
        assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
        assert_ok(qmp_new(loop, pair[1], on_event, NULL, &q));
        assert_int_equal(write(pair[0], "nonsense\n", 9), 9);
        assert_error(event_loop_run_once(loop, 0), EBADMSG);
        qmp_free(q);
        close(pair[0]);
}

static void test_metrics(void **state) {
        static const char config[] = "{\"boot-source\":{\"kernel_image_path\":\"k\"},\"drives\":[{\"drive_id\":\"rootfs\",\"path_on_host\":\"r\","
                                     "\"is_root_device\":false}],\"metrics\":{\"metrics_path\":\"m\",\"emit_id\":true,\"properties\":{\"a\":\"b\"}}}";
        _cleanup_(vmm_config_freep) VmmConfig *c = NULL;
        _cleanup_json_ json_t *stats = NULL, *line = NULL;
        char error[JSON_ERROR_MAX], text[4096], *second;
        VsockCounters vsock = { .tx_bytes_count = 100 };
        Metrics *m;
        int p[2];
        ssize_t n;

        assert_ok(vmm_config_parse(config, sizeof(config) - 1, &c, error));
        assert_ok(pipe2(p, O_CLOEXEC));
        assert_ok(metrics_new(p[1], c, "id-1", &m));
        static const char blockstats[] = "[{\"node-name\":\"drive0\",\"stats\":{\"rd_bytes\":512,\"rd_operations\":1}},{\"node-name\":\"other\"}, 7]";
        assert_ok(json_parse(blockstats, sizeof(blockstats) - 1, 1024, &stats, error));
        metrics_set_blockstats(m, stats);
        assert_ok(metrics_write(m, &vsock));
        vsock.tx_bytes_count = 130;
        metrics_set_blockstats(m, NULL);
        assert_ok(metrics_write(m, &vsock));
        n = read(p[0], text, sizeof(text) - 1);
        assert_true(n > 0);
        text[n] = 0;
        second = strchr(text, '\n') + 1;
        assert_ok(json_parse(text, (size_t) (second - text), 4096, &line, error));
        assert_int_equal(json_integer_value(json_object_get(json_object_get(line, "block_rootfs"), "read_bytes")), 512);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(line, "vsock"), "tx_bytes_count")), 100);
        assert_string_equal(json_string_value(json_object_get(line, "id")), "id-1");
        /* Each line counts from the one before. */
        assert_non_null(strstr(second, "\"tx_bytes_count\":30,"));
        assert_non_null(strstr(second, "\"read_bytes\":0,"));
        metrics_free(m);
        close(p[0]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_removal_in_dispatch, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_timers, set_up, tear_down),
                cmocka_unit_test(test_tsc),
                cmocka_unit_test_setup_teardown(test_requests, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_api_server, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_process, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_process_dies_with_us, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_qmp, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_metrics, set_up, tear_down),
        };
        int r = cmocka_run_group_tests(tests, NULL, NULL);

        (void) unlink("api");
        (void) rmdir(directory);
        return r;
}
