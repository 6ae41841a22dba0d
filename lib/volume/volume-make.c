/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making, changing and attaching: apart from what every start and stop of a VM links, for the sake of what LUKS wants. */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sentence.h"
#include "base/str.h"
#include "layout/layout.h"
#include "version/ext4.h"
#include "version/version.h"
#include "volume/key.h"
#include "volume/luks.h"
#include "volume/volume-internal.h"

/* A volume under its lock, so that no VM gets it. */
typedef struct Held {
        int lock_fd;
        StoreVolume row;
        const VolumeMaker *maker;       /* of the row; NULL: there is none */
} Held;

#define HELD_INIT { .lock_fd = -EBADF }

static void held_done(Held *h) {
        h->lock_fd = safe_close(h->lock_fd);
        store_volume_done(&h->row);
}
#define _cleanup_held_ _cleanup_(held_done)

static const VolumeMaker *find_maker(const char *backend) {
        static const VolumeMaker *const makers[] = { &volume_maker_file, &volume_maker_thin };

        for (size_t i = 0; i < ELEMENTSOF(makers); i++)
                if (streq(makers[i]->backend->name, backend))
                        return makers[i];
        return NULL;
}

static int find_row(Store *s, const char *name, Held *h) {
        int r = store_volume_get(s, name, &h->row);

        if (r < 0)
                return r;
        h->maker = find_maker(h->row.backend);  /* the table has no other words */
        return h->maker ? 0 : -EUCLEAN;
}

/* With its row, where there is one; whether it is whole or not. */
static int hold(Store *s, const char *name, Held *h, char **ret_error) {
        int r;

        h->lock_fd = volume_lock(name, ret_error);
        if (h->lock_fd < 0)
                return h->lock_fd;
        r = find_row(s, name, h);
        return r < 0 ? volume_fail_store(s, r, ret_error) : 0;
}

/* One that is whole. */
static int hold_whole(Store *s, const char *name, Held *h, char **ret_error) {
        int r = hold(s, name, h, ret_error);

        if (r >= 0)
                r = volume_check_ready(&h->row, ret_error);
        return r >= 0 && h->maker->settle ? h->maker->settle(name, ret_error) : r;
}

/* One that no VM has, either. */
static int hold_detached(Store *s, const char *name, Held *h, char **ret_error) {
        StoreAttachment *holders;
        size_t n;
        int r;

        r = hold_whole(s, name, h, ret_error);
        if (r < 0)
                return r;
        r = store_volume_attachments(s, name, NULL, &holders, &n);
        if (r < 0)
                return volume_fail_store(s, r, ret_error);
        if (n > 0)
                r = sentence(ret_error, -EBUSY, "Volume '%s' is attached to VM '%s': stop that first.", name, holders[0].vm);
        store_attachments_free(holders, n);
        return r;
}

/* --- making and removing --- */

/* As much as libcryptsetup says of the header, into the row. */
static int encrypt(Store *s, const char *path, const VolumeSpec *spec, char **ret_error) {
        _cleanup_(volume_key_freep) VolumeKey *key = NULL;
        char uuid[LUKS_UUID_SIZE];
        int r;

        r = spec->key_file ? volume_key_read(spec->key_file, &key, ret_error) : volume_key_new_random(&key);
        if (r >= 0)
                r = luks_format(path, key->bytes, key->size, uuid, ret_error);
        if (r < 0)
                return r;
        /* The row first: where it has a UUID there may be a key that goes with it. */
        r = store_volume_set_luks(s, spec->name, uuid, LUKS_CIPHER, LUKS_KEY_BYTES);
        if (r < 0)
                return volume_fail_store(s, r, ret_error);
        return spec->key_file ? 0 : volume_key_store(spec->name, key, ret_error);
}

