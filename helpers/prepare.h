/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What `inferno-chroot prepare` does once everything about the VM is known: a version of its jail, and what one run needs in it. */

#include "base/sha256.h"
#include "base/ulid.h"
#include "definition/definition.h"
#include "image/image.h"
#include "store/store.h"

/* Borrowed. */
typedef struct PrepareInputs {
        const Definition *definition;
        const SiteConfig *site;
        const ImageConfig *image;       /* NULL: it was not looked for, since the VM was rolled back; vmm means nothing then */
        VmmChoice vmm;                  /* VMM_FIRECRACKER or VMM_EMBER */
} PrepareInputs;

/* A version of the VM's jail as the inputs want it. */
typedef struct Preparation {
        unsigned uid;                   /* the VM's, gid the same */
        char digest[SHA256_HEX_SIZE];   /* of everything that goes into the version; empty where it is pinned */
        char ulid[ULID_STRING_SIZE];    /* empty from prepare_digest() */
        bool built;                     /* false: the version was there already */
        bool pinned;                    /* the VM was rolled back to it */
} Preparation;

/* What prepare_vm() would look for. Allocates the uid where the VM has none yet. */
int prepare_digest(Store *store, const PrepareInputs *in, Preparation *ret, char **ret_error);

/* Finds or builds the version, or takes the one that the VM was rolled back to (version/pin.h), makes it current, cleans its jail of what the last run left, gives it a writable layer, and writes
 * /run/inferno/<vm>.env. Takes the VM's lock. May be killed anywhere: the next call does what is missing. -EBUSY: the VM runs; -EOVERFLOW, -E2BIG:
 * RootSize=, KernelArgs= of the definition cannot be. *ret_error is a sentence for people. */
int prepare_vm(Store *store, const PrepareInputs *in, Preparation *ret, char **ret_error);
