/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs run over a socket, with this machine's sh in place of a guest's, and its terminals. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exec-frame.h"
#include "base/fd.h"
#include "base/wire.h"
#include "init/exec.h"
#include "init/failure.h"
#include "test.h"

typedef struct Fixture {
        Loop loop;
        int pts_fd;
        ExecServer *server;
        pid_t pid;                      /* of the last program */
        const char *refusal;            /* what it reports instead of being executed */
} Fixture;

typedef struct Client {
        int fd;
        FrameParser parser;
        size_t answered;                /* of the HTTP answer */
        StrBuf out, err;
        unsigned credit;
        bool exited, closed, bad;
        unsigned exit_code;
        char *message;
} Client;

static int spawn(void *userdata, const ExecRequest *request, const int streams[static 3], pid_t *ret_pid, int *ret_report_fd) {
        Fixture *f = userdata;
        int fds[2];

        assert_ok(pipe2(fds, O_CLOEXEC));
        f->pid = *ret_pid = fork();
        if (f->pid == 0) {
                (void) setsid();
                (void) signal(SIGINT, SIG_DFL);
                (void) signal(SIGPIPE, SIG_DFL);
                for (int i = 0; i < 3; i++)
                        (void) dup2(streams[i], i);
                if (request->terminal)
                        (void) ioctl(0, TIOCSCTTY, 0);
                if (f->refusal) {
                        Failure failure = { .exit_code = EXIT_COMMAND_NOT_FOUND };

                        snprintf(failure.message, sizeof(failure.message), "%s", f->refusal);
                        (void) write_full(fds[1], &failure, sizeof(failure));
                        _exit(1);
                }
                (void) execvp(request->argv[0], request->argv);
                _exit(99);
        }
        close(fds[1]);
        assert_ok(set_nonblock(fds[0], true));
        *ret_report_fd = fds[0];
        return 0;
}

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));

        (void) signal(SIGPIPE, SIG_IGN);
        assert_ok(loop_open(&f->loop));
        f->pts_fd = open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_ok(exec_server_new(&f->loop, f->pts_fd, spawn, f, &f->server));
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        exec_server_free(f->server);
        while (waitpid(-1, NULL, 0) > 0)
                ;
        assert_null(f->loop.timers);
        safe_close(f->pts_fd);
        safe_close(f->loop.epoll_fd);
        free(f);
        return 0;
}

static void client_read(Client *c) {
        static char buffer[65536];
        const char *data = buffer;
        ssize_t k = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        size_t n;
        Frame f;
        int r;

        if (k == 0 || (k < 0 && errno != EAGAIN))
                c->closed = true;
        n = k > 0 ? (size_t) k : 0;
        for (; n > 0 && c->answered < strlen(WIRE_EXEC_ANSWER); c->answered++, n--)
                assert_int_equal(*data++, WIRE_EXEC_ANSWER[c->answered]);
        while ((r = frame_parse(&c->parser, &data, &n, &f)) > 0)
                switch (f.type) {
                case FRAME_STDOUT:
                        strbuf_add(&c->out, f.data, f.n);
                        break;
                case FRAME_STDERR:
                        strbuf_add(&c->err, f.data, f.n);
                        break;
                case FRAME_CREDIT:
                        c->credit += f.value;
                        break;
                default:
                        c->exited = true;
                        c->exit_code = f.value;
                        c->message = strdup(f.message);
                }
        c->bad = c->bad || r < 0;
}

/* Whatever can happen now happens; once it returns, something has or 10 ms have gone. */
static void turn(Fixture *f, Client *c) {
        struct pollfd p[] = { { .fd = f->loop.epoll_fd, .events = POLLIN }, { .fd = c ? c->fd : -1, .events = POLLIN } };
        int status;
        pid_t pid;

        (void) poll(p, 2, 10);
        if (p[0].revents || (f->loop.timers && f->loop.timers->at <= now_usec()))
                assert_ok(loop_turn(&f->loop));
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                exec_server_reaped(f->server, pid, status);
        if (c)
                client_read(c);
}

