/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole lives of kiln with a process in the place of the VMM and its guest (kiln-guest.c), a datagram socket in the place of
 * journald's and one in that of systemd's. */

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/log.h"
#include "json/json.h"
#include "kiln-guest.h"
#include "kiln/clock.h"
#include "kiln/journal.h"
#include "kiln/vm.h"
#include "test.h"

#define ULID "01ARZ3NDEKTSV4RRFFQ69G5FAV"

typedef struct Entry {
        char *identifier, *stream, *message;
        size_t size;
        int priority;
        bool partial;
} Entry;

typedef struct Life {
        char dir[32];
        int journal, notify;
        pid_t pid;
        int pidfd;
        int output;                     /* kiln's fds 1 and 2 */

        Entry *entries;
        size_t n_entries;
        char **notified;                /* all messages to systemd */
        KilnConfig *config;
        uint64_t watchdog_usec;
} Life;

/* --- the receivers --- */

static int bind_datagram(const char *path) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_ok(fd);
        (void) unlink(path);
        snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
        assert_ok(bind(fd, (struct sockaddr *) &sa, sizeof(sa)));
        return fd;
}

static char *take(const char *data, size_t n) {
        char *s = malloc(n + 1);

        assert_non_null(s);
        memcpy(s, data, n);
        s[n] = 0;
        return s;
}

/* Reads one entry as systemd's documentation of the native protocol has it. */
static void parse_entry(Life *l, const char *data, size_t n) {
        Entry e = { .priority = -1 }, *slot;
        bool has_vm = false, has_image = false, has_version = false;

        for (size_t i = 0; i < n;) {
                const char *nl = memchr(data + i, '\n', n - i), *eq = memchr(data + i, '=', n - i), *value;
                size_t key_size, size;

                assert_non_null(nl);
                if (eq && eq < nl) {
                        key_size = (size_t) (eq - (data + i));
                        value = eq + 1;
                        size = (size_t) (nl - value);
                } else {
                        uint64_t le;

                        key_size = (size_t) (nl - (data + i));
                        value = nl + 1 + sizeof(le);
                        assert_true((size_t) (value - data) <= n);
                        memcpy(&le, nl + 1, sizeof(le));
                        size = le;
                        assert_true(size < n - (size_t) (value - data));
                        assert_int_equal(value[size], '\n');
                }
#define IS(key) (key_size == strlen(key) && memcmp(data + i, key, key_size) == 0)
                if (IS("MESSAGE")) {
                        e.message = take(value, size);
                        e.size = size;
                } else if (IS("PRIORITY"))
                        e.priority = value[0] - '0';
                else if (IS("SYSLOG_IDENTIFIER"))
                        e.identifier = take(value, size);
                else if (IS("INFERNO_STREAM"))
                        e.stream = take(value, size);
                else if (IS("INFERNO_PARTIAL"))
                        e.partial = true;
                else if (IS("INFERNO_VM"))
                        has_vm = size == 4 && memcmp(value, "web1", 4) == 0;
                else if (IS("INFERNO_IMAGE"))
                        has_image = size == 5 && memcmp(value, "nginx", 5) == 0;
                else if (IS("INFERNO_VERSION"))
                        has_version = size == 26;
                else
                        fail_msg("unknown field %.*s", (int) key_size, data + i);
#undef IS
                i = (size_t) (value - data) + size + 1;
        }
        assert_true(has_vm && has_image && has_version && e.message && e.stream && e.identifier && e.priority >= 0);
        slot = GREEDY_APPEND(l->entries, l->n_entries);
        assert_non_null(slot);
        *slot = e;
        l->n_entries++;
}

