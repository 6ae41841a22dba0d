/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ember with a real guest, from the outside: its command line, its sockets, its exit. Skipped unless
 * INFERNO_KERNEL names a guest kernel. Runs in emulation. */

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "cpio/cpio.h"
#include "tests/ember/pattern.h"
#include "tests/unit/test.h"

enum {
        CONTROL = 52,
        ECHO = 53,
        CHUNK = 65536,
        PATIENCE_SECONDS = 60,
};

#define MIB_BYTES (1024 * 1024)

static const char *ember, *guest_init, *kernel;
static char directory[] = "/tmp/test-ember.XXXXXX";
static pid_t ember_pid;
static char chunk[CHUNK];

static uint64_t milliseconds(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

/* --- sockets ---------------------------------------------------------------------------------------------------- */

static int unix_socket(const char *path, bool listening) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
        if (listening) {
                (void) unlink(path);
                assert_ok(bind(fd, (struct sockaddr *) &sa, sizeof(sa)));
                assert_ok(listen(fd, 4096));
        } else if (connect(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0)
                return safe_close(fd);
        return fd;
}

static int listen_port(unsigned port) {
        char path[64];

        snprintf(path, sizeof(path), "v.sock_%u", port);
        return unix_socket(path, true);
}

static int accept_in_time(int fd) {
        struct pollfd p = { fd, POLLIN, 0 };

        assert_int_equal(poll(&p, 1, PATIENCE_SECONDS * 1000), 1);
        return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

static ssize_t read_in_time(int fd, void *buf, size_t n) {
        struct pollfd p = { fd, POLLIN, 0 };

        assert_int_equal(poll(&p, 1, PATIENCE_SECONDS * 1000), 1);
        return read(fd, buf, n);
}

/* A line without its end; empty at EOF. */
static void read_line(int fd, char *line, size_t size) {
        size_t n = 0;

        while (n + 1 < size && read_in_time(fd, line + n, 1) == 1 && line[n] != '\n')
                n++;
        line[n] = 0;
}

/* The host's way into the guest. -1 where nobody listens there. */
static int connect_guest(unsigned port) {
        int fd = unix_socket("v.sock", false);
        char line[64];

        if (fd < 0)
                return -1;
        dprintf(fd, "CONNECT %u\n", port);
        read_line(fd, line, sizeof(line));
        if (!startswith(line, "OK "))
                return safe_close(fd);
        assert_true(strtoul(line + 3, NULL, 10) >= 1U << 30);
        return fd;
}

/* --- VMs -------------------------------------------------------------------------------------------------------- */

static int console = -EBADF;

static pid_t start_ember(const char *config, char *const *more) {
        int p[2];
        pid_t pid;

        assert_ok(pipe2(p, O_CLOEXEC));
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                const char *argv[16] = { ember, "--id", "test-1", "--api-sock", "api.sock", "--config-file", config, "--accel", "tcg" };
                size_t n = 9;

                for (char *const *m = more; m && *m; m++)
                        argv[n++] = *m;
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                dup2(open("/dev/null", O_RDONLY), 0);
                dup2(p[1], 1);
                execve(ember, (char *const *) argv, (char *const[]) { NULL });
                _exit(99);
        }
        close(p[1]);
        safe_close(console);
        console = p[0];
        return pid;
}

/* What the guest said before is told where the word does not come. */
static void wait_for_console(const char *word) {
        _cleanup_strbuf_ StrBuf before = {};
        char line[512];

        for (;;) {
                read_line(console, line, sizeof(line));
                if (strstr(line, word))
                        return;
                strbuf_addf(&before, "%s\n", line);
                if (!*line)
                        break;
        }
        print_error("no \"%s\" on the console, but:\n%s", word, before.data);
        fail();
}

static void start_guest(void) {
        unlink("v.sock");
        unlink("api.sock");
        ember_pid = start_ember("vm.json", NULL);
        wait_for_console("ready");
}

static int wait_for_end(void) {
        int status;

        for (uint64_t end = milliseconds() + PATIENCE_SECONDS * 1000; milliseconds() < end; usleep(10000))
                if (waitpid(ember_pid, &status, WNOHANG) == ember_pid) {
                        ember_pid = 0;
                        return status;
                }
        kill(ember_pid, SIGKILL);
        fail_msg("ember does not end");
        return -1;
}

static void assert_exit(int code) {
        int status = wait_for_end();

        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), code);
}

