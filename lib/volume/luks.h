/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* LUKS2 in files, by libcryptsetup, which is loaded when it is needed. */

#include "base/macros.h"

#define LUKS_CIPHER "aes-xts-plain64"

enum {
        LUKS_KEY_BYTES = 64,            /* of the volume's own key: AES-256-XTS */
        LUKS_UUID_SIZE = 37,
        LUKS_HEADER_BYTES = 16 * 1024 * 1024,   /* libcryptsetup's own default: both copies, and the key slots */
};

/* Makes the file's beginning a LUKS2 header with one key slot. The key is random, so the least of a key derivation does. -ENOPKG: there is no
 * libcryptsetup. */
int luks_format(const char *path, const void *key, size_t key_size, char ret_uuid[static LUKS_UUID_SIZE], char **ret_error);

/* Adds a key slot for `new` where there is none yet. -EKEYREJECTED: `old` opens none. */
int luks_add_key(const char *path, const void *old, size_t old_size, const void *new, size_t new_size, char **ret_error);
/* Takes away all that `key` opens. -EKEYREJECTED: `other`, which is to open it from then on, opens none, or is the same. */
int luks_remove_key(const char *path, const void *key, size_t key_size, const void *other, size_t other_size, char **ret_error);

/* Copies the header to a new file; -EEXIST. It is as secret as the volume: with it, and an old key, the volume opens. */
int luks_backup_header(const char *path, const char *target, char **ret_error);