static int fill(Store *s, const char *path, const VolumeSpec *spec, char **ret_error) {
        struct stat st;
        const char *mkfs = ext4_find_mkfs(&st);

        if (spec->encrypted)
                return encrypt(s, path, spec, ret_error);
        if (!mkfs)
                return sentence(ret_error, -ENOPKG, "No mkfs.ext4 is there to make volume '%s' with: install e2fsprogs.", spec->name);
        return ext4_make(mkfs, path, EXT4_VOLUME, ret_error);
}

/* All there is of a volume beside its disk: the row goes last. */
static int forget(Store *s, const char *volume, bool with_key, char **ret_error) {
        int r = with_key ? volume_key_remove(volume) : 0;

        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot remove the key of volume '%s'", volume);
        r = store_volume_remove(s, volume);
        return r < 0 ? volume_fail_store(s, r, ret_error) : 0;
}

/* What a killed creation or removal has left: nobody has used it, or wants it any more. Its row says whether it has a key. */
static int remove_remains(Store *s, const Held *h, char **ret_error) {
        int r = h->maker->remove(h->row.name, ret_error);

        return r < 0 ? r : forget(s, h->row.name, h->row.luks_uuid, ret_error);
}

/* Somebody may need the disk or the key that is there and belongs to no volume. */
static int refuse_ownerless(const VolumeMaker *maker, const VolumeSpec *spec, char **ret_error) {
        int r = maker->check_free(spec->name, ret_error);

        if (r >= 0 && spec->encrypted && !spec->key_file && volume_key_exists(spec->name))
                return sentence(ret_error, -EEXIST, "'%s" LAYOUT_CREDENTIALS_DIR "/inferno.volume.%s' is there already, and the key of no volume: "
                                "move it away.", layout_root(), spec->name);
        return r;
}

static int create(Store *s, const VolumeMaker *maker, const VolumeSpec *spec, char **ret_error) {
        _cleanup_free_ char *what = strf("volume '%s' is not made", spec->name), *path = NULL;
        int r;

        if (!what)
                return -ENOMEM;
        r = maker->check_room(what, ret_error);
        if (r >= 0)
                r = refuse_ownerless(maker, spec, ret_error);
        if (r < 0)
                return r;
        r = store_volume_add(s, spec->name, maker->backend->name, spec->size, spec->label ?: "");
        if (r < 0)
                return volume_fail_store(s, r, ret_error);
        r = maker->begin(spec->name, spec->size, &path, ret_error);
        if (r >= 0)
                r = fill(s, path, spec, ret_error);
        if (r >= 0)
                r = maker->finish(spec->name, ret_error);
        if (r < 0) {
                if (maker->remove(spec->name, NULL) >= 0)
                        (void) forget(s, spec->name, spec->encrypted && !spec->key_file, NULL);
                return r;
        }
        r = store_volume_set_ready(s, spec->name);
        return r < 0 ? volume_fail_store(s, r, ret_error) : 0;
}

int volume_create(Store *s, const VolumeSpec *spec, char **ret_error) {
        const VolumeMaker *maker = find_maker(spec->backend ?: volume_backend_file.name);
        _cleanup_held_ Held h = HELD_INIT;
        int r;

        if (!maker)
                return sentence(ret_error, -EINVAL, "There is no back end '%s' for volume '%s': there are file and lvm-thin.", spec->backend, spec->name);
        if (spec->size < VOLUME_SIZE_MIN || spec->size > VOLUME_SIZE_MAX || spec->size % MIB(1) != 0)
                return sentence(ret_error, -EINVAL, "The size of volume '%s' must be whole MiB, from 16M to 16T.", spec->name);
        if (spec->encrypted && spec->size < VOLUME_SIZE_MIN_ENCRYPTED)
                return sentence(ret_error, -EINVAL, "Volume '%s' must have 32M at least to be encrypted, for its header takes 16M.", spec->name);
        h.lock_fd = volume_lock(spec->name, ret_error);
        if (h.lock_fd < 0)
                return h.lock_fd;
        r = find_row(s, spec->name, &h);
        if (r == -ENOENT)
                return create(s, maker, spec, ret_error);
        if (r < 0)
                return volume_fail_store(s, r, ret_error);
        if (h.row.ready)
                return sentence(ret_error, -EEXIST, "Volume '%s' exists already: see inferno-volume inspect %s.", spec->name, spec->name);
        r = remove_remains(s, &h, ret_error);
        return r < 0 ? r : create(s, maker, spec, ret_error);
}

