/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "base/exit-codes.h"

int exit_code_from_errno(int error) {
        switch (error < 0 ? -error : error) {
        case 0:
                return EXIT_OK;
        case EBADMSG:
        case ENOEXEC:
        case EUCLEAN:
                return EXIT_BAD_DATA;
        case ENOENT:
        case ENOTDIR:
                return EXIT_NOT_FOUND;
        case EOPNOTSUPP:
        case ENODEV:
        case ENXIO:
        case ENOPKG:
        case EADDRNOTAVAIL:
                return EXIT_UNAVAILABLE;
        case ENOSPC:
        case EDQUOT:
        case EROFS:
        case EFBIG:
                return EXIT_CANNOT_WRITE;
        case EAGAIN:
        case EBUSY:
        case EADDRINUSE:
        case ETIMEDOUT:
                return EXIT_BUSY;
        case EPROTO:
                return EXIT_NEWER_DATA;
        case EPERM:
        case EACCES:
                return EXIT_NO_PERMISSION;
        case ENOMEM:
        case EMFILE:
        case ENFILE:
        case EIO:
                return EXIT_SYSTEM;
        default:
                return EXIT_FAILED;
        }
}
