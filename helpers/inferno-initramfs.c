/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The initramfs of a VM: the guest's init, what it is told, and programs that are brought along. inferno-initramfs(8). */

#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "base/wire.h"
#include "helpers/context.h"
#include "helpers/initramfs.h"
#include "helpers/program.h"
#include "image/image.h"
#include "layout/layout.h"
#include "runspec/build.h"
#include "ssh/host-key.h"

#define DROPBEAR "/usr/sbin/dropbear"

static const char usage[] =
        "inferno-initramfs [OPTIONS…] build VM | print VM\n"
        "\n"
        "Makes the initramfs of a VM: the guest's init, run.json, which tells it what to run, and programs of the host (Bundle=, SSHKey=).\n"
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

/* 0, or an exit code. */
static int load_address(HelperContext *c, const char *vm, NetAddress *ret) {
        unsigned index;
        int r;

        r = store_network_get(c->store, vm, &index);
        if (r < 0 && r != -ENOENT)
                return exit_code_from_errno(helper_log_sentence(r, store_error(c->store)));
        if (r >= 0)
                r = net_range_address(&c->range, index, ret);
        if (r < 0) {
                log_error("VM '%s' has no address yet: run inferno-tap up %s first.", vm, vm);
                return EXIT_NOT_FOUND;
        }
        return 0;
}

/* What the guest is told and given. */
typedef struct GuestParts {
        char *run_json;
        char **targets;                 /* of the items */
        BundleItem *items;
        Definition *definition;         /* whose strings the items have */
} GuestParts;

static void guest_parts_done(GuestParts *p) {
        free(p->run_json);
        strv_free(p->targets);
        free(p->items);
        definition_free(p->definition);
}

/* For volumes that the guest is to open before anything of its image is there. */
static void collect_volume_programs(GuestParts *p, size_t *n) {
        const VolumeUse *volumes = p->definition->volumes;
        bool opens = false, makes = false, checks = false;

        for (size_t i = 0; i < p->definition->n_volumes; i++) {
                opens = opens || volumes[i].encrypted;
                makes = makes || (volumes[i].make_fs && !volumes[i].read_only);
                checks = checks || !volumes[i].read_only;
        }
        if (opens)
                p->items[(*n)++] = (BundleItem) { BUNDLE_PROGRAM, "/usr/sbin/cryptsetup", "/inferno/sbin/cryptsetup" };
        if (makes)
                p->items[(*n)++] = (BundleItem) { BUNDLE_PROGRAM, "/usr/sbin/mke2fs", "/inferno/sbin/mke2fs" };
        if (checks)
                p->items[(*n)++] = (BundleItem) { BUNDLE_PROGRAM, "/usr/sbin/e2fsck", "/inferno/sbin/e2fsck" };
}

/* Whether Bundle= has a program of the same name: the one that was asked for is the one that comes. */
static bool brings(char *const *programs, const char *path) {
        STRV_FOREACH(program, programs)
                if (streq(strrchr(*program, '/'), strrchr(path, '/')))
                        return true;
        return false;
}

/* Bundle=: each under its own name, the SSH server likewise, and what they are launched by. What this gives is on the disk that
 * definition_brings_programs() tells of. */
static int collect_items(GuestParts *p) {
        char *const *programs = p->definition->bundle;
        bool ssh = p->definition->ssh_keys && *p->definition->ssh_keys;
        size_t n = 0;

        p->items = calloc(strv_length(programs) + 7, sizeof(BundleItem));
        if (!p->items)
                return log_oom();
        collect_volume_programs(p, &n);
        if ((programs && *programs) || ssh)
                p->items[n++] = (BundleItem) { BUNDLE_DATA, LAYOUT_INIT, WIRE_LAUNCHER };
        if (ssh) {
                p->items[n++] = (BundleItem) { BUNDLE_DATA, LAYOUT_SSH_PRELOAD, WIRE_SSH_PRELOAD };
                if (!brings(programs, DROPBEAR))
                        p->items[n++] = (BundleItem) { BUNDLE_PORTABLE, DROPBEAR, WIRE_SSH_SERVER };
        }
        STRV_FOREACH(program, programs) {
                char *target = strf(WIRE_PROGRAMS_DIR "%s", strrchr(*program, '/'));

                if (strv_consume(&p->targets, target) < 0)
                        return log_oom();
                p->items[n++] = (BundleItem) { BUNDLE_PORTABLE, *program, target };
        }
        return 0;
}

