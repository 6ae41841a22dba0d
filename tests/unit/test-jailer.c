/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs the jailer in child processes with a static program, which says what has become of it. Needs root; exits with 77 (skipped) without. */

#include <fcntl.h>
#include <linux/capability.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "jailer/cgroup.h"
#include "jailer/jailer.h"
#include "test.h"

#define JAIL_UID "70001"
#define JAIL_GID "70002"

enum { OUTPUT_MAX = 256 * 1024 };

static char base[] = "/tmp/inferno-test-jailer.XXXXXX";
static unsigned n_jails;

/* ---- running it ---- */

typedef struct Result {
        pid_t pid;
        int code;                       /* of exit, or 128 + signal */
        char *out, *err;
} Result;

static void result_done(Result *r) {
        free(r->out);
        free(r->err);
}
#define _cleanup_result_ _cleanup_(result_done)

static char *read_all(int fd) {
        char *buf = malloc(OUTPUT_MAX + 1);
        ssize_t n = read_full(fd, buf, OUTPUT_MAX);

        assert_true(n >= 0);
        buf[n] = 0;
        return buf;
}

/* `before` runs in the child. */
static Result run(void (*before)(void), const char *const *argv) {
        _cleanup_close_ int out = memfd_create("out", 0), err = memfd_create("err", 0);
        Result r = {};
        int status;

        assert_ok(out);
        assert_ok(err);
        r.pid = fork();
        assert_true(r.pid >= 0);
        if (r.pid == 0) {
                if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
                        _exit(99);
                if (before)
                        before();
                status = jailer_run((char **) argv);
                (void) fflush(stdout);
                _exit(status);
        }
        assert_int_equal(waitpid(r.pid, &status, 0), r.pid);
        r.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        (void) lseek(out, 0, SEEK_SET);
        (void) lseek(err, 0, SEEK_SET);
        r.out = read_all(out);
        r.err = read_all(err);
        return r;
}

#define RUN(before, ...) run(before, (const char *const[]) { "inferno-jailer", __VA_ARGS__, NULL })
#define JAIL(id) "--id", id, "--exec-file", JAIL_PROBE, "--uid", JAIL_UID, "--gid", JAIL_GID, "--chroot-base-dir", base

/* A name that no other test has. */
static const char *new_id(void) {
        static char id[32];

        snprintf(id, sizeof(id), "Jail-%u", ++n_jails);
        return id;
}

/* A path in the jail, from the outside. */
static char *in_jail(const char *id, const char *path) {
        char *s = strf("%s/jail-probe/%s/root%s", base, id, path);

        assert_non_null(s);
        return s;
}

static void make_root(const char *id) {
        _cleanup_free_ char *root = in_jail(id, "");

        assert_ok(mkdir_parents_at(AT_FDCWD, root, 0755));
}

static bool has_line(const char *text, const char *line) {
        size_t n = strlen(line);

        for (const char *p = text; (p = strstr(p, line)); p++)
                if ((p == text || p[-1] == '\n') && p[n] == '\n')
                        return true;
        return false;
}

#define assert_line(r, ...)                                                     \
        do {                                                                    \
                _cleanup_free_ char *_line = strf(__VA_ARGS__);                 \
                if (!has_line((r).out, _line))                                  \
                        fail_msg("no line '%s' in:\n%s%s", _line, (r).out, (r).err); \
        } while (0)
#define assert_no_line(r, beginning) assert_null(strstr((r).out, "\n" beginning))

static void assert_refused(Result r, int code, const char *message) {
        if (r.code != code || !strstr(r.err, message) || strstr(r.out, "argument "))
                fail_msg("code %d, not %d with '%s': %s%s", r.code, code, message, r.err, r.out);
        /* One line. */
        assert_ptr_equal(strchr(r.err, '\n'), r.err + strlen(r.err) - 1);
        result_done(&r);
}

/* ---- tests ---- */

static void dirty_process(void) {
        sigset_t all;

        setenv("SECRET", "x", 1);
        for (int i = 0; i < 20; i++)
                (void) open("/etc/passwd", O_RDONLY);
        (void) fcntl(open("/", O_RDONLY | O_DIRECTORY), F_DUPFD, 900);
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        signal(SIGPIPE, SIG_IGN);
        (void) umask(0077);
        (void) !setgroups(2, (gid_t[]) { 4, 27 });
}

