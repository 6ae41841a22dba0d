/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Which VMs need which images of the store: by their definitions, and by the versions that they could go back to. */

#include "ctl/ctl.h"

typedef struct ImageUse {
        char *vm;
        char *reference;                /* normalised, of its definition; or NULL: */
        char *digest;                   /* of the manifest that a version is of */
} ImageUse;

typedef struct ImageUses {
        ImageUse *uses;
        size_t n;
        char *wrong;                    /* a VM whose definition cannot be read, so that nobody knows its image; NULL: there is none */
} ImageUses;

void image_uses_done(ImageUses *u);
#define _cleanup_image_uses_ _cleanup_(image_uses_done)

/* c->store may be NULL. 0 or an exit code. */
int image_uses_load(Ctl *c, ImageUses *ret);
/* The names of the VMs that need an image, each once. NULL: no memory. */
char **image_uses_find(const ImageUses *u, const StoreImage *image);
