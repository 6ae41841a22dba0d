/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/log.h"
#include "base/sentence.h"
#include "base/str.h"
#include "base/subprocess.h"
#include "thin/thin-dm.h"
#include "thin/thin.h"

#define LVM "/usr/sbin/lvm"

enum { ARGUMENTS_MAX = 32 };

/* A pool that is full shall say so. What a guest has written is never read for what is LVM's. */
#define CONFIG "devices{scan_lvs=0} activation{error_when_full=1}"

/* --- the programs --- */

/* LVM's own words are ours to say where they name the reason. */
static int fail(int code, const char *what, char *text, char **ret_error) {
        bool no_room = strstr(text, "nsufficient free space") || strstr(text, "ut of data space") || strstr(text, "reached threshold") ||
                       strstr(text, "free extents");

        if (code > 128)
                return sentence(ret_error, -EIO, "%s: lvm was killed by signal %d.", what, code - 128);
        return sentence(ret_error, no_room ? -ENOSPC : -EIO, "%s: %s", what, spawn_last_line(text));
}

int thin_lvm(const char *what, char **ret_output, char **ret_error, ...) {
        static const char *const environment[] = { "LVM_SUPPRESS_FD_WARNINGS=1", NULL };
        const char *argv[ARGUMENTS_MAX] = { LVM };
        _cleanup_free_ char *errors = NULL;
        size_t n = 1;
        va_list ap;
        int r;

        va_start(ap, ret_error);
        while (n < ARGUMENTS_MAX - 3 && (argv[n] = va_arg(ap, const char *)))
                n++;
        va_end(ap);
        argv[n++] = "--config";
        argv[n++] = CONFIG;
        argv[n] = NULL;
        r = spawn_run(argv, environment, ret_output, &errors);
        if (r == -ENOENT)
                return sentence(ret_error, -ENOPKG, "There is no " LVM ": install lvm2.");
        if (r < 0)
                return sentence_errno(ret_error, r, "%s: cannot run " LVM, what);
        return r > 0 ? fail(r, what, errors, ret_error) : 0;
}

/* --- the pool --- */

/* Once there is a thin volume, LVM has a device of its own below the one that has the pool's name. */
int thin_pool_get_usage(const ThinPool *p, ThinUsage *ret, char **ret_error) {
        _cleanup_free_ char *path = thin_device_path(p, p->name), *inner = path ? strjoin(path, "-tpool") : NULL, *status = NULL, *table = NULL;
        int r;

        if (!inner)
                return -ENOMEM;
        r = thin_dm_query(inner + strlen(THIN_DEVICES_DIR), "thin-pool", &status, &table, ret_error);
        if (r == -ENXIO)
                r = thin_dm_query(path + strlen(THIN_DEVICES_DIR), "thin-pool", &status, &table, ret_error);
        if (r == -ENXIO)
                return sentence(ret_error, -ENODEV, "The thin pool '%s/%s' is not there, or not active: see that its disk is there and run "
                                "inferno-storage activate, or make it with "
                                "inferno-storage init.", p->group, p->name);
        if (r < 0)
                return r;
        r = thin_usage_parse(status, table, ret);
        return r < 0 ? sentence(ret_error, r, "The kernel says of the thin pool '%s/%s' what is not understood: \"%.200s\".", p->group, p->name,
                                status) : 0;
}

int thin_pool_check_room(const ThinPool *p, const char *what, char **ret_error) {
        ThinUsage u;
        unsigned used;
        int r;

        r = thin_pool_get_usage(p, &u, ret_error);
        if (r < 0)
                return r;
        used = thin_usage_percent(&u);
        if (u.state == THIN_FAILED)
                return sentence(ret_error, -EIO, "The thin pool '%s/%s' has failed, so %s: see the kernel's messages, and bring its disk back.",
                                p->group, p->name, what);
        if (u.needs_check || u.state == THIN_READ_ONLY)
                return sentence(ret_error, -EUCLEAN, "The thin pool '%s/%s' can only be read, its metadata being damaged or full, so %s: stop "
                                "what uses it and run "
                                "lvconvert --repair %s/%s.", p->group, p->name, what, p->group, p->name);
        if (u.state == THIN_FULL || used >= p->limit)
                return sentence(ret_error, -ENOSPC, "The thin pool '%s/%s' is full to %u%% (ThinPoolLimit=%u%%), so %s: remove volumes or "
                                "snapshots, or make it larger with lvextend.",
                                p->group, p->name, u.state == THIN_FULL ? 100 : used, p->limit, what);
        if (used >= p->warn)
                log_warning("The thin pool '%s/%s' is full to %u%%: at %u%% nothing more will be begun. Remove volumes or snapshots, or make it "
                            "larger with lvextend.",
                            p->group, p->name, used, p->limit);
        if (u.queues)
                log_warning("The thin pool '%s/%s' would have guests hang when it is full, instead of telling them: run lvchange --errorwhenfull "
                            "y %s/%s.",
                            p->group, p->name, p->group, p->name);
        return 0;
}

/* --- what is in it --- */

static char *full_name(const ThinPool *p, const char *lv) {
        return strf("%s/%s", p->group, lv);
}

