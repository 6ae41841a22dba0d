/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dlfcn.h>
#include <fcntl.h>
#include <libcryptsetup.h>
#include <string.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "volume/luks.h"

#define LIBRARY "libcryptsetup.so.12"

/* What is called of it. */
static struct {
        void *handle;
        typeof(crypt_init) *init;
        typeof(crypt_free) *free;
        typeof(crypt_format) *format;
        typeof(crypt_load) *load;
        typeof(crypt_get_uuid) *get_uuid;
        typeof(crypt_keyslot_add_by_volume_key) *add_by_volume_key;
        typeof(crypt_keyslot_add_by_passphrase) *add_by_passphrase;
        typeof(crypt_keyslot_destroy) *destroy;
        typeof(crypt_activate_by_passphrase) *activate;
        typeof(crypt_header_backup) *backup;
        typeof(crypt_set_pbkdf_type) *set_pbkdf;
        typeof(crypt_metadata_locking) *metadata_locking;
        typeof(crypt_set_log_callback) *set_log_callback;
} lib;

/* Its words would go to standard error otherwise, without saying what of. */
static void on_log(int level, const char *message, void *userdata) {
}

static int load(char **ret_error) {
        const struct {
                const char *name;
                void **function;
        } symbols[] = {
                { "crypt_init", (void **) &lib.init },
                { "crypt_free", (void **) &lib.free },
                { "crypt_format", (void **) &lib.format },
                { "crypt_load", (void **) &lib.load },
                { "crypt_get_uuid", (void **) &lib.get_uuid },
                { "crypt_keyslot_add_by_volume_key", (void **) &lib.add_by_volume_key },
                { "crypt_keyslot_add_by_passphrase", (void **) &lib.add_by_passphrase },
                { "crypt_keyslot_destroy", (void **) &lib.destroy },
                { "crypt_activate_by_passphrase", (void **) &lib.activate },
                { "crypt_header_backup", (void **) &lib.backup },
                { "crypt_set_pbkdf_type", (void **) &lib.set_pbkdf },
                { "crypt_metadata_locking", (void **) &lib.metadata_locking },
                { "crypt_set_log_callback", (void **) &lib.set_log_callback },
        };

        if (lib.handle)
                return 0;
        lib.handle = dlopen(LIBRARY, RTLD_NOW | RTLD_NODELETE);
        for (size_t i = 0; lib.handle && i < ELEMENTSOF(symbols); i++) {
                *symbols[i].function = dlsym(lib.handle, symbols[i].name);
                if (!*symbols[i].function) {
                        dlclose(lib.handle);
                        lib.handle = NULL;
                }
        }
        if (!lib.handle)
                return sentence(ret_error, -ENOPKG, "Encrypted volumes need " LIBRARY ": install libcryptsetup12.");
        /* Volumes have locks of their own. */
        (void) lib.metadata_locking(NULL, 0);
        lib.set_log_callback(NULL, on_log, NULL);
        return 0;
}

static void freep_device(struct crypt_device **cd) {
        if (*cd)
                lib.free(*cd);
}
#define _cleanup_crypt_ _cleanup_(freep_device)

static const struct crypt_pbkdf_type pbkdf = {
        .type = CRYPT_KDF_PBKDF2,
        .hash = "sha256",
        .iterations = 1000,             /* the least that libcryptsetup takes */
        .flags = CRYPT_PBKDF_NO_BENCHMARK,
};

/* libcryptsetup writes all of a header, and where there is no room fails with EIO in the middle. A device has it. */
static int reserve(const char *path, char **ret_error) {
        _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);

        if (fd >= 0 && (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LUKS_HEADER_BYTES) >= 0 || errno == EOPNOTSUPP || errno == ENODEV))
                return 0;
        return sentence_errno(ret_error, negative_errno(), "Cannot write a LUKS2 header to '%s'", path);
}

