/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "init/tree.h"
#include "init/workload.h"

/* What the new process was doing when it failed. */
typedef enum ChildStep {
        STEP_STREAMS,
        STEP_CGROUP,
        STEP_DIRECTORY,
        STEP_LIMITS,
        STEP_USER,
        STEP_EXEC,
        STEP_EXEC_INTERPRETER,
} ChildStep;

typedef struct Child {
        const RunSpec *spec;            /* borrowed */
        char **argv, **env;
        User user;
        int streams[3], directory_fd, report_fd, passed_fd;
        bool with_input;                /* standard input is a pipe of its own, too */
        bool terminal;                  /* the streams are one */
        bool cgroup;
        pid_t beside;                   /* the process whose cgroup namespace it is to have; 0: one of its own */
        const FilesRequest *files;      /* in place of argv */
} Child;
#define CHILD_NULL { .streams = { -EBADF, -EBADF, -EBADF }, .directory_fd = -EBADF, .report_fd = -EBADF, .passed_fd = -EBADF }

static void child_done(Child *c) {
        free(c->argv);                  /* the strings are the specification's */
        strv_free(c->env);
        user_done(&c->user);
        for (size_t i = 0; i < ELEMENTSOF(c->streams); i++)
                safe_close(c->streams[i]);
        safe_close(c->directory_fd);
        safe_close(c->report_fd);
}

static const char *env_get(char *const *env, const char *name) {
        STRV_FOREACH(e, env) {
                const char *v = startswith(*e, name);

                if (v && *v == '=')
                        return v + 1;
        }
        return NULL;
}

/* NAME=VALUE, in place of the one of that name. */
static int env_put(char ***env, const char *assignment) {
        size_t n = strcspn(assignment, "=") + 1;

        STRV_FOREACH(e, *env)
                if (strncmp(*e, assignment, n) == 0)
                        return free_and_strdup(e, assignment);
        return strv_extend(env, assignment);
}

int workload_environment(const RunSpec *spec, const User *user, bool programs, char ***ret) {
        _cleanup_strv_ char **env = NULL;
        int r = 0;

        if (!env_get(spec->env, "PATH"))
                r = strv_extend(&env, programs ? "PATH=" WORKLOAD_DEFAULT_PATH ":" WIRE_PROGRAMS_DIR : "PATH=" WORKLOAD_DEFAULT_PATH);
        if (r >= 0 && !env_get(spec->env, "HOSTNAME"))
                r = strv_consume(&env, strf("HOSTNAME=%s", spec->hostname));
        STRV_FOREACH(e, spec->env)
                if (r >= 0)
                        r = programs && startswith(*e, "PATH=") ? strv_consume(&env, strf("%s:" WIRE_PROGRAMS_DIR, *e)) : strv_extend(&env, *e);
        if (r >= 0 && !env_get(spec->env, "HOME"))
                r = strv_consume(&env, strf("HOME=%s", user->home));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(env);
        return 0;
}

int workload_exec(char *const *argv, char *const *envp, bool *ret_missing_interpreter) {
        const char *path = env_get(envp, "PATH");
        char file[PATH_MAX];
        int error = ENOENT;

        *ret_missing_interpreter = false;
        if (strchr(argv[0], '/')) {
                (void) execve(argv[0], argv, envp);
                error = errno;
                *ret_missing_interpreter = error == ENOENT && access(argv[0], F_OK) >= 0;
                return -error;
        }
        for (const char *p = path ?: "", *next; *p; p = next) {
                size_t n = strcspn(p, ":");

                next = p + n + (p[n] == ':');
                if (n == 0 || (size_t) snprintf(file, sizeof(file), "%.*s/%s", (int) n, p, argv[0]) >= sizeof(file))
                        continue;
                (void) execve(file, argv, envp);
                if (errno == ENOENT && access(file, F_OK) >= 0) {
                        *ret_missing_interpreter = true;
                        return -ENOENT;
                }
                if (errno == ENOENT || errno == ENOTDIR)
                        continue;
                /* What may not be run here may be a file of the same name further on. */
                error = errno;
                if (error != EACCES)
                        break;
        }
        return -error;
}

