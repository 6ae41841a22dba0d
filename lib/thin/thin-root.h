/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Root file systems in the pool, RootBackend=lvm-thin:
 *
 *      inferno.image.<32 digits of the image's digest>         the content of an image, which nobody mounts
 *      inferno.begun.image                                     one that is being filled
 *      inferno.run.<vm>, inferno.root.<vm>                     a snapshot of it, the VM's root for one run, or kept
 */

#include "thin/thin.h"

#define THIN_IMAGE "image"
#define THIN_RUN "run"
#define THIN_ROOT "root"

/* Held while one of them is looked for and made, or removed. */
int thin_root_lock(char **ret_error);

/* "inferno.image.…"; NULL: no memory. */
char *thin_root_image(const char *manifest_digest);
char *thin_root_of(const char *vm, bool kept);

/* Whether there is one, by its device alone. */
bool thin_root_exists(const ThinPool *p, const char *vm, bool kept);
/* Puts the device of the VM's root into its jail, as JAIL_UPPER. */
int thin_root_put(const ThinPool *p, const char *vm, bool kept, uid_t uid, int root_fd, char **ret_error);

/* Removes it; absent is fine. */
int thin_root_remove(const ThinPool *p, const char *vm, bool kept, char **ret_error);
/* Removes those of images that are not among the names. Nothing where there is no pool. */
int thin_root_prune(const ThinPool *p, char *const *wanted, char **ret_error);