static int start_as(Fixture *f, Client *c, bool terminal, const FilesRequest *files, const char *command) {
        char *argv[] = { (char *) "sh", (char *) "-c", (char *) command, NULL };
        const ExecRequest request = { .argv = argv, .terminal = terminal, .rows = 24, .columns = 80, .files = files };
        int fds[2], r;

        assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
        *c = (Client) { .fd = fds[0], .parser = { .source = FRAMES_OF_GUEST } };
        r = exec_server_add(f->server, &request, fds[1]);
        close(fds[1]);
        return r;
}

static int start(Fixture *f, Client *c, bool terminal, const char *command) {
        return start_as(f, c, terminal, NULL, command);
}

static void client_done(Client *c) {
        safe_close(c->fd);
        strbuf_done(&c->out);
        strbuf_done(&c->err);
        free(c->message);
}

static void say(Client *c, const char *data, size_t n) {
        assert_int_equal(send(c->fd, data, n, MSG_NOSIGNAL), n);
}

static void say_input(Client *c, const char *text) {
        char header[FRAME_HEADER_SIZE];

        frame_header(header, FRAME_STDIN, strlen(text));
        say(c, header, sizeof(header));
        say(c, text, strlen(text));
}

static void say_end(Client *c) {
        char frame[FRAME_SMALL_MAX];

        say(c, frame, frame_stdin_end(frame));
}

static void expect(Fixture *f, Client *c, const char *out, const char *err, unsigned exit_code) {
        while (!c->exited && !c->closed)
                turn(f, c);
        assert_true(c->exited);
        assert_string_equal(c->out.data ?: "", out);
        assert_string_equal(c->err.data ?: "", err);
        assert_int_equal(c->exit_code, exit_code);
        assert_false(c->bad);
        client_done(c);
        while (exec_server_count(f->server) > 0)
                turn(f, NULL);
}

static void test_streams(void **state) {
        Fixture *f = *state;
        Client c;

        assert_ok(start(f, &c, false, "read a; echo $a; echo no >&2; cat; exit 7"));
        say_input(&c, "one\ntwo\n");
        say_input(&c, "three");
        say_end(&c);
        expect(f, &c, "one\ntwo\nthree", "no\n", 7);
        assert_ok(start(f, &c, false, "kill -TERM $$"));
        expect(f, &c, "", "", 143);
        /* What others still hold is not waited for, what was written is all there. */
        assert_ok(start(f, &c, false, "sleep 1000 & echo $!; echo done >&2"));
        while (!c.exited)
                turn(f, &c);
        assert_int_equal(kill(atoi(c.out.data), SIGKILL), 0);
        strbuf_done(&c.out);
        expect(f, &c, "", "done\n", 0);
        assert_ok(start(f, &c, false, "exec >&- 2>&-; read a; exit 3"));
        say_input(&c, "x\n");
        expect(f, &c, "", "", 3);
}

static void test_not_executed(void **state) {
        Fixture *f = *state;
        Client c;

        f->refusal = "cannot run it";
        assert_ok(start(f, &c, false, "true"));
        while (!c.exited)
                turn(f, &c);
        assert_string_equal(c.message, "cannot run it");
        expect(f, &c, "", "", 127);
}

