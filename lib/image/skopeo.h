/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Running skopeo(1), which moves images. */

#include "base/macros.h"

typedef struct SkopeoRun {
        size_t output_max;              /* bytes of its standard output that are kept; more is -EFBIG. 0: it is not kept */
        int held_fd;                    /* stays open in skopeo, so that a lock outlives a killed caller as long as skopeo does; or negative */
        void (*warning)(const char *text, void *userdata);
        void (*line)(const char *line, void *userdata); /* not NULL: its standard output is a terminal, and that is what it writes there: progress.h. With output_max 0 */
        uint64_t (*tick)(void *userdata);       /* called about twice a second; a number that changes as long as something happens */
        void *userdata;
} SkopeoRun;

enum { SKOPEO_STALL_SEC = 120 };

/* Runs skopeo with the arguments (argv[0] is "skopeo"), never through a shell, and waits. *ret_output (may be NULL) has a NUL behind it.
 * -ENOPKG: not installed; else what its last message says: -ENOENT, -EACCES, -ENOSPC, -ENXIO for all that a registry or the network
 * did, be it nothing for SKOPEO_STALL_SEC, which skopeo itself would wait for for ever. The sentence is skopeo's own. */
int skopeo_run(char **argv, const SkopeoRun *run, char **ret_output, size_t *ret_size, char **ret_error);

/* The message out of a line that skopeo writes to standard error, and whether it is no more than a warning. NULL: no memory. */
char *skopeo_message(const char *line, bool *ret_is_warning);
