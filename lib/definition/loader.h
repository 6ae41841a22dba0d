/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Loading one definition from a search path that is open already. */

#include "definition/search.h"

/* As definition_load(), for a valid name; ret_wrong as definition_set_load_full() has it. */
int loader_load(const SearchPath *search, const char *name, SearchHint hint, const SiteConfig *site, Definition **ret,
                Definition **ret_wrong, DefinitionErrors *errors);
