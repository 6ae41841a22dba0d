/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Whether this host can run VMs: what `doctor` lists, and `init` at its end. */

#include "ctl/ctl.h"

/* Each check is a row: what, "ok", "warning" or "failed", and why. Changes nothing. *ret_failed: how many have failed. 0 or a negative errno, logged. */
int host_check(Ctl *c, Table **ret, size_t *ret_failed);