/* More than any buffer holds, both ways at once, with never more on its way than the credit allows. */
static void test_much(void **state) {
        enum { TOTAL = 3000000, PIECE = 4000 };
        static char sent[TOTAL], frame[FRAME_HEADER_SIZE + PIECE];
        Fixture *f = *state;
        size_t done = 0;
        Client c;

        for (size_t i = 0; i < TOTAL; i++)
                sent[i] = (char) (i * 7 + i / 251);
        assert_ok(start(f, &c, false, "cat"));
        c.credit = FRAME_INPUT_MAX;
        while (done < TOTAL) {
                size_t n = MIN((size_t) PIECE, TOTAL - done);

                n = MIN(n, (size_t) c.credit);
                if (n > 0) {
                        frame_header(frame, FRAME_STDIN, n);
                        memcpy(frame + FRAME_HEADER_SIZE, sent + done, n);
                        say(&c, frame, FRAME_HEADER_SIZE + n);
                        done += n;
                        c.credit -= (unsigned) n;
                }
                turn(f, &c);
                assert_false(c.closed);
        }
        say_end(&c);
        while (!c.exited && !c.closed)
                turn(f, &c);
        assert_int_equal(c.exit_code, 0);
        assert_int_equal(c.out.size, TOTAL);
        assert_memory_equal(c.out.data, sent, TOTAL);
        client_done(&c);
}

/* A host that reads nothing holds the program up, and nothing else. */
static void test_unread(void **state) {
        Fixture *f = *state;
        Client c;

        assert_ok(start(f, &c, false, "head -c 2000000 /dev/zero; exit 5"));
        for (int i = 0; i < 100; i++)
                turn(f, NULL);
        assert_int_equal(kill(f->pid, 0), 0);
        while (!c.exited && !c.closed)
                turn(f, &c);
        assert_int_equal(c.out.size, 2000000);
        assert_int_equal(c.exit_code, 5);
        client_done(&c);
}

/* Input that the program does not want is dropped and credited when it cannot be had any more; a signal passes what waits. */
static void test_unwanted_input(void **state) {
        static char frame[FRAME_HEADER_SIZE + 30000], small[FRAME_SMALL_MAX];
        Fixture *f = *state;
        Client c;

        assert_ok(start(f, &c, false, "exec 2>/dev/null; trap 'exit 4' USR1; echo up; while :; do sleep 0.1; done"));
        while (c.out.size == 0)
                turn(f, &c);
        frame_header(frame, FRAME_STDIN, 30000);
        for (unsigned total = 0; total < 90000; total += c.credit ? 30000 : 0) {
                if (total > 0 && c.credit < 30000)      /* the pipe is full */
                        break;
                say(&c, frame, sizeof(frame));
                c.credit = 0;
                for (int i = 0; i < 20 && c.credit < 30000; i++)
                        turn(f, &c);
        }
        say(&c, small, frame_signal(small, SIGUSR1));
        expect(f, &c, "up\n", "", 4);

        assert_ok(start(f, &c, false, "exec <&-; echo up; sleep 1000"));
        while (c.out.size == 0)
                turn(f, &c);
        say(&c, frame, sizeof(frame));
        while (c.credit < 30000)
                turn(f, &c);
        assert_false(c.closed);
        client_done(&c);
}

/* More than the credit, or what is no frame, ends the connection and the program. */
static void test_wrong(void **state) {
        static char frame[FRAME_HEADER_SIZE + 20000];
        Fixture *f = *state;
        Client c;

        frame_header(frame, FRAME_STDIN, 20000);
        assert_ok(start(f, &c, false, "sleep 1000"));
        for (int i = 0; i < 20 && !c.closed; i++) {
                (void) !send(c.fd, frame, sizeof(frame), MSG_NOSIGNAL);
                turn(f, &c);
        }
        while (!c.closed)
                turn(f, &c);
        client_done(&c);
        assert_int_equal(exec_server_count(f->server), 0);
        while (kill(f->pid, 0) >= 0)
                turn(f, NULL);

        assert_ok(start(f, &c, false, "sleep 1000"));
        say(&c, "GET / HTTP/1.1\r\n", 16);
        while (!c.closed)
                turn(f, &c);
        client_done(&c);

        assert_ok(start(f, &c, false, "sleep 1000"));   /* has no terminal */
        say(&c, frame, frame_window(frame, 1, 1));
        while (!c.closed)
                turn(f, &c);
        client_done(&c);
}

