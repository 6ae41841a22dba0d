/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* User= and the image's USER: "", "user", "user:group", ":group", by name or number, as docker resolves it: by the image's own
 * passwd(5) and group(5), which are foreign bytes of any shape. No NSS. */

#include <sys/types.h>

#include "init/failure.h"

enum {
        USER_FILE_MAX = 8 * 1024 * 1024,        /* of passwd and group */
        USER_GROUPS_MAX = 65536,                /* NGROUPS_MAX */
};

typedef struct User {
        uid_t uid;
        gid_t gid;
        gid_t *groups;                  /* all that setgroups(2) is to get, the primary one first */
        size_t n_groups;
        char *name;                     /* the number where passwd has none */
        char *home;
        char *shell;                    /* as passwd has it; NULL: it has none */
} User;

void user_done(User *u);
#define _cleanup_user_ _cleanup_(user_done)

/* passwd and group: the content of the files, NULL and 0 where the image has none. A user or group that is a number need not be in
 * them. Supplementary groups are those that list the user, unless the specification names a group. -ESRCH: no such name; -EINVAL: malformed
 * specification; -ENOMEM. The reason is in *failure. */
int user_resolve(const char *spec, const char *passwd, size_t n_passwd, const char *group, size_t n_group, User *ret, Failure *failure);
