/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Completion of command lines in shells, written from the table of commands. Names of VMs, volumes and images are asked for when they are wanted, by
 * infernoctl itself. */

#include "base/macros.h"

/* "bash", "zsh", "fish"; -EINVAL. *ret is the script. */
int completion_script(const char *shell, char **ret);