int thin_exists(const ThinPool *p, const char *lv, char **ret_error) {
        _cleanup_free_ char *path = thin_device_path(p, lv);

        return path ? thin_dm_exists(path + strlen(THIN_DEVICES_DIR), ret_error) : -ENOMEM;
}

/* "<mapped sectors> <highest mapped sector>|-" */
int thin_get_mapped(const ThinPool *p, const char *lv, uint64_t *ret) {
        _cleanup_free_ char *path = thin_device_path(p, lv), *status = NULL, *table = NULL;
        uint64_t sectors;
        int r;

        r = path ? thin_dm_query(path + strlen(THIN_DEVICES_DIR), "thin", &status, &table, NULL) : -ENOMEM;
        if (r < 0)
                return r == -ENXIO ? -ENODEV : r;
        if (sscanf(status, "%" SCNu64, &sectors) != 1 || sectors > UINT64_MAX / 512)
                return -EBADMSG;
        *ret = sectors * 512;
        return 0;
}

int thin_check_free(const ThinPool *p, const char *lv, char **ret_error) {
        int r = thin_exists(p, lv, ret_error);

        return r <= 0 ? r : sentence(ret_error, -EEXIST, "The logical volume '%s/%s' is there already, and belongs to nothing of Inferno's: move "
                                     "it away with lvrename.", p->group, lv);
}

int thin_make(const ThinPool *p, const char *lv, uint64_t size, char **ret_error) {
        _cleanup_free_ char *what = strf("Cannot make the logical volume '%s/%s'", p->group, lv);
        _cleanup_free_ char *bytes = strf("%llub", (unsigned long long) size);
        int r;

        if (!bytes || !what)
                return -ENOMEM;
        r = thin_check_free(p, lv, ret_error);
        return r < 0 ? r : thin_lvm(what, NULL, ret_error, "lvcreate", "-q", "-y", "--wipesignatures", "n", "--virtualsize", bytes, "--thinpool",
                                    p->name, "--name", lv, p->group, NULL);
}

int thin_copy(const ThinPool *p, const char *from, const char *to, char **ret_error) {
        _cleanup_free_ char *origin = full_name(p, from), *what = strf("Cannot make the logical volume '%s/%s'", p->group, to);
        int r;

        if (!origin || !what)
                return -ENOMEM;
        r = thin_check_free(p, to, ret_error);
        return r < 0 ? r : thin_lvm(what, NULL, ret_error, "lvcreate", "-q", "-y", "--snapshot", "--setactivationskip", "n", "--name", to,
                                    origin, NULL);
}

int thin_grow(const ThinPool *p, const char *lv, uint64_t size, char **ret_error) {
        _cleanup_free_ char *what = strf("Cannot make the logical volume '%s/%s' larger", p->group, lv);
        _cleanup_free_ char *bytes = strf("%llub", (unsigned long long) size), *name = full_name(p, lv);

        if (!bytes || !name || !what)
                return -ENOMEM;
        return thin_lvm(what, NULL, ret_error, "lvextend", "-q", "--size", bytes, name, NULL);
}

int thin_rename(const ThinPool *p, const char *from, const char *to, char **ret_error) {
        _cleanup_free_ char *what = strf("Cannot rename the logical volume '%s/%s'", p->group, from);

        return what ? thin_lvm(what, NULL, ret_error, "lvrename", "-q", p->group, from, to, NULL) : -ENOMEM;
}

/* By a selection, which may be empty. */
static int remove_selected(const ThinPool *p, const char *select, const char *what, char **ret_error) {
        return thin_lvm(what, NULL, ret_error, "lvremove", "-q", "-y", "--force", "--select", select, p->group, NULL);
}

int thin_remove(const ThinPool *p, const char *lv, char **ret_error) {
        _cleanup_free_ char *select = strf("lv_name=\"%s\"", lv), *what = strf("Cannot remove the logical volume '%s/%s'", p->group, lv);

        return select && what ? remove_selected(p, select, what, ret_error) : -ENOMEM;
}

int thin_remove_volume(const ThinPool *p, const char *volume, char **ret_error) {
        _cleanup_free_ char *disk = thin_lv_name(THIN_VOLUME, volume, NULL), *new = thin_lv_name(THIN_NEW, volume, NULL), *old = thin_lv_name(THIN_OLD, volume, NULL);
        _cleanup_free_ char *what = strf("Cannot remove the logical volumes of volume '%s' from '%s'", volume, p->group);
        _cleanup_free_ char *snapshots = thin_lv_name(THIN_SNAPSHOT, volume, "");
        _cleanup_free_ char *select = NULL;
        _cleanup_strbuf_ StrBuf b = {};
        int r;

        if (!disk || !new || !old || !snapshots || !what)
                return -ENOMEM;
        strbuf_addf(&b, "lv_name=\"%s\" || lv_name=\"%s\" || lv_name=\"%s\" || lv_name=~\"^", disk, new, old);
        /* A regular expression, in which names have two characters that are no letters. */
        for (const char *c = snapshots; *c; c++)
                strbuf_addf(&b, *c == '.' || *c == '+' ? "[%c]" : "%c", *c);
        strbuf_adds(&b, "\"");
        r = strbuf_finish(&b, &select, NULL);
        return r < 0 ? r : remove_selected(p, select, what, ret_error);
}
