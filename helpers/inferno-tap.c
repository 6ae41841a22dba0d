/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The network of a VM: its /30 out of the database, its TAP, its nftables elements. inferno-tap(8). */

#include <net/if.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "helpers/context.h"
#include "helpers/program.h"
#include "layout/layout.h"
#include "net/net.h"

static const char usage[] =
        "inferno-tap [OPTIONS…] up VM | down VM | show VM | list | check\n"
        "\n"
        "Gives a VM its network on the host.\n"
        "\n"
        "  up VM       Allocate the VM's addresses where it has none, make its TAP and let it through nftables.\n"
        "  down VM     Remove TAP and nftables elements. The addresses stay the VM's.\n"
        "  show VM     Print addresses and state of one VM, one Key=Value a line.\n"
        "  list        Print all VMs that have addresses.\n"
        "  check       See whether the kernel takes the rules.\n"
        "\n"
        "      --root=DIR   Work below DIR instead of /\n"
        "  -h, --help       Show this help\n"
        "      --version    Show the version\n"
        "\n"
        "See inferno-tap(8).\n";

static int run_up(const char *vm) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_close_ int lock = -EBADF;
        _cleanup_free_ char *error = NULL;
        unsigned uid, index;
        int r;

        r = helper_load_site(&c);
        if (r == 0)
                r = helper_load_range(&c);
        if (r == 0)
                r = helper_load_definition(&c, vm);
        if (r != 0)
                return r;
        lock = helper_lock_vm(vm);
        if (lock < 0)
                return lock;
        r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = store_vm_ensure(c.store, vm, c.site.uid_base, c.site.uid_count, &uid);
        if (r < 0)
                return helper_log_sentence(r, store_error(c.store));
        r = net_vm_up(c.store, &c.range, &(NetVm) {
                        .name = vm,
                        .uid = uid,
                        .gid = uid,
                        .ports = c.definition->published,
                        .n_ports = c.definition->n_published,
                }, &index, &error);
        return r < 0 ? helper_log_sentence(r, error) : r;
}

static int run_down(const char *vm) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_close_ int lock = -EBADF;
        _cleanup_free_ char *error = NULL;
        bool have_range;
        int r, k;

        /* What a running VM has must be removable, whatever was written into inferno.conf since, and whatever has become of the database. */
        have_range = helper_load_site(&c) == 0 && helper_load_range(&c) == 0;
        lock = helper_lock_vm(vm);
        if (lock < 0)
                return lock;
        r = helper_open_store(&c);
        k = net_vm_down(c.store, have_range ? &c.range : NULL, vm, &error);
        if (k < 0)
                (void) helper_log_sentence(k, error);
        return r != 0 ? r : k;
}

/* What is known of one VM; -ENOENT: it has no addresses. */
typedef struct State {
        unsigned uid, index;
        NetAddress address;
        char *tap;
        bool active;                    /* by the database */
        bool present;                   /* in the kernel */
} State;

static int load_state(const HelperContext *c, char *const *active, const char *vm, State *ret) {
        State s = {};
        int r;

        r = store_vm_get_uid(c->store, vm, &s.uid);
        if (r >= 0)
                r = store_network_get(c->store, vm, &s.index);
        if (r == -ENOENT)
                return r;
        if (r < 0)
                return helper_log_sentence(r, store_error(c->store));
        r = net_range_address(&c->range, s.index, &s.address);
        if (r < 0)
                return -ENOENT; /* of a larger network before; it gets others at its next start */
        s.tap = layout_tap_name(s.index);
        if (!s.tap)
                return log_oom();
        s.active = strv_contains(active, vm);
        s.present = if_nametoindex(s.tap) > 0;
        *ret = s;
        return 0;
}

static int load_for_reading(HelperContext *c, char ***ret_active) {
        int r;

        r = helper_load_site(c);
        if (r == 0)
                r = helper_load_range(c);
        if (r == 0)
                r = helper_open_store(c);
        if (r != 0)
                return r;
        r = store_network_list_active(c->store, ret_active);
        return r < 0 ? helper_log_sentence(r, store_error(c->store)) : 0;
}

/* One line, where there are any. */
static int print_published(const HelperContext *c, const char *vm) {
        _cleanup_free_ PublishedPort *ports = NULL;
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        r = store_ports_list(c->store, vm, &ports, &n);
        if (r < 0)
                return helper_log_sentence(r, store_error(c->store));
        text = published_ports_to_string(ports, n);
        if (!text)
                return log_oom();
        if (n > 0)
                printf("Published=%s\n", text);
        return 0;
}

static int run_show(const char *vm) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_strv_ char **active = NULL;
        State s;
        int r;

        r = load_for_reading(&c, &active);
        if (r != 0)
                return r;
        r = load_state(&c, active, vm, &s);
        if (r == -ENOENT) {
                log_error("VM '%s' has no addresses yet: it gets them at its first start.", vm);
                return EXIT_NOT_FOUND;
        }
        if (r < 0)
                return r;
        printf("Name=%s\nTap=%s\nAltName=" LAYOUT_TAP_ALTNAME_PREFIX "%s\nNetwork=%s/%u\nHostAddress=%s\nGuestAddress=%s\nMAC=%s\nUID=%u\n"
               "Active=%s\nPresent=%s\n",
               vm, s.tap, vm, s.address.network_string, NET_SUBNET_PREFIX, s.address.host_string, s.address.guest_string,
               s.address.mac_string, s.uid, s.active ? "yes" : "no", s.present ? "yes" : "no");
        free(s.tap);
        return print_published(&c, vm);
}

static int run_list(const char *argument) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_strv_ char **active = NULL, **vms = NULL;
        int r;

        r = load_for_reading(&c, &active);
        if (r != 0)
                return r;
        r = store_vm_list(c.store, &vms);
        if (r < 0)
                return helper_log_sentence(r, store_error(c.store));
        printf("%-10s %-15s %-15s %-10s %-6s %s\n", "TAP", "GUEST", "HOST", "UID", "ACTIVE", "VM");
        STRV_FOREACH(vm, vms) {
                State s;

                r = load_state(&c, active, *vm, &s);
                if (r == -ENOENT)
                        continue;
                if (r < 0)
                        return r;
                printf("%-10s %-15s %-15s %-10u %-6s %s\n", s.tap, s.address.guest_string, s.address.host_string, s.uid,
                       s.active ? "yes" : "no", *vm);
                free(s.tap);
        }
        return 0;
}

static int run_check(const char *argument) {
        _cleanup_free_ char *error = NULL;
        int r = net_check(&error);

        return r < 0 ? helper_log_sentence(r, error) : 0;
}

static const HelperVerb verbs[] = {
        { "up", "VM", run_up },
        { "down", "VM", run_down },
        { "show", "VM", run_show },
        { "list", NULL, run_list },
        { "check", NULL, run_check },
        {},
};

int main(int argc, char **argv) {
        return helper_main(argc, argv, usage, verbs, NULL);
}
