/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A file or a tree of files as a tar stream, and back: both ends of a copy between host and guest. The stream is foreign to whoever unpacks it, and the files may
 * change under whoever packs them.
 *
 * A copy's stream has the copied thing itself as "." and what is below it as "./NAME"; so each end names it as its own user has said. */

#include <sys/types.h>

#include "base/macros.h"

enum {
        TAR_DEPTH_MAX = 256,                    /* of directories that are packed */
        TAR_LINKS_MAX = 1024 * 1024,            /* files that hard links are kept of; further ones are packed as files, and not linked to */
};

/* One line for people, without a dot at its end, about a file that was left out or is not quite right. Names are in it as they are, of any bytes. */
typedef void (*TarSay)(void *userdata, const char *text);

typedef struct TarPack {
        const char *path;               /* by the caller's own directory and root; its last component is not followed */
        bool follow;                    /* that one, too */
        const char *name;               /* what it is in the stream, "." or one component */
        TarSay say;
        void *userdata;
} TarPack;

/* Writes the stream. Devices, FIFOs and sockets are left out, and so is what the kernel shows in /proc, /sys and cgroup2 mounted below the tree. Files with holes are
 * packed with zeros. 1: not all of it could be read, or it changed meanwhile: said. Negative, with a text as of TarSay in *ret_error: that has ended it; -EPIPE: nobody reads. */
int tar_pack(const TarPack *p, int out_fd, char **ret_error);

typedef struct TarUnpack {
        const char *path;               /* where to: a directory; or of a copy (not `foreign`) also the new name, in a directory that is there */
        const char *name;               /* of what is copied, if path is a directory; NULL: its content goes right into that */
        bool foreign;                   /* no copy, but an archive of anybody's: its members go below path, a directory */
        bool keep;                      /* owners as they are said, also set-id bits; else everything is uid's and gid's */
        uid_t uid;
        gid_t gid;
        TarSay say;
        void *userdata;
} TarUnpack;

/* Reads the stream to its end. A file appears under its name as a whole, in place of another one that it does not write through; a directory that is there stays as it
 * is. No name leads out of the place, also not by a symlink, and a hard link only to what the stream itself has made. Devices and FIFOs are left out.
 * The first thing that cannot be made ends it; what was made stays. Negative, with a text in *ret_error; -ENODATA: the stream has ended too early. */
int tar_unpack(const TarUnpack *u, int in_fd, char **ret_error);
