/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/http.h"
#include "base/sanitizer.h"
#include "base/str.h"
#include "kiln-guest.h"

enum { FAILED = 99 };

typedef struct Guest {
        int vsock, api;                 /* listeners of the VMM */
        int status, out, err;           /* connections of init */
        unsigned n_pings, n_signals, n_cads, n_flushes, n_infos;
        bool deaf;                      /* does not answer the guest's API */
} Guest;

static _noreturn_ void fail(const char *what) {
        fprintf(stderr, "guest: %s: %s\n", what, strerror(errno));
        exit(FAILED);
}

static int stream_socket(const char *path, struct sockaddr_un *sa) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                fail("socket");
        *sa = (struct sockaddr_un) { .sun_family = AF_UNIX };
        snprintf(sa->sun_path, sizeof(sa->sun_path), "%s", path);
        return fd;
}

static int listen_at(const char *path) {
        struct sockaddr_un sa;
        int fd = stream_socket(path, &sa);

        if (bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(fd, 16) < 0)
                fail(path);
        return fd;
}

static int connect_port(unsigned port) {
        char path[64];
        struct sockaddr_un sa;
        int fd;

        snprintf(path, sizeof(path), "v.sock_%u", port);
        fd = stream_socket(path, &sa);
        if (connect(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0)
                fail(path);
        return fd;
}

static void put(int fd, const char *text) {
        if (write_full(fd, text, strlen(text)) < 0)
                fail("write");
}

static void sleep_msec(unsigned msec) {
        struct timespec ts = { msec / 1000, (long) (msec % 1000) * 1000000 };

        (void) nanosleep(&ts, NULL);
}

/* One HTTP message of a connection; what belongs to the guest first has its CONNECT line. */
static void serve_one(Guest *g, int listener, bool vsock) {
        _cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        _cleanup_(http_parser_freep) HttpParser *p = NULL;
        _cleanup_free_ char *answer = NULL;
        size_t n, used;
        const char *body = NULL;
        char buf[1024];
        ssize_t k;
        int r;

        if (fd < 0)
                fail("accept");
        if (vsock) {
                size_t i = 0;

                do
                        if (read(fd, buf + i, 1) != 1)
                                return;
                while (buf[i++] != '\n' && i < 32);
                buf[i] = 0;
                if (!streq(buf, "CONNECT 10002\n"))
                        fail("CONNECT");
                if (g->deaf) {
                        (void) TAKE_FD(fd);     /* taken, and then nothing */
                        return;
                }
                put(fd, "OK 1073741824\n");
        }
        if (http_parser_new(HTTP_REQUEST, 8192, 8192, &p) < 0)
                fail("parser");
        do {
                k = read(fd, buf, sizeof(buf));
                if (k <= 0)
                        return;
                r = http_parser_feed(p, buf, (size_t) k, &used);
        } while (r == 0);
        if (r < 0)
                fail("request");

        r = 200;
        if (vsock && streq(http_target(p), "/v1/ping"))
                g->n_pings++;
        else if (vsock && streq(http_target(p), "/v1/signal") && streq(http_method(p), "POST") && streq(http_body(p, NULL), "{\"signal\":15}"))
                g->n_signals++;
        else if (!vsock && streq(http_target(p), "/actions") && strstr(http_body(p, NULL), "\"SendCtrlAltDel\"")) {
                g->n_cads++;
                r = 204;
        } else if (!vsock && streq(http_target(p), "/actions") && strstr(http_body(p, NULL), "\"FlushMetrics\"")) {
                int m = open("vmm.metrics.fifo", O_RDWR | O_NONBLOCK | O_CLOEXEC);

                put(m, "{\"api_server\":{}}\n");
                close(m);
                g->n_flushes++;
                r = 204;
        } else if (!vsock && streq(http_target(p), "/") && streq(http_method(p), "GET")) {
                body = "{\"app_name\":\"ember\",\"id\":\"x\",\"state\":\"Running\",\"vmm_version\":\"0.1.0\",\"accelerator\":\"tcg\"}";
                g->n_infos++;
        } else
                r = 404;
        if (http_format_response((unsigned) r, body, true, &answer, &n) < 0)
                fail("answer");
        (void) send(fd, answer, n, MSG_NOSIGNAL);       /* who asked may have gone */
}

/* Answers whoever calls until *count is at least n; false after that much time. */
static bool serve_until(Guest *g, const unsigned *count, unsigned n, int msec) {
        while (*count < n) {
                struct pollfd p[] = { { g->vsock, POLLIN, 0 }, { g->api, POLLIN, 0 } };

                if (poll(p, ELEMENTSOF(p), msec) <= 0)
                        return false;
                if (p[0].revents)
                        serve_one(g, g->vsock, true);
                if (p[1].revents)
                        serve_one(g, g->api, false);
        }
        return true;
}

static void boot(Guest *g) {
        g->status = connect_port(10001);
        g->out = connect_port(10000);
        g->err = connect_port(10000);
        put(g->out, "stdout\n");
        put(g->err, "std");             /* cut as a network may cut it */
        put(g->err, "err\n");
        put(g->status, "{\"state\":\"booted\"}\n");
}

static void boot_and_start(Guest *g) {
        boot(g);
        put(g->status, "{\"state\":\"started\",\"pid\":87}\n");
}

/* Until kiln closes; Firecracker would not show it a half-close. */
static void wait_closed(int fd, const char *what) {
        struct pollfd p = { fd, POLLIN, 0 };
        char c;

        if (poll(&p, 1, 12000) <= 0 || read(fd, &c, 1) > 0)
                fail(what);
}

static int finish(Guest *g, unsigned code, unsigned signo, const char *more, uint64_t out_bytes, uint64_t err_bytes) {
        char line[512];

        snprintf(line, sizeof(line), "{\"state\":\"exited\",\"exit_code\":%u,\"signal\":%u%s,\"stdout_bytes\":%llu,\"stderr_bytes\":%llu}\n",
                 code, signo, more, (unsigned long long) out_bytes, (unsigned long long) err_bytes);
        put(g->status, line);
        wait_closed(g->out, "stdout is not closed");
        wait_closed(g->err, "stderr is not closed");
        wait_closed(g->status, "status is not closed");
        return 0;
}

/* --- the plays --- */

static int play_exit_0(Guest *g) {
        boot_and_start(g);
        return finish(g, 0, 0, "", 0, 0);
}

static int play_exit_7(Guest *g) {
        boot(g);
        if (!serve_until(g, &g->n_infos, 1, 5000))
                return FAILED;
        sleep_msec(100);
        put(g->status, "{\"state\":\"started\",\"pid\":87}\n");
        put(g->out, "hello\n");
        return finish(g, 7, 0, "", 6, 0);
}

static int play_segv(Guest *g) {
        boot_and_start(g);
        return finish(g, 139, SIGSEGV, ",\"oom_killed\":false", 0, 0);
}

static int play_oom(Guest *g) {
        boot_and_start(g);
        return finish(g, 137, SIGKILL, ",\"oom_killed\":true", 0, 0);
}

static int play_not_found(Guest *g) {
        boot(g);
        return finish(g, 127, 0, ",\"message\":\"no command \\\"foo\\\" in $PATH\"", 0, 0);
}

static int play_panic(Guest *g) {
        boot_and_start(g);
        puts("[    1.0] EXT4-fs error\r\n[    1.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\r");
        puts("[    1.2] Rebooting in 1 seconds..\r");
        return 0;
}

static int play_vmm_fails(Guest *g) {
        fputs("Error: no such drive\n", stderr);
        return 1;
}

static int play_vmm_killed(Guest *g) {
        boot_and_start(g);
        (void) raise(SIGKILL);
        return 0;
}

static int play_lost(Guest *g) {
        boot_and_start(g);
        return 0;
}

enum { N_LINES = 50000 };

/* Both streams at once and whole, from two processes, with everything in them that bytes can be. */
static int play_streams(Guest *g) {
        _cleanup_strbuf_ StrBuf out = {}, err = {};
        pid_t pid;

        boot_and_start(g);
        for (int i = 0; i < N_LINES; i++) {
                strbuf_addf(&out, "out %d\n", i);
                strbuf_addf(&err, "err %d\n", i);
        }
        strbuf_add(&out, "\0\x01\xff=\r\n\n", 7);       /* a binary line and an empty one */
        for (int i = 0; i < 200 * 1024; i++)
                strbuf_add(&out, i % 2 ? "b" : "a", 1);
        strbuf_adds(&out, "\nno newline at the end");

        pid = fork();
        if (pid < 0)
                fail("fork");
        if (pid == 0) {
                for (size_t i = 0; i < err.size; i += 4001)
                        if (write_full(g->err, err.data + i, MIN(err.size - i, (size_t) 4001)) < 0)
                                fail("err");
                _exit(0);
        }
        for (size_t i = 0; i < out.size; i += 9973)
                if (write_full(g->out, out.data + i, MIN(out.size - i, (size_t) 9973)) < 0)
                        fail("out");
        return finish(g, 0, 0, "", out.size, err.size);
}

/* Ends at once after its last bytes, as a VMM that is killed: what the sockets hold is still read. */
static int play_abrupt(Guest *g) {
        boot_and_start(g);
        for (int i = 0; i < 2000; i++)
                put(g->out, "abrupt\n");
        put(g->status, "{\"state\":\"exited\",\"exit_code\":3}\n");
        return 0;
}

/* Tells how far it got, for the test to see that it is held up. */
static int play_pressure(Guest *g) {
        char line[1024];
        int progress = open("progress", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        boot_and_start(g);
        for (unsigned i = 0; i < 4000; i++) {
                snprintf(line, sizeof(line), "%u %01000u\n", i, 0);
                put(g->out, line);
                if (pwrite(progress, &i, sizeof(i), 0) != sizeof(i))
                        fail("progress");
        }
        put(g->out, "end\n");
        put(g->status, "{\"state\":\"exited\",\"exit_code\":0}\n");
        shutdown(g->out, SHUT_WR);
        shutdown(g->err, SHUT_WR);
        wait_closed(g->status, "status is not closed");
        return 0;
}

/* Half of its lines, then it waits for the test. */
static int play_two_halves(Guest *g) {
        uint64_t n = 0;
        char line[64];

        boot_and_start(g);
        for (unsigned i = 0; i < 200; i++) {
                if (i == 100)
                        while (access("go", F_OK) < 0)
                                sleep_msec(10);
                snprintf(line, sizeof(line), "line %u\n", i);
                n += strlen(line);
                put(g->out, line);
        }
        return finish(g, 0, 0, "", n, 0);
}

static int play_many_connections(Guest *g) {
        boot_and_start(g);
        for (int i = 0; i < 300; i++) {
                int a = connect_port(10000), b = connect_port(10001);

                (void) send(a, "stdout\nforged\n", 14, MSG_NOSIGNAL);
                (void) send(b, "{\"state\":\"exited\",\"exit_code\":0}\n", 33, MSG_NOSIGNAL);
                wait_closed(a, "stream was taken");
                wait_closed(b, "status was taken");
                close(a);
                close(b);
        }
        /* And a flood of those that nobody waits for. */
        for (int i = 0; i < 3000; i++)
                close(connect_port(10000));
        return finish(g, 5, 0, "", 0, 0);
}

static int play_wrong_streams(Guest *g) {
        int a, b;

        g->status = connect_port(10001);
        a = connect_port(10000);
        put(a, "stdlog\n");
        wait_closed(a, "a wrong name was taken");
        close(a);
        g->out = connect_port(10000);
        put(g->out, "stdout\n");
        put(g->out, "x\n");
        sleep_msec(50);
        b = connect_port(10000);
        put(b, "stdout\n");
        wait_closed(b, "a second stdout was taken");
        close(b);
        g->err = connect_port(10000);
        put(g->err, "stderr\n");
        put(g->status, "{\"state\":\"started\",\"pid\":1}\n");
        return finish(g, 0, 0, "", 2, 0);
}

static int play_garbage_status(Guest *g) {
        _cleanup_free_ char *endless = malloc(MIB(1));

        boot(g);
        put(g->status, "garbage\n{\"state\":\"exited\"}\n\n{\"state\":\"started\",\"pid\":2}\n");
        memset(endless, 'x', MIB(1));
        if (write_full(g->status, endless, MIB(1)) < 0)
                fail("status");
        put(g->status, "\n");
        return finish(g, 4, 0, "", 0, 0);
}

static int play_only_garbage(Guest *g) {
        boot_and_start(g);
        for (int i = 0; i < 100000; i++)
                if (send(g->status, "garbage\n", 8, MSG_NOSIGNAL) < 0)
                        return 0;       /* closed, as it should be */
        return FAILED;
}

/* What is right in itself, and said once too often. */
static int play_repeats(Guest *g) {
        boot_and_start(g);
        for (int i = 0; i < 100000; i++)
                if (send(g->status, "{\"state\":\"booted\"}\n", 19, MSG_NOSIGNAL) < 0)
                        return 0;
        return FAILED;
}

/* The number behind a name in /proc/PID/status of kiln. */
static unsigned long kiln_status(const char *name) {
        char path[64], text[8192];
        const char *at;
        ssize_t n;
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/status", (int) getppid());
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (n < 0)
                fail(path);
        close(fd);
        text[n] = 0;
        at = strstr(text, name);
        if (!at)
                fail(name);
        return strtoul(at + strlen(name), NULL, 10);
}

/* Whether kiln's private memory, in kB, is more than it was and a little. A sanitizer keeps what was freed. */
static bool kiln_has_grown(unsigned long before, unsigned long allowed) {
#ifdef BUILT_WITH_ASAN
        return false;
#else
        unsigned long now = kiln_status("RssAnon:");

        if (now > before + allowed)
                fprintf(stderr, "guest: kiln had %lu kB and has %lu kB\n", before, now);
        return now > before + allowed;
#endif
}

static unsigned kiln_fds(void) {
        char path[64];
        unsigned n = 0;
        DIR *d;

        snprintf(path, sizeof(path), "/proc/%d/fd", (int) getppid());
        d = opendir(path);
        if (!d)
                fail(path);
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

/* 2,000 connections at once, each with something of its own, and none of them read by who made it. */
static int play_flood(Guest *g) {
        enum { N = 2000 };
        static const struct rlimit files = { N + 100, N + 100 };
        static const char *const texts[] = {
                "{\"state\":\"exited\",\"exit_code\":0}\n", "stdout\nforged\n", "", "std", "POST / HTTP/1.1\r\nContent-Length: 1099511627776\r\n\r\n",
        };
        _cleanup_free_ char *endless = malloc(MIB(1));
        unsigned long before;
        unsigned n_fds;
        static int fds[N];

        if (setrlimit(RLIMIT_NOFILE, &files) < 0)
                fail("limits");
        memset(endless, 'x', MIB(1));
        boot_and_start(g);
        if (!serve_until(g, &g->n_infos, 1, 5000))
                return FAILED;
        n_fds = kiln_fds();
        before = kiln_status("RssAnon:");
        for (int round = 0; round < 3; round++) {
                for (int i = 0; i < N; i++) {
                        const char *text = texts[i / 2 % (int) ELEMENTSOF(texts)];

                        fds[i] = connect_port(i % 2 ? 10000 : 10001);
                        (void) send(fds[i], text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
                        (void) send(fds[i], endless, MIB(1), MSG_NOSIGNAL | MSG_DONTWAIT);
                }
                /* One that is refused has not been put aside for later. */
                for (int i = 0; i < N; i++) {
                        wait_closed(fds[i], "one of the flood was taken");
                        close(fds[i]);
                }
        }
        if (kiln_fds() > n_fds + 2) {
                fprintf(stderr, "guest: kiln had %u descriptors open and has %u\n", n_fds, kiln_fds());
                return FAILED;
        }
        if (kiln_has_grown(before, 256))
                return FAILED;
        return finish(g, 42, 0, "", 0, 0);
}

/* An API that does everything but answer; last it does. */
static int play_rude_api(Guest *g) {
        static const struct {
                const char *text;
                bool endless;           /* the last byte without end */
        } answers[] = {
                { "OK 1073741824\nHTTP/1.1 200 OK\r\nX: x", true },           /* a header */
                { "OK 1073741824\nHTTP/1.1 200 OK\r\n\r\nx", true },         /* a body */
                { "OK 1073741824\nHTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n{}", false },
                { "OK 1073741824\nHTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", false },
                { "OK 1073741824\nHTTP/1.1 200 OK\r\nContent-Le", false },    /* half of it: the time passes */
                { "OK 1073741824\n\n", true },
                { "O", true },                                               /* not even connected */
                { "", false },
        };
        unsigned long before;

        boot_and_start(g);
        if (!serve_until(g, &g->n_infos, 1, 5000))
                return FAILED;
        before = kiln_status("RssAnon:");
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                _cleanup_close_ int fd = accept4(g->vsock, NULL, NULL, SOCK_CLOEXEC);
                const char *text = answers[i].text;
                char block[4096], sink[1024];
                size_t sent = 0;

                if (fd < 0)
                        fail("accept");
                put(fd, text);
                memset(block, *text ? text[strlen(text) - 1] : 0, sizeof(block));
                while (answers[i].endless && send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
                        if ((sent += sizeof(block)) > MIB(16))
                                fail("an endless answer is read to no end");
                while (read(fd, sink, sizeof(sink)) > 0)        /* its request, until it gives up */
                        ;
        }
        if (kiln_has_grown(before, 256))
                return FAILED;
        g->n_pings = 0;
        if (!serve_until(g, &g->n_pings, 2, 5000))
                return FAILED;
        return finish(g, 0, 0, "", 0, 0);
}

static int play_never_answers(Guest *g) {
        unsigned never = 0;

        boot_and_start(g);
        g->deaf = true;
        (void) serve_until(g, &never, 1, 20000);
        return FAILED;
}

static int play_answers(Guest *g) {
        boot_and_start(g);
        if (!serve_until(g, &g->n_pings, 4, 5000))
                return FAILED;
        return finish(g, 0, 0, "", 0, 0);
}

static int play_obeys(Guest *g) {
        boot_and_start(g);
        if (!serve_until(g, &g->n_signals, 1, 5000) || !serve_until(g, &g->n_flushes, 1, 5000))
                return FAILED;
        put(g->out, "bye\n");
        return finish(g, 143, SIGTERM, "", 4, 0);
}

/* Its API is not there yet when it is first asked. */
static int play_obeys_late(Guest *g) {
        boot_and_start(g);
        put(g->out, "up\n");
        for (;;) {
                int fd = accept4(g->vsock, NULL, NULL, SOCK_CLOEXEC);

                if (fd < 0)
                        fail("accept");
                close(fd);      /* as Firecracker does where nobody listens in the guest */
                break;
        }
        if (!serve_until(g, &g->n_signals, 1, 5000))
                return FAILED;
        return finish(g, 143, SIGTERM, "", 3, 0);
}

static int play_stopped_in_setup(Guest *g) {
        boot(g);
        put(g->out, "up\n");
        sleep_msec(300);
        put(g->status, "{\"state\":\"started\",\"pid\":87}\n");
        if (!serve_until(g, &g->n_signals, 1, 5000))
                return FAILED;
        return finish(g, 143, SIGTERM, "", 3, 0);
}

static int play_needs_cad(Guest *g) {
        boot_and_start(g);
        if (!serve_until(g, &g->n_cads, 1, 5000) || g->n_signals != 1)
                return FAILED;
        return finish(g, 137, SIGKILL, "", 0, 0);
}

/* Its workload runs only when it is to be killed already. */
static int play_starts_too_late(Guest *g) {
        unsigned never = 0;

        boot(g);
        put(g->out, "up\n");
        if (!serve_until(g, &g->n_cads, 1, 5000))
                return FAILED;
        put(g->status, "{\"state\":\"started\",\"pid\":87}\n");
        (void) serve_until(g, &never, 1, 20000);
        return FAILED;
}

/* Says that all is over, and stays. */
static int play_stays(Guest *g) {
        unsigned never = 0;

        boot_and_start(g);
        if (!serve_until(g, &g->n_cads, 1, 5000))
                return FAILED;
        (void) finish(g, 137, SIGKILL, "", 0, 0);
        (void) serve_until(g, &never, 1, 20000);
        return FAILED;
}

static int play_needs_kill(Guest *g) {
        unsigned never = 0;

        boot_and_start(g);
        (void) serve_until(g, &never, 1, 20000);
        return FAILED;
}

static int play_never_boots(Guest *g) {
        unsigned never = 0;

        printf("booting\n");
        fflush(stdout);
        (void) serve_until(g, &never, 1, 20000);
        return FAILED;
}

/* 20 MB of console, of standard error and of log: the VMM may not be held up by any of it. */
static int play_loud_vmm(Guest *g) {
        int log = open("vmm.log.fifo", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        char line[128];

        boot_and_start(g);
        put(log, "2024-01-01T00:00:00.000000000 [id:main:ERROR:x.rs:1] it broke\n");
        put(log, "2024-01-01T00:00:00.000000000 [id:main:INFO:x.rs:1] all is well\n");
        for (int i = 0; i < 200000; i++) {
                snprintf(line, sizeof(line), "console %d %080d\r\n", i, 0);
                put(STDOUT_FILENO, line);
                snprintf(line, sizeof(line), "error %d %080d\n", i, 0);
                put(STDERR_FILENO, line);
                (void) !write(log, line, strlen(line));
        }
        return finish(g, 0, 0, "", 0, 0);
}

static const struct {
        const char *name;
        int (*play)(Guest *g);
} plays[] = {
        { "exit-0", play_exit_0 },
        { "exit-7", play_exit_7 },
        { "segv", play_segv },
        { "oom", play_oom },
        { "not-found", play_not_found },
        { "panic", play_panic },
        { "vmm-fails", play_vmm_fails },
        { "vmm-killed", play_vmm_killed },
        { "lost", play_lost },
        { "streams", play_streams },
        { "abrupt", play_abrupt },
        { "pressure", play_pressure },
        { "two-halves", play_two_halves },
        { "many-connections", play_many_connections },
        { "wrong-streams", play_wrong_streams },
        { "garbage-status", play_garbage_status },
        { "only-garbage", play_only_garbage },
        { "repeats", play_repeats },
        { "flood", play_flood },
        { "rude-api", play_rude_api },
        { "never-answers", play_never_answers },
        { "answers", play_answers },
        { "obeys", play_obeys },
        { "obeys-late", play_obeys_late },
        { "stopped-in-setup", play_stopped_in_setup },
        { "needs-cad", play_needs_cad },
        { "starts-too-late", play_starts_too_late },
        { "stays", play_stays },
        { "needs-kill", play_needs_kill },
        { "never-boots", play_never_boots },
        { "loud-vmm", play_loud_vmm },
};

int kiln_guest_main(int argc, char **argv) {
        _cleanup_free_ char *play = NULL;
        Guest g = {};

        if (argc != 7 || !streq(argv[1], "--id") || !streq(argv[3], "--api-sock") || !streq(argv[5], "--config-file"))
                fail("command line");
        /* Nothing of kiln's is open here, and no environment. */
        for (int fd = 3; fd < 64; fd++)
                if (fcntl(fd, F_GETFD) >= 0)
                        fail("an inherited descriptor");
        g.api = listen_at(argv[4]);
        g.vsock = listen_at("v.sock");
        if (read_file_at(AT_FDCWD, argv[6], 64, &play, NULL) < 0)
                fail(argv[6]);
        for (size_t i = 0; i < ELEMENTSOF(plays); i++)
                if (streq(plays[i].name, play))
                        return plays[i].play(&g);
        fail(play);
}
