/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The initramfs of a VM: the guest's init and what it is told. inferno-initramfs(8). */

#include <fcntl.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "definition/definition.h"
#include "helpers/initramfs.h"
#include "helpers/program.h"
#include "image/image.h"
#include "layout/layout.h"
#include "net/address.h"
#include "runspec/build.h"

static const char usage[] =
        "inferno-initramfs [OPTIONS…] build VM | print VM\n"
        "\n"
        "Makes the initramfs of a VM: the guest's init, and run.json, which tells it what to run.\n"
        "\n"
        "  build VM    Make it where there is none of the same content, and point vms/VM/initramfs to it.\n"
        "  print VM    Print run.json.\n"
        "\n"
        "      --root=DIR   Work below DIR instead of /\n"
        "  -h, --help       Show this help\n"
        "      --version    Show the version\n"
        "\n"
        "The image must be in the store (inferno-image ensure VM), and the VM have its address (inferno-tap up VM).\n"
        "See inferno-initramfs(8).\n";

static int load_definition(const char *vm, SiteConfig *site, Definition **ret) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        int r;

        r = site_config_load(site, &errors);
        if (r < 0) {
                definition_errors_log(&errors, r);
                return r == -EINVAL ? EXIT_BAD_DEFINITION : r;
        }
        r = definition_load(vm, site, ret, &errors);
        if (r == -ENOENT) {
                log_error("There is no definition '%s.vm': put it into /etc/inferno/vms/.", vm);
                return EXIT_NOT_FOUND;
        }
        if (r == -ERFKILL) {
                log_error("The definition '%s.vm' is masked.", vm);
                return EXIT_NOT_FOUND;
        }
        if (r < 0) {
                definition_errors_log(&errors, r);
                return r == -EINVAL ? EXIT_BAD_DEFINITION : r;
        }
        return 0;
}

static int load_address(Store *store, const SiteConfig *site, const char *vm, NetAddress *ret) {
        NetRange range;
        unsigned index;
        int r;

        r = net_range_parse(site->network, &range);
        if (r < 0) {
                log_error("Network=%s of inferno.conf is no network for guests: it must be like 172.16.0.0/12, with a prefix from 8 to 30.",
                          site->network);
                return EXIT_BAD_DEFINITION;
        }
        r = store_network_get(store, vm, &index);
        if (r < 0 && r != -ENOENT) {
                log_error("%s", store_error(store));
                return r;
        }
        if (r >= 0)
                r = net_range_address(&range, index, ret);
        if (r < 0) {
                log_error("VM '%s' has no address yet: run inferno-tap up %s first.", vm, vm);
                return EXIT_NOT_FOUND;
        }
        return 0;
}

/* The text of run.json; 0, a negative errno or an exit code. */
static int format_run_json(const char *vm, char **ret) {
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_image_config_ ImageConfig image = {};
        _cleanup_site_config_ SiteConfig site = {};
        _cleanup_(run_spec_freep) RunSpec *spec = NULL;
        _cleanup_(store_freep) Store *store = NULL;
        _cleanup_free_ char *message = NULL;
        char error[JSON_ERROR_MAX];
        NetAddress address;
        int r;

        r = load_definition(vm, &site, &d);
        if (r != 0)
                return r;
        r = store_open(&store, &message);
        if (r >= 0)
                r = image_config_load(store, d->image, &image, &message);
        if (r < 0) {
                log_error("%s", message ?: "Out of memory.");
                return r;
        }
        r = load_address(store, &site, vm, &address);
        if (r != 0)
                return r;
        r = run_spec_build(d, &image, &address, &spec, &message);
        if (r < 0) {
                log_error("%s", message ?: "Out of memory.");
                return r == -EINVAL ? EXIT_BAD_DEFINITION : r;
        }
        r = run_spec_format(spec, ret, error);
        if (r == -EBADMSG) {
                log_error("VM '%s' cannot be described to its guest: %s.", vm, error);
                return EXIT_BAD_DEFINITION;
        }
        return r < 0 ? log_oom() : 0;
}

static int run_build(const char *vm) {
        _cleanup_free_ char *run_json = NULL, *path = NULL, *message = NULL;
        _cleanup_close_ int lock_fd = -EBADF;
        _cleanup_free_ char *lock = layout_vm_lock(vm);
        int r;

        if (!lock)
                return log_oom();
        r = format_run_json(vm, &run_json);
        if (r != 0)
                return r;
        r = mkdir_parent_of_at(AT_FDCWD, lock, 0700);
        if (r >= 0)
                r = lock_fd = lock_file_at(AT_FDCWD, lock);
        if (r < 0)
                return log_error_errno(r, "Cannot lock '%s': %m", lock);
        r = initramfs_store(vm, run_json, strlen(run_json), &path, &message);
        if (r < 0) {
                log_error("%s", message ?: "Out of memory.");
                return r;
        }
        log_debug("%s '%s' for VM '%s'", r == INITRAMFS_BUILT ? "Built" : "Found", path, vm);
        return 0;
}

static int run_print(const char *vm) {
        _cleanup_free_ char *run_json = NULL;
        int r;

        r = format_run_json(vm, &run_json);
        if (r != 0)
                return r;
        return fputs(run_json, stdout) < 0 || fflush(stdout) < 0 ? log_error_errno(errno, "Cannot write run.json: %m") : 0;
}

static const HelperVerb verbs[] = {
        { "build", "VM", run_build },
        { "print", "VM", run_print },
        {},
};

int main(int argc, char **argv) {
        return helper_main(argc, argv, usage, verbs, NULL);
}