static int kill_ember(void **state) {
        if (ember_pid > 0) {
                kill(ember_pid, SIGKILL);
                waitpid(ember_pid, NULL, 0);
                ember_pid = 0;
        }
        return 0;
}

static void tell(int fd, const char *format, ...) _printf_(2, 3);
static void tell(int fd, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        assert_true(vdprintf(fd, format, ap) > 0);
        va_end(ap);
}

static long long answer(int fd) {
        char line[64];

        read_line(fd, line, sizeof(line));
        assert_true(*line != 0);
        return strtoll(line, NULL, 10);
}

static void assert_answer(int fd, const char *expected) {
        char line[64];

        read_line(fd, line, sizeof(line));
        assert_string_equal(line, expected);
}

/* Reads exactly `size` bytes of the stream. */
static void receive_exactly(int fd, uint64_t seed, uint64_t size) {
        for (uint64_t done = 0; done < size;) {
                ssize_t n = read_in_time(fd, chunk, MIN((uint64_t) CHUNK, size - done));

                assert_true(n > 0);
                assert_true(pattern_matches(chunk, seed, done, (size_t) n));
                done += (uint64_t) n;
        }
}

static void send_all(int fd, uint64_t seed, uint64_t size) {
        for (uint64_t done = 0; done < size;) {
                size_t n = MIN((uint64_t) CHUNK, size - done);

                pattern_fill(chunk, seed, done, n);
                assert_ok(write_full(fd, chunk, n));
                done += n;
        }
}

