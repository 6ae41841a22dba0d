/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/parse.h"
#include "base/str.h"
#include "init/user.h"

typedef struct Slice {
        const char *data;
        size_t n;
} Slice;

typedef struct PasswdEntry {
        Slice name, home, shell;
        uint32_t uid, gid;
} PasswdEntry;

typedef struct GroupEntry {
        Slice name, members;
        uint32_t gid;
} GroupEntry;

void user_done(User *u) {
        free(u->groups);
        free(u->name);
        free(u->home);
        free(u->shell);
        *u = (User) {};
}

static bool slice_equal(Slice a, Slice b) {
        return a.n == b.n && memcmp(a.data, b.data, a.n) == 0;
}

/* What stands before the next `separator` of *rest, or all of it; *rest goes behind it. False where nothing is left. */
static bool slice_next(Slice *rest, char separator, Slice *ret) {
        const char *p;

        if (!rest->data)
                return false;
        p = rest->n > 0 ? memchr(rest->data, separator, rest->n) : NULL;
        *ret = (Slice) { rest->data, p ? (size_t) (p - rest->data) : rest->n };
        *rest = p ? (Slice) { p + 1, rest->n - ret->n - 1 } : (Slice) {};
        return true;
}

/* Any number that setuid(2) takes: up to 2^32-2, since -1 has a meaning of its own. */
static bool slice_to_id(Slice s, uint32_t *ret) {
        char digits[16];
        unsigned u;

        if (s.n < 1 || s.n >= sizeof(digits))
                return false;
        memcpy(digits, s.data, s.n);
        digits[s.n] = 0;
        if (strlen(digits) != s.n || parse_uint(digits, &u) < 0 || u == UINT32_MAX)
                return false;
        *ret = u;
        return true;
}

static bool slice_is_path(Slice s) {
        return s.n > 0 && s.data[0] == '/' && !memchr(s.data, 0, s.n);
}

/* name:password:uid:gid:comment:home:shell; the last two may be missing. False: no such line. */
static bool passwd_parse(Slice line, PasswdEntry *ret) {
        Slice f[7] = {};

        for (size_t i = 0; i < ELEMENTSOF(f); i++)
                if (!slice_next(&line, ':', f + i) && i < 4)
                        return false;
        if (f[0].n == 0 || !slice_to_id(f[2], &ret->uid) || !slice_to_id(f[3], &ret->gid))
                return false;
        ret->name = f[0];
        ret->home = f[5];
        ret->shell = f[6];
        return true;
}

/* name:password:gid:members */
static bool group_parse(Slice line, GroupEntry *ret) {
        Slice f[4] = {};

        for (size_t i = 0; i < ELEMENTSOF(f); i++)
                if (!slice_next(&line, ':', f + i) && i < 3)
                        return false;
        if (f[0].n == 0 || !slice_to_id(f[2], &ret->gid))
                return false;
        ret->name = f[0];
        ret->members = f[3];
        return true;
}

static bool passwd_find(Slice text, Slice name, bool by_uid, uint32_t uid, PasswdEntry *ret) {
        Slice line;

        while (slice_next(&text, '\n', &line))
                if (passwd_parse(line, ret) && (by_uid ? ret->uid == uid : slice_equal(ret->name, name)))
                        return true;
        return false;
}

static bool group_find(Slice text, Slice name, bool by_gid, uint32_t gid, GroupEntry *ret) {
        Slice line;

        while (slice_next(&text, '\n', &line))
                if (group_parse(line, ret) && (by_gid ? ret->gid == gid : slice_equal(ret->name, name)))
                        return true;
        return false;
}

static int add_group(User *u, gid_t gid) {
        gid_t *slot;

        for (size_t i = 0; i < u->n_groups; i++)
                if (u->groups[i] == gid)
                        return 0;
        if (u->n_groups >= USER_GROUPS_MAX)
                return -E2BIG;
        slot = GREEDY_APPEND(u->groups, u->n_groups);
        if (!slot)
                return -ENOMEM;
        *slot = gid;
        u->n_groups++;
        return 0;
}

static int add_supplementary_groups(User *u, Slice text, Slice user_name) {
        GroupEntry g;
        Slice line;
        int r;

        while (slice_next(&text, '\n', &line)) {
                Slice member;

                if (!group_parse(line, &g))
                        continue;
                while (slice_next(&g.members, ',', &member))
                        if (slice_equal(member, user_name)) {
                                r = add_group(u, g.gid);
                                if (r < 0)
                                        return r;
                                break;
                        }
        }
        return 0;
}

int user_resolve(const char *spec, const char *passwd, size_t n_passwd, const char *group, size_t n_group, User *ret, Failure *failure) {
        Slice passwd_text = { passwd, n_passwd }, group_text = { group, n_group };
        Slice rest = { spec, strlen(spec) }, user_name = {}, group_name = {}, more;
        _cleanup_user_ User u = {};
        PasswdEntry p = {};
        GroupEntry g;
        uint32_t id = 0;
        bool numeric, found;
        int r;

        (void) slice_next(&rest, ':', &user_name);
        if (slice_next(&rest, ':', &group_name) && slice_next(&rest, ':', &more))
                return failure_set(failure, EINVAL, "user \"%s\" is not user or user:group", spec);

        /* No user at all means uid 0. A number is never looked up as a name. */
        numeric = user_name.n == 0 || slice_to_id(user_name, &id);
        found = passwd_find(passwd_text, user_name, numeric, id, &p);
        if (found) {
                u.uid = p.uid;
                u.gid = p.gid;
                u.name = strndup(p.name.data, p.name.n);
                u.home = slice_is_path(p.home) ? strndup(p.home.data, p.home.n) : strdup("/");
                if (slice_is_path(p.shell)) {
                        u.shell = strndup(p.shell.data, p.shell.n);
                        if (!u.shell)
                                return failure_set(failure, ENOMEM, "user \"%s\": %m", spec);
                }
        } else if (numeric) {
                u.uid = id;
                u.name = strf("%u", id);
                u.home = strdup("/");
        } else
                return failure_set(failure, ESRCH, "user \"%.*s\" is not in the image's /etc/passwd", (int) user_name.n, user_name.data);
        if (!u.name || !u.home)
                return failure_set(failure, ENOMEM, "user \"%s\": %m", spec);

        if (group_name.n > 0) {
                numeric = slice_to_id(group_name, &id);
                if (group_find(group_text, group_name, numeric, id, &g))
                        u.gid = g.gid;
                else if (numeric)
                        u.gid = id;
                else
                        return failure_set(failure, ESRCH, "group \"%.*s\" is not in the image's /etc/group", (int) group_name.n,
                                        group_name.data);
        }

        r = add_group(&u, u.gid);
        if (r >= 0 && group_name.n == 0 && found)
                r = add_supplementary_groups(&u, group_text, p.name);
        if (r < 0)
                return failure_set(failure, r, "groups of user \"%s\": %m", spec);

        *ret = u;
        u = (User) {};
        return 0;
}
