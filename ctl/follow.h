/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The journal of one VM, from now on: what its guest says, and what kiln and the steps before it say. */

#include <systemd/sd-event.h>

#include "base/macros.h"

typedef struct Follow Follow;

/* Begins behind the last entry that is there. quiet: of what is not the guest's, only warnings and worse. *ret_error is a sentence. */
int follow_new(const char *vm, bool quiet, Follow **ret, char **ret_error);
Follow *follow_free(Follow *f);
DEFINE_TRIVIAL_CLEANUP_FUNC(Follow *, follow_free)

/* Prints what comes, while the loop runs: the guest's standard output to ours, everything else to standard error. */
int follow_attach(Follow *f, sd_event *event);
/* Prints what was logged before this call, after having journald write it down. */
int follow_finish(Follow *f);