int luks_format(const char *path, const void *key, size_t key_size, char ret_uuid[static LUKS_UUID_SIZE], char **ret_error) {
        struct crypt_params_luks2 params = { .pbkdf = &pbkdf, .sector_size = 4096 };
        _cleanup_crypt_ struct crypt_device *cd = NULL;
        const char *uuid;
        int r;

        r = load(ret_error);
        if (r >= 0)
                r = reserve(path, ret_error);
        if (r < 0)
                return r;
        r = lib.init(&cd, path);
        if (r >= 0)
                r = lib.format(cd, CRYPT_LUKS2, "aes", "xts-plain64", NULL, NULL, LUKS_KEY_BYTES, &params);
        if (r >= 0)
                r = lib.add_by_volume_key(cd, 0, NULL, 0, key, key_size);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot make a LUKS2 header in '%s'", path);
        uuid = lib.get_uuid(cd);
        if (!uuid || strlen(uuid) != LUKS_UUID_SIZE - 1)
                return -EIO;
        memcpy(ret_uuid, uuid, LUKS_UUID_SIZE);
        return 0;
}

static int open_header(const char *path, struct crypt_device **ret, char **ret_error) {
        _cleanup_crypt_ struct crypt_device *cd = NULL;
        int r;

        r = load(ret_error);
        if (r < 0)
                return r;
        r = lib.init(&cd, path);
        if (r >= 0)
                r = lib.load(cd, CRYPT_LUKS2, NULL);
        if (r < 0)
                return sentence(ret_error, -EUCLEAN, "'%s' has no LUKS2 header that can be read: restore the volume, or its header by "
                                "cryptsetup luksHeaderRestore.", path);
        *ret = TAKE_PTR(cd);
        return 0;
}

static int fail_key(int r, const char *path, char **ret_error) {
        if (r == -EPERM)
                return sentence(ret_error, -EKEYREJECTED, "The present key does not open '%s'.", path);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot change the keys of '%s'", path) : 0;
}

/* The key slot that a key opens; -EPERM. */
static int find_slot(struct crypt_device *cd, const void *key, size_t n) {
        return lib.activate(cd, NULL, CRYPT_ANY_SLOT, key, n, 0);
}

int luks_add_key(const char *path, const void *old, size_t old_size, const void *new, size_t new_size, char **ret_error) {
        _cleanup_crypt_ struct crypt_device *cd = NULL;
        int r;

        r = open_header(path, &cd, ret_error);
        if (r < 0)
                return r;
        r = find_slot(cd, old, old_size);
        if (r < 0 || find_slot(cd, new, new_size) >= 0)
                return fail_key(r, path, ret_error);
        r = reserve(path, ret_error);
        if (r < 0)
                return r;
        r = lib.set_pbkdf(cd, &pbkdf);
        if (r >= 0)
                r = lib.add_by_passphrase(cd, CRYPT_ANY_SLOT, old, old_size, new, new_size);
        return fail_key(r, path, ret_error);
}

int luks_remove_key(const char *path, const void *key, size_t key_size, const void *other, size_t other_size, char **ret_error) {
        _cleanup_crypt_ struct crypt_device *cd = NULL;
        int r;

        r = open_header(path, &cd, ret_error);
        if (r < 0)
                return r;
        if (key_size == other_size && memcmp(key, other, key_size) == 0)
                return sentence(ret_error, -EKEYREJECTED, "The new key of '%s' is the present one.", path);
        r = find_slot(cd, other, other_size);
        while (r >= 0) {
                r = find_slot(cd, key, key_size);
                if (r == -EPERM)
                        return 0;
                if (r >= 0)
                        r = lib.destroy(cd, r);
        }
        return fail_key(r, path, ret_error);
}

int luks_backup_header(const char *path, const char *target, char **ret_error) {
        _cleanup_crypt_ struct crypt_device *cd = NULL;
        int r;

        r = open_header(path, &cd, ret_error);
        if (r < 0)
                return r;
        r = lib.backup(cd, CRYPT_LUKS2, target);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot write the header of '%s' to '%s'", path, target) : 0;
}