static void test_contract(void **state) {
        const char *id = new_id();
        _cleanup_result_ Result r = RUN(dirty_process, JAIL(id), "--", "--watchdog-usec=5", "--exit=7", "--", "a b", "");
        _cleanup_free_ char *pid_file = in_jail(id, "/jail-probe.pid"), *pid = NULL;
        static const char head[] = "argument /jail-probe\nargument --id\nargument Jail-1\nargument --start-time-us\nargument ";
        unsigned long long start, cpu, parent;
        struct timespec now;
        int n = 0;

        assert_int_equal(r.code, 7);
        assert_string_equal(r.err, "");
        assert_int_equal(strncmp(r.out, head, sizeof(head) - 1), 0);
        assert_int_equal(sscanf(r.out + sizeof(head) - 1, "%llu\nargument --start-time-cpu-us\nargument %llu\n"
                                                          "argument --parent-cpu-time-us\nargument %llu\n%n", &start, &cpu, &parent, &n), 3);
        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true(start <= (unsigned long long) now.tv_sec * 1000000 + (unsigned long long) now.tv_nsec / 1000);
        assert_true(start + 60 * 1000000 > (unsigned long long) now.tv_sec * 1000000);
        assert_true(cpu < 1000000 && parent <= cpu);
        assert_non_null(startswith(r.out + sizeof(head) - 1 + n,
                                   "argument --watchdog-usec=5\nargument --exit=7\nargument --\nargument a b\nargument \nuid "));

        assert_line(r, "uid 70001 70001 70001");
        assert_line(r, "gid 70002 70002 70002");
        assert_line(r, "groups 0");
        assert_line(r, "cwd /");
        assert_no_line(r, "environment ");
        assert_line(r, "descriptor 0");
        assert_line(r, "descriptor 1");
        assert_line(r, "descriptor 2");
        assert_no_line(r, "descriptor 3");
        assert_no_line(r, "descriptor 9");
        assert_line(r, "limit no-file 2048 2048");
        assert_line(r, "blocked SIGTERM 0");

        /* The same process, as systemd wants it. */
        assert_line(r, "pid %d session %d", (int) r.pid, (int) getsid(0));
        assert_ok(read_file_at(AT_FDCWD, pid_file, 64, &pid, NULL));
        assert_int_equal(atoi(pid), r.pid);

        /* Firecracker's tests/integration_tests/security/test_jail.py, test_default_chroot_hierarchy */
        assert_line(r, "file / mode 40700 owner 70001:70002 device 0:0");
        assert_line(r, "file /dev mode 40700 owner 70001:70002 device 0:0");
        assert_line(r, "file /dev/net mode 40700 owner 70001:70002 device 0:0");
        assert_line(r, "file /run mode 40700 owner 70001:70002 device 0:0");
        assert_line(r, "file /dev/net/tun mode 20600 owner 70001:70002 device 10:200");
        assert_line(r, "file /dev/kvm mode 20600 owner 70001:70002 device 10:232");
        assert_line(r, "file /dev/urandom mode 20600 owner 70001:70002 device 1:9");
        assert_line(r, "file /etc missing");
        assert_line(r, "file /proc missing");
        assert_line(r, "random opens");
        assert_line(r, "entry jail-probe");
        assert_line(r, "entry jail-probe.pid");
        assert_no_line(r, "entry old_root");
}

static void test_limits(void **state) {
        _cleanup_result_ Result r = RUN(NULL, JAIL(new_id()), "--resource-limit=no-file=100", "--resource-limit", "fsize=4096");

        assert_int_equal(r.code, 0);
        assert_line(r, "limit no-file 100 100");
        assert_line(r, "limit fsize 4096 4096");
}

