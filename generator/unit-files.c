/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "definition/words.h"
#include "generator/unit-files.h"
#include "layout/layout.h"

/* What of the host the VMM, kiln and the helpers before them may use beside the guest's own. */
enum {
        TASKS_MAX = 256,                /* QEMU's I/O threads come and go, 64 of them at most; skopeo has a dozen */
        STOP_MARGIN_SECONDS = 20,       /* from StopTimeout= to systemd's SIGKILL: kiln's own last steps are shorter */
};

#define TEMPLATE_PATH "/usr/lib/systemd/system/" LAYOUT_TEMPLATE_UNIT

void unit_files_done(UnitFiles *f) {
        for (size_t i = 0; i < f->n; i++) {
                free(f->items[i].path);
                free(f->items[i].content);
        }
        free(f->items);
        *f = (UnitFiles) {};
}

/* Consumes both strings; either may be NULL for want of memory. */
static int add(UnitFiles *f, char *path_consume, char *content_consume, bool is_link) {
        UnitFile *u = path_consume && content_consume ? GREEDY_APPEND(f->items, f->n) : NULL;

        if (!u) {
                free(path_consume);
                free(content_consume);
                return -ENOMEM;
        }
        *u = (UnitFile) { path_consume, content_consume, is_link };
        f->n++;
        return 0;
}

static void add_pass_through(StrBuf *b, const Definition *d, const char *section) {
        for (size_t i = 0; i < d->n_pass; i++)
                if (streq(d->pass[i].section, section))
                        strbuf_addf(b, "%s=%s\n", d->pass[i].key, d->pass[i].value);
}

/* "%" is a specifier in unit files. */
static void add_literal(StrBuf *b, const char *s) {
        for (; *s; s++)
                strbuf_add(b, *s == '%' ? "%%" : s, *s == '%' ? 2 : 1);
}

static int add_dropin(UnitFiles *f, const Definition *d, const SiteConfig *site, const char *unit, const char *slice) {
        _cleanup_strbuf_ StrBuf b = {};
        char *content;
        int r;

        strbuf_addf(&b, UNIT_FILES_MARK "\n\n[Unit]\nDescription=Inferno VM %s\nSourcePath=", d->name);
        add_literal(&b, d->path);
        strbuf_adds(&b, "\n");
        add_pass_through(&b, d, "Unit");

        strbuf_addf(&b, "\n[Service]\nSlice=%s\nTimeoutStopSec=%" PRIu64 "ms\n", slice,
                    d->stop_timeout_usec / USEC_PER_MSEC + STOP_MARGIN_SECONDS * 1000);
        if (d->stop_signal > 0)
                strbuf_addf(&b, "SuccessExitStatus=%d\n", 128 + d->stop_signal);
        if (!streq(site->jailer, LAYOUT_JAILER)) {
                strbuf_adds(&b, "ExecStart=\nExecStart=");
                add_literal(&b, site->jailer);
                strbuf_adds(&b, " --id ${INFERNO_ID} --exec-file " LAYOUT_KILN " --uid ${INFERNO_UID} --gid ${INFERNO_GID} "
                                "--chroot-base-dir " LAYOUT_VMS_DIR " -- --watchdog-usec=${WATCHDOG_USEC}\n");
        }
        add_pass_through(&b, d, "Service");
        r = strbuf_finish(&b, &content, NULL);
        if (r < 0)
                return r;
        return add(f, strf("%s.d/50-inferno.conf", unit), content, false);
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

        strbuf_addf(&b, UNIT_FILES_MARK "\n\n[Unit]\nDescription=Slice of Inferno VM %s\n\n[Slice]\nCPUQuota=%u", d->name, d->vcpu_millis / 10);
        if (d->vcpu_millis % 10 > 0)
                strbuf_addf(&b, ".%u", d->vcpu_millis % 10);
        strbuf_addf(&b, "%%\nMemoryMax=%" PRIu64 "\nTasksMax=%d\n", memory_max(d, site), TASKS_MAX);
        add_pass_through(&b, d, "Slice");
        r = strbuf_finish(&b, &content, NULL);
        if (r < 0)
                return r;
        return add(f, strdup(slice), content, false);
}

/* One line of [Install]; definitions have been checked to hold valid names there. */
static int add_install(UnitFiles *f, const char *key, const char *value, const char *unit) {
        const char *suffix = streq(key, "RequiredBy") ? "requires" : "wants";
        _cleanup_strv_ char **names = NULL;
        const char *reason;
        int r;

        r = words_split(value, &names, &reason);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names) {
                r = add(f, strf("%s.%s/%s", *name, suffix, unit), strdup(TEMPLATE_PATH), true);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* An empty value takes back what earlier lines (of the main file, say) asked for. */
static bool is_reset_later(const Definition *d, size_t i) {
        for (size_t k = i + 1; k < d->n_pass; k++)
                if (streq(d->pass[k].section, "Install") && streq(d->pass[k].key, d->pass[i].key) && isempty(d->pass[k].value))
                        return true;
        return false;
}

int unit_files_add(UnitFiles *f, const Definition *d, const SiteConfig *site) {
        _cleanup_free_ char *unit = layout_unit_name(d->name), *slice = layout_slice_name(d->tenant, d->name);
        int r;

        if (!unit || !slice)
                return -ENOMEM;
        r = add_dropin(f, d, site, unit, slice);
        if (r >= 0)
                r = add_slice(f, d, site, slice);
        for (size_t i = 0; r >= 0 && i < d->n_pass; i++)
                if (streq(d->pass[i].section, "Install") && !is_reset_later(d, i))
                        r = add_install(f, d->pass[i].key, d->pass[i].value, unit);
        return r;
}

int unit_files_add_broken(UnitFiles *f, const char *vm) {
        _cleanup_free_ char *unit = layout_unit_name(vm);

        if (!unit)
                return -ENOMEM;
        return add(f, strf(LAYOUT_TARGET_UNIT ".wants/%s", unit), strdup(TEMPLATE_PATH), true);
}

/* By a temporary name, over what is there: who reads meanwhile sees the old file or the new one, whole. */
static int replace_file(int dir_fd, const UnitFile *u) {
        if (u->is_link)
                return symlink_atomic_at(u->content, dir_fd, u->path);
        return write_file_atomic_at(dir_fd, u->path, u->content, strlen(u->content), 0644, 0);
}

/* systemd gives a generator empty directories that nobody reads before it has ended, so the name is free as a rule, and one
 * call makes it. */
static int write_file(int dir_fd, const UnitFile *u) {
        _cleanup_close_ int fd = -EBADF;

        if (u->is_link) {
                if (symlinkat(u->content, dir_fd, u->path) >= 0)
                        return 0;
        } else {
                fd = openat(dir_fd, u->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
                if (fd >= 0)
                        return write_full(fd, u->content, strlen(u->content));
        }
        return errno == EEXIST ? replace_file(dir_fd, u) : negative_errno();
}

int unit_files_write(const UnitFiles *f, int dir_fd) {
        for (size_t i = 0; i < f->n; i++) {
                const UnitFile *u = f->items + i;
                int r;

                r = write_file(dir_fd, u);
                if (r == -ENOENT) {
                        _cleanup_free_ char *dir = strndup(u->path, strcspn(u->path, "/"));

                        if (!dir)
                                return -ENOMEM;
                        if (mkdirat(dir_fd, dir, 0755) < 0 && errno != EEXIST)
                                return negative_errno();
                        r = write_file(dir_fd, u);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}
