/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the two halves of lib/volume share. */

#include "volume/volume.h"

int volume_fail_store(Store *s, int r, char **ret_error);
char *volume_file_name(const char *volume, const char *snapshot);
int volume_open_dir(char **ret_error);
int volume_lock(const char *volume, char **ret_error);
/* The file of a volume or snapshot, found to be at least as large as it should be. */
int volume_open_file(int dir_fd, const char *volume, const char *snapshot, uint64_t size, int flags, char **ret_error);
/* The row of a volume that is whole. */
int volume_get(Store *s, const char *name, StoreVolume *ret, char **ret_error);