/* What the headers of encrypted volumes were made as: the guest believes nothing else. 0, or a negative errno. */
static int describe_volumes(Store *s, const Definition *d, RunSpec *spec) {
        for (size_t i = 0; i < d->n_volumes; i++) {
                _cleanup_store_volume_ StoreVolume v = {};
                int r;

                if (!d->volumes[i].encrypted)
                        continue;
                r = store_volume_get(s, d->volumes[i].name, &v);
                if (r < 0)
                        return helper_log_sentence(r, store_error(s));
                if (!v.luks_uuid || !v.luks_cipher) {
                        log_error("Volume '%s' of VM '%s' is not encrypted: run inferno-volume attach %s first.", v.name, d->name, d->name);
                        return -EINVAL;
                }
                spec->volumes[i].luks_uuid = TAKE_PTR(v.luks_uuid);
                spec->volumes[i].luks_cipher = TAKE_PTR(v.luks_cipher);
                spec->volumes[i].luks_key_bytes = v.luks_key_bytes;
        }
        return 0;
}

/* The server is looked for here, too, as the message of what collects programs would not say who wants it. 0, a negative errno or an exit code. */
static int describe_ssh(const Definition *d, RunSpec *spec) {
        _cleanup_free_ char *server = layout_path(DROPBEAR), *message = NULL;
        uint8_t key[SSH_HOST_KEY_SIZE];
        _cleanup_close_ int lock = -EBADF;
        int r;

        if (!spec->ssh_keys)
                return 0;
        if (!server)
                return log_oom();
        if (access(server, F_OK) < 0) {
                log_error("SSHKey= of VM '%s' needs '%s', which is not there: install dropbear-bin.", d->name, server);
                return EXIT_UNAVAILABLE;
        }
        lock = helper_lock_vm(d->name);
        if (lock < 0)
                return lock;
        r = ssh_host_key_ensure(d->name, key, &message);
        if (r < 0)
                return helper_log_sentence(r, message);
        spec->ssh_host_key = calloc(1, BASE64_SIZE(sizeof(key)) + 1);
        if (spec->ssh_host_key)
                base64_encode(key, sizeof(key), spec->ssh_host_key);
        explicit_bzero(key, sizeof(key));
        return spec->ssh_host_key ? 0 : log_oom();
}

/* 0, a negative errno or an exit code. *ret_pinned (may be NULL): the version that the VM was rolled back to has an initramfs, nothing else was loaded. */
static int load_parts(const char *vm, GuestParts *ret, bool *ret_pinned) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_image_config_ ImageConfig image = {};
        _cleanup_(run_spec_freep) RunSpec *spec = NULL;
        _cleanup_free_ char *message = NULL;
        char error[JSON_ERROR_MAX], pin[ULID_STRING_SIZE];
        NetAddress address;
        int r;

        r = helper_load_site(&c);
        if (r == 0)
                r = helper_load_range(&c);
        if (r == 0)
                r = helper_load_definition(&c, vm);
        if (r != 0)
                return r;
        if (ret_pinned) {
                r = helper_get_pin(&c, pin);
                *ret_pinned = r > 0;
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = image_config_load(c.store, c.definition->image, &image, &message);
        if (r < 0)
                return helper_log_sentence(r, message);
        r = load_address(&c, vm, &address);
        if (r != 0)
                return r;
        r = run_spec_build(c.definition, &image, &address, &spec, &message);
        if (r < 0) {
                (void) helper_log_sentence(r, message);
                return r == -EINVAL ? EXIT_BAD_DEFINITION : r;
        }
        r = describe_volumes(c.store, c.definition, spec);
        if (r == 0)
                r = describe_ssh(c.definition, spec);
        if (r != 0)
                return r;
        r = run_spec_format(spec, &ret->run_json, error);
        if (r == -EBADMSG) {
                log_error("VM '%s' cannot be described to its guest: %s.", vm, error);
                return EXIT_BAD_DEFINITION;
        }
        if (r < 0)
                return log_oom();
        ret->definition = TAKE_PTR(c.definition);
        return collect_items(ret);
}

static int run_build(const char *vm) {
        _cleanup_(guest_parts_done) GuestParts parts = {};
        _cleanup_free_ char *path = NULL, *message = NULL;
        _cleanup_close_ int lock = -EBADF;
        bool pinned;
        int r;

        r = load_parts(vm, &parts, &pinned);
        if (r != 0 || pinned)
                return r;
        lock = helper_lock_vm(vm);
        if (lock < 0)
                return lock;
        r = initramfs_store(vm, parts.run_json, strlen(parts.run_json), parts.items, &path, &message);
        if (r < 0)
                return helper_log_sentence(r, message);
        log_debug("%s '%s' for VM '%s'", r == INITRAMFS_BUILT ? "Built" : "Found", path, vm);
        return 0;
}

static int run_print(const char *vm) {
        _cleanup_(guest_parts_done) GuestParts parts = {};
        int r;

        r = load_parts(vm, &parts, NULL);
        if (r != 0)
                return r;
        return fputs(parts.run_json, stdout) < 0 || fflush(stdout) < 0 ? log_error_errno(errno, "Cannot write run.json: %m") : 0;
}

static const HelperVerb verbs[] = {
        { "build", "VM", run_build },
        { "print", "VM", run_print },
        {},
};

int main(int argc, char **argv) {
        return helper_main(argc, argv, usage, verbs, NULL);
}
