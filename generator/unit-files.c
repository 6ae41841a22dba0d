/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <search.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "definition/pass-through.h"
#include "generator/unit-files.h"
#include "layout/layout.h"

/* What of the host the VMM, kiln and the helpers before them may use beside the guest's own. */
enum {
        TASKS_MAX = 256,                /* QEMU's I/O threads come and go, 64 of them at most; skopeo has a dozen */
        STOP_MARGIN_SECONDS = 20,       /* from StopTimeout= to systemd's SIGKILL: kiln's own last steps are shorter */
};

#define TEMPLATE_PATH "/usr/lib/systemd/system/" LAYOUT_TEMPLATE_UNIT

/* Drops all but the first n. */
static void truncate_files(UnitFiles *f, size_t n) {
        while (f->n > n) {
                UnitFile *u = f->items + --f->n;

                free(u->path);
                free(u->content);
        }
}

void unit_files_done(UnitFiles *f) {
        truncate_files(f, 0);
        free(f->items);
        *f = (UnitFiles) {};
}

/* Consumes both strings; either may be NULL for want of memory. */
static int add(UnitFiles *f, char *path_consume, char *content_consume, UnitFileFlags flags) {
        UnitFile *u = path_consume && content_consume ? GREEDY_APPEND(f->items, f->n) : NULL;

        if (!u) {
                free(path_consume);
                free(content_consume);
                return -ENOMEM;
        }
        *u = (UnitFile) { path_consume, content_consume, flags };
        f->n++;
        return 0;
}

static void add_pass_through(StrBuf *b, const Definition *d, const char *section) {
        for (size_t i = 0; i < d->n_pass; i++)
                if (streq(d->pass[i].section, section)) {
                        strbuf_adds(b, d->pass[i].key);
                        strbuf_adds(b, "=");
                        strbuf_adds(b, d->pass[i].value);
                        strbuf_adds(b, "\n");
                }
}

/* Specifiers in place of the name, so that VMs which are alike have files which are equal: UnitWriter. The path is that of the definition
 * where the units will be used, without layout_root(). */
static void add_unit_section(StrBuf *b, const Definition *d) {
        const char *path = d->path + strlen(layout_root()), *slash = strrchr(path, '/');

        strbuf_adds(b, UNIT_FILES_MARK "\n\n[Unit]\nDescription=Inferno VM %i\nSourcePath=");
        strbuf_add(b, path, (size_t) (slash - path));
        strbuf_adds(b, "/%i.vm\n");
        add_pass_through(b, d, "Unit");
}

static int add_dropin(UnitFiles *f, const Definition *d, const SiteConfig *site, const char *unit, const char *slice) {
        _cleanup_strbuf_ StrBuf b = {};
        char *content;
        int r;

        add_unit_section(&b, d);
        /* "%i" has no escapes, so it stands for names only that need none. */
        strbuf_adds(&b, "\n[Service]\nSlice=");
        if (strchr(d->name, '-'))
                strbuf_adds(&b, slice);
        else {
                strbuf_add(&b, slice, strlen(slice) - strlen(d->name) - strlen(".slice"));
                strbuf_adds(&b, "%i.slice");
        }
        strbuf_addf(&b, "\nTimeoutStopSec=%" PRIu64 "ms\n",
                    d->stop_timeout_usec / USEC_PER_MSEC + STOP_MARGIN_SECONDS * 1000);
        if (!streq(site->jailer, LAYOUT_JAILER))
                strbuf_addf(&b, "ExecStart=\n"
                                "ExecStart=%s --id ${INFERNO_ID} --exec-file " LAYOUT_KILN " --uid ${INFERNO_UID} --gid ${INFERNO_GID} "
                                "--chroot-base-dir " LAYOUT_VMS_DIR " -- --watchdog-usec=${WATCHDOG_USEC}\n", site->jailer);
        add_pass_through(&b, d, "Service");
        r = strbuf_finish(&b, &content, NULL);
        if (r < 0)
                return r;
        return add(f, strjoin(unit, ".d/50-inferno.conf"), content, UNIT_FILE_OWN_DIR);
}