int volume_remove(Store *s, const char *name, char **ret_error) {
        _cleanup_held_ Held h = HELD_INIT;
        _cleanup_strv_ char **snapshots = NULL;
        int r;

        r = hold(s, name, &h, ret_error);
        if (r < 0)
                return r;
        r = store_snapshot_list(s, name, &snapshots);
        if (r < 0)
                return volume_fail_store(s, r, ret_error);
        if (strv_length(snapshots) > 0)
                return sentence(ret_error, -ENOTEMPTY, "Volume '%s' has snapshots: remove them first, with inferno-volume rm %s@%s and so on.",
                                name, name, snapshots[0]);
        /* From here on it is not used, whether or not we come to the end. */
        r = store_volume_withdraw(s, name);
        return r < 0 ? volume_fail_store(s, r, ret_error) : remove_remains(s, &h, ret_error);
}

int volume_resize(Store *s, const char *name, uint64_t size, char **ret_error) {
        _cleanup_held_ Held h = HELD_INIT;
        int r;

        if (size > VOLUME_SIZE_MAX || size % MIB(1) != 0)
                return sentence(ret_error, -EINVAL, "The size of volume '%s' must be whole MiB, 16T at most.", name);
        r = hold_detached(s, name, &h, ret_error);
        if (r < 0)
                return r;
        if (size < h.row.size)
                return sentence(ret_error, -EINVAL, "Volume '%s' has %llu MiB and cannot shrink: its file system would lose its end.", name,
                                (unsigned long long) (h.row.size / MIB(1)));
        r = h.maker->grow(name, h.row.size, size, ret_error);
        if (r < 0)
                return r;
        r = store_volume_set_size(s, name, size);
        return r < 0 ? volume_fail_store(s, r, ret_error) : 0;
}

/* --- keys --- */

/* Takes the key that was put aside out of the header: a new one that has not taken its place yet, or an old one that has lost it. */
static int drop_aside(const char *volume, const char *path, const VolumeKey *present, char **ret_error) {
        _cleanup_(volume_key_freep) VolumeKey *aside = NULL;
        int r;

        r = volume_key_load_aside(volume, &aside, ret_error);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = luks_remove_key(path, aside->bytes, aside->size, present->bytes, present->size, ret_error);
        if (r < 0)
                return r;
        r = volume_key_remove_aside(volume);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot remove the former key of volume '%s'", volume) : 0;
}

/* The kept key and another one, which is aside, change places at once. So there is at any moment a kept key that opens the volume, and what is
 * aside is to go. */
static int rotate(const char *name, const char *path, const VolumeKey *old, const VolumeKey *new, char **ret_error) {
        int r;

        r = drop_aside(name, path, old, ret_error);
        if (r >= 0)
                r = volume_key_put_aside(name, new, ret_error);
        if (r >= 0)
                r = luks_add_key(path, old->bytes, old->size, new->bytes, new->size, ret_error);
        if (r >= 0)
                r = volume_key_exchange(name, ret_error);
        return r >= 0 ? drop_aside(name, path, new, ret_error) : r;
}

