/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jailer/jail-path.h"

typedef struct Walk {
        int fd;                         /* owned; where we are */
        StrBuf path;                    /* the same in words */
} Walk;

static void walk_done(Walk *w) {
        w->fd = safe_close(w->fd);
        strbuf_done(&w->path);
}

/* `uid`: who else than root may own it. */
static int check(const Walk *w, bool sticky_will_do, unsigned uid) {
        struct stat st;

        if (fstat(w->fd, &st) < 0)
                return log_error_errno(errno, "Cannot look at '%s': %m.", w->path.data);
        if (st.st_uid != 0 && st.st_uid != uid)
                return log_error_errno(EPERM, "'%s' on the way to the jail belongs to user %u: make it root's (chown root '%s').",
                                       w->path.data, (unsigned) st.st_uid, w->path.data);
        if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(sticky_will_do && (st.st_mode & S_ISVTX)))
                return log_error_errno(EPERM, "'%s' on the way to the jail can be written to by others (mode %04o): chmod go-w '%s'.",
                                       w->path.data, (unsigned) st.st_mode & 07777, w->path.data);
        return 0;
}

/* One component further; its name is `size` bytes of `name`. */
static int step(Walk *w, const char *name, size_t size, bool make) {
        _cleanup_free_ char *component = strndup(name, size);
        int fd;

        if (!component)
                return log_oom();
        if (!endswith(w->path.data, "/"))
                strbuf_adds(&w->path, "/");
        strbuf_adds(&w->path, component);
        if (w->path.failed)
                return log_oom();
        if (make && mkdirat(w->fd, component, 0755) < 0 && errno != EEXIST)
                return log_error_errno(errno, "Cannot make directory '%s': %m.", w->path.data);
        fd = openat(w->fd, component, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ELOOP || errno == ENOTDIR
                        ? log_error_errno(errno, "'%s' on the way to the jail is a symlink or no directory: remove it.", w->path.data)
                        : log_error_errno(errno, "Cannot open directory '%s': %m.", w->path.data);
        safe_close(w->fd);
        w->fd = fd;
        return 0;
}

int jail_path_open(const JailerOptions *o) {
        const char *const below[] = { o->exec_name, o->id, "root" };
        _cleanup_(walk_done) Walk w = { .fd = -EBADF };
        int r;

        strbuf_adds(&w.path, "/");
        w.fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (w.path.failed)
                return log_oom();
        if (w.fd < 0)
                return log_error_errno(errno, "Cannot open '/': %m.");

        for (const char *p = o->base + strspn(o->base, "/"); *p; p += strspn(p, "/")) {
                size_t n = strcspn(p, "/");

                r = check(&w, true, 0);
                if (r < 0)
                        return r;
                r = step(&w, p, n, false);
                if (r < 0)
                        return r;
                p += n;
        }
        for (size_t i = 0; i < ELEMENTSOF(below); i++) {
                r = check(&w, false, 0);
                if (r < 0)
                        return r;
                r = step(&w, below[i], strlen(below[i]), true);
                if (r < 0)
                        return r;
        }
        r = check(&w, false, o->uid);
        return r < 0 ? r : TAKE_FD(w.fd);
}
