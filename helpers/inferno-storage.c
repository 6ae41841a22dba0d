/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The thin pool for volumes and root file systems. inferno-storage(8). */

#include <string.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "helpers/context.h"
#include "helpers/program.h"
#include "helpers/storage.h"
#include "rootfs/root-volume.h"
#include "version/version.h"

static const char usage[] =
        "inferno-storage [OPTIONS…] init | status | activate | deactivate | root VM\n"
        "\n"
        "Makes and looks after the thin pool of LVM that volumes with backend=lvm-thin are in.\n"
        "\n"
        "  init             Make volume group and pool, with their names from inferno.conf, on --disk= or in a file by --loop=.\n"
        "  status           Print how full the pool is, and whether it can be written to.\n"
        "  activate         Make the pool and what is in it usable after a boot. inferno-storage.service calls it.\n"
        "  deactivate       The opposite; all VMs that use it must be stopped.\n"
        "  root VM          Make the root file system of a VM with RootBackend=lvm-thin ready for a run. Its unit calls it.\n"
        "\n"
        "      --disk=DEVICE  For init: an empty disk, that is, one with nothing on it\n"
        "      --loop=SIZE    For init: a file of that size below /var/lib/inferno instead\n"
        "      --format=text|json  For status\n"
        "  -h, --help       Show this help\n"
        "      --version    Show the version\n"
        "\n"
        "See inferno-storage(8).\n";

static const char *disk = NULL;
static uint64_t loop_size = 0;
static bool json = false;

static int set_disk(const char *value) {
        disk = value;
        return value[0] == '/' ? 0 : -EINVAL;
}

static int set_loop(const char *value) {
        return parse_size(value, &loop_size);
}

static int set_format(const char *value) {
        json = streq(value, "json");
        return json || streq(value, "text") ? 0 : -EINVAL;
}

static int run_init(const char *argument) {
        _cleanup_free_ char *error = NULL;
        bool new = false;
        int r;

        if (!disk == (loop_size == 0)) {
                log_error("Where to? init needs one of --disk=DEVICE and --loop=SIZE.");
                return EXIT_USAGE;
        }
        r = storage_init(disk, loop_size, &new, &error);
        if (r < 0)
                return helper_log_sentence(r, error);
        if (!new)
                log_info("The thin pool is there already, and active.");
        return 0;
}

static int run_status(const char *argument) {
        _cleanup_free_ char *text = NULL, *error = NULL;
        int r = storage_status(json, &text, &error);

        if (r < 0)
                return helper_log_sentence(r, error);
        fputs(text, stdout);
        return 0;
}

static int run_activate(const char *argument) {
        _cleanup_free_ char *error = NULL;
        int r = storage_activate(&error);

        return r < 0 ? helper_log_sentence(r, error) : 0;
}

static int run_deactivate(const char *argument) {
        _cleanup_free_ char *error = NULL;
        int r = storage_deactivate(&error);

        return r < 0 ? helper_log_sentence(r, error) : 0;
}

static int run_root(const char *vm) {
        _cleanup_image_config_ ImageConfig image = {};
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_close_ int lock = -EBADF;
        _cleanup_free_ char *error = NULL;
        char ulid[ULID_STRING_SIZE];
        int r;

        r = helper_load_site(&c);
        if (r == 0)
                r = helper_load_definition(&c, vm);
        if (r != 0)
                return r;
        if (c.definition->root_backend != ROOT_LVM_THIN) {
                log_error("VM '%s' has no RootBackend=lvm-thin.", vm);
                return EXIT_USAGE;
        }
        lock = helper_lock_vm(vm);
        if (lock < 0)
                return lock;
        if (version_get_current(vm, ulid) >= 0 && version_running(ulid, NULL) > 0) {
                log_error("VM '%s' runs already: stop it first.", vm);
                return EXIT_BUSY;
        }
        r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = image_config_load(c.store, c.definition->image, &image, &error);
        if (r >= 0)
                r = root_volume_prepare(c.definition, &image, &error);
        return r < 0 ? helper_log_sentence(r, error) : 0;
}

static const HelperVerb verbs[] = {
        { "init", NULL, run_init },
        { "status", NULL, run_status },
        { "activate", NULL, run_activate },
        { "deactivate", NULL, run_deactivate },
        { "root", "VM", run_root },
        {},
};

static const HelperOption options[] = {
        { "--disk", .set = set_disk },
        { "--loop", .set = set_loop },
        { "--format", .set = set_format },
        {},
};

int main(int argc, char **argv) {
        return helper_main(argc, argv, usage, verbs, options);
}
