/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Unit files on their way into directories. */

#include "unitfiles/unit-files.h"

/* Writes the files of many VMs into a directory: as few objects as can be, for making those is what a generator costs. A slice whose content
 * has been written before becomes a hard link to the other, a drop-in's directory a symbolic link to the other's directory.
 * What is there already is replaced as a whole, so that two who write the same do not disturb each other. */
typedef struct UnitWriter UnitWriter;
int unit_writer_new(const char *dir, UnitWriter **ret);
UnitWriter *unit_writer_free(UnitWriter *w);
DEFINE_TRIVIAL_CLEANUP_FUNC(UnitWriter *, unit_writer_free)
int unit_writer_write(UnitWriter *w, const UnitFiles *f);

/* For a directory that systemd may read at any moment, and before the generator's: /run/systemd/system. Each file appears whole, the slice before
 * the drop-in that names it. Those of one VM, without [Install], which is read at a reload only. */
int unit_files_place(int dir_fd, const UnitFiles *f);

/* Removes what unit_files_place() has put there, of all VMs, and what killed ones have left. Files that others have put under such names do
 * not have the mark, and stay. */
int unit_files_remove(int dir_fd);
/* The same of one VM, of whatever tenant. Waits for those who write there. */
int unit_files_remove_vm(int dir_fd, const char *vm);
