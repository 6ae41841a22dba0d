/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Programs together with all that their loader needs, so that they run where only those files are: in a jail, in an initramfs. Found
 * by reading ELF files as ld.so(8) would, never by running anything. All paths of the host are without layout_root(), and are resolved
 * below it as if it were "/". */

#include "base/macros.h"
#include "base/sha256.h"

typedef enum BundleKind {
        BUNDLE_PROGRAM,                 /* an ELF program or library with its interpreter and libraries */
        BUNDLE_LIBRARIES,               /* the same without the program itself, for one that gets there by another way */
        BUNDLE_DATA,                    /* any file, as it is */
        BUNDLE_KERNEL,                  /* the same, but it must be an uncompressed kernel */
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
        char *source;                   /* path on the host, without symlinks; NULL for a symlink */
        char *link;                     /* content of a symlink, NULL: a file */
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

/* A tree below LAYOUT_BUNDLES_DIR that holds the items, made where there is none of just these files yet; made anew after any of them, or what
 * the search for libraries saw on its way, has changed. When nothing did, no ELF file is read. Gives the tree's directory, on which a
 * shared flock(2) keeps bundle_prune() away, and its key: the digest of all paths, sizes, times and inode numbers.
 * link_tree() of base/copy.h makes its content appear elsewhere. */
int bundle_ensure(const BundleItem *items, int *ret_dir_fd, char ret_key[static SHA256_HEX_SIZE], char **ret_error);

/* Removes trees that no present set of files asks for, and what killed builders left. */
int bundle_prune(void);