static void test_command_line(void **state) {
        static const struct {
                const char *args[8];
                const char *message;
        } wrong[] = {
                { { "--nonsense" }, "Unknown option '--nonsense'" },
                { { "nonsense" }, "Unknown option 'nonsense'" },
                { { "--id" }, "Option '--id' needs a value" },
                { { "--netns", "--daemonize" }, "Option '--netns' needs a value" },
                { { "--netns", "a", "--netns", "b" }, "Option '--netns' is given more than once" },
                { { "--daemonize=yes" }, "Option '--daemonize' takes no value" },
                { { "--new-pid-ns", "--new-pid-ns" }, "Option '--new-pid-ns' is given more than once" },
                { { "--cgroup", "cpu.shares" }, "FILE=VALUE" },
                { { "--cgroup", "cpu.shares=" }, "FILE=VALUE" },
                { { "--cgroup", "cpu.shares=1=2" }, "FILE=VALUE" },
                { { "--cgroup", "cpushares=1" }, "CONTROLLER.PROPERTY" },
                { { "--cgroup", "../x.y=1" }, "CONTROLLER.PROPERTY" },
                { { "--cgroup-version", "3" }, "--cgroup-version '3'" },
                { { "--cgroup-version", "x" }, "--cgroup-version 'x'" },
                { { "--parent-cgroup", "/x" }, "--parent-cgroup '/x'" },
                { { "--parent-cgroup", "a/../../b" }, "--parent-cgroup 'a/../../b'" },
                { { "--resource-limit", "no-file" }, "--resource-limit 'no-file'" },
                { { "--resource-limit", "cores=1" }, "--resource-limit 'cores=1'" },
                { { "--resource-limit", "fsize=x" }, "--resource-limit 'fsize=x'" },
        };
        static const char *const ids[] = { "", "a_b", "a/b", "..", "ä", "0123456789012345678901234567890123456789012345678901234567890123x" };
        static const char *const uids[] = { "", "-1", "+1", "root", "4294967295", "4294967296", "1 " };

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                const char *argv[32] = { "inferno-jailer", "--exec-file", JAIL_PROBE, "--uid=1", "--gid=1" };
                size_t n = 5;

                for (size_t k = 0; wrong[i].args[k]; k++)
                        argv[n++] = wrong[i].args[k];
                if (!streq(wrong[i].args[0], "--id"))
                        argv[n++] = "--id=x";
                assert_refused(run(NULL, argv), EXIT_USAGE, wrong[i].message);
        }
        assert_refused(RUN(NULL, "--exec-file", JAIL_PROBE, "--uid", "1", "--gid", "1"), EXIT_USAGE, "'--id' is missing");
        assert_refused(RUN(NULL, "--id", "x", "--uid", "1", "--gid", "1"), EXIT_USAGE, "'--exec-file' is missing");
        assert_refused(RUN(NULL, "--id", "x", "--exec-file", JAIL_PROBE, "--gid", "1"), EXIT_USAGE, "'--uid' is missing");
        assert_refused(RUN(NULL, "--id", "x", "--exec-file", JAIL_PROBE, "--uid", "1"), EXIT_USAGE, "'--gid' is missing");
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                _cleanup_free_ char *arg = strf("--id=%s", ids[i]);

                assert_refused(RUN(NULL, arg, "--exec-file", JAIL_PROBE, "--uid", "1", "--gid", "1"), EXIT_USAGE, "64 letters, digits and hyphens");
        }
        for (size_t i = 0; i < ELEMENTSOF(uids); i++) {
                assert_refused(RUN(NULL, "--id", "x", "--exec-file", JAIL_PROBE, "--uid", uids[i], "--gid", "1"), EXIT_USAGE, "Not a user");
                assert_refused(RUN(NULL, "--id", "x", "--exec-file", JAIL_PROBE, "--uid", "1", "--gid", uids[i]), EXIT_USAGE, "Not a user");
        }

        assert_refused(RUN(NULL, "--id", "x", "--exec-file", "/nowhere", "--uid", "1", "--gid", "1"), EXIT_SETUP_FAILED, "Cannot find the program '/nowhere'");
        assert_refused(RUN(NULL, "--id", "x", "--exec-file", "/tmp", "--uid", "1", "--gid", "1"), EXIT_SETUP_FAILED, "is not a file");
        assert_refused(RUN(NULL, "--id", "x", "--exec-file", JAIL_PROBE, "--uid", "1", "--gid", "1", "--chroot-base-dir", "/nowhere"),
                       EXIT_SETUP_FAILED, "Cannot find the directory '/nowhere'");
        assert_refused(RUN(NULL, "--id", "x", "--exec-file", JAIL_PROBE, "--uid", "1", "--gid", "1", "--chroot-base-dir", JAIL_PROBE),
                       EXIT_SETUP_FAILED, "is not a directory");

        /* Both win over whatever else is there, but not behind "--". */
        for (size_t i = 0; i < 3; i++) {
                static const char *const options[] = { "--help", "-h", "--version" };
                _cleanup_result_ Result r = RUN(NULL, "--nonsense", options[i]);

                assert_int_equal(r.code, 0);
                assert_string_equal(r.err, "");
                assert_non_null(strstr(r.out, "inferno-jailer "));
        }
        assert_refused(RUN(NULL, "--", "--help"), EXIT_USAGE, "'--id' is missing");
}