/* The VMM and its guest live in the limits together, so the guest's memory alone would have it killed. Which VMM it will be is known
 * at the start only: where either may run, the larger overhead counts. */
static uint64_t memory_max(const Definition *d, const SiteConfig *site) {
        uint64_t overhead = d->vmm == VMM_FIRECRACKER ? site->vmm_overhead_firecracker :
                            d->vmm == VMM_EMBER       ? site->vmm_overhead_ember :
                                                        MAX(site->vmm_overhead_firecracker, site->vmm_overhead_ember);

        return d->memory + overhead;
}

static int add_slice(UnitFiles *f, const Definition *d, const SiteConfig *site, const char *slice) {
        _cleanup_strbuf_ StrBuf b = {};
        char *content;
        int r;

        strbuf_addf(&b, UNIT_FILES_MARK "\n\n[Unit]\nDescription=Slice of Inferno VM %%J\n\n[Slice]\nCPUQuota=%u", d->vcpu_millis / 10);
        if (d->vcpu_millis % 10 > 0)
                strbuf_addf(&b, ".%u", d->vcpu_millis % 10);
        strbuf_addf(&b, "%%\nMemoryMax=%" PRIu64 "\nTasksMax=%d\n", memory_max(d, site), TASKS_MAX);
        add_pass_through(&b, d, "Slice");
        r = strbuf_finish(&b, &content, NULL);
        if (r < 0)
                return r;
        return add(f, strdup(slice), content, 0);
}

/* systemd of Debian 12 knows no folder of links for Upholds=, but the key itself. */
static int add_upholds(UnitFiles *f, const char *vm, const char *unit, const char *name, size_t n) {
        return add(f, strf("%.*s.d/50-inferno@%s.conf", (int) n, name, vm),
                   strf(UNIT_FILES_MARK "\n\n[Unit]\nUpholds=%s\n", unit), 0);
}

int unit_files_add_install(UnitFiles *f, const Definition *d) {
        static const char *const keys[] = { "WantedBy", "RequiredBy", "UpheldBy" };
        _cleanup_free_ char *unit = layout_unit_name(d->name);
        int r;

        if (!unit)
                return -ENOMEM;
        for (size_t k = 0; k < ELEMENTSOF(keys); k++) {
                size_t first = f->n;

                for (size_t i = 0; i < d->n_pass; i++) {
                        const char *s = d->pass[i].value, *name;
                        size_t n;

                        if (!streq(d->pass[i].section, "Install") || !streq(d->pass[i].key, keys[k]))
                                continue;
                        /* An empty value takes back what lines before it (of the main file, say) asked for. */
                        if (isempty(s))
                                truncate_files(f, first);
                        while ((n = unit_names_next(&s, &name)) > 0) {
                                if (streq(keys[k], "UpheldBy"))
                                        r = add_upholds(f, d->name, unit, name, n);
                                else
                                        r = add(f, strf("%.*s.%s/%s", (int) n, name, streq(keys[k], "WantedBy") ? "wants" : "requires", unit),
                                                strdup(TEMPLATE_PATH), UNIT_FILE_LINK);
                                if (r < 0)
                                        return r;
                        }
                }
        }
        return 0;
}

int unit_files_add(UnitFiles *f, const Definition *d, const SiteConfig *site) {
        _cleanup_free_ char *unit = layout_unit_name(d->name), *slice = layout_slice_name(d->tenant, d->name);
        int r;

        if (!unit || !slice)
                return -ENOMEM;
        r = add_dropin(f, d, site, unit, slice);
        if (r < 0)
                return r;
        return add_slice(f, d, site, slice);
}