int volume_change_key(Store *s, const char *name, const char *old_key_file, const char *new_key_file, bool replace, char **ret_error) {
        _cleanup_held_ Held h = HELD_INIT;
        _cleanup_free_ char *path = NULL;
        _cleanup_(volume_key_freep) VolumeKey *old = NULL, *new = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = hold_detached(s, name, &h, ret_error);
        if (r < 0)
                return r;
        if (!h.row.luks_uuid)
                return sentence(ret_error, -EINVAL, "Volume '%s' is not encrypted, so it has no keys.", name);
        fd = h.maker->backend->open(name, NULL, h.row.size, O_RDONLY, ret_error);
        if (fd < 0)
                return fd;
        r = h.maker->backend->get_path(name, NULL, &path, ret_error);
        if (r < 0)
                return r;
        r = old_key_file ? volume_key_read(old_key_file, &old, ret_error) : volume_key_load(name, &old, ret_error);
        if (r >= 0)
                r = new_key_file ? volume_key_read(new_key_file, &new, ret_error) : volume_key_new_random(&new);
        if (r >= 0)
                r = new_key_file ? luks_add_key(path, old->bytes, old->size, new->bytes, new->size, ret_error)
                                 : rotate(name, path, old, new, ret_error);
        if (r >= 0 && replace)
                r = luks_remove_key(path, old->bytes, old->size, new->bytes, new->size, ret_error);
        /* The kept key opens nothing any more, and the VM's unit is not to find it. */
        if (r >= 0 && replace && new_key_file && !old_key_file) {
                r = volume_key_remove(name);
                if (r < 0)
                        return sentence_errno(ret_error, r, "Cannot remove the former key of volume '%s'", name);
                log_notice("This host has no key of volume '%s' any more: give the new one to its VM by LoadCredential=inferno.volume.%s:FILE in "
                           "[Service].", name, name);
        }
        return r;
}

int volume_backup_header(Store *s, const char *name, const char *target, char **ret_error) {
        _cleanup_held_ Held h = HELD_INIT;
        _cleanup_free_ char *path = NULL;
        int r;

        r = hold_whole(s, name, &h, ret_error);
        if (r < 0)
                return r;
        if (!h.row.luks_uuid)
                return sentence(ret_error, -EINVAL, "Volume '%s' is not encrypted, so it has no header to keep.", name);
        r = h.maker->backend->get_path(name, NULL, &path, ret_error);
        return r < 0 ? r : luks_backup_header(path, target, ret_error);
}

/* --- snapshots --- */

int volume_copy_header(int src_fd, int dst_fd) {
        _cleanup_free_ char *buf = malloc(LUKS_HEADER_BYTES);
        ssize_t n;

        if (!buf)
                return -ENOMEM;
        n = pread(src_fd, buf, LUKS_HEADER_BYTES, 0);
        if (n != LUKS_HEADER_BYTES)
                return n < 0 ? negative_errno() : -EIO;
        return pwrite(dst_fd, buf, LUKS_HEADER_BYTES, 0) != LUKS_HEADER_BYTES ? -EIO : 0;
}

static int check_room(const VolumeMaker *maker, const char *volume, const char *not_done, char **ret_error) {
        _cleanup_free_ char *what = strf("volume '%s' %s", volume, not_done);

        return what ? maker->check_room(what, ret_error) : -ENOMEM;
}

int volume_snapshot(Store *s, const char *name, const char *snapshot, char **ret_error) {
        _cleanup_held_ Held h = HELD_INIT;
        uint64_t size;
        int r;

        r = hold_detached(s, name, &h, ret_error);
        if (r < 0)
                return r;
        if (store_snapshot_get_size(s, name, snapshot, &size) >= 0)
                return sentence(ret_error, -EEXIST, "Volume '%s' has a snapshot '%s' already.", name, snapshot);
        r = check_room(h.maker, name, "gets no snapshot", ret_error);
        if (r >= 0)
                r = h.maker->snapshot(name, snapshot, h.row.size, ret_error);
        if (r < 0)
                return r;
        r = store_snapshot_put(s, name, snapshot, h.row.size);
        return r < 0 ? volume_fail_store(s, r, ret_error) : 0;
}

