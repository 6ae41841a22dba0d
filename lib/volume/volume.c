/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "layout/layout.h"
#include "volume/volume-internal.h"

int volume_fail_store(Store *s, int r, char **ret_error) {
        return sentence(ret_error, r, "%s", store_error(s));
}

int volume_lock(const char *volume, char **ret_error) {
        _cleanup_free_ char *path = layout_volume_lock(volume);
        int r;

        if (!path)
                return -ENOMEM;
        r = mkdir_parent_of_at(AT_FDCWD, path, 0755);
        if (r >= 0)
                r = lock_file_at(AT_FDCWD, path);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot lock volume '%s' by '%s'", volume, path) : r;
}

int volume_check_ready(const StoreVolume *v, char **ret_error) {
        return v->ready ? 0 : sentence(ret_error, -ENOENT, "Volume '%s' is not whole, its creation or removal was interrupted: run inferno-volume rm %s.", v->name, v->name);
}

int volume_get(Store *s, const char *name, StoreVolume *ret, char **ret_error) {
        int r = store_volume_get(s, name, ret);

        return r < 0 ? volume_fail_store(s, r, ret_error) : volume_check_ready(ret, ret_error);
}

static const VolumeBackend *backend_of(const StoreVolume *v) {
        return streq(v->backend, volume_backend_thin.name) ? &volume_backend_thin : &volume_backend_file;
}

static int detach(Store *s, const StoreAttachment *a, char **ret_error) {
        _cleanup_store_volume_ StoreVolume v = {};
        int r;

        r = store_volume_get(s, a->volume, &v);
        if (r < 0)
                return volume_fail_store(s, r, ret_error);
        /* A reader is one of many. */
        r = a->read_only ? 0 : backend_of(&v)->take_back(a->volume);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot take the disk of volume '%s' back from VM '%s'", a->volume, a->vm);
        r = store_volume_detach(s, a->volume, a->vm);
        return r < 0 ? volume_fail_store(s, r, ret_error) : 0;
}

int volume_detach_all(Store *s, const char *vm, char **ret_error) {
        StoreAttachment *a;
        size_t n;
        int r;

        r = store_volume_attachments(s, NULL, vm, &a, &n);
        if (r < 0)
                return volume_fail_store(s, r, ret_error);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = detach(s, a + i, ret_error);
        store_attachments_free(a, n);
        return r < 0 ? r : 0;
}

static const StoreAttachment *find_attachment(const StoreAttachment *a, size_t n, const VolumeUse *use) {
        for (size_t i = 0; i < n; i++)
                if (streq(a[i].volume, use->name) && a[i].read_only == use->read_only)
                        return a + i;
        return NULL;
}

static int link_one(Store *s, const VolumeUse *use, uid_t uid, int volumes_fd, char **ret_error) {
        _cleanup_store_volume_ StoreVolume v = {};
        _cleanup_free_ char *error = NULL;
        int r;

        r = volume_get(s, use->name, &v, ret_error);
        if (r < 0)
                return r;
        r = backend_of(&v)->put(use->name, use->read_only, uid, v.size, volumes_fd, &error);
        if (error)
                return sentence(ret_error, r, "%s", error);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot put volume '%s' into its VM's jail", use->name) : 0;
}

int volume_link_all(Store *s, const Definition *d, uid_t uid, int root_fd, char **ret_error) {
        _cleanup_close_ int volumes_fd = -EBADF;
        StoreAttachment *a;
        size_t n;
        int r;

        if (d->n_volumes == 0)
                return 0;
        volumes_fd = mkdirat(root_fd, JAIL_VOLUMES, 0711) < 0 ? negative_errno() : open_beneath(root_fd, JAIL_VOLUMES, O_RDONLY | O_DIRECTORY, 0);
        if (volumes_fd < 0)
                return sentence_errno(ret_error, volumes_fd, "Cannot make a directory for volumes in the jail of VM '%s'", d->name);
        r = store_volume_attachments(s, NULL, d->name, &a, &n);
        if (r < 0)
                return volume_fail_store(s, r, ret_error);
        for (size_t i = 0; i < d->n_volumes && r >= 0; i++) {
                const VolumeUse *use = d->volumes + i;

                if (!find_attachment(a, n, use))
                        r = sentence(ret_error, -ENOENT, "Volume '%s' is not attached to VM '%s': run inferno-volume attach %s first.", use->name,
                                     d->name, d->name);
                else
                        r = link_one(s, use, uid, volumes_fd, ret_error);
        }
        store_attachments_free(a, n);
        return r;
}
