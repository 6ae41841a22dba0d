/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "init/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Specification, passwd and group, a 0xff between each two. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *passwd = size > 0 ? memchr(data, 0xff, size) : NULL, *group = NULL, *end = data + size;
        _cleanup_user_ User u = {};
        Failure f;
        char spec[256];

        if (!passwd || (size_t) (passwd - data) >= sizeof(spec))
                return 0;
        memcpy(spec, data, (size_t) (passwd - data));
        spec[passwd - data] = 0;
        passwd++;
        group = memchr(passwd, 0xff, (size_t) (end - passwd));
        if (user_resolve(spec, (const char *) passwd, (size_t) ((group ?: end) - passwd), group ? (const char *) group + 1 : NULL,
                         group ? (size_t) (end - group - 1) : 0, &u, &f) < 0)
                return 0;
        if (u.uid == (uid_t) -1 || u.gid == (gid_t) -1 || u.n_groups < 1 || u.groups[0] != u.gid || u.home[0] != '/')
                abort();
        return 0;
}