/* Who could write to a directory on the way, or be one, is refused (CVE-2026-1386). */
static void test_path(void **state) {
        const char *id = new_id();
        _cleanup_free_ char *own_base = strf("%s/own", base), *link = strf("%s/link", base), *programs = strf("%s/own/jail-probe", base),
                            *jail = strf("%s/own/jail-probe/%s", base, id), *root = strf("%s/own/jail-probe/%s/root", base, id);
        char *const steps[] = { own_base, programs, jail, root };
        const char *const argv[] = { "inferno-jailer", "--id", id, "--exec-file", JAIL_PROBE, "--uid", JAIL_UID, "--gid", JAIL_GID,
                                     "--chroot-base-dir", own_base, NULL };

        assert_ok(mkdir_parents_at(AT_FDCWD, root, 0755));
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                assert_ok(chmod(steps[i], 0775));
                assert_refused(run(NULL, argv), EXIT_SETUP_FAILED, "can be written to by others (mode 0775)");
                assert_ok(chmod(steps[i], 01777));
                assert_refused(run(NULL, argv), EXIT_SETUP_FAILED, "can be written to by others (mode 1777)");
                assert_ok(chmod(steps[i], 0755));
                assert_ok(chown(steps[i], 12345, 0));
                assert_refused(run(NULL, argv), EXIT_SETUP_FAILED, "belongs to user 12345");
                assert_ok(chown(steps[i], 0, 0));
        }
        /* The jail's user may have the last one alone. */
        assert_ok(chown(jail, 70001, 70002));
        assert_refused(run(NULL, argv), EXIT_SETUP_FAILED, "belongs to user 70001");
        assert_ok(chown(jail, 0, 0));

        for (size_t i = 1; i < ELEMENTSOF(steps); i++) {
                _cleanup_free_ char *moved = strf("%s.moved", steps[i]);

                assert_ok(rename(steps[i], moved));
                assert_ok(symlink(moved, steps[i]));
                assert_refused(run(NULL, argv), EXIT_SETUP_FAILED, "is a symlink or no directory");
                assert_ok(unlink(steps[i]));
                assert_ok(close(creat(steps[i], 0644)));
                assert_refused(run(NULL, argv), EXIT_SETUP_FAILED, "is a symlink or no directory");
                assert_ok(unlink(steps[i]));
                assert_ok(rename(moved, steps[i]));
        }

        /* The base itself may be named by a symlink, as with upstream; and the root may be the jail's user's. */
        assert_ok(symlink("own", link));
        assert_ok(chown(root, 70001, 70002));
        {
                _cleanup_result_ Result r = RUN(NULL, "--id", id, "--exec-file", JAIL_PROBE, "--uid", JAIL_UID, "--gid", JAIL_GID, "--chroot-base-dir", link);

                assert_int_equal(r.code, 0);
                assert_line(r, "uid 70001 70001 70001");
        }
}