int workload_exec_exit_code(int error) {
        return error == ENOENT || error == -ENOENT ? EXIT_COMMAND_NOT_FOUND : EXIT_CANNOT_EXEC;
}

/* The failure of a step, `error` a negative errno. */
static void describe(ChildStep step, int error, const RunSpec *spec, Failure *failure) {
        static const char *const steps[] = {
                [STEP_STREAMS] = "connect the workload's streams",
                [STEP_CGROUP] = "enter the workload's cgroup namespace",
                [STEP_LIMITS] = "set the workload's limits",
        };

        switch (step) {
        case STEP_DIRECTORY:
                (void) failure_set(failure, error, "cannot change to the working directory \"%s\": %m", spec->cwd);
                break;
        case STEP_USER:
                (void) failure_set(failure, error, "cannot become user \"%s\": %m", spec->user);
                break;
        case STEP_EXEC:
                if (error == -ENOENT && !strchr(spec->command, '/'))
                        (void) failure_set(failure, error, "cannot run \"%s\": no such command in the image's PATH", spec->command);
                else
                        (void) failure_set(failure, error, "cannot run \"%s\": %m", spec->command);
                failure->exit_code = workload_exec_exit_code(error);
                break;
        case STEP_EXEC_INTERPRETER:
                (void) failure_set(failure, error, "cannot run \"%s\": the interpreter or loader that it names is not in the image",
                                spec->command);
                failure->exit_code = workload_exec_exit_code(error);
                break;
        default:
                (void) failure_set(failure, error, "cannot %s: %m", steps[step]);
                break;
        }
}

static _noreturn_ void child_report(const Child *c, const Failure *failure) {
        (void) write_full(c->report_fd, failure, sizeof(*failure));
        _exit(EXIT_SETUP_FAILED);
}

static _noreturn_ void child_fail(const Child *c, ChildStep step, int error) {
        Failure failure;

        describe(step, error, c->spec, &failure);
        child_report(c, &failure);
}

/* As docker has them. */
static int set_limits(void) {
        const struct rlimit files = { 1048576, 1048576 }, processes = { RLIM_INFINITY, RLIM_INFINITY };
        static const char normal[] = "0\n";
        _cleanup_close_ int fd = -EBADF;

        if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_NPROC, &processes) < 0)
                return negative_errno();
        /* init, from which this is inherited, is not to be killed for memory; the workload is. */
        fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return negative_errno();
        return write_full(fd, normal, strlen(normal));
}

/* Logs of images are often links to /dev/stdout, which are opened anew, by whatever user the workload has become by then: a pipe can be
 * opened so, unlike a socket, where its mode allows it. Nobody reaches it but through a process that has it. */
