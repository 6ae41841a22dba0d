/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sentence.h"
#include "ctl/host-check.h"
#include "layout/layout.h"

/* As tmpfiles.d makes them at boot, and the helpers where they are missing. */
static const struct {
        const char *path;
        mode_t mode;
} directories[] = {
        { "/etc/inferno/vms", 0755 },
        { LAYOUT_RUN_DIR, 0755 },
        { LAYOUT_LOCK_DIR, 0700 },
        { LAYOUT_STATE_DIR, 0711 },
        { LAYOUT_BUNDLES_DIR, 0711 },
        { LAYOUT_IMAGES_DIR, 0711 },
        { LAYOUT_INITRAMFS_DIR, 0700 },
        { LAYOUT_VMS_DIR, 0711 },
        { LAYOUT_VOLUMES_DIR, 0700 },
};

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_(table_freep) Table *t = NULL;
        size_t n_failed;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                _cleanup_free_ char *path = layout_path(directories[i].path);

                r = path ? mkdir_parents_at(AT_FDCWD, path, directories[i].mode) : -ENOMEM;
                if (r < 0)
                        return log_error_errno(r, "Cannot make '%s': %m.%s%s", directories[i].path, *errno_remedy(r) ? " " : "", errno_remedy(r));
        }
        r = ctl_need_store(c);
        if (r != 0)
                return r;
        r = host_check(c, &t, &n_failed);
        if (r >= 0 && !c->quiet)
                r = ctl_print_table(c, t);
        return r < 0 ? r : n_failed > 0 ? EXIT_FAILED : 0;
}

const Command command_init = {
        .name = "init",
        .group = GROUP_HOST,
        .synopsis = "",
        .summary = "Make the directories and the database, and check whether this host can run VMs",
        .details = "Nothing of it is needed before a first start, which makes what is missing itself; but it says what would fail.",
        .flags = COMMAND_FORMAT | COMMAND_ROOT,
        .run = run,
};
