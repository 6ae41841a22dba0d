/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Programs together with all that their loader needs, so that they run where only those files are: in a jail, in an initramfs. Found
 * by reading ELF files as ld.so(8) would, never by running anything. All paths of the host are without layout_root(), and are resolved
 * below it as if it were "/". */

#include "base/macros.h"
#include "base/sha256.h"

/* A portable program can be put into any root directory, as long as that has it at PREFIX, and the launcher (init/launch.h) as PREFIX/lib/init. The
 * file at its target is lines for the launcher, which runs the loader by its own options (ld.so(8)) with the libraries that are meant:
 *
 *      #!PREFIX/lib/init
 *      file to execute
 *      argument 0
 *      …                       WIRE_CALLED_AS stands for the name by which the program was called; what it was called with follows
 *
 * ELF files stay as they are, so it does not matter who linked them and how; and no variable is passed on to what the program starts. What it costs:
 * /proc/PID/exe is the loader, and what a program opens by itself at run time (modules, data) is not found out. */
typedef enum BundleKind {
        BUNDLE_PROGRAM,                 /* an ELF program or library with its loader and libraries, or a script with its interpreter */
        BUNDLE_LIBRARIES,               /* the same without the program itself, for one that gets there by another way */
        BUNDLE_DATA,                    /* any file, as it is */
        BUNDLE_KERNEL,                  /* the same, but it must be an uncompressed kernel */
        BUNDLE_PORTABLE,                /* a program or script that is to run among other libraries than its own; target PREFIX/bin/NAME, see below */
        BUNDLE_OPTIONAL = 1 << 8,       /* or'ed to one of the above: no error where the source does not exist */
} BundleKind;

/* What is asked for. Tables end with an entry without source. */
typedef struct BundleItem {
        BundleKind kind;
        const char *source;             /* absolute path on the host */
        const char *target;             /* absolute path in the tree; NULL: the same as the source */
} BundleItem;

/* What a tree needs for it. */
typedef struct BundleEntry {
        char *target;                   /* absolute path in the tree; none of its directories is a symlink in it */
        char *source;                   /* path on the host, without symlinks; NULL for the others */
        char *link;                     /* content of a symlink; NULL: a file */
        char *content;                  /* of a file that is not on the host */
        bool executable;                /* mode 0555, otherwise 0444 */
} BundleEntry;

typedef struct Bundle Bundle;

/* Finds everything. Symlinks on the way (/lib -> usr/lib, SONAMEs) are kept as such. What is found in directories of ld.so.conf gets
 * a symlink in the loader's own directory, since the tree has no ld.so.cache. -ENOENT: a file or library is missing; -ENOEXEC: not an
 * ELF program of this machine; -EBADMSG: malformed, or no file at all. The sentence in *ret_error names the file and the remedy. */
int bundle_resolve(const BundleItem *items, Bundle **ret, char **ret_error);
Bundle *bundle_free(Bundle *b);
DEFINE_TRIVIAL_CLEANUP_FUNC(Bundle *, bundle_free)

/* Borrowed; sorted by target, each once. */
const BundleEntry *bundle_entries(const Bundle *b, size_t *ret_n);

/* Puts them into a directory that has none of them yet, sharing blocks where the file system can; with may_link, as hard links where nobody
 * writes into the original in place. -ESTALE: one of them was changed since. Not yet durable. */
int bundle_place(const Bundle *b, int dir_fd, bool may_link);

/* A tree below LAYOUT_BUNDLES_DIR that holds the items, made where there is none of just these files yet; made anew after any of them, or what
 * the search for libraries saw on its way, has changed. When nothing did, no ELF file is read. Gives the tree's directory, on which a
 * shared flock(2) keeps bundle_prune() away, and its key: the digest of all paths, sizes, times and inode numbers.
 * link_tree() of base/copy.h makes its content appear elsewhere. */
int bundle_ensure(const BundleItem *items, int *ret_dir_fd, char ret_key[static SHA256_HEX_SIZE], char **ret_error);

/* Removes trees that no present set of files asks for, and what killed builders left. */
int bundle_prune(void);
