/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/str.h"
#include "init/metrics.h"

enum { TEXT_MAX = 16 * 1024 };

void metrics_open(Metrics *m) {
        m->meminfo_fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
        m->net_fd = open("/proc/net/dev", O_RDONLY | O_CLOEXEC);
}

/* From its beginning; "" where there is none. */
static const char *read_text(int fd, char text[static TEXT_MAX]) {
        ssize_t k = fd < 0 ? -1 : pread(fd, text, TEXT_MAX - 1, 0);

        text[MAX(k, 0)] = 0;
        return text;
}

static const char *read_control(const Cgroup *c, const char *name, char text[static TEXT_MAX]) {
        int fd = c->fd < 0 ? -EBADF : openat(c->fd, name, O_RDONLY | O_CLOEXEC);

        (void) read_text(fd, text);
        if (fd >= 0)
                close(fd);
        return text;
}

/* The number that stands behind `word` in its line. */
static bool find_number(const char *text, const char *word, uint64_t *ret) {
        const char *p = strstr(text, word);
        char digits[24];

        while (p && p > text && p[-1] != '\n' && p[-1] != ' ')
                p = strstr(p + 1, word);
        if (!p)
                return false;
        p += strlen(word);
        p += strspn(p, " ");
        snprintf(digits, sizeof(digits), "%.*s", (int) MIN(strspn(p, "0123456789"), sizeof(digits) - 1), p);
        return parse_u64(digits, ret) >= 0;
}

static void set_number(json_t *object, const char *key, uint64_t n) {
        (void) json_object_set_new(object, key, json_integer((json_int_t) MIN(n, (uint64_t) INT64_MAX)));
}

static void copy_number(json_t *object, const char *key, const char *text, const char *word, uint64_t unit) {
        uint64_t n;

        if (find_number(text, word, &n))
                set_number(object, key, n > UINT64_MAX / unit ? UINT64_MAX : n * unit);
}

/* Objects without anything in them are left out. */
static void set_part(json_t *object, const char *key, json_t *part_consume) {
        if (part_consume && json_object_size(part_consume) > 0)
                (void) json_object_set_new(object, key, part_consume);
        else
                json_decref(part_consume);
}

json_t *metrics_parse_cpu(const char *text) {
        json_t *o = json_object();

        copy_number(o, "usage_usec", text, "usage_usec", 1);
        copy_number(o, "user_usec", text, "user_usec", 1);
        copy_number(o, "system_usec", text, "system_usec", 1);
        return o;
}

json_t *metrics_parse_pressure(const char *text) {
        const char *some = startswith(text, "some "), *full = strstr(text, "\nfull ");
        json_t *o = json_object();

        if (some)
                copy_number(o, "some_usec", some, "total=", 1);
        if (full)
                copy_number(o, "full_usec", full, "total=", 1);
        return o;
}

json_t *metrics_parse_network(const char *text) {
        static const char *const keys[] = {
                "received_bytes", "received_packets", NULL, NULL, NULL, NULL, NULL, NULL, "sent_bytes", "sent_packets",
        };
        const char *p = strstr(text, "eth0:");
        json_t *o = json_object();

        if (!p)
                return o;
        p += strlen("eth0:");
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                p += strspn(p, " ");
                if (keys[i])
                        copy_number(o, keys[i], p, "", 1);
                p += strcspn(p, " \n");
        }
        return o;
}

void metrics_parse_io(const char *text, json_t *object) {
        uint64_t read_bytes = 0, written_bytes = 0, n;

        for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
                char line[256];

                snprintf(line, sizeof(line), "%.*s", (int) MIN(strcspn(p, "\n"), sizeof(line) - 1), p);
                if (find_number(line, "rbytes=", &n))
                        read_bytes += n;
                if (find_number(line, "wbytes=", &n))
                        written_bytes += n;
        }
        set_number(object, "read_bytes", read_bytes);
        set_number(object, "written_bytes", written_bytes);
}

/* By descriptors of our own, so that whatever is mounted in the guest is not asked. */
static void add_space(json_t *object, int fd) {
        struct statvfs s;

        if (fd < 0 || fstatvfs(fd, &s) < 0)
                return;
        set_number(object, "size", s.f_blocks * s.f_frsize);
        set_number(object, "free", s.f_bavail * s.f_frsize);
}

static json_t *get_memory(const Metrics *m, const Cgroup *cgroup) {
        json_t *o = json_object();
        char text[TEXT_MAX];

        copy_number(o, "current", read_control(cgroup, "memory.current", text), "", 1);
        (void) read_control(cgroup, "memory.stat", text);
        copy_number(o, "anon", text, "anon ", 1);
        copy_number(o, "file", text, "file ", 1);
        if (cgroup->fd >= 0 && cgroup->memory_limit < UINT64_MAX)
                set_number(o, "limit", cgroup->memory_limit);
        else
                (void) json_object_set_new(o, "limit", json_null());
        (void) read_text(m->meminfo_fd, text);
        copy_number(o, "guest_total", text, "MemTotal:", 1024);
        copy_number(o, "guest_available", text, "MemAvailable:", 1024);
        return o;
}

static json_t *get_disk(const Cgroup *cgroup, const Mounts *mounts) {
        json_t *o = json_object(), *root = json_object(), *volumes = json_array();
        char text[TEXT_MAX];

        add_space(root, mounts->root_fd);
        set_part(o, "root", root);
        for (size_t i = 0; i < mounts->volumes.n; i++) {
                const OpenVolume *v = mounts->volumes.all + i;
                json_t *entry = json_object();

                (void) json_object_set_new(entry, "name", json_string(v->volume->name));
                add_space(entry, v->mount_fd);
                (void) json_array_append_new(volumes, entry);
        }
        (void) json_object_set_new(o, "volumes", volumes);
        metrics_parse_io(read_control(cgroup, "io.stat", text), o);
        return o;
}

char *metrics_format(const Metrics *m, const Cgroup *cgroup, const Mounts *mounts) {
        static const char *const pressures[] = { "cpu", "io", "memory" };
        _cleanup_json_ json_t *o = json_object();
        json_t *pressure = json_object();
        char text[TEXT_MAX], name[32];

        set_part(o, "cpu", metrics_parse_cpu(read_control(cgroup, "cpu.stat", text)));
        set_part(o, "memory", get_memory(m, cgroup));
        copy_number(o, "tasks", read_control(cgroup, "pids.current", text), "", 1);
        set_part(o, "disk", get_disk(cgroup, mounts));
        set_part(o, "network", metrics_parse_network(read_text(m->net_fd, text)));
        for (size_t i = 0; i < ELEMENTSOF(pressures); i++) {
                snprintf(name, sizeof(name), "%s.pressure", pressures[i]);
                set_part(pressure, pressures[i], metrics_parse_pressure(read_control(cgroup, name, text)));
        }
        set_part(o, "pressure", pressure);
        return json_format(o);
}
