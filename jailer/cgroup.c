/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <mntent.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jailer/cgroup.h"

enum { FILE_BYTES_MAX = 64 * 1024 };

static void endmntentp(FILE **f) {
        if (*f)
                endmntent(*f);
}

/* Where the hierarchy is mounted: of version 2, or the one of version 1 that has this controller. */
static int find_hierarchy(const char *mounts, unsigned version, const char *controller, char **ret) {
        _cleanup_(endmntentp) FILE *f = setmntent(mounts, "re");
        struct mntent entry;
        char buf[8192];

        if (!f)
                return log_error_errno(errno, "Cannot read '%s': %m.", mounts);
        while (getmntent_r(f, &entry, buf, sizeof(buf)))
                if (version == 2 ? streq(entry.mnt_type, "cgroup2") : streq(entry.mnt_type, "cgroup") && hasmntopt(&entry, controller)) {
                        *ret = strdup(entry.mnt_dir);
                        return *ret ? 0 : log_oom();
                }
        if (version == 2)
                return log_error_errno(ENOENT, "No control group hierarchy of version 2 is mounted: give --cgroup-version 1, or mount it.");
        return log_error_errno(ENOENT, "No control group hierarchy of version 1 with controller '%s' is mounted: give --cgroup-version 2, "
                                       "or leave out --cgroup.", controller);
}

static int read_text(const char *path, char **ret) {
        size_t n;
        int r;

        r = read_file_at(AT_FDCWD, path, FILE_BYTES_MAX, ret, &n);
        if (r < 0)
                return log_error_errno(r, "Cannot read '%s': %m.", path);
        if (n > 0 && (*ret)[n - 1] == '\n')
                (*ret)[n - 1] = 0;
        return 0;
}

static int write_text(const char *dir, const char *file, const char *value) {
        _cleanup_free_ char *path = strf("%s/%s", dir, file);
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!path)
                return log_oom();
        fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        r = fd < 0 ? negative_errno() : write_full(fd, value, strlen(value));
        return r < 0 ? log_error_errno(r, "Cannot write '%s' into '%s': %m.", value, path) : 0;
}

static int attach(const char *dir, const char *file) {
        char pid[16];

        snprintf(pid, sizeof(pid), "%d", (int) getpid());
        return write_text(dir, file, pid);
}

/* New groups of version 1 have some files empty (cpuset.cpus), and take no process before these are set: they get the parent's value, which
 * may have to get its own parent's first. `depth`: how many groups above it are ours to fill. */
static int inherit(const char *dir, const char *file, unsigned depth) {
        _cleanup_free_ char *parent = strdup(dir), *path = NULL, *value = NULL;
        int r;

        if (!parent)
                return log_oom();
        *strrchr(parent, '/') = 0;
        path = strf("%s/%s", parent, file);
        if (!path)
                return log_oom();
        r = read_text(path, &value);
        if (r < 0)
                return r;
        if (isempty(value) && depth > 0) {
                r = inherit(parent, file, depth - 1);
                if (r < 0)
                        return r;
                free(TAKE_PTR(value));
                r = read_text(path, &value);
                if (r < 0)
                        return r;
        }
        if (isempty(value))
                return log_error_errno(ENODATA, "'%s' is empty, so that groups below cannot be used: set it.", path);
        return write_text(dir, file, value);
}

static int make_group(const char *hierarchy, const JailerOptions *o, char **ret) {
        char *dir = strf("%s/%s%s%s", hierarchy, o->parent_cgroup, *o->parent_cgroup ? "/" : "", o->id);
        int r;

        if (!dir)
                return log_oom();
        r = mkdir_parents_at(AT_FDCWD, dir, 0755);
        if (r < 0) {
                log_error_errno(r, "Cannot make control group '%s': %m.", dir);
                free(dir);
                return r;
        }
        *ret = dir;
        return 0;
}

static unsigned count_components(const char *path) {
        unsigned n = 0;

        for (path += strspn(path, "/"); *path; path += strspn(path, "/")) {
                n++;
                path += strcspn(path, "/");
        }
        return n;
}

