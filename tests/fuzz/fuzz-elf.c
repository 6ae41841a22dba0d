/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "bundle/elf-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static int fd = -EBADF;
        ElfFile *e = NULL;
        const char *why = NULL;
        int r;

        if (fd < 0)
                fd = memfd_create("fuzz-elf", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t) size)
                abort();
        r = elf_file_read(fd, &e, &why);
        if (r == -EBADMSG && !why)
                abort();
        if (r >= 0)
                STRV_FOREACH(s, e->needed)
                        if (strchr(*s, '\n'))
                                abort();
        elf_file_free(e);
        return 0;
}
