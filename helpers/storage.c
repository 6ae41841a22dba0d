/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sentence.h"
#include "base/str.h"
#include "base/subprocess.h"
#include "helpers/loop-device.h"
#include "helpers/storage.h"
#include "json/json.h"
#include "layout/layout.h"
#include "thin/thin.h"

#define BEGUN "begun"
#define READY "ready"
#define DISK_FILE "disk.img"
#define DISK_TEMPORARY ".disk.img"

#define TAG "inferno"                   /* of a volume group that is ours */
#define BLKID "/usr/sbin/blkid"

enum { PATH_BYTES_MAX = 4096, FIRST_BYTES = 1024 * 1024 };

/* The pool that inferno.conf names, and our directory, held by nobody else. */
typedef struct Storage {
        ThinPool pool;
        int dir_fd, lock_fd;
        char *begun, *ready;            /* what stands in these files; NULL: they are not there */
} Storage;

#define STORAGE_INIT { .dir_fd = -EBADF, .lock_fd = -EBADF }

static void storage_done(Storage *s) {
        thin_pool_done(&s->pool);
        safe_close(s->dir_fd);
        safe_close(s->lock_fd);
        free(s->begun);
        free(s->ready);
}
#define _cleanup_storage_ _cleanup_(storage_done)

static int read_name(int dir_fd, const char *name, char **ret) {
        int r = read_file_at(dir_fd, name, PATH_BYTES_MAX, ret, NULL);

        if (r >= 0)
                (*ret)[strcspn(*ret, "\n")] = 0;
        return r == -ENOENT ? 0 : r;
}

