/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/str.h"
#include "init/cgroup.h"
#include "init/mounts.h"

#define WORKLOAD "workload"

enum { FILE_MAX = 4096 };

uint64_t cgroup_memory_limit(uint64_t total) {
        uint64_t reserve = MIB(6) + total / 32;

        return total > 2 * reserve ? total - reserve : total / 2;
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
        char controllers[FILE_MAX], text[32], *rest = controllers, *name;
        _cleanup_close_ int top_fd = -EBADF;
        Failure ignored;
        struct sysinfo si;

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

        if (sysinfo(&si) >= 0) {
                snprintf(text, sizeof(text), "%llu", (unsigned long long) cgroup_memory_limit((uint64_t) si.totalram * si.mem_unit));
                (void) write_control(c->fd, "memory.max", text);
        }
        (void) write_control(c->fd, "memory.oom.group", "1");
        return 0;
}

uint64_t cgroup_parse_oom_kills(const char *memory_events) {
        for (const char *p = memory_events; *p; p += strcspn(p, "\n"), p += *p == '\n') {
                const char *v = startswith(p, "oom_kill ");
                char digits[24];
                uint64_t n;

                if (!v)
                        continue;
                snprintf(digits, sizeof(digits), "%.*s", (int) MIN(strcspn(v, "\n"), sizeof(digits) - 1), v);
                return parse_u64(digits, &n) < 0 ? 0 : n;
        }
        return 0;
}

uint64_t cgroup_oom_kills(const Cgroup *c) {
        char text[FILE_MAX];

        if (c->fd < 0 || read_control(c->fd, "memory.events", text) < 0)
                return 0;
        return cgroup_parse_oom_kills(text);
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