/* A disk that is larger than its row says is as good as one that was being made larger; the other way round it would be none. */
int volume_restore(Store *s, const char *name, const char *snapshot, char **ret_error) {
        _cleanup_held_ Held h = HELD_INIT;
        _cleanup_close_ int header_fd = -EBADF;
        uint64_t size;
        int r;

        r = hold_detached(s, name, &h, ret_error);
        if (r < 0)
                return r;
        r = store_snapshot_get_size(s, name, snapshot, &size);
        if (r < 0)
                return volume_fail_store(s, r, ret_error);
        r = check_room(h.maker, name, "is not restored", ret_error);
        if (r < 0)
                return r;
        /* The keys are those of now, not those of then; all that is wanted of what is there now is its header. */
        if (h.row.luks_uuid) {
                header_fd = h.maker->backend->open(name, NULL, LUKS_HEADER_BYTES, O_RDONLY, ret_error);
                if (header_fd == -ENOENT)
                        log_notice("The disk of volume '%s' is missing, so its keys are those that it had when the snapshot was made.", name);
                else if (header_fd < 0)
                        return header_fd;
        }
        if (size < h.row.size && store_volume_set_size(s, name, size) < 0)
                return volume_fail_store(s, -EIO, ret_error);
        r = h.maker->restore(name, snapshot, size, header_fd, ret_error);
        if (r < 0)
                return r;
        r = store_volume_set_size(s, name, size);
        return r < 0 ? volume_fail_store(s, r, ret_error) : 0;
}

int volume_remove_snapshot(Store *s, const char *name, const char *snapshot, char **ret_error) {
        _cleanup_held_ Held h = HELD_INIT;
        uint64_t size;
        int r;

        r = hold(s, name, &h, ret_error);
        if (r < 0)
                return r;
        r = store_snapshot_get_size(s, name, snapshot, &size);
        if (r < 0)
                return volume_fail_store(s, r, ret_error);
        r = h.maker->remove_snapshot(name, snapshot, ret_error);
        if (r < 0)
                return r;
        r = store_snapshot_remove(s, name, snapshot);
        return r < 0 ? volume_fail_store(s, r, ret_error) : 0;
}

int volume_get_usage(const StoreVolume *v, uint64_t *ret) {
        const VolumeMaker *maker = find_maker(v->backend);

        return maker ? maker->get_usage(v->name, ret) : -EUCLEAN;
}

int volume_get_path(const StoreVolume *v, char **ret, char **ret_error) {
        const VolumeMaker *maker = find_maker(v->backend);

        return maker ? maker->backend->get_path(v->name, NULL, ret, ret_error) : -EUCLEAN;
}

/* --- attaching --- */

/* systemd keeps this link from the first step of a start to the end of the clean-up after it, and /run does not outlive the machine. */
static bool unit_is_active(const char *vm) {
        _cleanup_free_ char *unit = layout_unit_name(vm), *path = unit ? strf("%s/run/systemd/units/invocation:%s", layout_root(), unit) : NULL;
        struct stat st;

        return !path || lstat(path, &st) >= 0;
}

static bool is_alive(const char *vm) {
        char ulid[ULID_STRING_SIZE];

        return unit_is_active(vm) || (version_get_current(vm, ulid) >= 0 && version_running(ulid, NULL) != 0);
}

/* A VM that has died, with nobody to clean up after it, gives its volume back. Its jail loses the file too, so that it cannot be run on. */
static int take_from_dead(Store *s, const char *name, const char *vm, char **ret_error) {
        char ulid[ULID_STRING_SIZE];
        int r = 0;

        if (version_get_current(vm, ulid) >= 0) {
                _cleanup_close_ int root_fd = version_open_root(ulid);

                if (root_fd >= 0)
                        r = remove_tree_at(root_fd, JAIL_VOLUMES);
        }
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot take volume '%s' from VM '%s', which has died", name, vm);
        log_notice("VM '%s' has died without giving volume '%s' back: taking it.", vm, name);
        r = store_volume_detach(s, name, vm);
        return r < 0 ? volume_fail_store(s, r, ret_error) : 0;
}

