/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys in a tree of this machine, and the server over Unix sockets with a process that does nothing in dropbear's place. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/wire.h"
#include "init/ssh.h"
#include "test.h"

typedef struct Fixture {
        char dir[32];
        int dir_fd;
        RunSpec *spec;
        Loop loop;
        SshServer *server;
        const char *refusal;            /* what the process reports instead of being executed */
        int error;                      /* of the next spawn */
        unsigned n_spawned;
        pid_t pids[64];
} Fixture;

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));

        snprintf(f->dir, sizeof(f->dir), "/tmp/test-init-ssh-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(f->dir_fd);
        assert_ok(run_spec_new(&f->spec));
        f->spec->ssh_host_key = strdup("c2VjcmV0");
        assert_ok(strv_extend(&f->spec->ssh_keys, "ssh-ed25519 AAAA me"));
        assert_ok(strv_extend(&f->spec->ssh_keys, "ssh-rsa BBBB"));
        assert_ok(loop_open(&f->loop));
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        ssh_server_free(f->server);
        for (unsigned i = 0; i < f->n_spawned; i++)
                if (f->pids[i] > 0)
                        (void) kill(f->pids[i], SIGKILL);
        while (waitpid(-1, NULL, 0) > 0)
                ;
        safe_close(f->loop.epoll_fd);
        safe_close(f->dir_fd);
        run_spec_free(f->spec);
        assert_ok(remove_tree_at(AT_FDCWD, f->dir));
        free(f);
        return 0;
}

static void put(Fixture *f, const char *path, const char *text) {
        assert_ok(mkdir_parent_of_at(f->dir_fd, path, 0755));
        assert_ok(write_file_atomic_at(f->dir_fd, path, text, strlen(text), 0644, 0));
}

static void assert_keys(Fixture *f, const char *dir, uid_t uid) {
        _cleanup_free_ char *path = strf("%s/authorized_keys", dir), *text = NULL;
        struct stat st;

        assert_ok(read_file_at(f->dir_fd, path, 4096, &text, NULL));
        assert_string_equal(strchr(text, '\n'), "\nssh-ed25519 AAAA me\nssh-rsa BBBB\n");
        assert_int_equal(text[0], '#');
        assert_ok(fstatat(f->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW));
        assert_int_equal(st.st_mode, S_IFREG | 0600);
        assert_int_equal(st.st_uid, uid);
        assert_int_equal(st.st_nlink, 1);
        assert_ok(fstatat(f->dir_fd, dir, &st, AT_SYMLINK_NOFOLLOW));
        assert_int_equal(st.st_mode, S_IFDIR | 0700);
        assert_int_equal(st.st_uid, uid);
}

static void test_keys(void **state) {
        Fixture *f = *state;
        Failure failure;

        /* No passwd, no directory. */
        assert_ok(ssh_set_up(f->spec, f->dir_fd, &failure));
        assert_keys(f, ".ssh", 0);
        put(f, "etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:12:13::/home/app:/bin/sh\n");
        assert_ok(ssh_set_up(f->spec, f->dir_fd, &failure));
        assert_keys(f, "root/.ssh", 0);

        if (geteuid() != 0)
                skip();
        assert_ok(free_and_strdup(&f->spec->user, "app"));
        put(f, "home/app/.ssh/authorized_keys", "ssh-ed25519 EVIL\n");
        assert_ok(ssh_set_up(f->spec, f->dir_fd, &failure));
        assert_keys(f, "home/app/.ssh", 12);
        assert_ok(ssh_set_up(f->spec, f->dir_fd, &failure));
        assert_keys(f, "home/app/.ssh", 12);
        assert_ok(free_and_strdup(&f->spec->user, "nobody"));
        assert_error(ssh_set_up(f->spec, f->dir_fd, &failure), ESRCH);
        assert_non_null(strstr(failure.message, "nobody"));
}

