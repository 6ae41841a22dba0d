/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/str.h"
#include "init/cgroup.h"
#include "init/mounts.h"

#define WORKLOAD "workload"

enum { FILE_MAX = 4096 };

/* The number behind a word that begins a line; 0 where there is none. */
static uint64_t parse_entry(const char *text, const char *word) {
        for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
                const char *v = startswith(p, word);
                char digits[24];
                uint64_t n;

                if (!v || *v != ' ')
                        continue;
                v += strspn(v, " ");
                snprintf(digits, sizeof(digits), "%.*s", (int) MIN(strcspn(v, " \n"), sizeof(digits) - 1), v);
                return parse_u64(digits, &n) < 0 ? 0 : n;
        }
        return 0;
}

uint64_t cgroup_memory_limit(const char *meminfo) {
        uint64_t available = parse_entry(meminfo, "MemAvailable:") * 1024, reserve = MIB(4) + available / 64;

        /* Without a number there is no limit. */
        return available > 2 * reserve ? available - reserve : available > 0 ? available / 2 : UINT64_MAX;
}

static int write_control(int dir_fd, const char *name, const char *text) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);

        return fd < 0 ? negative_errno() : write_full(fd, text, strlen(text));
}

static ssize_t read_control(int dir_fd, const char *name, char buf[static FILE_MAX]) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
        ssize_t k = fd < 0 ? negative_errno() : read_full(fd, buf, FILE_MAX - 1);

        buf[MAX(k, 0)] = 0;
        return k;
}

int cgroup_set_up(Cgroup *c) {
        static const MountOption options[] = { { "nsdelegate" }, {} };
        char controllers[FILE_MAX], meminfo[FILE_MAX], text[32], *rest = controllers, *name;
        _cleanup_close_ int top_fd = -EBADF;
        Failure ignored;

        /* Nowhere in the tree. With nsdelegate the limits set here cannot be lifted from within the workload's namespace. */
        top_fd = mount_new("cgroup2", "cgroup2", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &ignored);
        if (top_fd < 0)
                return top_fd;
        (void) read_control(top_fd, "cgroup.controllers", controllers);
        while ((name = strsep(&rest, " \n"))) {
                if (!*name)
                        continue;
                snprintf(text, sizeof(text), "+%.30s", name);
                (void) write_control(top_fd, "cgroup.subtree_control", text);
        }
        if (mkdirat(top_fd, WORKLOAD, 0755) < 0)
                return negative_errno();
        c->fd = openat(top_fd, WORKLOAD, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (c->fd < 0)
                return negative_errno();

        (void) read_control(AT_FDCWD, "/proc/meminfo", meminfo);
        c->memory_limit = cgroup_memory_limit(meminfo);
        if (c->memory_limit < UINT64_MAX) {
                snprintf(text, sizeof(text), "%llu", (unsigned long long) c->memory_limit);
                (void) write_control(c->fd, "memory.max", text);
        }
        (void) write_control(c->fd, "memory.oom.group", "1");
        return 0;
}

uint64_t cgroup_parse_oom_kills(const char *memory_events) {
        return parse_entry(memory_events, "oom_kill");
}

uint64_t cgroup_oom_kills(const Cgroup *c) {
        char text[FILE_MAX];

        if (c->fd < 0 || read_control(c->fd, "memory.events", text) < 0)
                return 0;
        return cgroup_parse_oom_kills(text);
}

int cgroup_watch_stalls(const Cgroup *c) {
        static const char trigger[] = "full 1500000 10000000";
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (c->fd < 0)
                return -EOPNOTSUPP;
        fd = openat(c->fd, "memory.pressure", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return negative_errno();
        r = write_full(fd, trigger, sizeof(trigger));
        return r < 0 ? r : TAKE_FD(fd);
}

bool cgroup_parse_exhausted(const char *memory_stat, uint64_t limit) {
        uint64_t file = parse_entry(memory_stat, "file"), shmem = parse_entry(memory_stat, "shmem");

        return limit < UINT64_MAX && file - MIN(file, shmem) < limit / 64;
}

bool cgroup_is_exhausted(const Cgroup *c) {
        char text[FILE_MAX];

        return c->fd >= 0 && read_control(c->fd, "memory.stat", text) > 0 && cgroup_parse_exhausted(text, c->memory_limit);
}

int cgroup_enter_namespace(void) {
        _cleanup_close_ int fd = -EBADF, dir_fd = -EBADF;
        Failure ignored;

        if (unshare(CLONE_NEWCGROUP) < 0)
                return negative_errno();
        fd = mount_new("cgroup2", "cgroup2", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &ignored);
        if (fd < 0)
                return fd;
        dir_fd = open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return dir_fd < 0 ? negative_errno() : mount_attach(fd, dir_fd);
}

int cgroup_join_namespace(pid_t pid) {
        char path[64];
        _cleanup_close_ int fd = -EBADF;

        snprintf(path, sizeof(path), "/proc/%d/ns/cgroup", (int) pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 || setns(fd, CLONE_NEWCGROUP) < 0 ? negative_errno() : 0;
}

int cgroup_open_leaf(const Cgroup *c) {
        int fd;

        if (mkdirat(c->fd, "exec", 0755) < 0 && errno != EEXIST)
                return negative_errno();
        fd = openat(c->fd, "exec", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? negative_errno() : fd;
}
