/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/cgroup.h"
#include "init/workload.h"
#include "test.h"

/* Runs argv in a child as workload_exec() does; what it says when it fails is in *ret_error and *ret_missing. Returns the exit code. */
static int run(char *const *argv, char *const *envp, int *ret_error, bool *ret_missing) {
        struct {
                int error;
                bool missing;
        } answer = {};
        int fds[2], status;
        pid_t pid;

        assert_ok(pipe2(fds, O_CLOEXEC));
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                answer.error = workload_exec(argv, envp, &answer.missing);
                (void) write_full(fds[1], &answer, sizeof(answer));
                _exit(99);
        }
        safe_close(fds[1]);
        (void) read_full(fds[0], &answer, sizeof(answer));
        safe_close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        *ret_error = answer.error;
        *ret_missing = answer.missing;
        return WEXITSTATUS(status);
}

typedef struct Fixture {
        char dir[40];
} Fixture;

static void put(const Fixture *f, const char *name, const char *text, mode_t mode) {
        _cleanup_free_ char *path = strf("%s/%s", f->dir, name);

        assert_ok(mkdir_parent_of_at(AT_FDCWD, path, 0755));
        assert_ok(write_file_atomic_at(AT_FDCWD, path, text, strlen(text), mode, 0));
}

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));

        strcpy(f->dir, "/tmp/test-init-workload.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        put(f, "a/tool", "#!/bin/sh\nexit 7\n", 0755);
        put(f, "b/tool", "#!/bin/sh\nexit 8\n", 0755);
        put(f, "a/locked", "#!/bin/sh\nexit 7\n", 0644);
        put(f, "b/locked", "#!/bin/sh\nexit 9\n", 0755);
        put(f, "a/only-locked", "#!/bin/sh\nexit 7\n", 0644);
        put(f, "a/orphan", "#!/nowhere/sh\n", 0755);
        put(f, "a/text", "exit 7\n", 0755);
        put(f, "a/dir/x", "", 0644);
        put(f, "file", "", 0644);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        assert_ok(remove_tree_at(AT_FDCWD, f->dir));
        free(f);
        return 0;
}

static void test_exec(void **state) {
        static const struct {
                const char *command;    /* "@" stands for the directory */
                int exit_code, error;
                bool missing;
                int reported;
        } cases[] = {
                { "tool", 7, 0, false, 0 },
                { "@/b/tool", 8, 0, false, 0 },
                { "locked", 9, 0, false, 0 },
                { "only-locked", 99, -EACCES, false, 126 },
                { "nothing", 99, -ENOENT, false, 127 },
                { "@/nothing", 99, -ENOENT, false, 127 },
                { "orphan", 99, -ENOENT, true, 127 },
                { "@/a/orphan", 99, -ENOENT, true, 127 },
                { "text", 99, -ENOEXEC, false, 126 },
                { "@/a/dir", 99, -EACCES, false, 126 },
                { "@/file/x", 99, -ENOTDIR, false, 126 },
                { "@/file", 99, -EACCES, false, 126 },
        };
        Fixture *f = *state;
        _cleanup_free_ char *path = strf("PATH=:%s/nowhere:%s/file:%s/a::%s/b", f->dir, f->dir, f->dir, f->dir);
        char *env[] = { path, NULL };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *c = cases[i].command;
                _cleanup_free_ char *command = c[0] == '@' ? strf("%s%s", f->dir, c + 1) : strdup(c);
                char *argv[] = { command, NULL };
                bool missing;
                int error;

                assert_int_equal(run(argv, env, &error, &missing), cases[i].exit_code);
                assert_int_equal(error, cases[i].error);
                assert_int_equal(missing, cases[i].missing);
                if (error < 0)
                        assert_int_equal(workload_exec_exit_code(error), cases[i].reported);
        }
}

/* An empty PATH finds nothing, not the working directory. */
static void test_empty_path(void **state) {
        Fixture *f = *state;
        char *env[] = { (char *) "PATH=", NULL }, *argv[] = { (char *) "tool", NULL };
        _cleanup_free_ char *dir = strf("%s/a", f->dir);
        bool missing;
        int error;

        assert_ok(chdir(dir));
        assert_int_equal(run(argv, env, &error, &missing), 99);
        assert_int_equal(error, -ENOENT);
        assert_ok(chdir("/"));
}

