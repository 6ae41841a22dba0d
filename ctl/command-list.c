/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "base/str.h"
#include "ctl/bus.h"
#include "ctl/ctl.h"

static char **arg_states;

static const char *const states[] = { "active", "activating", "deactivating", "reloading", "inactive", "failed", NULL };
static const CtlOption options[] = {
        { "state", 0, CTL_OPTION_LIST, &arg_states, "STATE", "Only VMs whose unit is in this state; may be given again", CTL_WORD_CHOICE, states },
        {},
};

static const TableColumn columns[] = {
        { "NAME", "name", TABLE_TEXT },
        { "STATE", "state", TABLE_TEXT },
        { "SUB", "sub_state", TABLE_TEXT },
        { "ADDRESS", "address", TABLE_TEXT },
        { "PORTS", "ports", TABLE_TEXT, .shrinks = true },
        { "VCPUS", "vcpus", TABLE_NUMBER },
        { "MEMORY", "memory", TABLE_BYTES },
        { "IMAGE", "image", TABLE_TEXT, .shrinks = true },
        { NULL, "definition" },
        { NULL, "path" },
        {},
};

/* What there is of all VMs, each read at once: three sorted lists. */
typedef struct Sources {
        DefinitionSet *definitions;
        BusUnitSummary *units;
        size_t n_units;
        StoreNetwork *networks;
        size_t n_networks;
} Sources;

static void sources_done(Sources *s) {
        definition_set_free(s->definitions);
        bus_unit_summaries_free(s->units, s->n_units);
        store_networks_free(s->networks, s->n_networks);
}

static int compare_network(const void *key, const void *network) {
        return strcmp(key, ((const StoreNetwork *) network)->vm);
}

/* Address and published ports. */
static void add_network(Table *t, const Ctl *c, const Sources *s, const char *vm, bool runs) {
        const StoreNetwork *n = s->n_networks > 0 ? bsearch(vm, s->networks, s->n_networks, sizeof(*n), compare_network) : NULL;
        _cleanup_free_ char *ports = NULL;
        NetAddress address;

        if (n && net_range_address(&c->range, n->index, &address) >= 0)
                table_add_text(t, address.guest_string);
        else
                table_add_none(t);
        /* Of one that does not run, the database has what a power cut has left. */
        if (!runs || !n || n->n_ports == 0)
                table_add_none(t);
        else if (c->format == CTL_JSON)
                table_add(t, ctl_published_to_json(n->ports, n->n_ports));
        else
                table_add(t, (ports = published_ports_to_string(n->ports, n->n_ports)) ? json_string(ports) : NULL);
}

/* definition: "good", "wrong" (d is NULL), "none". */
static void add_row(Table *t, const Ctl *c, const Sources *s, const char *vm, const BusUnitSummary *u, const Definition *d, const char *definition) {
        const char *state = u ? u->active_state : "inactive";

        if (arg_states && !strv_contains(arg_states, state))
                return;
        table_add_text(t, vm);
        table_add_text(t, state);
        table_add_text(t, u ? u->sub_state : "dead");
        add_network(t, c, s, vm, !streq(state, "inactive") && !streq(state, "failed"));
        if (d) {
                table_add(t, json_real(d->vcpu_millis / 1000.0));
                table_add_number(t, d->memory);
                table_add_text(t, d->image);
        } else {
                table_add_none(t);
                table_add_none(t);
                if (c->format == CTL_TABLE)
                        table_add_text(t, streq(definition, "none") ? "(no definition)" : "(definition is wrong, see infernoctl verify)");
                else
                        table_add_none(t);
        }
        table_add_text(t, definition);
        table_add_text(t, d ? d->path : NULL);
}

/* One that is masked, or has drop-ins alone, is a VM only while it runs. A unit that systemd has loaded for a definition which is gone counts as long as
 * it is active, or has failed and was not looked at. */
static int add_rows(Table *t, const Ctl *c, const Sources *s) {
        size_t i = 0, k = 0, n = definition_set_size(s->definitions);

        while (i < n || k < s->n_units) {
                const char *name = i < n ? definition_set_name(s->definitions, i) : NULL;
                const BusUnitSummary *u = k < s->n_units ? s->units + k : NULL;
                int order = !name ? 1 : !u ? -1 : strcmp(name, u->vm);
                _cleanup_definition_errors_ DefinitionErrors errors = {};
                _cleanup_(definition_freep) Definition *d = NULL;
                int r = -ENOENT;

                if (order <= 0) {
                        r = definition_set_load(s->definitions, i++, &c->site, &d, &errors);
                        if (r < 0 && r != -EINVAL && r != -ENOENT && r != -ERFKILL)
                                return log_error_errno(r, "Cannot read the definition of VM '%s': %m", name);
                }
                if (order >= 0)
                        k++;
                else
                        u = NULL;
                if (r >= 0 || r == -EINVAL || (u && !streq(u->active_state, "inactive")))
                        add_row(t, c, s, order <= 0 ? name : u->vm, u, d, r >= 0 ? "good" : r == -EINVAL ? "wrong" : "none");
        }
        return 0;
}

/* A list without addresses is better than none: what is wrong with the database is said, and makes the exit code. */
static int load_networks(Ctl *c, Sources *s) {
        int r;

        r = ctl_want_store(c);
        if (r != 0 || !c->store)
                return r;
        r = store_network_list(c->store, &s->networks, &s->n_networks);
        return r < 0 ? ctl_log_sentence(r, store_error(c->store)) : 0;
}

static int run(Ctl *c, char **args, size_t n_args) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(sources_done) Sources s = {};
        _cleanup_(table_freep) Table *t = NULL;
        _cleanup_free_ char *error = NULL;
        int r, database;

        r = ctl_need_site(c);
        if (r == 0)
                r = ctl_need_bus(c);
        if (r != 0)
                return r;
        r = bus_list_units(c->bus, &s.units, &s.n_units, &error);
        if (r < 0)
                return ctl_log_sentence(r, error);
        r = definition_set_new(&s.definitions, &errors);
        if (r < 0)
                return log_error_errno(r, "Cannot list the definitions: %m");
        if (errors.n_lines > 0)
                (void) definition_errors_log(&errors, -EINVAL);
        database = load_networks(c, &s);
        r = table_new(columns, &t);
        if (r < 0)
                return log_oom();
        r = add_rows(t, c, &s);
        if (r >= 0)
                r = ctl_print_table(c, t);
        return r < 0 ? r : database;
}

const Command command_list = {
        .name = "list",
        .aliases = "ls ps",
        .group = GROUP_VMS,
        .synopsis = "",
        .summary = "List the VMs that are defined, and those that run",
        .flags = COMMAND_FORMAT,
        .options = options,
        .run = run,
};