int unit_files_add_broken(UnitFiles *f, const Definition *d) {
        _cleanup_free_ char *unit = layout_unit_name(d->name);
        _cleanup_strbuf_ StrBuf b = {};
        char *content;
        int r;

        if (!unit)
                return -ENOMEM;
        if (!d->path)
                return add(f, strjoin(LAYOUT_TARGET_UNIT ".wants/", unit), strdup(TEMPLATE_PATH), UNIT_FILE_LINK);
        /* SourcePath=, so that systemctl says what is missing to who has mended the file; [Unit], for its OnFailure=. */
        add_unit_section(&b, d);
        r = strbuf_finish(&b, &content, NULL);
        if (r < 0)
                return r;
        r = add(f, strjoin(unit, ".d/50-inferno.conf"), content, UNIT_FILE_OWN_DIR);
        if (r < 0)
                return r;
        return unit_files_add_install(f, d);
}

/* What has been written first of each content; found by content. */
typedef struct Written {
        char *content, *path;
} Written;

struct UnitWriter {
        char *dir;              /* absolute */
        int dir_fd;
        void *written;          /* tsearch(3) tree of Written */
};

static int compare_written(const void *a, const void *b) {
        return strcmp(((const Written *) a)->content, ((const Written *) b)->content);
}

static void written_free(void *p) {
        Written *w = p;

        free(w->content);
        free(w->path);
        free(w);
}

int unit_writer_new(const char *dir, UnitWriter **ret) {
        _cleanup_(unit_writer_freep) UnitWriter *w = calloc(1, sizeof(UnitWriter));

        if (!w)
                return -ENOMEM;
        *w = (UnitWriter) { .dir_fd = -EBADF };
        w->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (w->dir_fd < 0)
                return negative_errno();
        w->dir = realpath(dir, NULL);
        if (!w->dir)
                return negative_errno();
        *ret = TAKE_PTR(w);
        return 0;
}

UnitWriter *unit_writer_free(UnitWriter *w) {
        if (!w)
                return NULL;
        tdestroy(w->written, written_free);
        safe_close(w->dir_fd);
        free(w->dir);
        free(w);
        return NULL;
}

/* The path of a file with the same content, or NULL after having remembered this one. */
static int find_same(UnitWriter *w, const UnitFile *u, const char **ret) {
        const Written key = { .content = u->content };
        Written *new;
        void *node;

        node = tfind(&key, &w->written, compare_written);
        if (node) {
                *ret = (*(Written **) node)->path;
                return 0;
        }
        new = calloc(1, sizeof(Written));
        if (!new)
                return -ENOMEM;
        *new = (Written) { strdup(u->content), strdup(u->path) };
        if (!new->content || !new->path || !tsearch(new, &w->written, compare_written)) {
                written_free(new);
                return -ENOMEM;
        }
        *ret = NULL;
        return 0;
}

/* systemd gives a generator empty directories that nobody reads before it has ended, so the name is free as a rule, and one
 * call makes it. Where it is not, what is there is replaced by rename: it may be another generator's that writes the same. */
static int write_file(int dir_fd, const UnitFile *u) {
        _cleanup_close_ int fd = -EBADF;

        if (u->flags & UNIT_FILE_LINK) {
                if (symlinkat(u->content, dir_fd, u->path) >= 0)
                        return 0;
                return errno == EEXIST ? symlink_atomic_at(u->content, dir_fd, u->path) : negative_errno();
        }
        fd = openat(dir_fd, u->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd >= 0)
                return write_full(fd, u->content, strlen(u->content));
        return errno == EEXIST ? write_file_atomic_at(dir_fd, u->path, u->content, strlen(u->content), 0644, 0) : negative_errno();
}

static int write_plain(UnitWriter *w, const UnitFile *u) {
        const char *same;
        int r;

        r = find_same(w, u, &same);
        if (r < 0)
                return r;
        if (same && linkat(w->dir_fd, same, w->dir_fd, u->path, 0) >= 0)
                return 0;
        return write_file(w->dir_fd, u);
}