/* False: nothing there. */
static bool receive_entry(Life *l) {
        static char buf[512 * 1024];
        union {
                struct cmsghdr header;
                uint8_t buf[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec iov = { buf, sizeof(buf) };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
        ssize_t k = recvmsg(l->journal, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        struct cmsghdr *c;

        if (k < 0)
                return false;
        assert_false(msg.msg_flags & MSG_TRUNC);
        c = CMSG_FIRSTHDR(&msg);
        if (c) {
                int fd;

                assert_int_equal(k, 0);
                memcpy(&fd, CMSG_DATA(c), sizeof(int));
                assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
                k = pread(fd, buf, sizeof(buf), 0);
                assert_true(k > 0);
                close(fd);
        }
        parse_entry(l, buf, (size_t) k);
        return true;
}

static bool receive_notification(Life *l) {
        char buf[4096];
        ssize_t k = recv(l->notify, buf, sizeof(buf) - 1, MSG_DONTWAIT);

        if (k < 0)
                return false;
        buf[k] = 0;
        assert_ok(strv_extend(&l->notified, buf));
        return true;
}

/* --- a life --- */

static void life_prepare(Life *l, const char *play) {
        char exe[4096];
        ssize_t k = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

        assert_true(k > 0);
        exe[k] = 0;
        *l = (Life) { .dir = "/tmp/test-kiln.XXXXXX", .pidfd = -EBADF, .output = -EBADF };
        assert_non_null(mkdtemp(l->dir));
        assert_ok(chdir(l->dir));
        l->journal = bind_datagram("journal.sock");
        l->notify = bind_datagram("notify.sock");
        assert_ok(write_file_atomic_at(AT_FDCWD, "firecracker.json", play, strlen(play), 0600, 0));

        assert_ok(kiln_config_new(&l->config));
        assert_ok(free_and_strdup(&l->config->jail_id, ULID));
        assert_ok(free_and_strdup(&l->config->version, ULID));
        assert_ok(free_and_strdup(&l->config->name, "web1"));
        assert_ok(free_and_strdup(&l->config->image, "nginx"));
        assert_ok(free_and_strdup(&l->config->vmm, "ember"));
        assert_ok(free_and_strdup(&l->config->address, "172.16.0.2"));
        assert_ok(free_and_strdup(&l->config->firecracker_exec_path, exe));
        assert_ok(free_and_strdup(&l->config->vm_logs_socket_path, "journal.sock"));
        l->config->stop_timeout_usec = 10 * USEC_PER_SEC;
}

static void life_start(Life *l) {
        fflush(stdout);
        l->pid = fork();
        assert_ok(l->pid);
        if (l->pid == 0) {
                _cleanup_free_ char *notify = strf("%s/notify.sock", l->dir);
                VmOptions o = { .watchdog_usec = l->watchdog_usec };
                Vm *vm = NULL;
                int r;

                /* A test that fails leaves nothing running. */
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                /* What the test has open, the real kiln has not. */
                close(l->journal);
                close(l->notify);
                l->output = open("output", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
                dup2(l->output, STDOUT_FILENO);
                dup2(l->output, STDERR_FILENO);
                setenv("NOTIFY_SOCKET", notify, 1);
                log_setup("kiln", LOG_TARGET_STDERR);
                log_set_max_level(l->config->log_level);
                r = vm_new(l->config, &o, &vm);
                if (r >= 0)
                        r = vm_run(vm);
                vm_free(vm);
                kiln_config_free(l->config);
                freep(&notify);
                exit(r < 0 ? 98 : r);   /* with all that a leak checker does then */
        }
        l->pidfd = (int) syscall(SYS_pidfd_open, l->pid, 0);
        assert_ok(l->pidfd);
}

/* Takes what comes until the text is notified (NULL: until kiln ends); its exit code then. Two messages in one are looked through. */
static int life_go_on(Life *l, const char *until) {
        for (;;) {
                struct pollfd p[] = { { l->journal, POLLIN, 0 }, { l->notify, POLLIN, 0 }, { l->pidfd, POLLIN, 0 } };
                int status;

                assert_int_not_equal(poll(p, ELEMENTSOF(p), 60000), 0);
                while (receive_entry(l))
                        ;
                while (receive_notification(l))
                        if (until && strstr(l->notified[strv_length(l->notified) - 1], until))
                                return 0;
                if (!p[2].revents)
                        continue;
                assert_true(waitpid(l->pid, &status, 0) == l->pid);
                while (receive_entry(l))
                        ;
                while (receive_notification(l))
                        ;
                l->pid = 0;
                assert_true(WIFEXITED(status));
                return WEXITSTATUS(status);
        }
}

static size_t life_count(const Life *l, const char *stream, const char *text, int priority) {
        size_t n = 0;

        for (size_t i = 0; i < l->n_entries; i++)
                if (streq(l->entries[i].stream, stream) && strstr(l->entries[i].message, text) &&
                    (priority < 0 || l->entries[i].priority == priority))
                        n++;
        return n;
}

static bool life_notified(const Life *l, const char *text) {
        STRV_FOREACH(s, l->notified)
                if (strstr(*s, text))
                        return true;
        return false;
}

/* The end of a test: exit_status.json is right, the sockets are gone, nothing runs. */
static void life_end(Life *l, int exit_code, const char *reason) {
        char error[JSON_ERROR_MAX] = "";
        _cleanup_json_ json_t *j = NULL;

        assert_ok(json_parse_file(AT_FDCWD, "exit_status.json", 4096, &j, error));
        assert_int_equal(json_integer_value(json_object_get(j, "exit_code")), exit_code);
        assert_string_equal(json_string_value(json_object_get(j, "reason")), reason);
        assert_int_not_equal(access("v.sock_10000", F_OK), 0);
        assert_int_not_equal(access("v.sock_10001", F_OK), 0);

        for (size_t i = 0; i < l->n_entries; i++) {
                free(l->entries[i].identifier);
                free(l->entries[i].stream);
                free(l->entries[i].message);
        }
        free(l->entries);
        strv_free(l->notified);
        kiln_config_free(l->config);
        close(l->journal);
        close(l->notify);
        close(l->pidfd);
        assert_ok(chdir("/"));
        assert_ok(remove_tree_at(AT_FDCWD, l->dir));
}

static void life_of(Life *l, const char *play, int exit_code) {
        int r;

        life_prepare(l, play);
        life_start(l);
        r = life_go_on(l, NULL);
        if (r != exit_code)
                for (size_t i = 0; i < l->n_entries; i++)
                        print_message("%s: %.200s\n", l->entries[i].stream, l->entries[i].message);
        assert_int_equal(r, exit_code);
}

/* --- tests --- */

static void test_exit_codes(void **state) {
        static const struct {
                const char *play;
                int exit_code;
                const char *reason, *message;
                int priority;
        } cases[] = {
                { "exit-0", 0, "exited", "The workload exited with 0", LOG_INFO },
                { "exit-7", 7, "exited", "The workload exited with 7", LOG_NOTICE },
                { "segv", 139, "signal", "The workload was killed by SIGSEGV", LOG_ERR },
                { "oom", 137, "oom-killed", "ran out of memory", LOG_ERR },
                { "not-found", 127, "setup-failed", "The workload could not be started: no command \"foo\" in $PATH", LOG_ERR },
                { "vmm-fails", EXIT_VMM_FAILED, "vmm-failed", "ember failed with exit code 1.", LOG_ERR },
                { "vmm-killed", EXIT_VMM_FAILED, "vmm-failed", "ember was killed by SIGKILL", LOG_ERR },
                { "lost", EXIT_GUEST_LOST, "guest-lost", "The guest ended without saying", LOG_ERR },
                { "abrupt", 3, "exited", "The workload exited with 3", LOG_NOTICE },
                { "panic", EXIT_GUEST_PANIC, "guest-panic",
                  "The guest's kernel panicked: Attempted to kill init! exitcode=0x0000000b", LOG_ERR },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Life l;

                life_of(&l, cases[i].play, cases[i].exit_code);
                assert_int_equal(life_count(&l, "kiln", cases[i].message, cases[i].priority), 1);
                assert_true(life_notified(&l, cases[i].message));
                assert_int_equal(life_notified(&l, "READY=1"), !streq(cases[i].play, "not-found") && !streq(cases[i].play, "vmm-fails"));
                if (streq(cases[i].play, "exit-7")) {
                        assert_int_equal(life_count(&l, "stdout", "hello", LOG_INFO), 1);
                        assert_true(life_notified(&l, "STATUS=Running nginx on ember (emulation), 172.16.0.2, guest pid 87"));
                } else if (streq(cases[i].play, "abrupt"))
                        assert_int_equal(life_count(&l, "stdout", "abrupt", LOG_INFO), 2000);
                else if (streq(cases[i].play, "vmm-fails")) {
                        assert_int_equal(life_count(&l, "vmm", "Error: no such drive", LOG_WARNING), 1);
                        assert_int_equal(life_count(&l, "kiln", "Last lines of the VMM's messages:\nError: no such drive", LOG_ERR), 1);
                } else if (streq(cases[i].play, "panic")) {
                        assert_int_equal(life_count(&l, "console", "Rebooting in 1 seconds..", LOG_INFO), 1);
                        assert_int_equal(life_count(&l, "kiln", "Last lines of the guest's console:\n[    1.0] EXT4-fs error\n", LOG_ERR), 1);
                }
                life_end(&l, cases[i].exit_code, cases[i].reason);
        }
}

static void test_no_vmm(void **state) {
        Life l;

        life_prepare(&l, "exit-0");
        assert_ok(free_and_strdup(&l.config->firecracker_exec_path, "/nonexistent/firecracker"));
        life_start(&l);
        assert_int_equal(life_go_on(&l, NULL), EXIT_VMM_FAILED);
        assert_int_equal(life_count(&l, "kiln", "Cannot run the VMM \"/nonexistent/firecracker\" (ember): No such file", LOG_ERR), 1);
        life_end(&l, EXIT_VMM_FAILED, "vmm-failed");
}

static void test_streams(void **state) {
        size_t n_out = 0, n_err = 0, n_long = 0;
        bool binary = false, empty = false, last = false;
        Life l;

        life_of(&l, "streams", 0);
        for (size_t i = 0; i < l.n_entries; i++) {
                const Entry *e = &l.entries[i];
                char expected[32];

                if (streq(e->stream, "stderr")) {
                        snprintf(expected, sizeof(expected), "err %zu", n_err++);
                        assert_string_equal(e->message, expected);
                        assert_string_equal(e->identifier, "web1");
                        assert_int_equal(e->priority, LOG_ERR);
                } else if (streq(e->stream, "stdout")) {
                        assert_int_equal(e->priority, LOG_INFO);
                        if (n_out < 50000) {
                                snprintf(expected, sizeof(expected), "out %zu", n_out++);
                                assert_string_equal(e->message, expected);
                        } else if (!binary) {
                                assert_int_equal(e->size, 5);
                                assert_memory_equal(e->message, "\0\x01\xff=\r", 5);
                                binary = true;
                        } else if (!empty) {
                                assert_int_equal(e->size, 0);
                                empty = true;
                        } else if (n_long < 200 * 1024) {
                                assert_true(e->size <= 48 * 1024);
                                for (size_t k = 0; k < e->size; k++, n_long++)
                                        assert_int_equal(e->message[k], n_long % 2 ? 'b' : 'a');
                                assert_int_equal(e->partial, n_long < 200 * 1024);
                        } else {
                                assert_string_equal(e->message, "no newline at the end");
                                assert_false(last);
                                last = true;
                        }
                }
        }
        assert_int_equal(n_out, 50000);
        assert_int_equal(n_err, 50000);
        assert_true(last);
        life_end(&l, 0, "exited");
}

static unsigned progress(void) {
        unsigned n = 0;
        int fd = open("progress", O_RDONLY | O_CLOEXEC);

        if (fd >= 0) {
                (void) !read(fd, &n, sizeof(n));
                close(fd);
        }
        return n;
}

static void sleep_msec(unsigned msec) {
        struct timespec ts = { msec / 1000, (long) (msec % 1000) * 1000000 };

        (void) nanosleep(&ts, NULL);
}

/* The journal takes nothing: the guest is held up after what the sockets between hold, and then nothing is lost. */
static void test_pressure(void **state) {
        unsigned before, after;
        size_t n = 0;
        Life l;

        life_prepare(&l, "pressure");
        life_start(&l);
        do {
                before = progress();
                sleep_msec(300);
                after = progress();
        } while (before != after || after == 0);
        assert_in_range(after, 1, 2000);

        assert_int_equal(life_go_on(&l, NULL), 0);
        for (size_t i = 0; i < l.n_entries; i++)
                if (streq(l.entries[i].stream, "stdout") && !streq(l.entries[i].message, "end"))
                        assert_int_equal(strtoul(l.entries[i].message, NULL, 10), n++);
        assert_int_equal(n, 4000);
        assert_int_equal(life_count(&l, "kiln", "The workload exited with 0", LOG_INFO), 1);
        life_end(&l, 0, "exited");
}

/* The journal's socket goes away and another comes, as when journald is started anew together with its socket. */
static void test_journal_restart(void **state) {
        size_t n = 0;
        Life l;

        life_prepare(&l, "two-halves");
        life_start(&l);
        assert_int_equal(life_go_on(&l, "READY=1"), 0);
        while (life_count(&l, "stdout", "line 99", -1) == 0) {
                sleep_msec(10);
                while (receive_entry(&l))
                        ;
        }
        close(l.journal);
        assert_ok(unlink("journal.sock"));
        assert_ok(write_file_atomic_at(AT_FDCWD, "go", "", 0, 0600, 0));
        sleep_msec(300);
        l.journal = bind_datagram("journal.sock");

        assert_int_equal(life_go_on(&l, NULL), 0);
        for (size_t i = 0; i < l.n_entries; i++)
                if (streq(l.entries[i].stream, "stdout"))
                        assert_int_equal(strtoul(l.entries[i].message + 5, NULL, 10), n++);
        assert_int_equal(n, 200);
        life_end(&l, 0, "exited");
}

/* Larger than any datagram may be. */
static void test_large_entry(void **state) {
        _cleanup_free_ char *message = malloc(400 * 1024);
        JournalSource source = {};
        sd_event *event = NULL;
        Journal *j = NULL;
        Life l;

        life_prepare(&l, "");
        for (size_t i = 0; i < 400 * 1024; i++)
                message[i] = (char) (i * 7);
        assert_ok(sd_event_new(&event));
        assert_ok(journal_new(event, "journal.sock", &j));
        assert_ok(journal_source_init(&source, "SYSLOG_IDENTIFIER=web1\nINFERNO_VM=web1\nINFERNO_STREAM=stdout\nINFERNO_IMAGE=nginx\n"
                                               "INFERNO_VERSION=" ULID "\n", "", STDOUT_FILENO));
        assert_int_equal(journal_send(j, &source, LOG_INFO, message, 400 * 1024, false), 0);
        assert_true(receive_entry(&l));
        assert_int_equal(l.entries[0].size, 400 * 1024);
        assert_memory_equal(l.entries[0].message, message, 400 * 1024);
        journal_source_done(&source);
        journal_free(j);
        sd_event_unref(event);
        assert_ok(write_file_atomic_at(AT_FDCWD, "exit_status.json", "{\"exit_code\":0,\"reason\":\"x\"}", 28, 0600, 0));
        life_end(&l, 0, "x");
}

/* Without a journal: lines on the standard output and the standard error. */
static void test_no_journal(void **state) {
        _cleanup_free_ char *text = NULL;
        Life l;

        life_prepare(&l, "exit-7");
        assert_ok(unlink("journal.sock"));
        life_start(&l);
        assert_int_equal(life_go_on(&l, NULL), 7);
        assert_int_equal(l.n_entries, 0);
        assert_ok(read_file_at(AT_FDCWD, "output", 8192, &text, NULL));
        assert_non_null(strstr(text, "\nhello\n"));
        assert_non_null(strstr(text, "\nkiln: The workload exited with 7\n"));
        life_end(&l, 7, "exited");
}

static void test_connections(void **state) {
        Life l;

        life_of(&l, "many-connections", 5);
        assert_int_equal(life_count(&l, "stdout", "", -1), 0);
        assert_in_range(life_count(&l, "kiln", "more connections from the guest", LOG_WARNING), 1, 3);
        life_end(&l, 5, "exited");

        life_of(&l, "flood", 42);
        assert_int_equal(life_count(&l, "stdout", "", -1), 0);
        assert_in_range(life_count(&l, "kiln", "more connections from the guest", LOG_WARNING), 1, 10);
        life_end(&l, 42, "exited");

        life_of(&l, "wrong-streams", 0);
        assert_int_equal(life_count(&l, "kiln", "Refused 1 more connections from the guest to vsock port 10000, the last since it is neither", LOG_WARNING), 1);
        assert_int_equal(life_count(&l, "stdout", "x", LOG_INFO), 1);
        life_end(&l, 0, "exited");
}

static void test_status_garbage(void **state) {
        Life l;

        life_of(&l, "garbage-status", 4);
        assert_int_equal(life_count(&l, "kiln", "The guest's status is not understood", LOG_WARNING), 4);
        life_end(&l, 4, "exited");

        life_of(&l, "repeats", EXIT_GUEST_LOST);
        assert_int_equal(life_count(&l, "kiln", "The guest's status is not understood: it has said so", LOG_WARNING), 16);
        life_end(&l, EXIT_GUEST_LOST, "guest-lost");

        life_of(&l, "only-garbage", EXIT_GUEST_LOST);
        assert_int_equal(life_count(&l, "kiln", "The guest's status is not understood", LOG_WARNING), 16);
        life_end(&l, EXIT_GUEST_LOST, "guest-lost");
}

static void test_watchdog(void **state) {
        size_t n = 0;
        Life l;

        life_prepare(&l, "answers");
        l.watchdog_usec = 400 * USEC_PER_MSEC;
        life_start(&l);
        assert_int_equal(life_go_on(&l, NULL), 0);
        STRV_FOREACH(s, l.notified)
                if (strstr(*s, "WATCHDOG=1"))
                        n++;
        assert_in_range(n, 4, 8);
        life_end(&l, 0, "exited");

        /* A third of it is how long an answer may take, which the guest must not need for its first byte. */
        life_prepare(&l, "rude-api");
        l.watchdog_usec = 3 * USEC_PER_SEC;
        life_start(&l);
        assert_int_equal(life_go_on(&l, NULL), 0);
        assert_int_equal(life_count(&l, "kiln", "The guest answers again", LOG_INFO), 1);
        life_end(&l, 0, "exited");

        /* One that does not answer: it is not fed, and systemd's SIGABRT ends it. */
        life_prepare(&l, "never-answers");
        l.watchdog_usec = 600 * USEC_PER_MSEC;
        life_start(&l);
        assert_int_equal(life_go_on(&l, "READY=1"), 0);
        sleep_msec(1500);
        assert_ok(kill(l.pid, SIGABRT));
        assert_int_equal(life_go_on(&l, NULL), EXIT_GUEST_LOST);
        assert_false(life_notified(&l, "WATCHDOG=1"));
        assert_in_range(life_count(&l, "kiln", "The guest has not answered for", LOG_WARNING), 1, 10);
        assert_int_equal(life_count(&l, "kiln", "SIGABRT, as systemd's watchdog sends it: the guest has not answered", LOG_ERR), 1);
        life_end(&l, EXIT_GUEST_LOST, "watchdog");
}

static void life_until_up(Life *l, const char *play, const char *until) {
        life_prepare(l, play);
        l->config->log_level = LOG_DEBUG;
        l->config->stop_timeout_usec = 4 * USEC_PER_SEC;
        life_start(l);
        assert_int_equal(life_go_on(l, until), 0);
}

static void test_stop(void **state) {
        uint64_t begin;
        Life l;

        life_until_up(&l, "obeys", "READY=1");
        assert_ok(kill(l.pid, SIGTERM));
        assert_int_equal(life_go_on(&l, NULL), 0);
        assert_true(life_notified(&l, "STOPPING=1"));
        assert_true(life_notified(&l, "STATUS=Stopping: SIGTERM sent to the workload, which has 4 s to end"));
        assert_int_equal(life_count(&l, "kiln", "Stopping: SIGTERM to the workload, which has 4 s to end.", LOG_INFO), 1);
        assert_int_equal(life_count(&l, "kiln", "The workload ended by SIGTERM as asked.", LOG_INFO), 1);
        assert_int_equal(life_count(&l, "stdout", "bye", LOG_INFO), 1);
        assert_int_equal(life_count(&l, "metrics", "{\"api_server\":{}}", LOG_DEBUG), 1);
        life_end(&l, 0, "stopped");

        life_until_up(&l, "obeys-late", "READY=1");
        assert_ok(kill(l.pid, SIGTERM));
        assert_int_equal(life_go_on(&l, NULL), 0);
        assert_int_equal(life_count(&l, "kiln", "The guest did not take the stop signal, trying again", LOG_WARNING), 1);
        life_end(&l, 0, "stopped");

        life_until_up(&l, "stopped-in-setup", "has booted");
        assert_ok(kill(l.pid, SIGTERM));
        assert_int_equal(life_go_on(&l, NULL), 0);
        assert_false(life_notified(&l, "READY=1"));
        life_end(&l, 0, "stopped");

        /* Before anything has come from the guest there is nothing to lose. */
        life_until_up(&l, "never-boots", "STATUS=Starting nginx");
        begin = now_usec();
        assert_ok(kill(l.pid, SIGINT));
        assert_int_equal(life_go_on(&l, NULL), 0);
        assert_true(now_usec() - begin < 2 * USEC_PER_SEC);
        assert_int_equal(life_count(&l, "kiln", "Stopped before the guest had booted.", LOG_INFO), 1);
        life_end(&l, 0, "stopped");
}

static void test_stop_by_force(void **state) {
        uint64_t begin, took;
        Life l;

        life_prepare(&l, "needs-cad");
        l.config->stop_timeout_usec = 500 * USEC_PER_MSEC;
        life_start(&l);
        assert_int_equal(life_go_on(&l, "READY=1"), 0);
        assert_ok(kill(l.pid, SIGTERM));
        assert_int_equal(life_go_on(&l, NULL), 137);
        assert_int_equal(life_count(&l, "kiln", "telling the guest to kill it (Ctrl-Alt-Del)", LOG_WARNING), 1);
        assert_int_equal(life_count(&l, "kiln", "The workload did not stop within 0.50 s, killed.", LOG_WARNING), 1);
        life_end(&l, 137, "stop-timeout");

        life_prepare(&l, "stays");
        l.config->stop_timeout_usec = 500 * USEC_PER_MSEC;
        life_start(&l);
        assert_int_equal(life_go_on(&l, "READY=1"), 0);
        assert_ok(kill(l.pid, SIGTERM));
        assert_int_equal(life_go_on(&l, NULL), 137);
        assert_int_equal(life_count(&l, "kiln", "The guest has not powered off 5 s after the end of its workload, killing ember", LOG_WARNING), 1);
        life_end(&l, 137, "stop-timeout");

        life_prepare(&l, "starts-too-late");
        l.config->stop_timeout_usec = 500 * USEC_PER_MSEC;
        life_start(&l);
        assert_int_equal(life_go_on(&l, "STATUS=The guest has booted"), 0);
        assert_ok(kill(l.pid, SIGTERM));
        assert_int_equal(life_go_on(&l, NULL), 137);
        assert_false(life_notified(&l, "READY=1"));
        assert_int_equal(life_count(&l, "kiln", "has not ended 5 s after Ctrl-Alt-Del, killing ember", LOG_WARNING), 1);
        life_end(&l, 137, "stop-timeout");

        life_prepare(&l, "needs-kill");
        l.config->stop_timeout_usec = 500 * USEC_PER_MSEC;
        life_start(&l);
        assert_int_equal(life_go_on(&l, "READY=1"), 0);
        begin = now_usec();
        assert_ok(kill(l.pid, SIGTERM));
        assert_ok(kill(l.pid, SIGTERM));        /* does not hasten it, does no harm */
        assert_int_equal(life_go_on(&l, NULL), 137);
        took = now_usec() - begin;
        assert_in_range(took / 1000, 5500, 9000);
        assert_int_equal(life_count(&l, "kiln", "has not ended 5 s after Ctrl-Alt-Del, killing ember", LOG_WARNING), 1);
        assert_int_equal(life_count(&l, "kiln", "The workload did not stop within 0.50 s, killed.", LOG_WARNING), 1);
        life_end(&l, 137, "stop-timeout");
}

static void test_loud_vmm(void **state) {
        Life l;

        life_of(&l, "loud-vmm", 0);
        assert_int_equal(life_count(&l, "console", "console 0 ", LOG_INFO), 1);
        assert_in_range(life_count(&l, "console", "console", LOG_INFO), 100, 20000);
        assert_in_range(life_count(&l, "kiln", "of the guest's console, which prints more than is kept", LOG_WARNING), 1, 20);
        assert_int_equal(life_count(&l, "vmm", "it broke", LOG_ERR), 1);
        assert_int_equal(life_count(&l, "vmm", "all is well", LOG_INFO), 1);
        life_end(&l, 0, "exited");
}

/* kiln is killed: the VMM does not outlive it. */
static void test_killed(void **state) {
        struct pollfd p;
        Life l;
        int status;

        life_prepare(&l, "needs-kill");
        life_start(&l);
        assert_int_equal(life_go_on(&l, "READY=1"), 0);
        assert_ok(kill(l.pid, SIGKILL));
        assert_true(waitpid(l.pid, &status, 0) == l.pid);
        /* Its end of the vsock connections is gone once nobody can be connected to any more. */
        for (int i = 0; i < 200; i++) {
                struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "v.sock" };
                _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

                if (connect(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 && errno == ECONNREFUSED)
                        break;
                assert_int_not_equal(i, 199);
                sleep_msec(10);
        }
        p = (struct pollfd) { l.pidfd, POLLIN, 0 };
        assert_int_equal(poll(&p, 1, 0), 1);
        (void) unlink("v.sock_10000");
        (void) unlink("v.sock_10001");
        assert_ok(write_file_atomic_at(AT_FDCWD, "exit_status.json", "{\"exit_code\":0,\"reason\":\"x\"}", 28, 0600, 0));
        life_end(&l, 0, "x");
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_exit_codes),
                cmocka_unit_test(test_no_vmm),
                cmocka_unit_test(test_streams),
                cmocka_unit_test(test_pressure),
                cmocka_unit_test(test_journal_restart),
                cmocka_unit_test(test_large_entry),
                cmocka_unit_test(test_no_journal),
                cmocka_unit_test(test_connections),
                cmocka_unit_test(test_status_garbage),
                cmocka_unit_test(test_watchdog),
                cmocka_unit_test(test_stop),
                cmocka_unit_test(test_stop_by_force),
                cmocka_unit_test(test_loud_vmm),
                cmocka_unit_test(test_killed),
        };

        if (argc > 1 && streq(argv[1], "--id"))
                return kiln_guest_main(argc, argv);
        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