static unsigned long private_kib(pid_t pid) {
        char path[64], line[128];
        unsigned long sum = 0, n;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
        f = fopen(path, "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f))
                if (sscanf(line, "Private_Clean: %lu", &n) == 1 || sscanf(line, "Private_Dirty: %lu", &n) == 1)
                        sum += n;
        fclose(f);
        return sum;
}

static void report_rate(const char *what, uint64_t bytes, uint64_t since) {
        uint64_t ms = MAX(milliseconds() - since, UINT64_C(1));

        print_message("             %s: %llu MB/s\n", what, (unsigned long long) (bytes / 1000 / ms));
}

/* --- vsock ------------------------------------------------------------------------------------------------------ */

static int shared_control = -EBADF;

static void test_boot(void **state) {
        start_guest();
        assert_int_equal(connect_guest(9999), -EBADF);
        shared_control = connect_guest(CONTROL);
        assert_true(shared_control >= 0);
        tell(shared_control, "cpus\n");
        assert_answer(shared_control, "2");
        tell(shared_control, "disk 0 0\n");
        assert_answer(shared_control, "drive 0 ");
        tell(shared_control, "disk 1 1\n");
        assert_answer(shared_control, "drive 1 ");
        tell(shared_control, "disk 0 1\n");
        assert_answer(shared_control, "readonly");
        tell(shared_control, "clock\n");
        assert_true(answer(shared_control) < 1000000);   /* it has been told the counter's rate: not ticks of 10 ms */
        print_message("             private memory: %lu KiB\n", private_kib(ember_pid));
#ifndef __SANITIZE_ADDRESS__
        assert_true(private_kib(ember_pid) < 2048);
#endif
}

static void test_refused(void **state) {
        int fd, control = shared_control;
        char line[64];

        tell(control, "connect 2 7777\n");              /* no socket */
        assert_answer(control, "ECONNRESET");
        tell(control, "connect 5 52\n");                /* no such CID */
        read_line(control, line, sizeof(line));
        assert_string_not_equal(line, "ok");

        static const char *const hellos[] = { "HELLO 52\n", "CONNECT\n", "CONNECT x\n", "CONNECT 4294967296\n", "CONNECT 99999999999999999999999\n" };
        for (size_t i = 0; i < ELEMENTSOF(hellos); i++) {
                fd = unix_socket("v.sock", false);
                assert_ok(write_full(fd, hellos[i], strlen(hellos[i])));
                assert_int_equal(read_in_time(fd, line, 1), 0);
                close(fd);
        }

        /* In pieces, in lower case, with data right behind it. */
        fd = unix_socket("v.sock", false);
        assert_ok(write_full(fd, "conn", 4));
        usleep(50000);
        assert_ok(write_full(fd, "ect 53\nxyz", 10));
        read_line(fd, line, sizeof(line));
        assert_non_null(startswith(line, "OK "));
        assert_int_equal(read_full(fd, line, 3), 3);
        assert_memory_equal(line, "xyz", 3);
        close(fd);
}

static void test_100_mib_from_guest(void **state) {
        int listener = listen_port(1000), control = shared_control, fd;
        uint64_t begin = milliseconds();

        tell(control, "send 1000 1 %d\n", 100 * MIB_BYTES);
        fd = accept_in_time(listener);
        receive_exactly(fd, 1, 100 * MIB_BYTES);
        report_rate("guest to host", 100 * MIB_BYTES, begin);
        close(fd);
        assert_int_equal(answer(control), 100 * MIB_BYTES);
        close(listener);
}

static void test_100_mib_to_guest(void **state) {
        int listener = listen_port(1001), control = shared_control, fd;
        uint64_t begin = milliseconds();

        tell(control, "receive 1001 2\n");
        fd = accept_in_time(listener);
        send_all(fd, 2, 100 * MIB_BYTES);
        close(fd);
        assert_int_equal(answer(control), 100 * MIB_BYTES);
        report_rate("host to guest", 100 * MIB_BYTES, begin);
        close(listener);
}

/* Both directions of one connection at once. */
static void test_echo(void **state) {
        enum { SIZE = 16 * MIB_BYTES };
        uint64_t sent = 0, received = 0;
        int fd = connect_guest(ECHO);

        assert_true(fd >= 0);
        assert_ok(set_nonblock(fd, true));
        while (received < SIZE) {
                struct pollfd p = { fd, (short) (POLLIN | (sent < SIZE ? POLLOUT : 0)), 0 };
                ssize_t n;

                assert_int_equal(poll(&p, 1, PATIENCE_SECONDS * 1000), 1);
                if (p.revents & POLLOUT) {
                        size_t k = MIN((uint64_t) CHUNK, SIZE - sent);

                        pattern_fill(chunk, 3, sent, k);
                        n = send(fd, chunk, k, MSG_NOSIGNAL);
                        sent += n > 0 ? (uint64_t) n : 0;
                }
                if (p.revents & POLLIN) {
                        n = read(fd, chunk, CHUNK);
                        assert_true(n > 0);
                        assert_true(pattern_matches(chunk, 3, received, (size_t) n));
                        received += (uint64_t) n;
                }
        }
        close(fd);
}

/* A host that does not read slows that connection down, and nothing else. */
static void test_slow_host(void **state) {
        int listener = listen_port(1002), control = connect_guest(CONTROL), fd, other;
        unsigned long before = private_kib(ember_pid);
        char line[4];

        tell(control, "sendclose 1002 4 %d\n", 8 * MIB_BYTES);
        fd = accept_in_time(listener);
        sleep(1);
        other = connect_guest(ECHO);
        assert_true(other >= 0);
        assert_ok(write_full(other, "ping", 4));
        assert_int_equal(read_full(other, line, 4), 4);
        assert_true(private_kib(ember_pid) < before + 256);
        receive_exactly(fd, 4, 8 * MIB_BYTES);
        assert_int_equal(answer(control), 8 * MIB_BYTES);
        assert_int_equal(read_in_time(fd, line, 1), 0); /* the guest closed: EOF, after all that it had sent */
        close(other);
        close(fd);
        close(control);
        close(listener);
}

/* A guest that does not read likewise; nothing is lost. */
static void test_slow_guest(void **state) {
        int listener = listen_port(1003), control = connect_guest(CONTROL), fd;
        unsigned long before = private_kib(ember_pid);
        uint64_t sent = 0, at_rest;
        ssize_t n;

        tell(control, "hold 1003 5 2\n");
        fd = accept_in_time(listener);
        assert_ok(set_nonblock(fd, true));
        for (uint64_t end = milliseconds() + 1000; milliseconds() < end; usleep(1000)) {
                pattern_fill(chunk, 5, sent, CHUNK);
                n = send(fd, chunk, CHUNK, MSG_NOSIGNAL);
                sent += n > 0 ? (uint64_t) n : 0;
        }
        at_rest = sent;
        assert_true(at_rest < 2 * MIB_BYTES);
        assert_true(private_kib(ember_pid) < before + 256);
        assert_ok(set_nonblock(fd, false));
        while (sent < 8 * MIB_BYTES) {
                size_t k = MIN((uint64_t) CHUNK, 8 * MIB_BYTES - sent);

                pattern_fill(chunk, 5, sent, k);
                assert_ok(write_full(fd, chunk, k));
                sent += k;
        }
        close(fd);
        assert_int_equal(answer(control), 8 * MIB_BYTES);
        close(control);
        close(listener);
}

static void test_200_connections(void **state) {
        int fds[200];
        char text[32], back[32];

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = connect_guest(ECHO);
                assert_true(fds[i] >= 0);
        }
        for (size_t round = 0; round < 3; round++) {
                for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                        snprintf(text, sizeof(text), "connection %05zu", i * 3 + round);
                        assert_ok(write_full(fds[i], text, 16));
                }
                for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                        snprintf(text, sizeof(text), "connection %05zu", i * 3 + round);
                        assert_int_equal(read_full(fds[i], back, 16), 16);
                        assert_memory_equal(back, text, 16);
                }
        }
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close(fds[i]);
}