static void test_connection_goes(void **state) {
        Fixture *f = *state;
        Client c;
        int other;

        /* Also what it has started, in its group. */
        assert_ok(start(f, &c, false, "sleep 1000 & echo $!; wait"));
        while (c.out.size == 0)
                turn(f, &c);
        other = atoi(c.out.data);
        client_done(&c);
        while (kill(f->pid, 0) >= 0)
                turn(f, NULL);
        for (;;) {                      /* an orphan's end is seen by whoever reaps it here */
                _cleanup_free_ char *path = strf("/proc/%d/stat", other), *text = NULL;

                if (read_file_at(AT_FDCWD, path, 4096, &text, NULL) < 0 || strstr(text, ") Z "))
                        break;
                turn(f, NULL);
        }
        assert_int_equal(exec_server_count(f->server), 0);
}

/* What copies files sees its streams end, and has some time to end by that; it keeps its place for so long. */
static void test_copy_goes(void **state) {
        static const FilesRequest files = { .write = true };
        char dir[] = "/tmp/init-exec.XXXXXX";
        _cleanup_free_ char *command = NULL, *begun = NULL;
        Fixture *f = *state;
        uint64_t begin;
        Client c;

        assert_non_null(mkdtemp(dir));
        begun = strf("%s/begun", dir);
        command = strf("echo >%s; echo up; cat >/dev/null; sleep 0.3; rm %s", begun, begun);
        assert_ok(start_as(f, &c, false, &files, command));
        while (c.out.size == 0)
                turn(f, &c);
        client_done(&c);
        while (exec_server_count(f->server) > 0)
                turn(f, NULL);
        assert_int_equal(access(begun, F_OK), -1);
        assert_ok(rmdir(dir));

        assert_ok(start_as(f, &c, false, &files, "echo up; exec sleep 1000"));
        while (c.out.size == 0)
                turn(f, &c);
        client_done(&c);
        begin = now_usec();
        while (exec_server_count(f->server) > 0)
                turn(f, NULL);
        assert_true(now_usec() - begin >= EXEC_CLOSE_USEC - USEC_PER_SEC);
        while (kill(f->pid, 0) >= 0)
                turn(f, NULL);
}

static void test_terminal(void **state) {
        char frame[FRAME_SMALL_MAX];
        Fixture *f = *state;
        Client c;

        assert_ok(start(f, &c, true, "stty size; trap 'stty size; exit 9' WINCH; tty >/dev/null && echo tty; while :; do sleep 0.1; done"));
        while (!c.out.data || !strstr(c.out.data, "tty\r\n"))
                turn(f, &c);
        say(&c, frame, frame_window(frame, 50, 132));
        expect(f, &c, "24 80\r\ntty\r\n50 132\r\n", "", 9);

        /* ^C goes to what runs in the terminal. */
        assert_ok(start(f, &c, true, "stty -echo; echo up; exec sleep 1000"));
        while (!c.out.data || !strstr(c.out.data, "up\r\n"))
                turn(f, &c);
        say_input(&c, "\003");
        expect(f, &c, "up\r\n", "", 130);
}

static void test_places(void **state) {
        static Client c[EXEC_MAX + 1];
        Fixture *f = *state;

        for (size_t i = 0; i < EXEC_MAX; i++)
                assert_ok(start(f, c + i, false, "read a; exit 6"));
        assert_error(start(f, c + EXEC_MAX, false, "true"), EBUSY);
        client_done(c + EXEC_MAX);
        assert_int_equal(exec_server_count(f->server), EXEC_MAX);
        client_done(c);
        while (exec_server_count(f->server) == EXEC_MAX)
                turn(f, NULL);
        assert_ok(start(f, c, false, "read a; exit 6"));
        for (size_t i = 0; i < EXEC_MAX; i++) {
                say_input(c + i, "x\n");
                while (!c[i].exited)
                        turn(f, c + i);
                assert_int_equal(c[i].exit_code, 6);
                client_done(c + i);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_streams, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_not_executed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_much, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_unread, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_unwanted_input, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_wrong, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_connection_goes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_copy_goes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_terminal, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_places, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
