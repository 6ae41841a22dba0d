/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What people type of volumes, and what they are shown: shared by inferno-volume and infernoctl. *ret_error is a sentence. */

#include "store/store.h"

/* "NAME", or, with ret_snapshot, "NAME@SNAPSHOT", of which *ret_snapshot is NULL where there is no "@". -EINVAL: neither. */
int volume_parse_name(const char *argument, char **ret_name, char **ret_snapshot, char **ret_error);
/* At most 255 bytes without control characters. */
bool volume_label_is_valid(const char *label);

/* A volume as it is now. */
typedef struct VolumeInfo {
        StoreVolume row;
        const char *state;              /* "incomplete", "missing", "attached", "detached" */
        uint64_t used;                  /* bytes that it takes */
        char **snapshots;               /* oldest first */
        StoreAttachment *attachments;
        size_t n_attachments;
} VolumeInfo;

void volume_info_done(VolumeInfo *i);
#define _cleanup_volume_info_ _cleanup_(volume_info_done)
/* -ENOENT: there is none of that name. */
int volume_info_get(Store *s, const char *name, VolumeInfo *ret, char **ret_error);
/* The names of the VMs that have it, " (ro)" behind those that read it; "": none. NULL: no memory. */
char *volume_info_format_holders(const VolumeInfo *i);
