/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Configuration files of several folders, as systemd looks for them: the main file of the first folder that has it, then the
 * NAME.d/ (*.conf) of all folders by file name, where the first folder wins again; a symlink to /dev/null masks either. */

#include "definition/definition.h"

enum { SEARCH_DIRS_MAX = 4 };

typedef struct SearchPath {
        const char *const *dirs;        /* borrowed, without layout_root(); NULL-terminated */
        size_t n;
        int fds[SEARCH_DIRS_MAX];       /* negative where the folder does not exist */
} SearchPath;

#define SEARCH_ALL_DIRS ((1U << SEARCH_DIRS_MAX) - 1)

enum { SEARCH_INCOMPLETE = 1 };

/* Opens the folders. One that is missing is fine. Where one cannot be opened it has its line in errors, the others are open, and the result
 * is SEARCH_INCOMPLETE: what it would mask or override is not known. */
int search_open(const char *const *dirs, SearchPath *ret, DefinitionErrors *errors);
void search_close(SearchPath *s);
#define _cleanup_search_ _cleanup_(search_close)

/* Where, among the folders, a file is; bit i stands for dirs[i]. What is not known beforehand is SEARCH_ALL_DIRS. */
typedef struct SearchHint {
        unsigned main, dropins;
        unsigned regular;       /* of main: those that have been seen to be regular files, and need not be looked at again */
} SearchHint;

/* A file that was found: path has layout_root(), text is writable, text[size] is 0. Both end with the call. */
typedef int (*SearchFileFunc)(void *userdata, const char *path, char *text, size_t size);

/* Calls func for the main file, then for each drop-in. Without a main file: -ENOENT, with a masked one -ERFKILL, and drop-ins are
 * not looked at, unless dropins_alone. Files that cannot be read become lines of errors, and -EINVAL in the end, after all others. */
int search_load(const SearchPath *s, const char *name, SearchHint hint, bool dropins_alone, SearchFileFunc func, void *userdata,
                DefinitionErrors *errors);

/* Is the file of this folder a mask? */
bool search_is_mask(const SearchPath *s, size_t dir, const char *name);