static void test_program(void **state) {
        const char *id = new_id();
        _cleanup_free_ char *program = in_jail(id, "/jail-probe"), *other = strf("%s/files/other", base);
        struct stat st;

        make_root(id);
        assert_ok(mkdir_parent_of_at(AT_FDCWD, other, 0755));
        assert_ok(write_file_atomic_at(AT_FDCWD, other, "x", 1, 0644, 0));
        assert_ok(symlink(other, program));
        assert_refused(RUN(NULL, JAIL(id)), EXIT_SETUP_FAILED, "'/jail-probe' in the jail is a symlink");
        assert_ok(unlink(program));
        assert_ok(link(other, program));
        assert_refused(RUN(NULL, JAIL(id)), EXIT_SETUP_FAILED, "'/jail-probe' in the jail has other hard links");
        assert_ok(unlink(program));
        assert_ok(mkdir(program, 0700));
        assert_refused(RUN(NULL, JAIL(id)), EXIT_SETUP_FAILED, "'/jail-probe' in the jail is a symlink or no file");
        assert_ok(rmdir(program));
        assert_ok(stat(other, &st));
        assert_int_equal(st.st_uid, 0);
        assert_int_equal(st.st_size, 1);

        /* What an earlier run has left is replaced, not written into. */
        {
                _cleanup_close_ int fd = open(program, O_RDWR | O_CREAT, 0755);
                _cleanup_result_ Result r = {};

                assert_ok(ftruncate(fd, 64 * 1024 * 1024));
                r = RUN(NULL, JAIL(id));
                assert_int_equal(r.code, 0);
                assert_ok(fstat(fd, &st));
                assert_int_equal(st.st_nlink, 0);
                assert_ok(stat(program, &st));
                assert_int_equal(st.st_uid, 70001);
                assert_int_equal(st.st_gid, 70002);
                assert_true(st.st_size < 64 * 1024 * 1024);
        }

        /* One that cannot run: dynamically linked, or no program. */
        assert_refused(RUN(NULL, "--id", new_id(), "--exec-file", "/proc/self/exe", "--uid", JAIL_UID, "--gid", JAIL_GID, "--chroot-base-dir", base),
                       EXIT_SETUP_FAILED, "the loader that it asks for is not there");
        assert_ok(chmod(other, 0755));
        assert_refused(RUN(NULL, "--id", new_id(), "--exec-file", other, "--uid", JAIL_UID, "--gid", JAIL_GID, "--chroot-base-dir", base),
                       EXIT_SETUP_FAILED, "Cannot execute '/other' in the jail: Exec format error");
}

/* Names that the jail's user has planted lead nowhere. */
static void test_planted(void **state) {
        static const char *const names[] = { "/dev", "/dev/net", "/run" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const char *id = new_id();
                _cleanup_free_ char *dev = in_jail(id, "/dev"), *name = in_jail(id, names[i]), *elsewhere = in_jail(id, "/elsewhere");
                struct stat st;

                make_root(id);
                assert_ok(mkdir(elsewhere, 0755));
                if (i == 1)
                        assert_ok(mkdir(dev, 0755));
                assert_ok(symlink("/elsewhere", name));
                assert_refused(RUN(NULL, JAIL(id)), EXIT_SETUP_FAILED, "in the jail is a symlink or no directory");
                assert_ok(stat(elsewhere, &st));
                assert_int_equal(st.st_uid, 0);
                assert_int_equal(st.st_mode & 07777, 0755);
        }
}

/* The second of two in one jail is refused, and does nothing to the first. */
static void test_occupied(void **state) {
        const char *id = new_id();
        _cleanup_result_ Result first = RUN(NULL, JAIL(id)), third = {};
        _cleanup_free_ char *root = in_jail(id, ""), *pid_file = in_jail(id, "/jail-probe.pid"), *dev = in_jail(id, "/dev");
        struct stat st;

        assert_int_equal(first.code, 0);
        assert_refused(RUN(NULL, JAIL(id)), EXIT_SETUP_FAILED, "'/jail-probe.pid' is in the jail already");
        assert_ok(stat(root, &st));
        assert_int_equal(st.st_uid, 70001);
        assert_ok(unlink(pid_file));
        assert_refused(RUN(NULL, JAIL(id)), EXIT_SETUP_FAILED, "'/dev/net/tun' is in the jail already");
        assert_ok(remove_tree_at(AT_FDCWD, dev));
        third = RUN(NULL, JAIL(id));
        assert_int_equal(third.code, 0);
}

/* Mounts that are made in the root before (BindPaths= of a unit) are there inside; nothing of ours is seen outside. */
static void test_mounts(void **state) {
        const char *id = new_id();
        _cleanup_free_ char *before = NULL, *after = NULL;
        _cleanup_result_ Result r = {};

        make_root(id);
        assert_ok(read_file_at(AT_FDCWD, "/proc/self/mountinfo", OUTPUT_MAX, &before, NULL));
        r = RUN(NULL, JAIL(id));
        assert_int_equal(r.code, 0);
        assert_ok(read_file_at(AT_FDCWD, "/proc/self/mountinfo", OUTPUT_MAX, &after, NULL));
        assert_string_equal(before, after);
}

static void mount_in_jail(void) {
        _cleanup_free_ char *etc = strf("%s/jail-probe/Mounted/root/etc", base);

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0 ||
            mount("tmpfs", etc, "tmpfs", 0, "mode=0751") < 0)
                _exit(98);
}

