/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* infernoctl against guests that are not well, or mean it badly: a program in place of the VMM listens where its socket is, and says what a case has it
 * say. */

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exec-frame.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/wire.h"
#include "ctl/guest-exec.h"
#include "ctl/guest-files.h"
#include "ctl/guest.h"
#include "layout/layout.h"
#include "test.h"
#include "tests/unit/tar-builder.h"

#define ULID "01ARZ3NDEKTSV4RRFFQ69G5FAV"
#define OK "OK 1073741824\n"

typedef struct Fixture {
        char dir[32];
        char *socket;
        int fd;                         /* listening */
        pid_t pid;
} Fixture;

static void make_dir(const Fixture *f, const char *path) {
        assert_ok(mkdir_parents_at(AT_FDCWD, path, 0755));
}

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));
        _cleanup_free_ char *jail = NULL, *current = NULL, *vm = NULL;
        struct sockaddr_un a = { .sun_family = AF_UNIX };

        strcpy(f->dir, "/tmp/guest-exec.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        assert_ok(layout_set_root(f->dir));
        jail = strf("%s/var/lib/inferno/vms/kiln/" ULID "/root", f->dir);
        vm = strf("%s/var/lib/inferno/vms/web", f->dir);
        current = strf("%s/current", vm);
        make_dir(f, jail);
        make_dir(f, vm);
        assert_ok(symlink("../kiln/" ULID, current));
        f->socket = strf("%s/" JAIL_VSOCK, jail);
        f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        snprintf(a.sun_path, sizeof(a.sun_path), "%s", f->socket);
        assert_ok(bind(f->fd, (struct sockaddr *) &a, sizeof(a)));
        assert_ok(listen(f->fd, 10));
        *state = f;
        return 0;
}

static void stop_guest(Fixture *f) {
        if (f->pid > 0) {
                (void) kill(f->pid, SIGKILL);
                (void) waitpid(f->pid, NULL, 0);
        }
        f->pid = 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        stop_guest(f);
        safe_close(f->fd);
        assert_ok(remove_tree_at(AT_FDCWD, f->dir));
        assert_ok(layout_set_root(NULL));
        free(f->socket);
        free(f);
        return 0;
}

typedef struct Script {
        const char *line;               /* to CONNECT; NULL: nothing */
        const char *answer;             /* to the request */
        size_t n;
        bool endless, slow;             /* the answer's last part, `repeat`, again and again; byte by byte */
        size_t repeat;
        bool closes;
} Script;

static void read_until(int fd, const char *end) {
        char tail[8] = {};
        size_t n = strlen(end);

        while (memcmp(tail, end, n) != 0) {
                memmove(tail, tail + 1, n - 1);
                if (read(fd, tail + n - 1, 1) != 1)
                        _exit(0);
        }
}

static void guest(const Fixture *f, const Script *s) {
        int fd = accept(f->fd, NULL, NULL);

        read_until(fd, "\n");
        if (s->line) {
                (void) write_full(fd, s->line, strlen(s->line));
                read_until(fd, "\r\n\r\n");
        }
        for (size_t i = 0; i < s->n && s->slow; i++) {
                (void) write_full(fd, s->answer + i, 1);
                usleep(50000);
        }
        if (!s->slow)
                (void) write_full(fd, s->answer, s->n);
        while (s->endless && write_full(fd, s->answer + s->n - s->repeat, s->repeat) >= 0)
                ;
        if (s->closes)
                _exit(0);
        for (;;)
                pause();
}

static void start_guest(Fixture *f, const Script *s) {
        stop_guest(f);
        f->pid = fork();
        if (f->pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                guest(f, s);
        }
}

static int run_fd(Fixture *f, const Script *s, int in_fd, int out_fd, char **ret_error) {
        char *argv[] = { (char *) "true", NULL };
        const GuestExec e = { .argv = argv, .input = in_fd >= 0, .in_fd = in_fd, .out_fd = out_fd, .err_fd = out_fd, .timeout_usec = USEC_PER_SEC };

        start_guest(f, s);
        return guest_exec("web", &e, ret_error);
}

