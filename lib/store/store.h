/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* /var/lib/inferno/inferno.db: what was allocated and built. The only code that speaks SQL. Every call is one transaction;
 * errors are negative errno (-EUCLEAN: not a database or damaged; -EBUSY: locked for longer than the busy timeout; -EPROTO: made by a newer
 * Inferno; -ENOSPC, -EROFS, -EACCES as they are), and store_error() has a sentence for people that names the file. */

#include "base/macros.h"
#include "base/published-port.h"

typedef struct Store Store;

/* Opens, makes (0600, its directory 0711 if missing) and migrates. WAL, synchronous=FULL, foreign keys, busy timeout 10 s. */
int store_open(Store **ret, char **ret_error);
Store *store_free(Store *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(Store *, store_free)
const char *store_error(Store *s);

/* vms: the row of a VM, made when missing, with a uid nobody else has out of [uid_base, uid_base+uid_count). One whose
 * uid the range no longer has gets another. -EDQUOT: none left. */
int store_vm_ensure(Store *s, const char *vm, unsigned uid_base, unsigned uid_count, unsigned *ret_uid);
int store_vm_get_uid(Store *s, const char *vm, unsigned *ret_uid);                      /* -ENOENT */
int store_vm_list(Store *s, char ***ret);
/* Removes the VM with its versions' and network rows. Absent is fine. */
int store_vm_remove(Store *s, const char *vm);

/* network_state: the /30 of a VM, 0 <= index < n_subnets. The row stays while the VM has one, so that the address is stable,
 * unless there are fewer subnets than its index now; active says that the TAP is up. -ENOENT: the VM has no row. -EDQUOT: none left. */
int store_network_ensure(Store *s, const char *vm, unsigned n_subnets, unsigned *ret_index);
int store_network_get(Store *s, const char *vm, unsigned *ret_index);                  /* -ENOENT */
int store_network_set_active(Store *s, const char *vm, bool active);                   /* one that is not has no published ports */
int store_network_list_active(Store *s, char ***ret_vms);
typedef struct StoreNetwork {
        char *vm;
        unsigned index;
        bool active;
        PublishedPort *ports;           /* sorted by published_port_compare(); NULL: none */
        size_t n_ports;
} StoreNetwork;
void store_networks_free(StoreNetwork *v, size_t n);
int store_network_list(Store *s, StoreNetwork **ret, size_t *ret_n);                   /* by vm, bytewise */

/* Ports of the host that lead to a VM while it is active, of which no two VMs have the same: at one address and at all of them it is the same.
 * These do not collide with each other. -EBUSY with *ret_holder (the caller's to free()): that VM has ports[*ret_index] already; no sentence. -EBUSY
 * without: as of all functions here. */
enum { STORE_PORTS_OTHERS = 1 };        /* nobody has these, but the VM has others: nothing was changed */
int store_ports_claim(Store *s, const char *vm, const PublishedPort *ports, size_t n_ports, char **ret_holder, size_t *ret_index);
int store_ports_release(Store *s, const char *vm);
/* Sorted by published_port_compare(). */
int store_ports_list(Store *s, const char *vm, PublishedPort **ret, size_t *ret_n);

/* versions: what was built for a VM. `digest` is the hex sha256 of all inputs. */
typedef struct StoreVersion {
        char ulid[27];
        char digest[65];
        char image_digest[72];          /* "sha256:<hex>", or "" in a database that has something else */
        uint64_t created_usec;
} StoreVersion;
int store_version_add(Store *s, const char *vm, const char *ulid, const char *digest, const char *image_digest);
int store_version_find(Store *s, const char *vm, const char *digest, StoreVersion *ret);       /* newest; -ENOENT */
int store_version_list(Store *s, const char *vm, StoreVersion **ret, size_t *ret_n);           /* newest first; vm NULL: of all */
int store_version_remove(Store *s, const char *ulid);

/* images: what a reference was last resolved to, and the image file built from it. */
typedef struct StoreImage {
        char *reference;                /* normalised: transport:… */
        char *manifest_digest;          /* "sha256:<hex>" of this machine's manifest */
        char *config_digest;            /* "sha256:<hex>": the blob with Env, Cmd, Entrypoint, … */
        char *rootfs;                   /* file name below images/rootfs/ */
        uint64_t size;                  /* of the file, bytes */
        uint64_t created_usec;
} StoreImage;
void store_image_done(StoreImage *i);
#define _cleanup_store_image_ _cleanup_(store_image_done)
int store_image_get(Store *s, const char *reference, StoreImage *ret);                         /* -ENOENT */
int store_image_put(Store *s, const StoreImage *i);
int store_image_list(Store *s, StoreImage **ret, size_t *ret_n);
int store_image_remove(Store *s, const char *reference);

/* volumes: what there is of them on the disk. A row that is not ready is what a killed creation or removal has left. */
typedef struct StoreVolume {
        char *name, *backend;
        char *label;                    /* the owner's words */
        uint64_t size;                  /* bytes */
        bool ready;
        char *luks_uuid, *luks_cipher;  /* NULL: not encrypted */
        unsigned luks_key_bytes;
        uint64_t created_usec;
} StoreVolume;
void store_volume_done(StoreVolume *v);
#define _cleanup_store_volume_ _cleanup_(store_volume_done)
int store_volume_add(Store *s, const char *name, const char *backend, uint64_t size, const char *label);      /* not ready; -EEXIST */
int store_volume_set_ready(Store *s, const char *name);
int store_volume_set_luks(Store *s, const char *name, const char *uuid, const char *cipher, unsigned key_bytes);
int store_volume_set_size(Store *s, const char *name, uint64_t size);
int store_volume_get(Store *s, const char *name, StoreVolume *ret);                             /* -ENOENT */
int store_volume_list(Store *s, char ***ret);
/* Makes it not ready, so that nobody attaches it from then on; -EBUSY: somebody has. */
int store_volume_withdraw(Store *s, const char *name);
/* Its row and those of its snapshots; absent is fine. */
int store_volume_remove(Store *s, const char *name);

/* Who has a volume: one VM for writing, or any number for reading. */
typedef struct StoreAttachment {
        char *volume, *vm;
        bool read_only;
} StoreAttachment;
void store_attachments_free(StoreAttachment *a, size_t n);
/* -ENOENT: no such volume that is ready. -EBUSY: *ret_holder (its strings the caller's to free()) has it, without a sentence. */
int store_volume_attach(Store *s, const char *name, const char *vm, bool read_only, StoreAttachment *ret_holder);
int store_volume_detach(Store *s, const char *name, const char *vm);
/* Of one volume, of one VM; NULL: of all. */
int store_volume_attachments(Store *s, const char *name, const char *vm, StoreAttachment **ret, size_t *ret_n);

/* Snapshots of volumes. */
int store_snapshot_put(Store *s, const char *volume, const char *name, uint64_t size);          /* -EEXIST */
int store_snapshot_get_size(Store *s, const char *volume, const char *name, uint64_t *ret);     /* -ENOENT */
int store_snapshot_list(Store *s, const char *volume, char ***ret);                             /* oldest first */
int store_snapshot_remove(Store *s, const char *volume, const char *name);
