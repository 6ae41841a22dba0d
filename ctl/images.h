/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What "images prune" and "prune" have in common. */

#include "ctl/ctl.h"

/* Removes the images that no VM needs, and prints them; asks first, unless yes. 0 or an exit code, or a negative errno. */
int images_prune(Ctl *c, bool yes);