static int own_streams(const Child *c) {
        if (c->terminal)
                return fchown(STDIN_FILENO, c->user.uid, (gid_t) -1) < 0 || ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0 ? negative_errno() : 0;
        for (int fd = c->with_input ? STDIN_FILENO : STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
                if (fchown(fd, c->user.uid, c->user.gid) < 0 || fchmod(fd, 0666) < 0)
                        return negative_errno();
        return 0;
}

/* Nothing is executed here that would close what init has open. That nobody reads any more is an end like others. */
static _noreturn_ void child_copy_files(const Child *c) {
        const int report_fd = STDERR_FILENO + 1;
        Failure failure;
        int r;

        if (dup2(c->report_fd, report_fd) < 0 || close_range((unsigned) report_fd + 1, UINT_MAX, 0) < 0)
                child_fail(c, STEP_STREAMS, negative_errno());
        (void) signal(SIGPIPE, SIG_IGN);
        r = files_run(c->files, &c->user, &failure);
        if (r < 0)
                (void) write_full(report_fd, &failure, sizeof(failure));
        _exit(r < 0 ? EXIT_FAILED : r);
}

static _noreturn_ void child_run(const Child *c) {
        bool missing_interpreter;
        sigset_t none;
        int r;

        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        (void) setsid();
        (void) umask(0022);

        /* init holds 0 to 2 itself, so none of these is one of them. */
        for (int i = 0; i < (int) ELEMENTSOF(c->streams); i++)
                if (dup2(c->streams[i], i) < 0)
                        child_fail(c, STEP_STREAMS, negative_errno());
        /* Where init has its epoll(7), from its beginning to its end. */
        if (c->passed_fd >= 0 && dup2(c->passed_fd, WORKLOAD_PASSED_FD) < 0)
                child_fail(c, STEP_STREAMS, negative_errno());
        r = own_streams(c);
        if (r < 0)
                child_fail(c, STEP_STREAMS, r);
        if (c->cgroup) {
                r = c->beside > 0 ? cgroup_join_namespace(c->beside) : cgroup_enter_namespace();
                if (r < 0)
                        child_fail(c, STEP_CGROUP, r);
        }
        r = set_limits();
        if (r < 0)
                child_fail(c, STEP_LIMITS, r);
        if (fchdir(c->directory_fd) < 0)
                child_fail(c, STEP_DIRECTORY, negative_errno());
        if (c->files)
                child_copy_files(c);
        if (setgroups(c->user.n_groups, c->user.groups) < 0 || setresgid(c->user.gid, c->user.gid, c->user.gid) < 0 ||
            setresuid(c->user.uid, c->user.uid, c->user.uid) < 0)
                child_fail(c, STEP_USER, negative_errno());
        r = workload_exec(c->argv, c->env, &missing_interpreter);
        child_fail(c, missing_interpreter ? STEP_EXEC_INTERPRETER : STEP_EXEC, r);
}

/* fork(2) into a cgroup. With CLONE_VFORK it returns here when the new process has executed or ended. */
static pid_t clone_into(int cgroup_fd, uint64_t flags) {
        struct clone_args args = {
                .flags = flags,
                .exit_signal = SIGCHLD,
        };

        if (cgroup_fd >= 0) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t) cgroup_fd;
        }
        return (pid_t) syscall(SYS_clone3, &args, sizeof(args));
}

/* A pipe for the child to write to, its reading end non-blocking. */
static int make_output(int *ret_read, int *ret_write) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return negative_errno();
        *ret_read = fds[0];
        *ret_write = fds[1];
        return set_nonblock(fds[0], true);
}

static int read_user_file(int root_fd, const char *path, char **ret, size_t *ret_size, Failure *failure) {
        int r = tree_read_file(root_fd, path, USER_FILE_MAX, ret, ret_size);

        return r < 0 && r != -ENOENT ? failure_set(failure, r, "cannot read the image's %s: %m", path) : 0;
}

int workload_resolve_user(const RunSpec *spec, int root_fd, User *ret, Failure *failure) {
        _cleanup_free_ char *passwd = NULL, *group = NULL;
        size_t n_passwd = 0, n_group = 0;
        int r;

        r = read_user_file(root_fd, "/etc/passwd", &passwd, &n_passwd, failure);
        if (r >= 0)
                r = read_user_file(root_fd, "/etc/group", &group, &n_group, failure);
        return r < 0 ? r : user_resolve(spec->user, passwd, n_passwd, group, n_group, ret, failure);
}

/* As whom, with what: all of it but streams and directory. */
static int child_prepare(Child *c, const RunSpec *spec, int root_fd, bool programs, Failure *failure) {
        int r;

        c->spec = spec;
        r = workload_resolve_user(spec, root_fd, &c->user, failure);
        if (r < 0)
                return r;
        r = workload_environment(spec, &c->user, programs, &c->env);
        if (r < 0)
                return failure_set(failure, r, "cannot make the environment: %m");
        c->argv = calloc(strv_length(spec->args) + 2, sizeof(char *));
        if (!c->argv)
                return failure_set(failure, ENOMEM, "cannot make the command line: %m");
        c->argv[0] = spec->command;
        for (size_t i = 0; spec->args && spec->args[i]; i++)
                c->argv[i + 1] = spec->args[i];
        return 0;
}

