/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the VMM says of itself (GET / of Firecracker's API), for people. */

#include "base/macros.h"

typedef struct VmmInfo {
        char *name;                     /* "Firecracker", "ember" */
        char *version;
        char *accelerator;              /* "kvm" or "tcg", of ember alone */
} VmmInfo;

void vmm_info_done(VmmInfo *i);
/* -EBADMSG with the reason in error (JSON_ERROR_MAX bytes). */
int vmm_info_parse(const char *body, VmmInfo *ret, char *error);
/* "Firecracker 1.16.0 (KVM)", "ember (emulation)". NULL: no memory. */
char *vmm_info_format(const VmmInfo *i);
