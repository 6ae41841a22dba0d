/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Units of one VM, without a daemon-reload. inferno-units(8). */

#include <fcntl.h>
#include <systemd/sd-bus.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "helpers/context.h"
#include "helpers/program.h"
#include "layout/layout.h"
#include "unitfiles/unit-writer.h"

static const char usage[] =
        "inferno-units [OPTIONS…] place VM\n"
        "\n"
        "Tells systemd of a VM that was defined or changed since the last daemon-reload.\n"
        "\n"
        "  place VM         Put the VM's slice and drop-in into " LAYOUT_RUNTIME_UNIT_DIR ", where systemd finds them when it\n"
        "                   starts the VM. The next daemon-reload takes them away again, and has made the same.\n"
        "\n"
        "      --root=DIR   Work below DIR instead of /\n"
        "  -h, --help       Show this help\n"
        "      --version    Show the version\n"
        "\n"
        "See inferno-units(8).\n";

enum { UNIT_FILE_BYTES_MAX = 2 * 1024 * 1024 };

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER SYSTEMD, "/org/freedesktop/systemd1", SYSTEMD ".Manager"

/* 1: *ret_path is the unit's on the bus. 0: systemd has not loaded it. */
static int find_unit(sd_bus *bus, const char *unit, char **ret_path, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *path;
        char *copy;
        int r;

        r = sd_bus_call_method(bus, MANAGER, "GetUnit", error, &reply, "s", unit);
        if (r < 0 && sd_bus_error_has_name(error, SYSTEMD ".NoSuchUnit")) {
                sd_bus_error_free(error);
                return 0;
        }
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                return r;
        copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        *ret_path = copy;
        return 1;
}

/* 1: systemd has the service loaded with something else than this digest. One that has failed is kept for its result alone, and let go. */
static int service_is_stale(sd_bus *bus, const char *unit, const char *digest, sd_bus_error *error) {
        _cleanup_free_ char *path = NULL, *again = NULL, *state = NULL, *wanted = strjoin(UNIT_FILES_VARIABLE "=", digest);
        _cleanup_strv_ char **environment = NULL;
        int r;

        if (!wanted)
                return -ENOMEM;
        r = find_unit(bus, unit, &path, error);
        if (r <= 0)
                return r;
        r = sd_bus_get_property_strv(bus, SYSTEMD, path, SYSTEMD ".Service", "Environment", error, &environment);
        if (r < 0)
                return r;
        if (strv_contains(environment, wanted))
                return 0;
        r = sd_bus_get_property_string(bus, SYSTEMD, path, SYSTEMD ".Unit", "ActiveState", error, &state);
        if (r < 0)
                return r;
        if (!streq(state, "failed"))
                return 1;
        r = sd_bus_call_method(bus, MANAGER, "ResetFailedUnit", error, NULL, "s", unit);
        return r < 0 ? r : find_unit(bus, unit, &again, error);
}

/* The same for the slice, which systemd keeps when the VM has stopped. */
static int slice_is_stale(sd_bus *bus, const UnitFile *slice, sd_bus_error *error) {
        _cleanup_free_ char *path = NULL, *fragment = NULL, *content = NULL;
        int changed = 0, r;

        r = find_unit(bus, slice->path, &path, error);
        if (r <= 0)
                return r;
        r = sd_bus_get_property_string(bus, SYSTEMD, path, SYSTEMD ".Unit", "FragmentPath", error, &fragment);
        if (r >= 0)
                r = sd_bus_get_property_trivial(bus, SYSTEMD, path, SYSTEMD ".Unit", "NeedDaemonReload", error, 'b', &changed);
        if (r < 0)
                return r;
        return changed || read_file_at(AT_FDCWD, fragment, UNIT_FILE_BYTES_MAX, &content, NULL) < 0 || !streq(content, slice->content);
}

/* 0: systemd will start the VM with these units. EXIT_BUSY: it has loaded others, which has been said. */
static int check_loaded(const char *vm, const UnitFiles *files) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_free_ char *unit = layout_unit_name(vm);
        const char *stale = NULL;
        int r;

        if (!unit)
                return log_oom();
        r = sd_bus_open_system(&bus);
        if (r >= 0)
                r = service_is_stale(bus, unit, files->digest, &error);
        if (r > 0)
                stale = unit;
        else if (r == 0) {
                r = slice_is_stale(bus, &files->items[1], &error);
                if (r > 0)
                        stale = files->items[1].path;
        }
        if (r < 0)
                return log_error_errno(r, "The units of VM '%s' are in place, but systemd does not say whether it has loaded others: %s.", vm,
                                       error.message ?: strerrordesc_np(-r));
        if (!stale)
                return 0;
        log_error("The units of VM '%s' are in place, but systemd has '%s' loaded as it was before, and keeps it: run 'systemctl daemon-reload'.",
                  vm, stale);
        return EXIT_BUSY;
}

static int run_place(const char *vm) {
        _cleanup_free_ char *dir = layout_path(LAYOUT_RUNTIME_UNIT_DIR);
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_unit_files_ UnitFiles files = {};
        _cleanup_close_ int dir_fd = -EBADF;
        int r;

        r = helper_load_site(&c);
        if (r == 0)
                r = helper_load_definition(&c, vm);
        if (r != 0)
                return r;
        if (!dir || unit_files_add(&files, c.definition, &c.site) < 0)
                return log_oom();
        r = mkdir_parents_at(AT_FDCWD, dir, 0755);
        if (r >= 0) {
                dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                r = dir_fd < 0 ? negative_errno() : unit_files_place(dir_fd, &files);
        }
        if (r < 0)
                return log_error_errno(r, "Cannot put the units of VM '%s' into '%s': %m", vm, dir);
        /* Another tree is not that of the systemd which runs here. */
        return isempty(layout_root()) ? check_loaded(vm, &files) : 0;
}

static const HelperVerb verbs[] = {
        { "place", "VM", run_place },
        {},
};

int main(int argc, char **argv) {
        return helper_main(argc, argv, usage, verbs, NULL);
}