static void assert_environment(char **env, bool programs, const char *const *expected) {
        RunSpec spec = { .hostname = (char *) "web1", .env = env };
        const User user = { .home = (char *) "/root" };
        _cleanup_strv_ char **result = NULL;
        size_t i = 0;

        assert_ok(workload_environment(&spec, &user, programs, &result));
        for (; expected[i]; i++)
                assert_string_equal(result[i], expected[i]);
        assert_null(result[i]);
}

static void test_environment(void **state) {
        char *some[] = { (char *) "PATHS=x", (char *) "A=\"$B\"\n%i", NULL };
        char *all[] = { (char *) "HOME=/h", (char *) "PATH=/bin", (char *) "HOSTNAME=x", NULL };

        assert_environment(NULL, false, (const char *[]) { "PATH=" WORKLOAD_DEFAULT_PATH, "HOSTNAME=web1", "HOME=/root", NULL });
        assert_environment(some, false,
                (const char *[]) { "PATH=" WORKLOAD_DEFAULT_PATH, "HOSTNAME=web1", "PATHS=x", "A=\"$B\"\n%i", "HOME=/root", NULL });
        assert_environment(all, false, (const char *[]) { "HOME=/h", "PATH=/bin", "HOSTNAME=x", NULL });
        assert_environment(some, true,
                (const char *[]) { "PATH=" WORKLOAD_DEFAULT_PATH ":/inferno/bin", "HOSTNAME=web1", "PATHS=x", "A=\"$B\"\n%i", "HOME=/root", NULL });
        assert_environment(all, true, (const char *[]) { "HOME=/h", "PATH=/bin:/inferno/bin", "HOSTNAME=x", NULL });
}

static void test_oom_events(void **state) {
        assert_int_equal(cgroup_parse_oom_kills("low 0\nhigh 0\nmax 17\noom 2\noom_kill 3\noom_group_kill 1\n"), 3);
        assert_int_equal(cgroup_parse_oom_kills("oom_kill 18446744073709551615"), UINT64_MAX);
        assert_int_equal(cgroup_parse_oom_kills("oom_kill 99999999999999999999999999\n"), 0);
        assert_int_equal(cgroup_parse_oom_kills("oom_kill x\n"), 0);
        assert_int_equal(cgroup_parse_oom_kills("oom_group_kill 1\n"), 0);
        assert_int_equal(cgroup_parse_oom_kills(""), 0);
}

static void test_exhausted(void **state) {
        assert_true(cgroup_parse_exhausted("anon 219004928\nfile 131072\nshmem 0\n", MIB(210)));
        assert_true(cgroup_parse_exhausted("anon 4928\nfile 209004928\nshmem 209000000\nfile_mapped 1\n", MIB(210)));
        assert_false(cgroup_parse_exhausted("anon 209004928\nfile 4131072\nshmem 0\n", MIB(210)));
        assert_false(cgroup_parse_exhausted("anon 219004928\nfile 131072\nshmem 0\n", UINT64_MAX));
}

static void test_memory_limit(void **state) {
        assert_int_equal(cgroup_memory_limit("MemTotal:         112672 kB\nMemFree:           94148 kB\nMemAvailable:      65536 kB\n"), MIB(64) - MIB(5));
        assert_int_equal(cgroup_memory_limit("MemAvailable: 8192 kB\n"), MIB(4));
        assert_int_equal(cgroup_memory_limit("MemAvailable: 67108864 kB\n"), GIB(63) - MIB(4));
        assert_int_equal(cgroup_memory_limit("MemFree: 100 kB\n"), UINT64_MAX);
        assert_int_equal(cgroup_memory_limit(""), UINT64_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_exec, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_empty_path, set_up, tear_down),
                cmocka_unit_test(test_environment),
                cmocka_unit_test(test_oom_events),
                cmocka_unit_test(test_exhausted),
                cmocka_unit_test(test_memory_limit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