static void test_half_close(void **state) {
        int listener = listen_port(1004), control = shared_control, fd;
        struct pollfd p;
        char line[4];

        tell(control, "halfclose 1004 6\n");
        fd = accept_in_time(listener);
        assert_int_equal(read_full(fd, line, 3), 3);
        assert_memory_equal(line, "abc", 3);
        /* As with Firecracker the host does not see that the guest has shut down its direction, and can go on. */
        p = (struct pollfd) { fd, POLLIN, 0 };
        assert_int_equal(poll(&p, 1, 300), 0);
        send_all(fd, 6, MIB_BYTES);
        /* The host's EOF ends both. */
        assert_ok(shutdown(fd, SHUT_WR));
        assert_int_equal(answer(control), MIB_BYTES);
        assert_int_equal(read_in_time(fd, line, 1), 0);
        close(fd);
        close(listener);
}

static void test_floods(void **state) {
        int control = shared_control, listener, hungry, fd;
        unsigned long before = private_kib(ember_pid);
        uint64_t begin = milliseconds();
        char line[64];

        tell(control, "flood 2 7777 3000\n");
        assert_answer(control, "0 3000");
        print_message("             3000 refused connections: %llu ms\n", (unsigned long long) (milliseconds() - begin));

        /* A listener that never accepts: its backlog fills, the rest is refused, ember does not stall. */
        hungry = listen_port(1005);
        assert_ok(listen(hungry, 4));
        tell(control, "floodhold 2 1005 20\n");
        read_line(control, line, sizeof(line));
        assert_string_equal(line, "5 15");
        close(hungry);

        /* As many as there can be; control is one. */
        listener = listen_port(1006);
        tell(control, "floodhold 2 1006 1100\n");
        for (int i = 0; i < 1022; i++) {
                fd = accept_in_time(listener);
                assert_true(fd >= 0);
                assert_int_equal(dup2(fd, 100 + i), 100 + i);
                close(fd);
        }
        read_line(control, line, sizeof(line));
        for (int i = 0; i < 1022; i++)
                close(100 + i);
        assert_string_equal(line, "1022 78");
        close(listener);

        /* And all of it is free again. */
        for (int i = 0; (fd = connect_guest(ECHO)) < 0 && i < 100; i++)
                usleep(50000);
        assert_true(fd >= 0);
        close(fd);
        assert_true(private_kib(ember_pid) < before + 512);
}

static void test_host_floods(void **state) {
        int control;

        /* Sides that never say CONNECT, and such as go away while they are being connected. */
        for (int i = 0; i < 300; i++) {
                int fd = unix_socket("v.sock", false);

                assert_true(fd >= 0);
                if (i % 2 == 0)
                        assert_ok(write_full(fd, "CONNECT 53\n", 11));
                else
                        assert_ok(write_full(fd, "CONN", 4));
                close(fd);
        }
        control = connect_guest(CONTROL);
        assert_true(control >= 0);
        tell(control, "cpus\n");
        assert_answer(control, "2");
        close(control);
}

/* A console that nobody reads costs the guest its lines, and nothing else. */
static void test_console_not_read(void **state) {
        char text[4];
        int fd;

        tell(shared_control, "print 1000000\n");
        assert_answer(shared_control, "ok");
        sleep(1);
        fd = connect_guest(ECHO);
        assert_true(fd >= 0);
        assert_ok(write_full(fd, "ping", 4));
        assert_int_equal(read_full(fd, text, 4), 4);
        close(fd);
}