static int setup_v1(const JailerOptions *o, const char *mounts) {
        _cleanup_strv_ char **groups = NULL;
        int r;

        /* All values first: a cpuset takes no process before both of its files are set. */
        for (size_t i = 0; i < o->n_cgroups; i++) {
                const CgroupSetting *c = &o->cgroups[i];
                _cleanup_free_ char *hierarchy = NULL;
                char *dir;

                r = find_hierarchy(mounts, 1, c->controller, &hierarchy);
                if (r < 0)
                        return r;
                r = make_group(hierarchy, o, &dir);
                if (r < 0)
                        return r;
                if (strv_consume(&groups, dir) < 0)
                        return log_oom();
                r = inherit(dir, c->file, count_components(o->parent_cgroup));
                if (r < 0)
                        return r;
                r = write_text(dir, c->file, c->value);
                if (r < 0)
                        return r;
        }
        STRV_FOREACH(dir, groups) {
                r = attach(*dir, "tasks");
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Of a list of words, "cpu io memory". */
static bool contains_word(const char *list, const char *word) {
        size_t n = strlen(word);

        for (const char *p = list; *p; p += strspn(p, " ")) {
                if (strcspn(p, " ") == n && strncmp(p, word, n) == 0)
                        return true;
                p += strcspn(p, " ");
        }
        return false;
}

/* A controller works in a group when all groups above have it in cgroup.subtree_control, from the top down. */
static int enable_controller(const char *hierarchy, const char *parent_cgroup, const char *controller) {
        _cleanup_free_ char *dir = strdup(hierarchy), *value = strf("+%s", controller);
        int r;

        if (!dir || !value)
                return log_oom();
        for (const char *p = parent_cgroup + strspn(parent_cgroup, "/");; p += strspn(p, "/")) {
                size_t n = strcspn(p, "/");
                char *longer;

                r = write_text(dir, "cgroup.subtree_control", value);
                if (r < 0)
                        return r;
                if (n == 0)
                        return 0;
                longer = strf("%s/%.*s", dir, (int) n, p);
                if (!longer)
                        return log_oom();
                free(dir);
                dir = longer;
                p += n;
        }
}

static int setup_v2(const JailerOptions *o, const char *mounts) {
        _cleanup_free_ char *hierarchy = NULL, *path = NULL, *available = NULL, *dir = NULL;
        int r;

        r = find_hierarchy(mounts, 2, NULL, &hierarchy);
        if (r < 0)
                return r;
        if (o->n_cgroups == 0) {
                dir = strf("%s/%s", hierarchy, o->parent_cgroup);
                if (!dir)
                        return log_oom();
                return access(dir, F_OK) >= 0 ? attach(dir, "cgroup.procs") : 0;
        }

        path = strf("%s/cgroup.controllers", hierarchy);
        if (!path)
                return log_oom();
        r = read_text(path, &available);
        if (r < 0)
                return r;
        for (size_t i = 0; i < o->n_cgroups; i++)
                if (!contains_word(available, o->cgroups[i].controller))
                        return log_error_errno(ENOENT, "Control group hierarchy '%s' has no controller '%s', but: %s.", hierarchy,
                                               o->cgroups[i].controller, available);
        r = make_group(hierarchy, o, &dir);
        if (r < 0)
                return r;
        for (size_t i = 0; i < o->n_cgroups; i++) {
                r = enable_controller(hierarchy, o->parent_cgroup, o->cgroups[i].controller);
                if (r < 0)
                        return r;
                r = write_text(dir, o->cgroups[i].file, o->cgroups[i].value);
                if (r < 0)
                        return r;
        }
        return attach(dir, "cgroup.procs");
}

int cgroup_setup(const JailerOptions *o, const char *mounts) {
        if (o->cgroup_version == 2)
                return setup_v2(o, mounts);
        return o->n_cgroups > 0 ? setup_v1(o, mounts) : 0;
}
