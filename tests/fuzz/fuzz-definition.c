/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "definition/definition.h"
#include "layout/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char root[] = "/tmp/fuzz-definition.XXXXXX";

static void remove_root(void) {
        (void) remove_tree_at(AT_FDCWD, root);
}

/* The whole way from a file, since that is what hostile bytes come in: as a definition, and as site configuration. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_definition_errors_ DefinitionErrors e = {};
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_site_config_ SiteConfig none = {}, site = {};
        static int fd = -EBADF;

        if (fd < 0) {
                if (!mkdtemp(root) || layout_set_root(root) < 0)
                        abort();
                fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                atexit(remove_root);
                if (fd < 0 || mkdir_parents_at(fd, "etc/inferno/vms", 0755) < 0)
                        abort();
        }
        if (site_config_load(&none, &e) < 0)
                abort();
        if (write_file_atomic_at(fd, "etc/inferno/vms/x.vm", data, size, 0644, 0) < 0)
                abort();
        if (definition_load("x", &none, &d, &e) >= 0 && (!d->image || !d->hostname))
                abort();
        if (write_file_atomic_at(fd, "etc/inferno/inferno.conf", data, size, 0644, 0) < 0)
                abort();
        (void) site_config_load(&site, &e);
        if (unlinkat(fd, "etc/inferno/inferno.conf", 0) < 0)
                abort();
        return 0;
}