static void request(const char *text, char *ret, size_t size) {
        int fd = unix_socket("api.sock", false);
        ssize_t n;

        assert_true(fd >= 0);
        assert_ok(write_full(fd, text, strlen(text)));
        n = read_in_time(fd, ret, size - 1);
        assert_true(n > 0);
        ret[n] = 0;
        close(fd);
}

static void put(const char *target, const char *body, char *ret, size_t size) {
        char text[512];

        snprintf(text, sizeof(text), "PUT %s HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s", target, strlen(body), body);
        request(text, ret, size);
}

static void test_api(void **state) {
        _cleanup_free_ char *metrics = NULL;
        char text[2048];

        request("GET / HTTP/1.1\r\n\r\n", text, sizeof(text));
        assert_non_null(strstr(text, "HTTP/1.1 200 OK"));
        assert_non_null(strstr(text, "\"id\":\"test-1\""));
        assert_non_null(strstr(text, "\"state\":\"Running\""));
        request("GET /machine-config HTTP/1.1\r\n\r\n", text, sizeof(text));
        assert_non_null(strstr(text, "\"vcpu_count\":2"));
        put("/actions", "{\"action_type\": \"FlushMetrics\"}", text, sizeof(text));
        assert_non_null(strstr(text, "HTTP/1.1 204"));
        assert_ok(read_file_at(AT_FDCWD, "metrics", 65536, &metrics, NULL));
        assert_non_null(strstr(metrics, "\"write_bytes\":8,") ?: strstr(metrics, "\"write_bytes\":4096,") ?: strstr(metrics, "\"write_bytes\":512,"));
        assert_non_null(strstr(metrics, "\"tx_bytes_count\":"));
        put("/drives/x", "{}", text, sizeof(text));
        assert_non_null(strstr(text, "HTTP/1.1 400"));
        assert_non_null(strstr(text, "fault_message"));
}

static void test_ctrl_alt_del(void **state) {
        char text[512];

        put("/actions", "{\"action_type\":\"SendCtrlAltDel\"}", text, sizeof(text));
        assert_non_null(strstr(text, "HTTP/1.1 204"));
        wait_for_console("ctrl-alt-del");
        assert_exit(0);
        safe_close(shared_control);
}

/* --- ends ------------------------------------------------------------------------------------------------------- */

static void test_guest_reboot(void **state) {
        int control;

        start_guest();
        control = connect_guest(CONTROL);
        assert_true(control >= 0);
        tell(control, "reboot\n");
        assert_exit(0);
        close(control);
}

static void test_guest_panic(void **state) {
        int control;

        start_guest();
        control = connect_guest(CONTROL);
        assert_true(control >= 0);
        tell(control, "panic\n");
        wait_for_console("Kernel panic");
        assert_exit(0);
        close(control);
}

/* The one child of ember. */
static pid_t find_qemu(void) {
        char path[64];
        pid_t pid = 0;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/task/%d/children", ember_pid, ember_pid);
        f = fopen(path, "re");
        if (f) {
                assert_int_equal(fscanf(f, "%d", &pid), 1);
                fclose(f);
        }
        return pid;
}

static void test_qemu_killed(void **state) {
        pid_t qemu;

        start_guest();
        qemu = find_qemu();
        if (qemu == 0)
                skip();
        kill(qemu, SIGKILL);
        assert_exit(1);

        start_guest();
        kill(find_qemu(), SIGTERM);     /* QEMU's exit status is 0 then, and yet the guest has not ended */
        assert_exit(1);
}

static void test_ember_killed(void **state) {
        int signals[] = { SIGKILL, SIGTERM };

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                pid_t qemu;
                int status;

                start_guest();
                qemu = find_qemu();
                if (qemu == 0)
                        skip();
                kill(ember_pid, signals[i]);
                status = wait_for_end();
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
                for (int k = 0; k < 500 && kill(qemu, 0) == 0; k++)
                        usleep(10000);
                assert_int_equal(kill(qemu, 0), -1);
        }
}