/* What a workload may have left in a root that is kept, to have init write elsewhere. */
static void test_hostile_keys(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *shadow = NULL;
        Failure failure;
        struct stat st;

        if (geteuid() != 0)
                skip();
        put(f, "etc/passwd", "app:x:12:13::/home/app:/bin/sh\n");
        put(f, "etc/shadow", "secret\n");
        put(f, "home/app/x", "");
        assert_ok(free_and_strdup(&f->spec->user, "app"));

        assert_ok(symlinkat("/etc", f->dir_fd, "home/app/.ssh"));
        assert_ok(ssh_set_up(f->spec, f->dir_fd, &failure));
        assert_keys(f, "home/app/.ssh", 12);
        assert_ok(unlinkat(f->dir_fd, "home/app/.ssh/authorized_keys", 0));
        assert_ok(linkat(f->dir_fd, "etc/shadow", f->dir_fd, "home/app/.ssh/authorized_keys", 0));
        assert_ok(ssh_set_up(f->spec, f->dir_fd, &failure));
        assert_keys(f, "home/app/.ssh", 12);
        assert_ok(unlinkat(f->dir_fd, "home/app/.ssh/authorized_keys", 0));
        assert_ok(symlinkat("/etc/shadow", f->dir_fd, "home/app/.ssh/authorized_keys"));
        assert_ok(ssh_set_up(f->spec, f->dir_fd, &failure));
        assert_keys(f, "home/app/.ssh", 12);

        assert_ok(read_file_at(f->dir_fd, "etc/shadow", 100, &shadow, NULL));
        assert_string_equal(shadow, "secret\n");
        assert_ok(fstatat(f->dir_fd, "etc/shadow", &st, 0));
        assert_int_equal(st.st_uid, 0);
        assert_ok(fstatat(f->dir_fd, "etc", &st, 0));
        assert_int_equal(st.st_uid, 0);

        assert_ok(unlinkat(f->dir_fd, "home/app/.ssh/authorized_keys", 0));
        put(f, "home/app/.ssh/authorized_keys/dir/file", "");
        assert_ok(ssh_set_up(f->spec, f->dir_fd, &failure));
        assert_keys(f, "home/app/.ssh", 12);
}

static void assert_shell(Fixture *f, const char *shell, const char *expected) {
        User user = { .uid = getuid(), .name = (char *) "me", .home = f->dir, .shell = (char *) shell };
        _cleanup_strv_ char **env = NULL;
        _cleanup_free_ char *line = strf("SHELL=%s", expected), *home = strf("HOME=%s", f->dir);
        Failure failure;

        assert_ok(ssh_make_environment(&user, &env, &failure));
        assert_true(strv_contains(env, line));
        assert_true(strv_contains(env, home));
        assert_true(strv_contains(env, "USER=me"));
        assert_true(strv_contains(env, "LD_PRELOAD=" WIRE_SSH_PRELOAD));
}

static void test_environment(void **state) {
        Fixture *f = *state;
        User user = { .uid = getuid(), .name = (char *) "me", .home = f->dir };
        _cleanup_strv_ char **env = NULL;
        Failure failure;

        assert_shell(f, NULL, "/bin/sh");
        assert_shell(f, "/bin/bash", "/bin/bash");
        assert_shell(f, "/bin/there-is-none", "/bin/sh");
        assert_shell(f, "/usr/sbin/nologin", "/bin/sh");
        assert_shell(f, "/bin/false", "/bin/sh");

        assert_ok(chmod(f->dir, 0775));
        assert_error(ssh_make_environment(&user, &env, &failure), EPERM);
        assert_non_null(strstr(failure.message, f->dir));
        user.home = (char *) "/there/is/none";
        assert_error(ssh_make_environment(&user, &env, &failure), ENOENT);
        assert_non_null(strstr(failure.message, "/there/is/none"));
}

static int spawn(void *userdata, int fd, int host_key_fd, pid_t *ret_pid, int *ret_report_fd) {
        Fixture *f = userdata;
        char key[16];
        int fds[2];

        if (f->error != 0)
                return f->error;
        assert_int_equal(pread(host_key_fd, key, sizeof(key), 0), 6);
        assert_memory_equal(key, "secret", 6);
        assert_int_equal(pwrite(host_key_fd, "x", 1, 0), -1);
        assert_ok(pipe2(fds, O_CLOEXEC | O_NONBLOCK));
        f->pids[f->n_spawned++] = *ret_pid = fork();
        if (*ret_pid == 0) {
                if (f->refusal) {
                        Failure failure = {};

                        snprintf(failure.message, sizeof(failure.message), "%s", f->refusal);
                        (void) write_full(fds[1], &failure, sizeof(failure));
                        _exit(1);
                }
                (void) write_full(fd, "SSH-x\n", 6);
                close(fds[1]);
                for (;;)
                        (void) pause();
        }
        close(fds[1]);
        *ret_report_fd = fds[0];
        return 0;
}

