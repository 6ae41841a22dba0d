/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sentence.h"
#include "base/str.h"
#include "ctl/definition-file.h"
#include "ctl/unit.h"
#include "layout/layout.h"
#include "layout/vm-lock.h"

enum { TEXT_MAX = 1024 * 1024 };

char *definition_file_path(const char *vm) {
        return strjoin(layout_root(), layout_definition_dirs[0], "/", vm, ".vm");
}

int definition_file_lock(const char *vm) {
        int fd = vm_lock(vm);

        return fd < 0 ? log_error_errno(fd, "Cannot lock VM '%s' below '%s" LAYOUT_RUN_DIR "': %m.%s%s", vm, layout_root(),
                                        *errno_remedy(fd) ? " " : "", errno_remedy(fd)) : fd;
}

int definition_file_read(const char *vm, char **ret_path, char **ret_text) {
        for (const char *const *dir = layout_definition_dirs; *dir; dir++) {
                _cleanup_free_ char *path = strjoin(layout_root(), *dir, "/", vm, ".vm");
                char *text;
                size_t n;
                int r;

                r = path ? read_file_at(AT_FDCWD, path, TEXT_MAX, &text, &n) : -ENOMEM;
                if (r == -ENOENT)
                        continue;
                if (r == -EBADF) {
                        log_error("The name '%s' is masked: '%s' is no regular file.", vm, path);
                        return CTL_NO_SUCH_VM;
                }
                if (r < 0) {
                        log_error_errno(r, "Cannot read '%s': %m", path ?: vm);
                        return EXIT_FAILED;
                }
                if (strlen(text) != n) {
                        log_error("There is a NUL byte in '%s'.", path);
                        free(text);
                        return EXIT_FAILED;
                }
                *ret_path = TAKE_PTR(path);
                *ret_text = text;
                return 0;
        }
        log_error("There is no VM '%s': no definition '%s.vm' is in /etc/inferno/vms or the other folders, see inferno.vm(5).", vm, vm);
        return CTL_NO_SUCH_VM;
}

int definition_file_check(Ctl *c, const char *vm, const char *text, Definition **ret) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_free_ char *path = definition_file_path(vm);
        _cleanup_(definition_freep) Definition *d = NULL;
        int r;

        if (!path) {
                (void) log_oom();
                return EXIT_FAILED;
        }
        r = ctl_need_site(c);
        if (r != 0)
                return r;
        r = definition_load_text(vm, path, text, strlen(text), &c->site, &d, &errors);
        if (r < 0) {
                if (errors.n_lines > 0)
                        (void) definition_errors_log(&errors, r);
                else
                        log_error_errno(r, "Cannot check the definition of VM '%s': %m", vm);
                return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
        }
        if (ret)
                *ret = TAKE_PTR(d);
        return 0;
}

/* The temporary file has one name, which the lock holds, so what a killed one has left is the next one's. Its name is no definition's. */
static int write_fresh(int dir_fd, const char *name, const char *temporary, const char *text) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (unlinkat(dir_fd, temporary, 0) < 0 && errno != ENOENT)
                return negative_errno();
        fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return negative_errno();
        r = write_full(fd, text, strlen(text));
        if (r >= 0 && fsync(fd) < 0)
                r = negative_errno();
        if (r >= 0 && renameat2(dir_fd, temporary, dir_fd, name, RENAME_NOREPLACE) < 0)
                r = negative_errno();
        if (r < 0)
                (void) unlinkat(dir_fd, temporary, 0);
        return r;
}

int definition_file_write(const char *vm, const char *text, bool fresh) {
        _cleanup_free_ char *path = definition_file_path(vm), *name = strjoin(vm, ".vm"), *temporary = strjoin(".#", vm, ".vm"), *dir = NULL;
        _cleanup_close_ int dir_fd = -EBADF;
        int r;

        if (!path || !name || !temporary)
                return log_oom();
        dir = strndup(path, (size_t) (strrchr(path, '/') - path));
        r = dir ? mkdir_parents_at(AT_FDCWD, dir, 0755) : -ENOMEM;
        if (r >= 0) {
                dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                r = dir_fd < 0 ? negative_errno() : 0;
        }
        if (r >= 0)
                r = fresh ? write_fresh(dir_fd, name, temporary, text)
                          : write_file_atomic_at(dir_fd, name, text, strlen(text), 0644, WRITE_FILE_SYNC | WRITE_FILE_LOCKED);
        if (r >= 0 && fresh && fsync(dir_fd) < 0)
                r = negative_errno();
        if (r < 0 && !(fresh && r == -EEXIST))
                log_error_errno(r, "Cannot write '%s': %m.%s%s", path, *errno_remedy(r) ? " " : "", errno_remedy(r));
        return r;
}

int definition_file_changed(Ctl *c, const Definition *d) {
        _cleanup_bus_unit_ BusUnit u = {};
        int r;

        r = unit_get(c, d->name, &u);
        if (r != 0)
                return r;
        if (!bus_unit_is_active(&u))
                return unit_place(c, d, &u);
        if (!c->quiet)
                log_info("VM '%s' runs: the change holds from its next start, 'infernoctl restart %s'.", d->name, d->name);
        return 0;
}