static void test_mount_below(void **state) {
        _cleanup_free_ char *etc = in_jail("Mounted", "/etc");
        _cleanup_result_ Result r = {};

        make_root("Mounted");
        assert_ok(mkdir(etc, 0700));
        r = RUN(mount_in_jail, JAIL("Mounted"));
        assert_int_equal(r.code, 0);
        assert_line(r, "file /etc mode 40751 owner 0:0 device 0:0");
}

static void close_standard(void) {
        (void) close(STDIN_FILENO);
}

static void test_standard_descriptors(void **state) {
        _cleanup_result_ Result r = RUN(close_standard, JAIL(new_id()));

        assert_int_equal(r.code, 0);
        assert_line(r, "descriptor 0");
        assert_no_line(r, "descriptor 3");
}

/* In a container that may make no nodes. */
static void drop_mknod(void) {
        struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct d[2];

        if (syscall(SYS_capget, &h, d) < 0)
                _exit(98);
        d[0].effective &= ~(1u << CAP_MKNOD);
        d[0].permitted &= ~(1u << CAP_MKNOD);
        d[0].inheritable &= ~(1u << CAP_MKNOD);
        if (syscall(SYS_capset, &h, d) < 0)
                _exit(98);
}

static void test_no_nodes(void **state) {
        _cleanup_result_ Result r = RUN(drop_mknod, JAIL(new_id()), "--", "--exit=3");

        assert_int_equal(r.code, 3);
        assert_non_null(strstr(r.err, "Not permitted to make device '/dev/kvm' in the jail"));
        assert_line(r, "file /dev/kvm missing");
        assert_line(r, "uid 70001 70001 70001");
}

static unsigned long long netns_cookie(void) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        unsigned long long cookie = 0;

        assert_ok(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &(socklen_t) { sizeof(cookie) }));
        return cookie;
}

static void test_netns(void **state) {
        _cleanup_free_ char *path = NULL;
        _cleanup_result_ Result r = {}, s = {};
        unsigned long long there = 0;
        int p[2];
        pid_t pid;

        assert_ok(pipe2(p, O_CLOEXEC));
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                unsigned long long cookie = unshare(CLONE_NEWNET) < 0 ? 0 : netns_cookie();

                (void) !write(p[1], &cookie, sizeof(cookie));
                for (;;)
                        pause();
        }
        assert_int_equal(read(p[0], &there, sizeof(there)), sizeof(there));
        safe_close(p[0]);
        safe_close(p[1]);
        path = strf("/proc/%d/ns/net", (int) pid);
        r = RUN(NULL, JAIL(new_id()), "--netns", path);
        s = RUN(NULL, JAIL(new_id()));
        assert_ok(kill(pid, SIGKILL));
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(r.code, 0);
        assert_line(r, "netns %llu", there);
        assert_line(s, "netns %llu", netns_cookie());
        assert_true(there != netns_cookie());

        assert_refused(RUN(NULL, JAIL(new_id()), "--netns", "/nowhere"), EXIT_SETUP_FAILED, "Cannot open network namespace '/nowhere'");
        assert_refused(RUN(NULL, JAIL(new_id()), "--netns", "/proc/self/ns/mnt"), EXIT_SETUP_FAILED, "Cannot join network namespace");
}

/* What the program has written into the jail; it may take a moment after the jailer's end. */
static char *wait_for_file(const char *path) {
        char *text = NULL;

        for (int i = 0; i < 500; i++) {
                size_t n;

                if (read_file_at(AT_FDCWD, path, 1024, &text, &n) >= 0) {
                        if (n > 0)
                                return text;
                        free(text);
                }
                (void) poll(NULL, 0, 10);
        }
        fail_msg("'%s' has not come", path);
        return NULL;
}

static void test_daemonize(void **state) {
        const char *id = new_id();
        _cleanup_result_ Result r = RUN(NULL, JAIL(id), "--daemonize", "--", "--mark");
        _cleanup_free_ char *mark_file = in_jail(id, "/run/mark"), *pid_file = in_jail(id, "/jail-probe.pid"), *mark = wait_for_file(mark_file),
                            *pid = wait_for_file(pid_file);
        int its_pid, session, parent;

        assert_int_equal(r.code, 0);
        assert_string_equal(r.out, "");
        assert_int_equal(sscanf(mark, "pid %d session %d parent %d", &its_pid, &session, &parent), 3);
        assert_int_equal(its_pid, atoi(pid));
        assert_true(its_pid != r.pid);
        assert_true(session != getsid(0) && session != its_pid);
}

