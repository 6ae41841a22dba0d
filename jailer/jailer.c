/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Own work after the contract of Firecracker's jailer: the same command line, the same jail. inferno-jailer(8) lists where it differs. */

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jailer/cgroup.h"
#include "jailer/jail-path.h"
#include "jailer/jail.h"
#include "jailer/jailer.h"
#include "jailer/options.h"

#define PROC_MOUNTS "/proc/self/mounts"
#define PROC_MISC "/proc/misc"

enum { MISC_BYTES_MAX = 64 * 1024 };

/* Microseconds, for the program's metrics. */
typedef struct Times {
        uint64_t start;                 /* monotonic, when we began */
        uint64_t cpu_start;             /* of this process, when we began */
        uint64_t cpu_used;              /* by us, of all processes that we were */
} Times;

static uint64_t now_usec(clockid_t clock) {
        struct timespec ts;

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

/* Nothing of the caller's gets into the jail but standard input, output and error. */
static int sanitize(void) {
        int fd;

        if (close_range(3, UINT_MAX, CLOSE_RANGE_UNSHARE) < 0)
                return log_error_errno(errno, "Cannot close inherited descriptors: %m.");
        (void) clearenv();
        /* Where one of the three is missing, a file that we open would take its place. */
        do {
                fd = open("/dev/null", O_RDWR | O_NOCTTY);
                if (fd < 0)
                        return fcntl(STDERR_FILENO, F_GETFD) >= 0 ? log_error_errno(errno, "Cannot open '/dev/null': %m.") : negative_errno();
        } while (fd <= STDERR_FILENO);
        (void) close(fd);
        return 0;
}

static int join_netns(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

        if (fd < 0)
                return log_error_errno(errno, "Cannot open network namespace '%s': %m.", path);
        if (setns(fd, CLONE_NEWNET) < 0)
                return log_error_errno(errno, "Cannot join network namespace '%s': %m.", path);
        return 0;
}

static int set_limits(const JailerOptions *o) {
        const struct rlimit size = { o->file_size, o->file_size }, files = { o->n_files, o->n_files };

        if (o->file_size != RLIM_INFINITY && setrlimit(RLIMIT_FSIZE, &size) < 0)
                return log_error_errno(errno, "Cannot limit the size of files to %ju: %m.", (uintmax_t) o->file_size);
        if (setrlimit(RLIMIT_NOFILE, &files) < 0)
                return log_error_errno(errno, "Cannot limit the number of files to %ju: %m.", (uintmax_t) o->n_files);
        return 0;
}

/* Slave, not private: what is mounted on the host later, a new NFS server say, is not kept busy here; the way out is closed in either case. */
static int own_mount_namespace(void) {
        if (unshare(CLONE_NEWNS) < 0)
                return log_error_errno(errno, "Cannot make a mount namespace: %m.");
        if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
                return log_error_errno(errno, "Cannot make the mount namespace our own: %m.");
        return 0;
}

/* The second fork makes the daemon a process that can never get a controlling terminal. */
static int daemonize(int null_fd, Times *t) {
        for (int i = 0; i < 2; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        return log_error_errno(errno, "Cannot fork: %m.");
                if (pid > 0)
                        _exit(EXIT_OK);
                if (i == 0 && setsid() < 0)
                        return log_error_errno(errno, "Cannot begin a session: %m.");
                t->cpu_used += now_usec(CLOCK_PROCESS_CPUTIME_ID);
        }
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (dup2(null_fd, fd) < 0)
                        return log_error_errno(errno, "Cannot replace standard input and output: %m.");
        return 0;
}

static int drop_privileges(const JailerOptions *o) {
        if (setgroups(0, NULL) < 0 || setresgid(o->gid, o->gid, o->gid) < 0 || setresuid(o->uid, o->uid, o->uid) < 0)
                return log_error_errno(errno, "Cannot become user %u, group %u: %m.", o->uid, o->gid);
        return 0;
}

static void reset_signals(void) {
        sigset_t none;

        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        (void) signal(SIGPIPE, SIG_DFL);
}

/* Does not return when it works. */
static int execute(const JailerOptions *o, const Times *t) {
        _cleanup_free_ char *path = strf("/%s", o->exec_name), *start = strf("%ju", (uintmax_t) t->start),
                            *cpu_used = strf("%ju", (uintmax_t) t->cpu_used), *cpu_now = NULL;
        _cleanup_free_ char **argv = calloc(10 + strv_length(o->extra), sizeof(char *));
        char *no_environment[] = { NULL };
        size_t n = 0;
        int r;

        r = drop_privileges(o);
        if (r < 0)
                return r;
        reset_signals();
        cpu_now = strf("%ju", (uintmax_t) now_usec(CLOCK_PROCESS_CPUTIME_ID));
        if (!path || !start || !cpu_used || !cpu_now || !argv)
                return log_oom();
        argv[n++] = path;
        argv[n++] = (char *) "--id";
        argv[n++] = (char *) o->id;
        argv[n++] = (char *) "--start-time-us";
        argv[n++] = start;
        argv[n++] = (char *) "--start-time-cpu-us";
        argv[n++] = cpu_now;
        argv[n++] = (char *) "--parent-cpu-time-us";
        argv[n++] = cpu_used;
        STRV_FOREACH(a, o->extra)
                argv[n++] = *a;
        execve(path, argv, no_environment);
        if (errno == ENOENT)
                return log_error_errno(errno, "Cannot execute '%s' in the jail: the loader that it asks for is not there. Take a statically linked "
                                              "program, or put loader and libraries into the jail.", path);
        return log_error_errno(errno, "Cannot execute '%s' in the jail: %m.", path);
}

static int execute_in_pid_namespace(int root_fd, const JailerOptions *o, const Times *t) {
        /* The child of a session's leader would get SIGHUP when we exit. */
        bool leader = getsid(0) == getpid();
        pid_t pid = (pid_t) syscall(SYS_clone, (unsigned long) (CLONE_NEWPID | SIGCHLD), NULL, NULL, NULL, 0UL);
        int r;

        if (pid < 0)
                return log_error_errno(errno, "Cannot make a PID namespace: %m.");
        if (pid == 0) {
                if (leader && setsid() < 0)
                        return log_error_errno(errno, "Cannot begin a session: %m.");
                return execute(o, t);
        }
        r = jail_write_pid(root_fd, o, pid);
        if (r < 0) {
                (void) kill(pid, SIGKILL);
                return r;
        }
        _exit(EXIT_OK);
}

static int run(const JailerOptions *o, Times *t) {
        _cleanup_close_ int root_fd = -EBADF, null_fd = -EBADF;
        _cleanup_free_ char *misc = NULL;
        int r;

        /* First, since descriptors belong to the mount namespace in which they were opened. */
        r = own_mount_namespace();
        if (r < 0)
                return r;
        root_fd = jail_path_open(o);
        if (root_fd < 0)
                return root_fd;
        r = jail_take_over(root_fd, o);
        if (r < 0)
                return r;
        r = jail_copy_program(root_fd, o);
        if (r < 0)
                return r;
        if (o->netns) {
                r = join_netns(o->netns);
                if (r < 0)
                        return r;
        }
        r = set_limits(o);
        if (r < 0)
                return r;
        r = cgroup_setup(o, PROC_MOUNTS);
        if (r < 0)
                return r;
        if (o->daemonize) {
                null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
                if (null_fd < 0)
                        return log_error_errno(errno, "Cannot open '/dev/null': %m.");
        }
        (void) read_file_at(AT_FDCWD, PROC_MISC, MISC_BYTES_MAX, &misc, NULL);

        r = jail_enter(root_fd);
        if (r < 0)
                return r;
        r = jail_populate(root_fd, o, misc);
        if (r < 0)
                return r;

        t->cpu_used = now_usec(CLOCK_PROCESS_CPUTIME_ID) - t->cpu_start;
        if (o->daemonize) {
                r = daemonize(null_fd, t);
                if (r < 0)
                        return r;
        }
        if (o->new_pid_ns)
                return execute_in_pid_namespace(root_fd, o, t);
        r = jail_write_pid(root_fd, o, getpid());
        if (r < 0)
                return r;
        return execute(o, t);
}

int jailer_run(char **argv) {
        Times t = { .start = now_usec(CLOCK_MONOTONIC), .cpu_start = now_usec(CLOCK_PROCESS_CPUTIME_ID) };
        _cleanup_jailer_options_ JailerOptions o = {};
        int r;

        log_setup(argv[0], LOG_TARGET_STDERR);
        if (sanitize() < 0)
                return EXIT_SETUP_FAILED;
        r = jailer_options_parse(&o, argv);
        if (r == JAILER_OPTIONS_DONE)
                return EXIT_OK;
        if (r == -EINVAL)
                return EXIT_USAGE;
        if (r >= 0)
                (void) run(&o, &t);
        return EXIT_SETUP_FAILED;
}