static void test_bad_starts(void **state) {
        static const struct {
                const char *config;
                const char *argument;
                int code;
        } cases[] = {
                { "missing.json", NULL, 1 },
                { "nokernel.json", NULL, 1 },
                { "vm.json", NULL, 1 },         /* its v.sock is there still */
                { "vm.json", "--nonsense", 153 },
                { "vm.json", "--enable-pci", 153 },
        };

        _cleanup_free_ char *text = NULL;
        assert_ok(read_file_at(AT_FDCWD, "vm.json", 65536, &text, NULL));
        memcpy(strstr(text, "vmlinux"), "vmlinuz", 7);
        assert_ok(write_file_atomic_at(AT_FDCWD, "nokernel.json", text, strlen(text), 0644, 0));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *more[] = { (char *) cases[i].argument, NULL };

                unlink("api.sock");
                ember_pid = start_ember(cases[i].config, more);
                assert_exit(cases[i].code);
        }
}

/* --- set-up ----------------------------------------------------------------------------------------------------- */

static void write_drive(const char *name, unsigned n) {
        char text[16];
        int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        snprintf(text, sizeof(text), "drive %u ", n);
        assert_true(fd >= 0);
        assert_ok(write_full(fd, text, 8));
        assert_ok(ftruncate(fd, 65536));
        close(fd);
}

static int set_up(void **state) {
        static const char config[] =
                "{\"boot-source\":{\"kernel_image_path\":\"vmlinux\",\"initrd_path\":\"initrd\",\"boot_args\":\"console=ttyS0 reboot=k "
                "panic=1 quiet\"},\"machine-config\":{\"vcpu_count\":2,\"mem_size_mib\":128},\"drives\":["
                "{\"drive_id\":\"rootfs\",\"path_on_host\":\"drive0\",\"is_root_device\":false,\"is_read_only\":true},"
                "{\"drive_id\":\"upper\",\"path_on_host\":\"drive1\",\"is_root_device\":false,\"cache_type\":\"Writeback\"}],"
                "\"vsock\":{\"guest_cid\":3,\"uds_path\":\"v.sock\"},\"entropy\":{},\"metrics\":{\"metrics_path\":\"metrics\"}}";
        _cleanup_free_ char *init = NULL;
        _cleanup_cpio_ Cpio c = {};
        struct iovec *pieces;
        size_t n, n_pieces;

        signal(SIGPIPE, SIG_IGN);
        assert_non_null(mkdtemp(directory));
        assert_ok(read_file_at(AT_FDCWD, guest_init, 16 * MIB_BYTES, &init, &n));
        assert_ok(chdir(directory));
        cpio_add_file(&c, "init", 0755, init, n);
        assert_ok(cpio_finish(&c, &pieces, &n_pieces, &n));
        assert_ok(writev_file_atomic_at(AT_FDCWD, "initrd", pieces, n_pieces, 0644, 0));
        assert_ok(symlink(kernel, "vmlinux"));
        assert_ok(write_file_atomic_at(AT_FDCWD, "vm.json", config, sizeof(config) - 1, 0644, 0));
        write_drive("drive0", 0);
        write_drive("drive1", 1);
        return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static int tear_down(void **state) {
        kill_ember(NULL);
        (void) nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        return 0;
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_boot),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_100_mib_from_guest),
                cmocka_unit_test(test_100_mib_to_guest),
                cmocka_unit_test(test_echo),
                cmocka_unit_test(test_slow_host),
                cmocka_unit_test(test_slow_guest),
                cmocka_unit_test(test_200_connections),
                cmocka_unit_test(test_half_close),
                cmocka_unit_test(test_floods),
                cmocka_unit_test(test_host_floods),
                cmocka_unit_test(test_console_not_read),
                cmocka_unit_test(test_api),
                cmocka_unit_test_teardown(test_ctrl_alt_del, kill_ember),
                cmocka_unit_test_teardown(test_guest_reboot, kill_ember),
                cmocka_unit_test_teardown(test_guest_panic, kill_ember),
                cmocka_unit_test_teardown(test_qemu_killed, kill_ember),
                cmocka_unit_test_teardown(test_ember_killed, kill_ember),
                cmocka_unit_test_teardown(test_bad_starts, kill_ember),
        };

        if (argc != 3) {
                fprintf(stderr, "usage: INFERNO_KERNEL=PATH %s EMBER GUEST-INIT\n", argv[0]);
                return 2;
        }
        ember = realpath(argv[1], NULL);
        guest_init = realpath(argv[2], NULL);
        assert_true(ember && guest_init);
        kernel = getenv("INFERNO_KERNEL");
        if (!kernel || access(kernel, R_OK) < 0) {
                fprintf(stderr, "INFERNO_KERNEL names no guest kernel\n");
                return 77;              /* skipped */
        }
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