/* A directory for this file alone: not one of another VM's that a link leads to. */
static int make_own_dir(int dir_fd, const char *dir) {
        char target[2];

        if (mkdirat(dir_fd, dir, 0755) >= 0)
                return 0;
        if (errno != EEXIST)
                return negative_errno();
        if (readlinkat(dir_fd, dir, target, sizeof(target)) < 0)
                return errno == EINVAL ? 0 : negative_errno();
        if (unlinkat(dir_fd, dir, 0) < 0 && errno != ENOENT)
                return negative_errno();
        return mkdirat(dir_fd, dir, 0755) < 0 && errno != EEXIST ? negative_errno() : 0;
}

enum { LINKED = 1 };

/* Makes `dir` a link to the directory of `same`. LINKED, or 0 where something else has the name. The target is absolute: systemd takes drop-ins
 * from links to directories, but looks for a relative target below its own working directory, and passes the link over. */
static int link_dir(UnitWriter *w, const char *dir, const char *same) {
        _cleanup_free_ char *name = strndup(same, strcspn(same, "/")), *target = name ? strjoin(w->dir, "/", name) : NULL;
        char current[PATH_MAX];
        ssize_t n;

        if (!target)
                return -ENOMEM;
        if (symlinkat(target, w->dir_fd, dir) >= 0)
                return LINKED;
        if (errno != EEXIST)
                return negative_errno();
        n = readlinkat(w->dir_fd, dir, current, sizeof(current));
        return n >= 0 && (size_t) n == strlen(target) && memcmp(current, target, (size_t) n) == 0 ? LINKED : 0;
}

static int write_own_dir(UnitWriter *w, const UnitFile *u) {
        _cleanup_free_ char *dir = strndup(u->path, strcspn(u->path, "/"));
        const char *same;
        int r;

        if (!dir)
                return -ENOMEM;
        r = find_same(w, u, &same);
        if (r < 0)
                return r;
        if (same) {
                r = link_dir(w, dir, same);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        r = make_own_dir(w->dir_fd, dir);
        return r < 0 ? r : write_file(w->dir_fd, u);
}

static int write_in_shared_dir(UnitWriter *w, const UnitFile *u) {
        int r;

        r = write_file(w->dir_fd, u);
        if (r == -ENOENT) {
                r = mkdir_parent_of_at(w->dir_fd, u->path, 0755);
                if (r >= 0)
                        r = write_file(w->dir_fd, u);
        }
        return r;
}

int unit_writer_write(UnitWriter *w, const UnitFiles *f) {
        for (size_t i = 0; i < f->n; i++) {
                const UnitFile *u = f->items + i;
                int r;

                if (u->flags & UNIT_FILE_OWN_DIR)
                        r = write_own_dir(w, u);
                else if (strchr(u->path, '/'))
                        r = write_in_shared_dir(w, u);
                else
                        r = write_plain(w, u);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Files that people have put under these names do not have the mark. */
static bool has_mark(int dir_fd, const char *path) {
        char head[sizeof(UNIT_FILES_MARK)];
        _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        return fd >= 0 && read_full(fd, head, sizeof(head)) == sizeof(head) && memcmp(head, UNIT_FILES_MARK "\n", sizeof(head)) == 0;
}

static int remove_units_of(int dir_fd, const char *name) {
        _cleanup_free_ char *dropin = NULL;

        if (startswith(name, "inferno-") && endswith(name, ".slice") && has_mark(dir_fd, name))
                return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? negative_errno() : 0;
        if (!startswith(name, "inferno@") || !endswith(name, ".service.d"))
                return 0;
        dropin = strf("%s/50-inferno.conf", name);
        if (!dropin)
                return -ENOMEM;
        if (!has_mark(dir_fd, dropin))
                return 0;
        if (unlinkat(dir_fd, dropin, 0) < 0 && errno != ENOENT)
                return negative_errno();
        /* There may be drop-ins of the administrator's. */
        return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT ? negative_errno() : 0;
}

int unit_files_remove(int dir_fd) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        int r, first = 0, k;

        r = dir_open_at(dir_fd, ".", 0, &d);
        if (r < 0)
                return r;
        while ((r = dir_next(d, &de)) > 0) {
                k = remove_units_of(dir_fd, de->d_name);
                if (k < 0)
                        first = first ?: k;
        }
        return r ?: first;
}