static int attach(Store *s, const char *vm, const VolumeUse *use, char **ret_error) {
        for (;;) {
                _cleanup_free_ char *holder_name = NULL;
                StoreAttachment holder = {};
                int r;

                r = store_volume_attach(s, use->name, vm, use->read_only, &holder);
                holder_name = holder.vm;
                if (r >= 0)
                        return 0;
                if (r != -EBUSY || !holder_name)
                        return volume_fail_store(s, r, ret_error);
                if (is_alive(holder_name))
                        return sentence(ret_error, -EBUSY, "Volume '%s' of VM '%s' is attached to VM '%s', %s: stop that first.", use->name, vm,
                                        holder_name, holder.read_only ? "which reads it" : "which writes to it");
                r = take_from_dead(s, use->name, holder_name, ret_error);
                if (r < 0)
                        return r;
        }
}

static int ensure(Store *s, const char *vm, const VolumeUse *use, char **ret_error) {
        _cleanup_store_volume_ StoreVolume v = {};
        int r;

        r = store_volume_get(s, use->name, &v);
        if ((r >= 0 && v.ready) || (r < 0 && r != -ENOENT))
                return r < 0 ? volume_fail_store(s, r, ret_error) : 0;
        if (use->size == 0)
                return sentence(ret_error, -ENOENT, "There is no volume '%s' for VM '%s': make it with inferno-volume create %s --size=SIZE, or give "
                                "Volume= of the VM a size=.", use->name, vm, use->name);
        r = volume_create(s, &(VolumeSpec) { .name = use->name, .label = vm, .size = use->size, .encrypted = use->encrypted, .backend = use->backend }, ret_error);
        if (r == -EEXIST)       /* somebody else was faster */
                r = 0;
        else if (r >= 0)
                log_info("Made volume '%s' of %llu MiB for VM '%s'.", use->name, (unsigned long long) (use->size / MIB(1)), vm);
        return r;
}

static int attach_one(Store *s, const char *vm, const VolumeUse *use, uid_t uid, char **ret_error) {
        _cleanup_held_ Held h = HELD_INIT;
        _cleanup_free_ char *what = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = ensure(s, vm, use, ret_error);
        if (r >= 0)
                r = hold_whole(s, use->name, &h, ret_error);
        if (r < 0)
                return r;
        if (use->encrypted != !!h.row.luks_uuid)
                return sentence(ret_error, -EINVAL, "Volume '%s' is %sencrypted, but Volume= of VM '%s' has it %s\"encrypted\".", use->name,
                                h.row.luks_uuid ? "" : "not ", vm, use->encrypted ? "as " : "without ");
        if (use->backend && !streq(use->backend, h.row.backend))
                return sentence(ret_error, -EINVAL, "Volume '%s' has backend=%s, but Volume= of VM '%s' says backend=%s: leave that out, or name another volume.", use->name,
                                h.row.backend, vm, use->backend);
        fd = h.maker->backend->open(use->name, NULL, h.row.size, O_RDONLY, ret_error);
        if (fd < 0)
                return fd;
        what = strf("VM '%s' does not get volume '%s' to write to", vm, use->name);
        if (!what)
                return -ENOMEM;
        r = use->read_only ? 0 : h.maker->check_room(what, ret_error);
        if (r >= 0)
                r = attach(s, vm, use, ret_error);
        return r < 0 || !use->encrypted ? r : volume_key_hand_over(vm, use->name, uid, ret_error);
}

int volume_attach_all(Store *s, const Definition *d, uid_t uid, char **ret_error) {
        int r;

        r = volume_detach_all(s, d->name, ret_error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < d->n_volumes; i++) {
                r = attach_one(s, d->name, d->volumes + i, uid, ret_error);
                if (r < 0)
                        return r;
        }
        return 0;
}

