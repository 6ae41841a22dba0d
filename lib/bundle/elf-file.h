/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the dynamic loader would look at in an ELF file (elf(5), gABI chapter 5), read with bounds and never run. */

#include <elf.h>

#include "base/macros.h"

/* The machine that this program is for, which is that of the programs it deals with. */
#if defined(__x86_64__)
#define ELF_MACHINE EM_X86_64
#define ELF_MACHINE_NAME "x86-64"
#define ELF_MULTIARCH "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define ELF_MACHINE EM_AARCH64
#define ELF_MACHINE_NAME "AArch64"
#define ELF_MULTIARCH "aarch64-linux-gnu"
#else
#error "Inferno runs on x86-64 and AArch64"
#endif

/* "an ELF file for AArch64" */
const char *elf_machine_description(unsigned machine);

typedef struct ElfFile {
        unsigned machine;               /* EM_… */
        bool dynamic;                   /* has a dynamic section */
        char *interpreter;              /* NULL: none, a library or a static program */
        char *rpath, *runpath;          /* as they stand in the file, NULL: none */
        char **needed;                  /* may be NULL */
} ElfFile;

ElfFile *elf_file_free(ElfFile *e);
DEFINE_TRIVIAL_CLEANUP_FUNC(ElfFile *, elf_file_free)

/* Reads a 64-bit file of this machine's byte order. -ENOEXEC: no ELF program nor library of that kind, with what it is in *ret_why ("a 32-bit ELF
 * file for ARM"); -EBADMSG: malformed, with the reason. Both are static strings. */
int elf_file_read(int fd, ElfFile **ret, const char **ret_why);