static void test_pid_namespace(void **state) {
        const char *id = new_id();
        _cleanup_result_ Result r = RUN(NULL, JAIL(id), "--new-pid-ns", "--", "--mark");
        _cleanup_free_ char *mark_file = in_jail(id, "/run/mark"), *pid_file = in_jail(id, "/jail-probe.pid"), *mark = wait_for_file(mark_file),
                            *pid = wait_for_file(pid_file);

        assert_int_equal(r.code, 0);
        assert_non_null(startswith(mark, "pid 1 "));
        assert_true(atoi(pid) > 1);
        assert_true(atoi(pid) != r.pid);
}

/* ---- control groups, in a directory that looks like them ---- */

static void write_below(const char *dir, const char *file, const char *text) {
        _cleanup_free_ char *path = strf("%s/%s", dir, file);

        assert_ok(mkdir_parent_of_at(AT_FDCWD, path, 0755));
        assert_ok(write_file_atomic_at(AT_FDCWD, path, text, strlen(text), 0644, 0));
}

static void assert_below(const char *dir, const char *file, const char *text) {
        _cleanup_free_ char *path = strf("%s/%s", dir, file), *found = NULL;

        assert_ok(read_file_at(AT_FDCWD, path, 1024, &found, NULL));
        assert_string_equal(found, text);
}

