/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "version/pin.h"
#include "version/version.h"

static const TableColumn columns[] = {
        { "VERSION", "version", TABLE_TEXT },
        { "CREATED", "created", TABLE_TIME },
        { "SIZE", "size", TABLE_BYTES },
        { "STATE", "state", TABLE_TEXT },
        { "IMAGE DIGEST", "image_digest", TABLE_TEXT, .shrinks = true },
        { NULL, "digest" },
        {},
};

/* The version that a roll-back holds for; an empty string: none does. A definition that is wrong cannot be started anyway. */
static void get_pin(const Ctl *c, const char *vm, char ret[static ULID_STRING_SIZE]) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_freep) Definition *d = NULL;

        if (definition_load(vm, &c->site, &d, &errors) < 0 || version_pin_get(vm, d->files, ret) <= 0)
                ret[0] = 0;
}

static json_t *state_of(const char *ulid, const char *current, const char *pin) {
        json_t *states = json_array();

        if (streq(ulid, current)) {
                (void) json_array_append_new(states, json_string("current"));
                if (version_running(ulid, NULL) > 0)
                        (void) json_array_append_new(states, json_string("running"));
        }
        if (streq(ulid, pin))
                (void) json_array_append_new(states, json_string("pinned"));
        return states;
}

static int run(Ctl *c, char **args, size_t n_args) {
        char current[ULID_STRING_SIZE] = "", pin[ULID_STRING_SIZE];
        _cleanup_free_ StoreVersion *versions = NULL;
        _cleanup_(table_freep) Table *t = NULL;
        const char *vm = args[0];
        size_t n = 0;
        int r;

        r = ctl_check_vm(c, vm);
        if (r == 0)
                r = ctl_want_store(c);
        if (r != 0)
                return r;
        if (c->store && store_version_list(c->store, vm, &versions, &n) < 0)
                return ctl_log_sentence(-EIO, store_error(c->store));
        (void) version_get_current(vm, current);
        get_pin(c, vm, pin);
        r = table_new(columns, &t);
        if (r < 0)
                return log_oom();
        for (size_t i = 0; i < n; i++) {
                uint64_t size;

                table_add_text(t, versions[i].ulid);
                table_add_number(t, versions[i].created_usec);
                if (ulid_is_valid(versions[i].ulid) && version_get_size(versions[i].ulid, &size) >= 0)
                        table_add_number(t, size);
                else
                        table_add_none(t);
                table_add(t, state_of(versions[i].ulid, current, pin));
                table_add_text(t, versions[i].image_digest);
                table_add_text(t, versions[i].digest);
        }
        return ctl_print_table(c, t);
}

const Command command_versions = {
        .name = "versions",
        .group = GROUP_STORAGE,
        .synopsis = "NAME",
        .summary = "List the versions of a VM that can be gone back to",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_VM,
        .flags = COMMAND_FORMAT | COMMAND_ROOT,
        .run = run,
};
