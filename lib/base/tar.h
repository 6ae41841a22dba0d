/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* tar streams, as host and guest copy files by them: POSIX's ustar and pax (path, linkpath, size, mtime, uid, gid), and, where they are read, GNU's long
 * names and large numbers. Strict and bounded: what readers of tar disagree on is refused. No I/O. */

#include <time.h>

#include "base/str.h"

enum {
        TAR_BLOCK_SIZE = 512,
        TAR_PATH_MAX = 4095,                    /* bytes of a path, and of what a link points to */
        TAR_EXTENSION_MAX = 256 * 1024,         /* of one extended header */
};

typedef enum TarType {
        TAR_FILE = '0',
        TAR_HARD_LINK = '1',
        TAR_SYMLINK = '2',
        TAR_CHARACTER_DEVICE = '3',
        TAR_BLOCK_DEVICE = '4',
        TAR_DIRECTORY = '5',
        TAR_FIFO = '6',
} TarType;

typedef struct TarMember {
        TarType type;
        const char *path;               /* never empty; of a directory it may end with "/" */
        const char *link;               /* of both kinds of links, not empty; else "" */
        unsigned mode;                  /* 07777 */
        uint32_t uid, gid;              /* never (uid_t) -1 */
        uint64_t size;                  /* of a file; else 0 */
        struct timespec mtime;
} TarMember;

typedef enum TarEvent {
        TAR_MORE,                       /* all was taken */
        TAR_MEMBER,
        TAR_DATA,                       /* the next bytes of the member's content: as many in all as its size says */
        TAR_END,                        /* the two blocks that end it; what comes behind them is not taken */
} TarEvent;

typedef struct TarReader {
        char header[TAR_BLOCK_SIZE];
        size_t n_header;
        char extension;                 /* the type of the extended header whose content is being collected; 0: none */
        StrBuf text;                    /* that content */
        unsigned said;                  /* by extended headers, of the member that follows */
        TarMember extended;             /* what they have said */
        char path[TAR_PATH_MAX + 1], link[TAR_PATH_MAX + 1];
        uint64_t left;                  /* of the content, and of what fills its last block */
        unsigned padding;
        bool one_zero, ended;
        const char *error;              /* -EBADMSG: why */
} TarReader;

void tar_reader_done(TarReader *t);
#define _cleanup_tar_reader_ _cleanup_(tar_reader_done)

/* The next TarEvent out of what has come, which is taken. TAR_MEMBER sets *ret_member, whose strings are good until the next call; TAR_DATA sets *ret_data,
 * which is a part of *data, and *ret_n. -EBADMSG: no tar as above, for ever, t->error says why; -ENOMEM. */
int tar_reader_next(TarReader *t, const char **data, size_t *n, TarMember *ret_member, const char **ret_data, size_t *ret_n);

/* Adds the header of a member, with an extended one before it where it needs that. The content follows, then the zero bytes that tar_padding() says. */
void tar_add_member(StrBuf *b, const TarMember *m);
void tar_add_end(StrBuf *b);
static inline size_t tar_padding(uint64_t size) {
        return (size_t) (-size % TAR_BLOCK_SIZE);
}