/* In a child, which has no words on standard error and its own PID. */
static int call_cgroup_setup(const JailerOptions *o, const char *mounts, char pid[static 16]) {
        pid_t child = fork();
        int status;

        assert_true(child >= 0);
        if (child == 0) {
                (void) !freopen("/dev/null", "w", stderr);
                _exit(-cgroup_setup(o, mounts));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        snprintf(pid, 16, "%d", (int) child);
        return -WEXITSTATUS(status);
}

static void test_cgroup_v1(void **state) {
        _cleanup_free_ char *top = strf("%s/cgroup1", base), *mounts = strf("%s/cgroup1/mounts", base), *text = NULL;
        CgroupSetting settings[] = {
                { (char *) "cpuset", (char *) "cpuset.cpus", (char *) "0" },
                { (char *) "cpuset", (char *) "cpuset.mems", (char *) "1" },
                { (char *) "cpu", (char *) "cpu.cfs.quota", (char *) "50" },
        };
        JailerOptions o = { .id = "web", .cgroup_version = 1, .parent_cgroup = "a/b", .cgroups = settings, .n_cgroups = ELEMENTSOF(settings) };
        char pid[16];

        text = strf("proc /proc proc rw 0 0\ncgroup2 %s/unified cgroup2 rw 0 0\ncgroup %s/cpuset cgroup rw,relatime,cpuset 0 0\n"
                    "cgroup %s/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n", top, top, top);
        write_below(top, "mounts", text);
        /* As the kernel makes them: empty in new groups. */
        write_below(top, "cpuset/cpuset.cpus", "0-3\n");
        write_below(top, "cpuset/cpuset.mems", "0-1\n");
        for (size_t i = 0; i < 3; i++) {
                static const char *const groups[] = { "a", "a/b", "a/b/web" };
                static const char *const files[] = { "cpuset.cpus", "cpuset.mems", "tasks" };

                for (size_t k = 0; k < 3; k++) {
                        _cleanup_free_ char *file = strf("cpuset/%s/%s", groups[i], files[k]);

                        write_below(top, file, "\n");
                }
        }
        write_below(top, "cpu,cpuacct/a/b/cpu.cfs.quota", "100\n");
        write_below(top, "cpu,cpuacct/a/b/web/cpu.cfs.quota", "\n");
        write_below(top, "cpu,cpuacct/a/b/web/tasks", "");

        assert_int_equal(call_cgroup_setup(&o, mounts, pid), 0);
        assert_below(top, "cpuset/a/cpuset.cpus", "0-3");
        assert_below(top, "cpuset/a/b/cpuset.cpus", "0-3");
        assert_below(top, "cpuset/a/b/web/cpuset.cpus", "0");
        assert_below(top, "cpuset/a/b/cpuset.mems", "0-1");
        assert_below(top, "cpuset/a/b/web/cpuset.mems", "1");
        assert_below(top, "cpu,cpuacct/a/b/web/cpu.cfs.quota", "50");
        assert_below(top, "cpuset/a/b/web/tasks", pid);
        assert_below(top, "cpu,cpuacct/a/b/web/tasks", pid);

        /* Without settings nothing is done, whatever is mounted. */
        o.n_cgroups = 0;
        assert_int_equal(call_cgroup_setup(&o, "/nowhere", pid), 0);
        settings[0].controller = (char *) "rdma";
        o.n_cgroups = 1;
        assert_error(call_cgroup_setup(&o, mounts, pid), ENOENT);
}

static void test_cgroup_v2(void **state) {
        _cleanup_free_ char *top = strf("%s/cgroup2", base), *mounts = strf("%s/cgroup2.mounts", base), *text = NULL;
        CgroupSetting settings[] = {
                { (char *) "memory", (char *) "memory.max", (char *) "1000000" },
                { (char *) "cpu", (char *) "cpu.max", (char *) "max" },
        };
        JailerOptions o = { .id = "web", .cgroup_version = 2, .parent_cgroup = "vms", .cgroups = settings, .n_cgroups = ELEMENTSOF(settings) };
        char pid[16];

        text = strf("cgroup %s/old cgroup rw,cpu 0 0\ncgroup2 %s cgroup2 rw,nsdelegate 0 0\n", top, top);
        write_below(base, "cgroup2.mounts", text);
        write_below(top, "cgroup.controllers", "cpuset cpu io memory\n");
        write_below(top, "cgroup.subtree_control", "");
        write_below(top, "vms/cgroup.subtree_control", "");
        write_below(top, "vms/web/memory.max", "");
        write_below(top, "vms/web/cpu.max", "");
        write_below(top, "vms/web/cgroup.procs", "");

        assert_int_equal(call_cgroup_setup(&o, mounts, pid), 0);
        assert_below(top, "cgroup.subtree_control", "+cpu");
        assert_below(top, "vms/cgroup.subtree_control", "+cpu");
        assert_below(top, "vms/web/memory.max", "1000000");
        assert_below(top, "vms/web/cpu.max", "max");
        assert_below(top, "vms/web/cgroup.procs", pid);

        /* Without settings: into the parent, where there is one. */
        o.n_cgroups = 0;
        write_below(top, "vms/cgroup.procs", "");
        assert_int_equal(call_cgroup_setup(&o, mounts, pid), 0);
        assert_below(top, "vms/cgroup.procs", pid);
        o.parent_cgroup = "absent";
        assert_int_equal(call_cgroup_setup(&o, mounts, pid), 0);

        o.n_cgroups = 1;
        settings[0].controller = (char *) "mem";
        assert_error(call_cgroup_setup(&o, mounts, pid), ENOENT);
        settings[0].controller = (char *) "cpuse";
        assert_error(call_cgroup_setup(&o, mounts, pid), ENOENT);
        assert_error(call_cgroup_setup(&o, "/dev/null", pid), ENOENT);
}

static int group_setup(void **state) {
        assert_non_null(mkdtemp(base));
        return 0;
}

static int group_teardown(void **state) {
        return remove_tree_at(AT_FDCWD, base);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_contract),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_command_line),
                cmocka_unit_test(test_path),
                cmocka_unit_test(test_program),
                cmocka_unit_test(test_planted),
                cmocka_unit_test(test_occupied),
                cmocka_unit_test(test_mounts),
                cmocka_unit_test(test_mount_below),
                cmocka_unit_test(test_standard_descriptors),
                cmocka_unit_test(test_no_nodes),
                cmocka_unit_test(test_netns),
                cmocka_unit_test(test_daemonize),
                cmocka_unit_test(test_pid_namespace),
                cmocka_unit_test(test_cgroup_v1),
                cmocka_unit_test(test_cgroup_v2),
        };
        pid_t pid;
        int status;

        /* In a child, as it stays ours to make mounts. */
        pid = geteuid() == 0 ? fork() : -1;
        if (pid == 0)
                _exit(unshare(CLONE_NEWNS) < 0);
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
                fprintf(stderr, "SKIP: not root, or no mount namespaces\n");
                return 77;
        }
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
