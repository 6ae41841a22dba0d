/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The journal of VMs, for reading: what guests, kiln, the steps of a start and systemd say of them. An entry is a VM's by what
 * journald itself knows of its sender, never by fields that anybody can set. */

#include <systemd/sd-journal.h>

#include "base/macros.h"

/* Opens it without a match, whole messages included, and raises the limit of open files for that. *ret_error is a sentence where
 * it is not readable: -EACCES, -ENOENT … sd_journal_close() it. */
int vm_journal_open(sd_journal **ret, char **ret_error);

/* Adds what may be of any VM, also of one to come; of what is found, vm_journal_entry_vm() takes what is. */
int vm_journal_match_all(sd_journal *j);
/* Adds what the processes of one VM's unit say, and, where that is asked for, what PID 1 says of the unit. */
int vm_journal_match(sd_journal *j, const char *vm, bool with_systemd);
int vm_journal_match_field(sd_journal *j, const char *field, const char *value);

/* The VM that the present entry is of; NULL: of none. free() it. */
char *vm_journal_entry_vm(sd_journal *j);

/* The value of a field of the present entry, good until the next call; false: there is none, or it cannot be read. */
bool vm_journal_get(sd_journal *j, const char *field, const char **ret, size_t *ret_n);
bool vm_journal_is(sd_journal *j, const char *field, const char *value);
/* A copy of it as a string; NULL: there is none. */
char *vm_journal_copy(sd_journal *j, const char *field);
