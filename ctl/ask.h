/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Questions to whoever sits at the terminal. */

#include "base/macros.h"

/* There is somebody to ask: standard input is a terminal. */
bool can_ask(void);
/* "QUESTION [y/N] " on standard error; an empty answer is the default, the end of input and nobody to ask are "no". */
bool ask(const char *question, bool default_yes);