static int run(Fixture *f, const Script *s, char **ret_error) {
        _cleanup_close_ int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

        return run_fd(f, s, -EBADF, fd, ret_error);
}

#define ANSWER(text) .line = OK, .answer = text, .n = sizeof(text) - 1
#define FRAMES(text) ANSWER(WIRE_EXEC_ANSWER text)

static void test_hostile(void **state) {
        static const struct {
                Script script;
                int result;
                const char *message;
        } cases[] = {
                { { NULL }, -ETIMEDOUT, "The guest of VM 'web' does not answer: no connection to its port 10002 within 1 s." },
                { { "NO\n" }, -ECONNREFUSED, "The guest of VM 'web' does not listen on its port 10002." },
                { { "OK 123456789012345678901234567890123456789\n" }, -ECONNREFUSED, "The guest of VM 'web' does not listen on its port 10002." },
                { { OK }, -ETIMEDOUT, "The guest of VM 'web' does not answer: nothing within 1 s." },
                { { ANSWER("HTTP/1.1 200 OK\r\nX: this takes its time\r\nContent-Length: 0\r\n\r\n"), .slow = true }, -ETIMEDOUT,
                  "The guest of VM 'web' does not answer: nothing within 1 s." },
                { { ANSWER(""), .closes = true }, -EBADMSG, "The guest of VM 'web' does not answer as it should: Connection reset by peer." },
                { { ANSWER("\x1b[31mnonsense\r\n\r\n") }, -EBADMSG, "The guest of VM 'web' does not answer as it should: Bad message." },
                { { ANSWER("HTTP/1.1 200 OK\r\nA: bcdefghijklmnopqrstuvwxyz"), .endless = true, .repeat = 26 }, -EMSGSIZE,
                  "The guest of VM 'web' answers more than is allowed." },
                { { ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n") }, -EMSGSIZE, "The guest of VM 'web' answers more than is allowed." },
                { { ANSWER("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 25\r\n\r\n{\"error\":\"no \\u001b[1m!\"}\n") }, -EREMOTEIO,
                  "The guest of VM 'web' refuses: no \\x1b[1m! (503)." },
                { { ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") }, -EREMOTEIO, "The guest of VM 'web' refuses: it does not say why (200)." },
                { { FRAMES(""), .closes = true }, -ECONNRESET, "The guest of VM 'web' has gone, or has ended the connection, before the command did." },
                { { FRAMES("o\0\0\5hel"), .closes = true }, -ECONNRESET, "The guest of VM 'web' has gone, or has ended the connection, before the command did." },
                { { FRAMES("nonsense") }, -EBADMSG, "The guest of VM 'web' does not speak as it should: the connection was ended." },
                { { FRAMES("o\377\377\377") }, -EBADMSG, "The guest of VM 'web' does not speak as it should: the connection was ended." },
                { { FRAMES("c\0\0\4\0\0\0\1") }, -EBADMSG, "The guest of VM 'web' does not speak as it should: the connection was ended." },
                { { FRAMES("o\0\0\5hellox\0\0\1\7") }, 7, NULL },
                { { FRAMES("x\0\0\4\177\x1b]0") }, 127, "VM 'web': \\x1b]0." },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *error = NULL;

                assert_int_equal(run(f, &cases[i].script, &error), cases[i].result);
                if (cases[i].message)
                        assert_string_equal(error, cases[i].message);
                else
                        assert_null(error);
        }
}

/* What is not a socket leads nowhere, whoever has put it there. */
static void test_planted(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL, *other = strf("%s/other", f->dir);

        assert_ok(rename(f->socket, other));
        assert_ok(symlink(other, f->socket));
        assert_error(guest_connect("web", 1, USEC_PER_SEC, &error), ENOTCONN);
        assert_ok(unlink(f->socket));
        assert_ok(mkfifo(f->socket, 0666));
        assert_error(guest_connect("web", 1, USEC_PER_SEC, &error), ENOTCONN);
        assert_ok(unlink(f->socket));
        assert_error(guest_connect("web", 1, USEC_PER_SEC, &error), ENOTCONN);
}

/* Output without end goes where it goes until nobody reads it any more; all the time at one buffer's cost. */
static void test_endless(void **state) {
        static const Script s = { FRAMES("o\0\0\4abcd"), .endless = true, .repeat = 8 };
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL;
        int fds[2], status;
        pid_t reader;

        assert_ok(pipe2(fds, O_CLOEXEC));
        reader = fork();
        if (reader == 0) {
                char data[4096];
                size_t n = 0;
                ssize_t k;

                close(fds[1]);
                while (n < 1000000 && (k = read(fds[0], data, sizeof(data))) > 0) {
                        for (ssize_t i = 0; i < k; i++)
                                if (data[i] != "abcd"[(n + (size_t) i) % 4])
                                        _exit(1);
                        n += (size_t) k;
                }
                _exit(n < 1000000);
        }
        close(fds[0]);
        assert_int_equal(run_fd(f, &s, -EBADF, fds[1], &error), 128 + SIGPIPE);
        close(fds[1]);
        assert_int_equal(waitpid(reader, &status, 0), reader);
        assert_int_equal(status, 0);
}

/* Copies, and what is said of them, of both processes. */
static int copy(Fixture *f, const Script *s, bool write, char **ret_said) {
        _cleanup_free_ char *here = strf("%s/here", f->dir), *said = strf("%s/said", f->dir);
        _cleanup_close_ int fd = open(said, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), saved = dup(STDERR_FILENO);
        GuestCopy c = { .from = { "web", "/there" }, .to = { NULL, here }, .timeout_usec = USEC_PER_SEC };
        int r;

        if (write) {
                c.from = (CopySide) { NULL, here };
                c.to = (CopySide) { "web", "/there" };
        }
        start_guest(f, s);
        assert_ok(dup2(fd, STDERR_FILENO));
        r = guest_copy(&c);
        assert_ok(dup2(saved, STDERR_FILENO));
        assert_ok(read_file_at(AT_FDCWD, said, 65536, ret_said, NULL));
        return r;
}

/* One frame of a stream, an archive of these entries. */
static void add_archive(StrBuf *b, const TarEntry *entries) {
        _cleanup_strbuf_ StrBuf tar = {};
        char header[FRAME_HEADER_SIZE];

        tar_make(&tar, entries);
        frame_header(header, FRAME_STDOUT, tar.size);
        strbuf_add(b, header, sizeof(header));
        strbuf_add(b, tar.data, tar.size);
}

static void test_copy_hostile(void **state) {
        static const TarEntry good[] = { { .name = ".", .content = "hello" }, {} }, leading_out[] = { { .name = ".", .type = '5' }, { .name = "../x", .content = "x" }, {} },
                              device[] = { { .name = ".", .type = '4', .major = 8 }, {} };
        static const struct {
                const TarEntry *entries;
                const char *frames;     /* behind them */
                size_t n;
                bool endless, closes;
                int result;
                const char *said;       /* of HERE/here */
        } cases[] = {
                { good, "x\0\0\1\0", 5, false, false, 0, "" },
                { good, "r\0\0\7\x1b[31m a" "r\0\0\3b\nc" "x\0\0\1\1", 23, false, false, 1, "VM 'web': \\x1b[31m ab.\nVM 'web': c.\n" },
                { good, "x\0\0\6\175no \x1b\n", 10, false, false, 1, "VM 'web': no \\x1b\\x0a.\n" },
                { good, "x\0\0\1\211", 5, false, false, 137, "The copy with VM 'web' was ended by signal 9.\n" },
                { good, "x\0\0\1\7", 5, false, false, 1, "The copy has failed in VM 'web' with 7.\n" },
                { good, "", 0, false, false, 1, "The guest of VM 'web' does not go on: nothing within 1 s.\n" },
                { good, "", 0, false, true, 1, "The guest of VM 'web' has gone, or has ended the connection, before all was copied.\n" },
                { good, "nonsense", 8, false, false, 1, "The guest of VM 'web' does not speak as it should: the connection was ended.\n" },
                { good, "o\0\0\4abcd", 8, true, false, 1, "what comes is no copy: it goes on behind its end.\n" },
                { NULL, "x\0\0\1\0", 5, false, false, 1, "The copy has ended before it was whole.\n" },
                { NULL, "o\0\0\4abcd", 8, true, false, 1, "what comes is no copy: it is no tar archive, or a damaged one.\n" },
                { leading_out, "x\0\0\1\0", 5, false, false, 1, "\"HERE/../x\" is no name for anything in a copy.\n" },
                { device, "x\0\0\1\0", 5, false, false, 1, "\"HERE\" is a device or FIFO, which cannot be copied.\n" },
        };
        Fixture *f = *state;
        _cleanup_free_ char *here = strf("%s/here", f->dir), *outside = strf("%s/x", f->dir);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *said = NULL;
                _cleanup_strbuf_ StrBuf b = {}, wanted = {};

                assert_ok(remove_tree_at(AT_FDCWD, here));
                strbuf_adds(&b, WIRE_EXEC_ANSWER);
                if (cases[i].entries)
                        add_archive(&b, cases[i].entries);
                strbuf_add(&b, cases[i].frames, cases[i].n);
                for (const char *p = cases[i].said; *p;) {
                        bool is_here = strncmp(p, "HERE", 4) == 0;

                        strbuf_add(&wanted, is_here ? here : p, is_here ? strlen(here) : 1);
                        p += is_here ? 4 : 1;
                }
                assert_int_equal(copy(f, &(Script) { .line = OK, .answer = b.data, .n = b.size, .endless = cases[i].endless, .repeat = cases[i].n, .closes = cases[i].closes }, false,
                                                 &said),
                                cases[i].result);
                assert_string_equal(said, wanted.data ?: "");
                assert_int_equal(access(outside, F_OK), -1);
                /* It was whole, whatever came behind it. */
                assert_int_equal(access(here, F_OK), cases[i].entries == NULL || cases[i].entries == device ? -1 : 0);
        }
}

/* To a guest that takes nothing, or says that it has taken what it cannot have. */
static void test_copy_untaken(void **state) {
        static const struct {
                Script script;
                const char *said;
        } cases[] = {
                { { FRAMES("") }, "The guest of VM 'web' does not go on: nothing within 1 s.\n" },
                { { FRAMES("x\0\0\1\0") }, "The copy has ended before it was whole.\n" },
                { { FRAMES("x\0\0\5\175full") }, "VM 'web': full.\n" },
                { { FRAMES("c\0\0\4\0\0\0\1"), .endless = true, .repeat = 8 }, "The guest of VM 'web' does not speak as it should: the connection was ended.\n" },
                { { FRAMES("o\0\0\4abcd") }, "The guest of VM 'web' does not speak as it should: the connection was ended.\n" },
        };
        Fixture *f = *state;
        _cleanup_free_ char *here = strf("%s/here", f->dir);
        _cleanup_close_ int fd = open(here, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_ok(ftruncate(fd, 100000000));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *said = NULL;

                assert_int_equal(copy(f, &cases[i].script, true, &said), 1);
                assert_string_equal(said, cases[i].said);
        }
}

static void log_line(int level, const char *line, void *userdata) {
        dprintf(STDERR_FILENO, "%s\n", line);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_hostile, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_planted, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_endless, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_copy_hostile, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_copy_untaken, set_up, tear_down),
        };
        log_set_function(log_line, NULL);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
