/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Loading one definition from a search path that is open already. */

#include "definition/search.h"

/* As definition_load(), for a valid name. */
int loader_load(const SearchPath *search, const char *name, SearchHint hint, const SiteConfig *site, Definition **ret,
                DefinitionErrors *errors);