static void listen_at(Fixture *f, struct sockaddr_un *a) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), key_fd;

        *a = (struct sockaddr_un) { .sun_family = AF_UNIX };
        snprintf(a->sun_path, sizeof(a->sun_path), "%s/socket", f->dir);
        assert_ok(bind(fd, (struct sockaddr *) a, sizeof(*a)));
        assert_ok(listen(fd, 64));
        key_fd = ssh_open_host_key(f->spec);
        assert_ok(key_fd);
        assert_string_equal(f->spec->ssh_host_key, "");
        assert_ok(ssh_server_new(&f->loop, key_fd, fd, spawn, f, &f->server));
        close(key_fd);
}

static int dial(const struct sockaddr_un *a) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_ok(connect(fd, (const struct sockaddr *) a, sizeof(*a)));
        return fd;
}

/* Turns the loop until the connection has said this, and is closed or not. */
static void hear(Fixture *f, int fd, const char *expected, bool closed) {
        struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = f->loop.epoll_fd, .events = POLLIN } };
        char text[256] = "";

        for (;;) {
                assert_true(poll(p, 2, 10000) > 0);
                if (p[1].revents)
                        assert_ok(loop_turn(&f->loop));
                else
                        break;
        }
        assert_true(read(fd, text, sizeof(text) - 1) > 0);
        assert_string_equal(text, expected);
        assert_int_equal(poll(p, 1, closed ? 10000 : 20), closed);
        assert_true(!closed || read(fd, text, sizeof(text)) == 0);
}

static void test_sessions(void **state) {
        Fixture *f = *state;
        struct sockaddr_un a;
        int fds[SSH_SESSIONS_MAX], fd;

        listen_at(f, &a);
        f->error = -ESRCH;
        fd = dial(&a);
        hear(f, fd, "inferno: the workload does not run\r\n", true);
        close(fd);
        f->error = 0;
        for (unsigned i = 0; i < SSH_SESSIONS_MAX; i++) {
                fds[i] = dial(&a);
                hear(f, fds[i], "SSH-x\n", false);
        }
        assert_int_equal(f->n_spawned, SSH_SESSIONS_MAX);
        for (unsigned i = 0; i < 100; i++) {
                fd = dial(&a);
                hear(f, fd, "inferno: 16 sessions are open, which is the most\r\n", true);
                close(fd);
        }
        /* One goes, one comes. */
        assert_ok(kill(f->pids[3], SIGKILL));
        assert_int_equal(waitpid(f->pids[3], NULL, 0), f->pids[3]);
        ssh_server_reaped(f->server, f->pids[3]);
        f->pids[3] = 0;
        close(fds[3]);
        fds[3] = dial(&a);
        hear(f, fds[3], "SSH-x\n", false);
        fd = dial(&a);
        hear(f, fd, "inferno: 16 sessions are open, which is the most\r\n", true);
        close(fd);
        for (unsigned i = 0; i < SSH_SESSIONS_MAX; i++)
                close(fds[i]);
}

static void test_refusal(void **state) {
        Fixture *f = *state;
        struct sockaddr_un a;

        listen_at(f, &a);
        f->refusal = "the image has no shell";
        for (unsigned i = 0; i < 40; i++) {
                int fd = dial(&a);

                hear(f, fd, "inferno: the image has no shell\r\n", true);
                close(fd);
                assert_int_equal(waitpid(f->pids[i], NULL, 0), f->pids[i]);
                ssh_server_reaped(f->server, f->pids[i]);
                f->pids[i] = 0;
        }
}

static void test_bad_host_key(void **state) {
        Fixture *f = *state;

        assert_ok(free_and_strdup(&f->spec->ssh_host_key, "not base64"));
        assert_error(ssh_open_host_key(f->spec), EINVAL);
        ssh_server_reaped(NULL, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_keys, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_hostile_keys, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_environment, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_sessions, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_refusal, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bad_host_key, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