static int storage_open(Storage *s, char **ret_error) {
        int r;

        r = thin_pool_load(&s->pool, ret_error);
        if (r < 0)
                return r;
        r = mkdir_parents_at(AT_FDCWD, LAYOUT_LOCK_DIR, 0755);
        if (r >= 0)
                r = s->lock_fd = lock_file_at(AT_FDCWD, LAYOUT_STORAGE_LOCK);
        if (r >= 0)
                r = mkdir_parents_at(AT_FDCWD, LAYOUT_STATE_DIR, 0711);
        if (r >= 0)
                r = mkdir_parents_at(AT_FDCWD, LAYOUT_STORAGE_DIR, 0700);
        if (r >= 0) {
                s->dir_fd = open(LAYOUT_STORAGE_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                r = s->dir_fd < 0 ? negative_errno() : 0;
        }
        if (r >= 0)
                r = read_name(s->dir_fd, BEGUN, &s->begun);
        if (r >= 0)
                r = read_name(s->dir_fd, READY, &s->ready);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot open '" LAYOUT_STORAGE_DIR "'") : 0;
}

int storage_get_disk(char **ret) {
        int r = read_file_at(AT_FDCWD, LAYOUT_STORAGE_DIR "/" READY, PATH_BYTES_MAX, ret, NULL);

        if (r >= 0)
                (*ret)[strcspn(*ret, "\n")] = 0;
        return r;
}

static bool is_our_file(const char *disk) {
        return streq(disk, LAYOUT_STORAGE_DIR "/" DISK_FILE);
}

/* --- what is on a disk --- */

/* "ext4", "gpt", "LVM2_member"; "" where nothing is known to be there. */
static int probe(const char *device, char **ret, char **ret_error) {
        const char *argv[] = { BLKID, "-p", "-o", "value", "-s", "TYPE", "-s", "PTTYPE", device, NULL };
        _cleanup_free_ char *found = NULL, *errors = NULL;
        int code = spawn_run(argv, NULL, &found, &errors);

        if (code == -ENOENT)
                return sentence(ret_error, -ENOPKG, "There is no " BLKID " to see what is on '%s': install util-linux.", device);
        if (code < 0)
                return sentence_errno(ret_error, code, "Cannot run " BLKID);
        if (code == 8)
                return sentence(ret_error, -ENOTEMPTY, "There are several things on '%s': see wipefs %s. Nothing was changed.", device, device);
        if (code != 0 && code != 2)
                return sentence(ret_error, -EIO, "Cannot see what is on '%s': %s", device, spawn_last_line(errors));
        found[strcspn(found, "\n")] = 0;
        *ret = TAKE_PTR(found);
        return 0;
}

static bool is_zero(const char *buf, size_t n) {
        return n == 0 || (buf[0] == 0 && memcmp(buf, buf + 1, n - 1) == 0);
}

/* Nobody uses it, and neither blkid nor a look at its beginning finds anything. Where it was begun on, an LVM label that belongs to no group
 * may be ours. */
static int check_empty(const char *device, bool begun, char **ret_error) {
        _cleanup_close_ int fd = open(device, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
        _cleanup_free_ char *found = NULL, *first = NULL, *groups = NULL;
        struct stat st;
        uint64_t size;
        ssize_t n;
        int r;

        if (fd < 0 && errno == EBUSY)
                return sentence(ret_error, -EBUSY, "'%s' is in use: see lsblk %s. Nothing was changed.", device, device);
        if (fd < 0 || fstat(fd, &st) < 0)
                return sentence_errno(ret_error, negative_errno(), "Cannot open '%s'", device);
        if (!S_ISBLK(st.st_mode) || ioctl(fd, BLKGETSIZE64, &size) < 0)
                return sentence(ret_error, -ENOTBLK, "'%s' is no disk: give --disk= a block device, or use --loop=SIZE.", device);
        if (size < STORAGE_SIZE_MIN)
                return sentence(ret_error, -EINVAL, "'%s' has %llu MiB: 256 are the least.", device, (unsigned long long) (size / MIB(1)));
        r = probe(device, &found, ret_error);
        if (r < 0)
                return r;
        if (begun && streq(found, "LVM2_member")) {
                r = thin_lvm("Cannot see whose volume group is on the disk", &groups, ret_error, "pvs", "--noheadings", "-o", "vg_name", device,
                             NULL);
                if (r < 0)
                        return r;
                if (groups[strspn(groups, " \n")] == 0)
                        return 0;
        }
        if (*found)
                return sentence(ret_error, -ENOTEMPTY, "There is something on '%s' (%s). If nobody needs it, remove it with wipefs --all %s, and "
                                "call again. Nothing was changed.", device,
                                found, device);
        first = malloc(FIRST_BYTES);
        if (!first)
                return -ENOMEM;
        n = read_full(fd, first, FIRST_BYTES);
        if (n < 0)
                return sentence_errno(ret_error, (int) n, "Cannot read '%s'", device);
        if (!is_zero(first, (size_t) n))
                return sentence(ret_error, -ENOTEMPTY, "There is something on '%s', though nothing that is known. If nobody needs it, clear its "
                                "first MiB with "
                                "blkdiscard --zeroout --length=1M %s, and call again. Nothing was changed.", device, device);
        return 0;
}

/* --- the file --- */

static int make_file(Storage *s, uint64_t size, char **ret_error) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        if (fstatat(s->dir_fd, DISK_FILE, &st, AT_SYMLINK_NOFOLLOW) >= 0)
                return (uint64_t) st.st_size == size && s->begun ? 0 :
                       sentence(ret_error, -EEXIST, "'" LAYOUT_STORAGE_DIR "/" DISK_FILE "' is there already, with %llu MiB: give that size, or "
                                "remove it if nothing is in it.",
                                (unsigned long long) st.st_size / MIB(1));
        if (unlinkat(s->dir_fd, DISK_TEMPORARY, 0) < 0 && errno != ENOENT)
                return negative_errno();
        fd = openat(s->dir_fd, DISK_TEMPORARY, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        r = fd < 0 || fallocate(fd, 0, 0, (off_t) size) < 0 || fsync(fd) < 0 ? negative_errno() : 0;
        if (r >= 0 && (renameat(s->dir_fd, DISK_TEMPORARY, s->dir_fd, DISK_FILE) < 0 || fsync(s->dir_fd) < 0))
                r = negative_errno();
        if (r >= 0)
                return 0;
        (void) unlinkat(s->dir_fd, DISK_TEMPORARY, 0);
        return sentence_errno(ret_error, r, "Cannot make the file '" LAYOUT_STORAGE_DIR "/" DISK_FILE "' of %llu MiB",
                              (unsigned long long) (size / MIB(1)));
}

/* The block device: of the file that of its loop. */
static int open_disk(const char *disk, char **ret, char **ret_error) {
        int r;

        if (!is_our_file(disk)) {
                *ret = strdup(disk);
                return *ret ? 0 : -ENOMEM;
        }
        r = loop_device_attach(disk, ret);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot make a loop device of '%s'", disk) : 0;
}

/* --- volume group and pool --- */

typedef enum GroupState { GROUP_ABSENT, GROUP_OTHERS, GROUP_OURS, GROUP_WITH_POOL } GroupState;

static int get_group(const ThinPool *p, GroupState *ret, char **ret_error) {
        _cleanup_free_ char *group = strf("vg_name=\"%s\"", p->group);
        _cleanup_free_ char *lv = strf("vg_name=\"%s\" && lv_name=\"%s\" && segtype=\"thin-pool\"", p->group, p->name);
        _cleanup_free_ char *tags = NULL, *pools = NULL;
        int r;

        if (!group || !lv)
                return -ENOMEM;
        r = thin_lvm("Cannot look for volume groups", &tags, ret_error, "vgs", "--noheadings", "-o", "vg_name,vg_tags", "--select", group, NULL);
        if (r >= 0)
                r = thin_lvm("Cannot look for thin pools", &pools, ret_error, "lvs", "--noheadings", "-o", "lv_name", "--select", lv, NULL);
        if (r < 0)
                return r;
        if (pools[strspn(pools, " \n")])
                *ret = GROUP_WITH_POOL;
        else if (tags[strspn(tags, " \n")] == 0)
                *ret = GROUP_ABSENT;
        else
                *ret = endswith(tags, " " TAG "\n") || strstr(tags, " " TAG " ") ? GROUP_OURS : GROUP_OTHERS;
        return 0;
}

/* Room is left for the pool's metadata to grow into. New blocks are zeroed: they may have been another guest's. */
static int make_pool(const ThinPool *p, char **ret_error) {
        _cleanup_free_ char *lv = strf("%s/%s", p->group, p->name), *what = lv ? strf("Cannot make the thin pool '%s'", lv) : NULL;
        int r;

        if (!what)
                return -ENOMEM;
        /* What a killed call has left is no pool, so nothing is in it. */
        r = thin_lvm(what, NULL, ret_error, "lvremove", "-q", "-y", "--force", p->group, NULL);
        return r < 0 ? r : thin_lvm(what, NULL, ret_error, "lvcreate", "-q", "-y", "--type", "thin-pool", "--extents", "95%FREE", "--zero", "y",
                                    "--discards", "passdown",
                                    "--name", p->name, p->group, NULL);
}

/* Without udev's activation, since a loop device comes later than that, and only one shall do it. */
static int make_group(const ThinPool *p, const char *device, char **ret_error) {
        _cleanup_free_ char *what = strf("Cannot make the volume group '%s' on '%s'", p->group, device);

        return what ? thin_lvm(what, NULL, ret_error, "vgcreate", "-q", "-y", "--setautoactivation", "n", "--addtag", TAG, p->group, device,
                               NULL) : -ENOMEM;
}

static int change_active(const ThinPool *p, bool active, char **ret_error) {
        _cleanup_free_ char *what = strf("Cannot %sactivate the volume group '%s'", active ? "" : "de", p->group);

        return what ? thin_lvm(what, NULL, ret_error, "vgchange", "-q", "--activate", active ? "y" : "n", p->group, NULL) : -ENOMEM;
}

/* An lvm that was killed may have left a part of the pool active on its own, which hinders all others. */
static int set_active(const ThinPool *p, bool active, char **ret_error) {
        static const char *const parts[] = { "_tmeta", "_tdata" };

        if (change_active(p, active, NULL) >= 0)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                _cleanup_free_ char *lv = strf("%s/%s%s", p->group, p->name, parts[i]);

                if (!lv)
                        return -ENOMEM;
                (void) thin_lvm("", NULL, NULL, "lvchange", "-q", "-y", "--activate", "n", lv, NULL);
        }
        return change_active(p, active, ret_error);
}

/* Nothing is changed on any disk before this has its place. */
static int begin(Storage *s, const char *disk, char **ret_error) {
        _cleanup_free_ char *line = strjoin(disk, "\n");
        int r;

        if (!line)
                return -ENOMEM;
        r = write_file_atomic_at(s->dir_fd, BEGUN, line, strlen(line), 0600, WRITE_FILE_SYNC | WRITE_FILE_LOCKED);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot write '" LAYOUT_STORAGE_DIR "/" BEGUN "'") : 0;
}

static int make(Storage *s, const char *disk, char **ret_error) {
        _cleanup_free_ char *device = NULL;
        GroupState state;
        int r;

        r = open_disk(disk, &device, ret_error);
        if (r >= 0)
                r = get_group(&s->pool, &state, ret_error);
        if (r < 0)
                return r;
        if (state == GROUP_OTHERS)
                return sentence(ret_error, -EEXIST, "There is a volume group '%s' already, which is not Inferno's: give ours another name by "
                                "VolumeGroup= in inferno.conf.", s->pool.group);
        if (state == GROUP_ABSENT) {
                r = check_empty(device, true, ret_error);
                if (r >= 0)
                        r = make_group(&s->pool, device, ret_error);
        }
        if (r >= 0 && state != GROUP_WITH_POOL)
                r = make_pool(&s->pool, ret_error);
        if (r >= 0)
                r = set_active(&s->pool, true, ret_error);
        if (r < 0)
                return r;
        if (renameat(s->dir_fd, BEGUN, s->dir_fd, READY) < 0 || fsync(s->dir_fd) < 0)
                return sentence_errno(ret_error, negative_errno(), "Cannot rename '" LAYOUT_STORAGE_DIR "/" BEGUN "'");
        return 0;
}

/* Of a request that nothing was done for yet. */
static int check_request(Storage *s, const char *disk, char **ret_error) {
        GroupState state;
        int r;

        r = get_group(&s->pool, &state, ret_error);
        if (r < 0)
                return r;
        if (state == GROUP_WITH_POOL)
                return sentence(ret_error, -EEXIST, "There is a thin pool '%s/%s' already, which is used as it is. For another one, set "
                                "VolumeGroup= and ThinPool= in inferno.conf.",
                                s->pool.group, s->pool.name);
        if (state != GROUP_ABSENT)
                return sentence(ret_error, -EEXIST, "There is a volume group '%s' already: make a thin pool '%s' in it with lvcreate, or give "
                                "ours another name by VolumeGroup= in inferno.conf.",
                                s->pool.group, s->pool.name);
        return is_our_file(disk) ? 0 : check_empty(disk, false, ret_error);
}

int storage_init(const char *disk, uint64_t loop_size, bool *ret_new, char **ret_error) {
        _cleanup_storage_ Storage s = STORAGE_INIT;
        _cleanup_free_ char *path = NULL;
        int r;

        if (!disk && (loop_size < STORAGE_SIZE_MIN || loop_size % MIB(1) != 0))
                return sentence(ret_error, -EINVAL, "The size of a file for the pool must be whole MiB, 256M at least.");
        path = disk ? realpath(disk, NULL) : strdup(LAYOUT_STORAGE_DIR "/" DISK_FILE);
        if (!path)
                return sentence_errno(ret_error, negative_errno(), "Cannot find '%s'", disk ?: DISK_FILE);
        r = storage_open(&s, ret_error);
        if (r < 0)
                return r;
        if ((s.ready && !streq(s.ready, path)) || (s.begun && !streq(s.begun, path)))
                return sentence(ret_error, -EEXIST, "The thin pool '%s/%s' is %s on '%s': %s.", s.pool.group, s.pool.name,
                                s.ready ? "there already," : "being made", s.ready ?: s.begun,
                                s.ready ? "give it more room by vgextend and lvextend" : "finish that first, by the same call as before");
        *ret_new = !s.ready;
        if (s.ready) {
                _cleanup_free_ char *device = NULL;

                r = open_disk(path, &device, ret_error);
                return r < 0 ? r : set_active(&s.pool, true, ret_error);
        }
        if (!s.begun) {
                r = check_request(&s, path, ret_error);
                if (r >= 0)
                        r = begin(&s, path, ret_error);
                if (r < 0)
                        return r;
                s.begun = strdup(path);
                if (!s.begun)
                        return -ENOMEM;
        }
        r = is_our_file(path) ? make_file(&s, loop_size, ret_error) : 0;
        return r < 0 ? r : make(&s, path, ret_error);
}

int storage_activate(char **ret_error) {
        _cleanup_storage_ Storage s = STORAGE_INIT;
        _cleanup_free_ char *device = NULL;
        ThinUsage u;
        int r;

        r = storage_open(&s, ret_error);
        if (r < 0 || !s.ready)
                return r;
        r = open_disk(s.ready, &device, ret_error);
        if (r >= 0 && access(device, F_OK) < 0)
                r = sentence_errno(ret_error, negative_errno(), "The disk '%s' of the thin pool '%s/%s' is missing", device, s.pool.group,
                                   s.pool.name);
        if (r >= 0)
                r = set_active(&s.pool, true, ret_error);
        if (r >= 0)
                r = thin_pool_get_usage(&s.pool, &u, ret_error);
        return r;
}

int storage_deactivate(char **ret_error) {
        _cleanup_storage_ Storage s = STORAGE_INIT;
        _cleanup_free_ char *device = NULL;
        int r;

        r = storage_open(&s, ret_error);
        if (r < 0 || !s.ready)
                return r;
        r = set_active(&s.pool, false, ret_error);
        if (r < 0 || !is_our_file(s.ready) || loop_device_find(s.ready, &device) < 0)
                return r;
        r = loop_device_detach(device);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot detach '%s'", device) : 0;
}

/* --- status --- */

static json_t *pack_room(uint64_t used, uint64_t total) {
        return json_pack("{s:I,s:I}", "used", (json_int_t) used, "total", (json_int_t) total);
}

static int format_json(const ThinPool *p, const char *state, const char *disk, const ThinUsage *u, char **ret) {
        _cleanup_json_ json_t *j = json_pack("{s:s,s:s,s:s,s:s*,s:i,s:i}", "volume_group", p->group, "thin_pool", p->name, "state", state,
                                             "disk", disk, "warn", (int) p->warn, "limit", (int) p->limit);

        if (!j)
                return -ENOMEM;
        if (u && json_object_update_new(j, json_pack("{s:i,s:o,s:o,s:b}", "percent", (int) thin_usage_percent(u),
                                                     "data", pack_room(u->data_used, u->data_total),
                                                     "metadata", pack_room(u->metadata_used, u->metadata_total),
                                                     "needs_check", (int) u->needs_check)) < 0)
                return -ENOMEM;
        *ret = json_format(j);
        return *ret ? 0 : -ENOMEM;
}

static int format_text(const ThinPool *p, const char *state, const char *disk, const ThinUsage *u, char **ret) {
        _cleanup_strbuf_ StrBuf b = {};

        strbuf_addf(&b, "VolumeGroup=%s\nThinPool=%s\nState=%s\n", p->group, p->name, state);
        if (disk)
                strbuf_addf(&b, "Disk=%s\n", disk);
        if (u)
                strbuf_addf(&b, "Used=%u%%\nData=%llu/%llu\nMetadata=%llu/%llu\nNeedsCheck=%s\n", thin_usage_percent(u),
                            (unsigned long long) u->data_used,
                            (unsigned long long) u->data_total, (unsigned long long) u->metadata_used, (unsigned long long) u->metadata_total, u->needs_check ? "yes" : "no");
        strbuf_addf(&b, "Warn=%u%%\nLimit=%u%%\n", p->warn, p->limit);
        return strbuf_finish(&b, ret, NULL);
}

int storage_status(bool json, char **ret_text, char **ret_error) {
        _cleanup_thin_pool_ ThinPool p = {};
        _cleanup_free_ char *disk = NULL;
        ThinUsage u;
        bool there;
        int r;

        r = thin_pool_load(&p, ret_error);
        if (r < 0)
                return r;
        r = thin_pool_get_usage(&p, &u, ret_error);
        if (r < 0 && r != -ENODEV)
                return r;
        there = r >= 0;
        (void) storage_get_disk(&disk);
        return (json ? format_json : format_text)(&p, there ? thin_state_to_string(u.state) : "absent", disk, there ? &u : NULL, ret_text);
}
