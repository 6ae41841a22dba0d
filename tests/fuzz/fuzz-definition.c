/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "definition/definition.h"
#include "layout/layout.h"
#include "unitfiles/unit-files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char root[] = "/dev/shm/fuzz-definition.XXXXXX";      /* thousands of files a second */
static char *definition_root, *site_root;
static int definition_fd = -EBADF, site_fd = -EBADF;

static void remove_root(void) {
        (void) remove_tree_at(AT_FDCWD, root);
}

/* Two trees, each with one file, which is written anew for each input. */
static void make_roots(void) {
        _cleanup_close_ int fd = -EBADF;

        if (!mkdtemp(root))
                abort();
        atexit(remove_root);
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || mkdir_parents_at(fd, "definition/etc/inferno/vms", 0755) < 0 || mkdir_parents_at(fd, "site/etc/inferno", 0755) < 0)
                abort();
        definition_root = strjoin(root, "/definition");
        site_root = strjoin(root, "/site");
        definition_fd = openat(fd, "definition/etc/inferno/vms/x.vm", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        site_fd = openat(fd, "site/etc/inferno/inferno.conf", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (!definition_root || !site_root || definition_fd < 0 || site_fd < 0)
                abort();
}

static void put(int fd, const uint8_t *data, size_t size) {
        if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0 || write_full(fd, data, size) < 0)
                abort();
}

/* An odd number of backslashes before the end of a line: systemd.syntax(7). */
static bool has_continuation(const char *s) {
        size_t n = 0;

        for (; *s; s++) {
                if (*s == '\n' && n % 2 == 1)
                        return true;
                n = *s == '\\' ? n + 1 : 0;
        }
        return n % 2 == 1;
}

/* What a definition becomes are lines that systemd reads one by one: none is continued, none has a byte that ends one. */
static void check_units(const Definition *d, const SiteConfig *site) {
        _cleanup_unit_files_ UnitFiles files = {};

        if (unit_files_add(&files, d, site) < 0 || unit_files_add_install(&files, d) < 0)
                abort();
        for (size_t i = 0; i < files.n; i++) {
                const char *c = files.items[i].content;

                if (has_continuation(c) || strchr(c, '\r') || strchr(files.items[i].path, '/') != strrchr(files.items[i].path, '/') ||
                    startswith(files.items[i].path, "."))
                        abort();
        }
}

/* No port of the host twice, and no more of them than the firewall takes. */
static void check_published(const Definition *d) {
        if (d->n_published > PUBLISHED_PORTS_MAX)
                abort();
        for (size_t i = 0; i < d->n_published; i++) {
                if (d->published[i].host_port == 0 || d->published[i].guest_port == 0)
                        abort();
                for (size_t k = 0; k < i; k++)
                        if (published_port_collides(d->published + i, d->published + k))
                                abort();
        }
}

/* The whole way from a file, since that is what hostile bytes come in: as a definition, and as site configuration. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_definition_errors_ DefinitionErrors e = {}, site_e = {};
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_site_config_ SiteConfig none = {}, site = {};
        int r;

        if (definition_fd < 0)
                make_roots();
        put(definition_fd, data, size);
        put(site_fd, data, size);

        if (layout_set_root(definition_root) < 0 || site_config_load(&none, &e) < 0)
                abort();
        r = definition_load("x", &none, &d, &e);
        if ((r < 0) != (e.n_lines > 0) || (r >= 0 && (!d->image || !d->hostname)))
                abort();
        if (r >= 0) {
                check_units(d, &none);
                check_published(d);
        }

        if (layout_set_root(site_root) < 0)
                abort();
        r = site_config_load(&site, &site_e);
        if ((r < 0) != (site_e.n_lines > 0))
                abort();
        return 0;
}
