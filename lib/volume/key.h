/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Keys of volumes on the host: made at random, kept as credentials of systemd (systemd-creds(1)), handed to a VM's kiln by a file in memory. */

#include <sys/types.h>

#include "base/macros.h"
#include "base/wire.h"

/* In memory that is not swapped and in no core dump. */
typedef struct VolumeKey {
        size_t size;
        uint8_t bytes[WIRE_KEY_BYTES_MAX];
} VolumeKey;

int volume_key_new(VolumeKey **ret);                                                    /* empty */
int volume_key_new_random(VolumeKey **ret);                                             /* 64 bytes */
int volume_key_read(const char *path, VolumeKey **ret, char **ret_error);               /* of whoever brings one along */
VolumeKey *volume_key_free(VolumeKey *k);                                               /* wipes */
DEFINE_TRIVIAL_CLEANUP_FUNC(VolumeKey *, volume_key_free)

/* Encrypts it, with TPM2 or this host's key, into LAYOUT_CREDENTIALS_DIR, in place of what is there. -ENOPKG: no systemd-creds. All of these want the
 * volume's lock. */
int volume_key_store(const char *volume, const VolumeKey *k, char **ret_error);
bool volume_key_exists(const char *volume);
/* Gets it back from there; -ENOENT. */
int volume_key_load(const char *volume, VolumeKey **ret, char **ret_error);
/* Forgets it, and what is aside; absent is fine. */
int volume_key_remove(const char *volume);

/* Another key of the volume beside it, for no unit to find. The last of them gives the two each other's place, or the only one this one's. */
int volume_key_put_aside(const char *volume, const VolumeKey *k, char **ret_error);
int volume_key_load_aside(const char *volume, VolumeKey **ret, char **ret_error);      /* -ENOENT */
int volume_key_remove_aside(const char *volume);
int volume_key_exchange(const char *volume, char **ret_error);

/* Puts the credential that the VM's unit has (in $CREDENTIALS_DIRECTORY), or else what volume_key_load() gives, where the VM's kiln alone can read it: layout_vm_keys(). -ENOENT: there is none.
 * Refuses to write to a file system that is on a disk. */
int volume_key_hand_over(const char *vm, const char *volume, uid_t uid, char **ret_error);
/* Removes all that was handed over to a VM. */
int volume_key_take_back(const char *vm);