int workload_start(const RunSpec *spec, int root_fd, bool programs, const Cgroup *cgroup, Workload *ret, Failure *failure) {
        _cleanup_(child_done) Child c = CHILD_NULL;
        _cleanup_close_ int stdout_fd = -EBADF, stderr_fd = -EBADF, report_fd = -EBADF;
        int fds[2], r;
        Failure report;
        pid_t pid;

        r = child_prepare(&c, spec, root_fd, programs, failure);
        if (r < 0)
                return r;
        c.directory_fd = tree_open_directory(root_fd, spec->cwd, 0755);
        if (c.directory_fd < 0)
                return failure_set(failure, c.directory_fd, "cannot open or make the working directory \"%s\": %m", spec->cwd);
        c.streams[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (c.streams[0] < 0)
                return failure_set(failure, errno, "cannot open /dev/null: %m");
        r = make_output(&stdout_fd, c.streams + 1);
        if (r >= 0)
                r = make_output(&stderr_fd, c.streams + 2);
        if (r >= 0 && pipe2(fds, O_CLOEXEC) < 0)
                r = negative_errno();
        if (r < 0)
                return failure_set(failure, r, "cannot make pipes: %m");
        report_fd = fds[0];
        c.report_fd = fds[1];
        c.cgroup = cgroup->fd >= 0;

        pid = clone_into(cgroup->fd, CLONE_VFORK);
        if (pid < 0)
                return failure_set(failure, errno, "cannot make a process: %m");
        if (pid == 0)
                child_run(&c);

        c.report_fd = safe_close(c.report_fd);
        if (read_full(report_fd, &report, sizeof(report)) == sizeof(report)) {
                (void) waitpid(pid, NULL, 0);
                *failure = report;
                return -ECHILD;
        }
        *ret = (Workload) { .pid = pid, .stdout_fd = TAKE_FD(stdout_fd), .stderr_fd = TAKE_FD(stderr_fd) };
        return 0;
}

/* A cgroup whose processes have made cgroups below it and put controllers into them can hold none itself: then one below it. */
static pid_t clone_beside(const Cgroup *cgroup) {
        _cleanup_close_ int fd = -EBADF;
        pid_t pid = clone_into(cgroup->fd, 0);

        if (pid >= 0 || errno != EBUSY)
                return pid;
        fd = cgroup_open_leaf(cgroup);
        if (fd < 0) {
                errno = -fd;
                return -1;
        }
        return clone_into(fd, 0);
}

static _noreturn_ void join_run(Child *c, const WorkloadJoin *j, const RunSpec *spec) {
        RunSpec view = *spec;           /* all of it borrowed */
        Failure failure;
        int r;

        if (!j->files) {
                view.command = j->argv[0];
                view.args = j->argv + 1;
        }
        view.cwd = j->cwd ?: spec->cwd;
        view.user = j->user ?: spec->user;
        view.env = strv_copy(spec->env);
        r = view.env ? 0 : -ENOMEM;
        STRV_FOREACH(e, j->env)
                if (r >= 0)
                        r = env_put(&view.env, *e);
        if (r < 0)
                (void) failure_set(&failure, r, "cannot make the environment: %m");
        else
                r = child_prepare(c, &view, j->root_fd, j->programs, &failure);
        if (r >= 0 && j->make_environment) {
                c->env = strv_free(c->env);
                r = j->make_environment(&c->user, &c->env, &failure);
        }
        if (r < 0)
                child_report(c, &failure);
        c->directory_fd = open(j->files ? "/" : view.cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (c->directory_fd < 0)
                child_fail(c, STEP_DIRECTORY, negative_errno());
        child_run(c);
}

int workload_join(const WorkloadJoin *j, const RunSpec *spec, const Cgroup *cgroup, pid_t *ret_pid, int *ret_report_fd) {
        Child c = CHILD_NULL;
        _cleanup_close_ int report_fd = -EBADF, child_report_fd = -EBADF;
        int fds[2];
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return negative_errno();
        report_fd = fds[0];
        child_report_fd = fds[1];
        if (set_nonblock(report_fd, true) < 0)
                return negative_errno();

        memcpy(c.streams, j->streams, sizeof(c.streams));
        c.report_fd = child_report_fd;
        c.with_input = !j->terminal;
        c.terminal = j->terminal;
        c.cgroup = cgroup->fd >= 0;
        c.beside = j->beside;
        c.files = j->files;
        c.passed_fd = j->passed_fd;
        pid = clone_beside(cgroup);
        if (pid < 0)
                return negative_errno();
        if (pid == 0)
                join_run(&c, j, spec);
        *ret_pid = pid;
        *ret_report_fd = TAKE_FD(report_fd);
        return 0;
}
