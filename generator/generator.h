/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* systemd.generator(7): all definitions to unit files. Reads definitions and inferno.conf, and nothing else: no /var, no IPC, no
 * network, for it runs before they are there. */

#include "unitfiles/unit-files.h"

/* Called with the files of one VM, whether its definition is good or not. */
typedef int (*GeneratorSink)(void *userdata, const UnitFiles *files);

/* Goes through all definitions, in the order of their names. Problems are logged, and hinder only the VM that has them; *ret_problems
 * says how many VMs, names and folders were wrong. With a wrong inferno.conf no VM can start, so all count as wrong. Negative errno: what
 * ended it, which has been logged. */
int generator_run(GeneratorSink sink, void *userdata, size_t *ret_problems);
