/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Apart from squash.c, so that who only looks at images does not load libsquashfs. */

#include <endian.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqfs/super.h>

#include "image/squash.h"

int squash_seal(int fd) {
        const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = SQUASH_MTIME_SEC } };

        if (fchmod(fd, 0444) < 0 || futimens(fd, times) < 0 || fsync(fd) < 0)
                return negative_errno();
        return 0;
}

int squash_check(int fd, uint64_t size) {
        sqfs_super_t super;
        struct stat st;
        ssize_t n;

        if (fstat(fd, &st) < 0)
                return negative_errno();
        if (!S_ISREG(st.st_mode) || (uint64_t) st.st_size != size || st.st_mtim.tv_sec != SQUASH_MTIME_SEC || st.st_mtim.tv_nsec != 0)
                return -EUCLEAN;
        do
                n = pread(fd, &super, sizeof(super), 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return negative_errno();
        if (n != sizeof(super) || le32toh(super.magic) != SQFS_MAGIC || le64toh(super.bytes_used) > size ||
            le64toh(super.bytes_used) + SQUASH_ALIGN <= size)
                return -EUCLEAN;
        return 0;
}
