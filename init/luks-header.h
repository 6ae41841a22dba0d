/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Whether a LUKS2 header is the one that the volume was made with, found out before anything believes it: whoever can write to the volume's file can
 * put another there, with a null cipher or a cipher of theirs, and the guest would write plain text (CVE-2025-59054). On-disk format: "LUKS2 On-Disk
 * Format Specification", 1.1.1. */

#include "base/macros.h"

enum { LUKS_HEADER_ERROR_MAX = 256 };

typedef struct LuksExpected {
        const char *uuid, *cipher;
        unsigned key_bytes;
} LuksExpected;

/* Where things are in it, bytes. */
typedef struct LuksLayout {
        uint64_t header_size;           /* of one of the two copies */
        uint64_t keyslots_end;
        uint64_t data_offset;
} LuksLayout;

enum { LUKS_HEADER_BEGIN = 4096, LUKS_COPY_MAX = 4 * 1024 * 1024 };

/* The size of one copy by its first LUKS_HEADER_BEGIN bytes; -EBADMSG. */
int luks_header_size(const void *data, uint64_t *ret, char *error);
/* Both copies, one after the other, as luks_header_size() has their size; device_size is what the volume has in all. -EBADMSG with the reason in error
 * (LUKS_HEADER_ERROR_MAX bytes). */
int luks_header_check(const void *data, uint64_t header_size, uint64_t device_size, const LuksExpected *expected, LuksLayout *ret, char *error);
