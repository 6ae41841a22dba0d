/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Questions to device mapper by libdevmapper, which is loaded when it is needed. `name` is device mapper's own. */

#include "base/macros.h"

/* 1: there is such a device. 0: there is none, or no device mapper. -ENOPKG: no library. */
int thin_dm_exists(const char *name, char **ret_error);

/* The parameters of a device's only target: of its status, of its table. -ENXIO: there is no such device, or its target is of another type. */
int thin_dm_query(const char *name, const char *target, char **ret_status, char **ret_table, char **ret_error);
