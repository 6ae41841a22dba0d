/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Whether systemd runs this step from the unit that the definition makes now. */

#include "definition/definition.h"

/* For the first step of inferno@.service; by hand, without $INFERNO_UNITS, there is nothing to check. Says what is missing or old, and the
 * remedy. 0: go on. EXIT_FAILED: the definition asks for what this unit does not have. Or a negative errno, which has been logged. */
int loaded_units_check(const Definition *d, const SiteConfig *site);
