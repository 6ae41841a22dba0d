/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The file of a definition in /etc/inferno/vms: made and changed as a whole. */

#include "ctl/ctl.h"

/* Holds the VM's lock, so that nobody else makes, changes or forgets the VM meanwhile. A descriptor to close, or a negative errno, logged. */
int definition_file_lock(const char *vm);

/* The main file of a VM's definition, right or wrong. 0; CTL_NO_SUCH_VM, EXIT_FAILED. */
int definition_file_read(const char *vm, char **ret_path, char **ret_text);

/* Checks a text as the main file that it is to become; logs its problems. 0, EXIT_USAGE where it is wrong, EXIT_FAILED. *ret may be NULL. */
int definition_file_check(Ctl *c, const char *vm, const char *text, Definition **ret);

/* Writes /etc/inferno/vms/VM.vm, durably; the lock is held. With `fresh` only where there is no such file, in one step: -EEXIST, not logged. */
int definition_file_write(const char *vm, const char *text, bool fresh);

/* The path of that file. NULL: no memory. */
char *definition_file_path(const char *vm);

/* After a change: has systemd know of it where the VM does not run, says when it will count where it does. 0 or an exit code. */
int definition_file_changed(Ctl *c, const Definition *d);
