/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the dynamic loader would look at in an ELF file (elf(5), gABI chapter 5), read with bounds and never run. */

#include "base/macros.h"

typedef struct ElfFile {
        unsigned machine;               /* EM_… */
        bool dynamic;                   /* has a dynamic section */
        char *interpreter;              /* NULL: none, a library or a static program */
        char *rpath, *runpath;          /* as they stand in the file, NULL: none */
        char **needed;                  /* may be NULL */
} ElfFile;

ElfFile *elf_file_free(ElfFile *e);
DEFINE_TRIVIAL_CLEANUP_FUNC(ElfFile *, elf_file_free)

/* Reads a 64-bit file of this machine's byte order. -ENOEXEC: no ELF program nor library of that kind. -EBADMSG: malformed, with the reason
 * as a static string in *ret_why. */
int elf_file_read(int fd, ElfFile **ret, const char **ret_why);
