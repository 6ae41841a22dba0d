/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/sentence.h"
#include "base/str.h"
#include "base/wire.h"
#include "bundle/bundle.h"
#include "helpers/prepare.h"
#include "json/json.h"
#include "kilnconfig/kiln-config.h"
#include "layout/layout.h"
#include "layout/vm-lock.h"
#include "net/address.h"
#include "thin/thin-root.h"
#include "version/pin.h"
#include "version/upper.h"
#include "version/version.h"
#include "volume/volume.h"
#include "vmm/ember-files.h"

/* Of the kernel's 2048 bytes the VMM needs some for its devices: about 40 for each of at most 17. */
enum { BOOT_ARGS_MAX = 1280 };

/* Stands in the documents for the version's name while its digest is computed. */
#define NO_ULID "00000000000000000000000000"

/* All that a version is made of, but for its name. */
typedef struct Plan {
        const PrepareInputs *in;
        VmmChoice vmm;
        unsigned uid;
        unsigned subnet;
        NetAddress address;
        char *vmm_config;               /* firecracker.json */
        char *initramfs, *programs;     /* the files behind vms/<vm>/initramfs and vms/<vm>/programs; programs NULL: none */
        int tree_fd;                    /* programs, libraries, kernel */
        char tree_key[SHA256_HEX_SIZE];
        char digest[SHA256_HEX_SIZE];
} Plan;

static void plan_done(Plan *p) {
        free(p->vmm_config);
        free(p->initramfs);
        free(p->programs);
        safe_close(p->tree_fd);
}

static unsigned guest_cpus(const Definition *d) {
        return MAX((d->vcpu_millis + 999) / 1000, 1u);
}

/* The image's own STOPSIGNAL counts where the definition has none; images are not always right about it. */
static unsigned stop_signal(const PrepareInputs *in) {
        int s = in->definition->stop_signal;

        if (s <= 0 && in->image->stop_signal)
                s = parse_signal(in->image->stop_signal);
        return s > 0 ? (unsigned) s : SIGTERM;
}

static int format_kiln_config(const Plan *p, const char *ulid, char **ret, char **ret_error) {
        const Definition *d = p->in->definition;
        _cleanup_(kiln_config_freep) KilnConfig *c = NULL;
        char error[JSON_ERROR_MAX] = "";
        int r;

        r = kiln_config_new(&c);
        if (r < 0)
                return r;
        c->uid = c->gid = p->uid;
        c->stop_signal = stop_signal(p->in);
        c->stop_timeout_usec = d->stop_timeout_usec;
        c->cpu_count = guest_cpus(d);
        c->memory_mb = (unsigned) (d->memory / MIB(1));
        if (free_and_strdup(&c->jail_id, ulid) < 0 || free_and_strdup(&c->version, ulid) < 0 ||
            free_and_strdup(&c->name, d->name) < 0 || free_and_strdup(&c->image, d->image) < 0 ||
            free_and_strdup(&c->vmm, p->vmm == VMM_EMBER ? "ember" : "firecracker") < 0 ||
            free_and_strdup(&c->address, p->address.guest_string) < 0)
                return -ENOMEM;
        c->volumes = calloc(d->n_volumes + 1, sizeof(KilnVolume));
        if (!c->volumes)
                return -ENOMEM;
        for (size_t i = 0; i < d->n_volumes; i++)
                if (d->volumes[i].encrypted) {
                        KilnVolume *v = c->volumes + c->n_volumes++;

                        *v = (KilnVolume) { layout_guest_volume(i), strjoin("/" JAIL_KEYS "/", d->volumes[i].name) };
                        if (!v->device || !v->key_path)
                                return -ENOMEM;
                }
        r = kiln_config_format(c, ret, error);
        if (r < 0 && error[0])
                return sentence(ret_error, r, "Cannot write " JAIL_KILN_CONFIG " of VM '%s': %s.", d->name, error);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot write " JAIL_KILN_CONFIG " of VM '%s'", d->name) : 0;
}

/* A name of a VM may have characters that no drive_id has. Writeback: what the guest has flushed is on the disk. */
static int add_volumes(const Definition *d, json_t *drives) {
        for (size_t i = 0; i < d->n_volumes; i++) {
                _cleanup_free_ char *id = strf("volume%zu", i), *path = strjoin("/" JAIL_VOLUMES "/", d->volumes[i].name);

                if (!id || !path ||
                    json_array_append_new(drives, json_pack("{s:s,s:s,s:b,s:b,s:s}", "drive_id", id, "path_on_host", path, "is_root_device", 0,
                                                            "is_read_only", (int) d->volumes[i].read_only, "cache_type", "Writeback")) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int add_programs(const Definition *d, json_t *drives) {
        return !definition_brings_programs(d) ? 0 :
               json_array_append_new(drives, json_pack("{s:s,s:s,s:b,s:b,s:s}", "drive_id", "programs", "path_on_host", "/" JAIL_PROGRAMS, "is_root_device", 0,
                                                       "is_read_only", 1, "cache_type", "Unsafe")) < 0 ? -ENOMEM : 0;
}

/* architecture.md, "Devices of the guest". The root file system is the initramfs, so no drive is Firecracker's root device. */
static int format_vmm_config(const Plan *p, char **ret, char **ret_error) {
        const Definition *d = p->in->definition;
        _cleanup_strbuf_ StrBuf args = {};
        _cleanup_free_ char *boot_args = NULL, *tap = layout_tap_name(p->subnet);
        _cleanup_json_ json_t *j = NULL;
        size_t n;
        int r;

        strbuf_adds(&args, "console=ttyS0 reboot=k panic=1 quiet");
        STRV_FOREACH(arg, d->kernel_args)
                strbuf_addf(&args, " %s", *arg);
        r = strbuf_finish(&args, &boot_args, &n);
        if (r < 0 || !tap)
                return -ENOMEM;
        if (n > BOOT_ARGS_MAX)
                return sentence(ret_error, -E2BIG,
                                "KernelArgs= of VM '%s' make a command line of %zu bytes for the kernel: %d is the most.", d->name, n,
                                (int) BOOT_ARGS_MAX);

        j = json_pack("{s:{s:s,s:s,s:s},s:{s:I,s:I},s:[{s:s,s:s,s:b,s:b,s:s},{s:s,s:s,s:b,s:b,s:s}],s:[{s:s,s:s,s:s}],"
                      "s:{s:i,s:s},s:{},s:{s:s,s:s,s:b},s:{s:s}}",
                      "boot-source", "kernel_image_path", "/" JAIL_KERNEL, "initrd_path", "/" JAIL_INITRD, "boot_args", boot_args,
                      "machine-config", "vcpu_count", (json_int_t) guest_cpus(d), "mem_size_mib", (json_int_t) (d->memory / MIB(1)),
                      "drives",
                      "drive_id", "rootfs", "path_on_host", "/" JAIL_ROOTFS, "is_root_device", 0, "is_read_only", 1, "cache_type", "Unsafe",
                      "drive_id", "upper", "path_on_host", "/" JAIL_UPPER, "is_root_device", 0, "is_read_only", 0,
                      "cache_type", d->root == ROOT_PERSISTENT ? "Writeback" : "Unsafe",
                      "network-interfaces", "iface_id", "eth0", "host_dev_name", tap, "guest_mac", p->address.mac_string,
                      "vsock", "guest_cid", (int) WIRE_GUEST_CID, "uds_path", JAIL_VSOCK,
                      "entropy",
                      "logger", "log_path", JAIL_VMM_LOG, "level", "Warning", "show_level", 1,
                      "metrics", "metrics_path", JAIL_VMM_METRICS);
        if (!j)
                return sentence(ret_error, -EINVAL, "KernelArgs= of VM '%s' are not valid UTF-8.", d->name);
        r = add_volumes(d, json_object_get(j, "drives"));
        if (r >= 0)
                r = add_programs(d, json_object_get(j, "drives"));
        if (r < 0)
                return r;
        *ret = json_format(j);
        return *ret ? 0 : -ENOMEM;
}

static int ensure_tree(Plan *p, char **ret_error) {
        static const char *const modules[] = EMBER_QEMU_MODULES, *const data[] = EMBER_QEMU_DATA;
        BundleItem items[8 + ELEMENTSOF(modules) + ELEMENTSOF(data)] = {};
        size_t n = 0;

        items[n++] = (BundleItem) { BUNDLE_KERNEL, p->in->definition->kernel, "/" JAIL_KERNEL };
        /* The jailer puts kiln itself there, at every start. */
        items[n++] = (BundleItem) { BUNDLE_LIBRARIES, LAYOUT_KILN, NULL };
        if (p->vmm == VMM_FIRECRACKER)
                items[n++] = (BundleItem) { BUNDLE_PROGRAM, p->in->site->firecracker, "/" JAIL_VMM };
        else {
                items[n++] = (BundleItem) { BUNDLE_PROGRAM, LAYOUT_EMBER, "/" JAIL_VMM };
                items[n++] = (BundleItem) { BUNDLE_PROGRAM, EMBER_QEMU, NULL };
                for (size_t i = 0; i < ELEMENTSOF(modules); i++)
                        items[n++] = (BundleItem) { BUNDLE_PROGRAM | BUNDLE_OPTIONAL, modules[i], NULL };
                for (size_t i = 0; i < ELEMENTSOF(data); i++)
                        items[n++] = (BundleItem) { BUNDLE_DATA | BUNDLE_OPTIONAL, data[i], NULL };
        }
        return bundle_ensure(items, &p->tree_fd, p->tree_key, ret_error);
}

/* The symlink is inferno-initramfs's; what it points to is named by its content. */
static int resolve(const char *vm, char *link_consume, const char *what, char **ret, char **ret_error) {
        _cleanup_free_ char *link = link_consume;

        if (!link)
                return -ENOMEM;
        *ret = realpath(link, NULL);
        if (!*ret)
                return sentence(ret_error, negative_errno(), "VM '%s' has no %s at '%s' (%s): run inferno-initramfs build %s first.", vm, what, link,
                                strerrordesc_np(errno), vm);
        return 0;
}

static int find_initramfs(Plan *p, char **ret_error) {
        const char *vm = p->in->definition->name;
        int r;

        r = resolve(vm, layout_vm_initramfs(vm), "initramfs", &p->initramfs, ret_error);
        return r < 0 || !definition_brings_programs(p->in->definition) ? r :
               resolve(vm, layout_vm_programs(vm), "disk of programs", &p->programs, ret_error);
}

static void update_u64(Sha256 *h, uint64_t v) {
        char buf[24];

        snprintf(buf, sizeof(buf), "%llu", (unsigned long long) v);
        sha256_update_string(h, buf);
}

static int update_file(Sha256 *h, const char *path, char **ret_error) {
        struct stat st;

        if (stat(path, &st) < 0)
                return sentence_errno(ret_error, negative_errno(), "Cannot look at '%s'", path);
        sha256_update_string(h, path);
        update_u64(h, (uint64_t) st.st_size);
        update_u64(h, (uint64_t) st.st_mtim.tv_sec * NSEC_PER_SEC + (uint64_t) st.st_mtim.tv_nsec);
        update_u64(h, st.st_ino);
        return 0;
}

/* Files count by path, size, time and inode: reading them all would cost more than the rest of the start. */
static int compute_digest(Plan *p, char **ret_error) {
        _cleanup_free_ char *kiln_config = NULL;
        Sha256 h;
        int r;

        r = format_kiln_config(p, NO_ULID, &kiln_config, ret_error);
        if (r < 0)
                return r;
        sha256_init(&h);
        sha256_update_string(&h, "inferno-version 1");
        sha256_update_string(&h, kiln_config);
        sha256_update_string(&h, p->vmm_config);
        sha256_update_string(&h, p->tree_key);
        sha256_update_string(&h, p->in->image->manifest_digest);
        r = update_file(&h, p->in->image->rootfs_path, ret_error);
        if (r < 0)
                return r;
        r = update_file(&h, p->initramfs, ret_error);
        if (r >= 0 && p->programs)
                r = update_file(&h, p->programs, ret_error);
        if (r < 0)
                return r;
        sha256_finish_hex(&h, p->digest);
        return 0;
}

/* What is the VM's own, whatever its image: uid, address, devices. */
static int make_identity(Store *store, const PrepareInputs *in, Plan *p, char **ret_error) {
        const char *vm = in->definition->name;
        NetRange range;
        int r;

        p->in = in;
        p->vmm = in->vmm;
        r = store_vm_ensure(store, vm, in->site->uid_base, in->site->uid_count, &p->uid);
        if (r < 0)
                return sentence(ret_error, r, "%s", store_error(store));
        r = store_network_get(store, vm, &p->subnet);
        if (r == -ENOENT)
                return sentence(ret_error, r, "VM '%s' has no address yet: run inferno-tap up %s first.", vm, vm);
        if (r < 0)
                return sentence(ret_error, r, "%s", store_error(store));
        r = net_range_parse(in->site->network, &range);
        if (r >= 0)
                r = net_range_address(&range, p->subnet, &p->address);
        if (r < 0)
                return sentence(ret_error, r,
                                "Network=%s in inferno.conf has no subnet number %u for VM '%s': run inferno-tap up %s first.",
                                in->site->network, p->subnet, vm, vm);
        return format_vmm_config(p, &p->vmm_config, ret_error);
}

static int make_plan(Store *store, const PrepareInputs *in, Plan *p, char **ret_error) {
        int r;

        r = make_identity(store, in, p, ret_error);
        if (r >= 0)
                r = find_initramfs(p, ret_error);
        if (r >= 0)
                r = ensure_tree(p, ret_error);
        return r < 0 ? r : compute_digest(p, ret_error);
}

int prepare_digest(Store *store, const PrepareInputs *in, Preparation *ret, char **ret_error) {
        _cleanup_(plan_done) Plan p = { .tree_fd = -EBADF };
        int r;

        r = make_plan(store, in, &p, ret_error);
        if (r < 0)
                return r;
        *ret = (Preparation) { .uid = p.uid };
        memcpy(ret->digest, p.digest, sizeof(p.digest));
        return 0;
}

/* The jailer makes device nodes in the jail, and runs kiln from it. */
static int check_mount(char **ret_error) {
        _cleanup_free_ char *path = layout_path(LAYOUT_VMS_DIR);
        struct statvfs v;
        int r;

        if (!path)
                return -ENOMEM;
        r = mkdir_parents_at(AT_FDCWD, path, 0711);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot make '%s'", path);
        if (statvfs(path, &v) < 0)
                return sentence_errno(ret_error, negative_errno(), "Cannot look at '%s'", path);
        if (v.f_flag & (ST_NODEV | ST_NOEXEC))
                return sentence(ret_error, -EOPNOTSUPP,
                                "'%s' is on a file system that is mounted with '%s', where no jail can work: mount it without, or "
                                "put '%s" LAYOUT_STATE_DIR "' elsewhere.", path, v.f_flag & ST_NODEV ? "nodev" : "noexec", layout_root());
        return 0;
}

static int refuse_running(const char *vm, char **ret_error) {
        char ulid[ULID_STRING_SIZE];
        pid_t pid;
        int r;

        r = version_get_current(vm, ulid);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = version_running(ulid, &pid);
        if (r > 0)
                return sentence(ret_error, -EBUSY, "VM '%s' runs already (process %d): stop it first.", vm, (int) pid);
        return r;
}

/* 1: the database knows a version of this digest, and it is whole and clean. 0: there is none. */
static int reuse(Store *store, const Plan *p, Preparation *prep, char **ret_error) {
        const char *vm = p->in->definition->name;
        StoreVersion v;
        int r;

        r = store_version_find(store, vm, p->digest, &v);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return sentence(ret_error, r, "%s", store_error(store));
        r = ulid_is_valid(v.ulid) ? version_is_intact(vm, v.ulid) : 0;
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot check version '%s' of VM '%s'", v.ulid, vm);
        if (r == 0)
                log_warning("Version '%s' of VM '%s' is not what it was when it was built: building a new one.", v.ulid, vm);
        else {
                r = version_clean(v.ulid, 0);
                if (r >= 0) {
                        memcpy(prep->ulid, v.ulid, sizeof(prep->ulid));
                        return 1;
                }
                log_warning_errno(r, "Version '%s' of VM '%s' cannot be cleaned, building a new one: %m", v.ulid, vm);
        }
        r = store_version_remove(store, v.ulid);
        return r < 0 ? sentence(ret_error, r, "%s", store_error(store)) : 0;
}

static int read_jail_config(const char *ulid, json_t **ret_vmm, KilnConfig **ret_kiln, char *error) {
        _cleanup_close_ int root_fd = version_open_root(ulid);
        _cleanup_(kiln_config_freep) KilnConfig *kiln = NULL;
        int r;

        if (root_fd < 0)
                return root_fd;
        r = kiln_config_load(root_fd, JAIL_KILN_CONFIG, &kiln, error);
        if (r >= 0)
                r = json_parse_file(root_fd, JAIL_VMM_CONFIG, MIB(1), ret_vmm, error);
        if (r >= 0)
                *ret_kiln = TAKE_PTR(kiln);
        return r;
}

/* The disks that are not the version's own. NULL: no memory. */
static json_t *host_drives(const json_t *config) {
        json_t *drives = json_array(), *drive;
        size_t i;

        json_array_foreach(json_object_get(config, "drives"), i, drive)
                if (!streq(json_string_value(json_object_get(drive, "drive_id")) ?: "", "programs") && json_array_append(drives, drive) < 0) {
                        json_decref(drives);
                        return NULL;
                }
        return drives;
}

/* What the version expects of the host must be what the host has for the VM now. */
static int check_fits(Plan *p, const char *ulid, char **ret_error) {
        const Definition *d = p->in->definition;
        _cleanup_(kiln_config_freep) KilnConfig *kiln = NULL;
        _cleanup_json_ json_t *then = NULL, *now = NULL, *drives_then = NULL, *drives_now = NULL;
        char error[JSON_ERROR_MAX] = "";
        const char *what = NULL;
        int r;

        r = read_jail_config(ulid, &then, &kiln, error);
        if (r >= 0)
                r = json_parse(p->vmm_config, strlen(p->vmm_config), MIB(1), &now, error);
        if (r < 0)
                return sentence(ret_error, r, "The configuration of version '%s' of VM '%s' cannot be read: %s.", ulid, d->name, error[0] ? error : strerrordesc_np(-r));
        drives_then = host_drives(then);
        drives_now = host_drives(now);
        if (!drives_then || !drives_now)
                return -ENOMEM;
        if (kiln->uid != p->uid)
                what = "user id";
        else if (!json_equal(json_object_get(then, "network-interfaces"), json_object_get(now, "network-interfaces")) || !streq(kiln->address, p->address.guest_string))
                what = "address";
        else if (!json_equal(drives_then, drives_now))
                what = "set of volumes, or Root=";
        if (what)
                return sentence(ret_error, -EINVAL, "Version '%s', which VM '%s' was rolled back to, is of a time when it had another %s: put that back into the definition, "
                                "or start with what that says, by 'infernoctl rollback %s --latest'.", ulid, d->name, what, d->name);
        if (kiln->memory_mb > d->memory / MIB(1))
                log_warning("Version '%s' of VM '%s' has %u MiB of memory, but its unit is limited by what the definition says now.", ulid, d->name, kiln->memory_mb);
        p->vmm = streq(kiln->vmm, "firecracker") ? VMM_FIRECRACKER : VMM_EMBER;
        return 0;
}

/* The version that the VM was rolled back to, or nothing: another one would not be what was asked for. */
static int use_pinned(Store *store, const PrepareInputs *in, const char *ulid, Plan *p, Preparation *prep, char **ret_error) {
        const char *vm = in->definition->name;
        int r;

        r = make_identity(store, in, p, ret_error);
        if (r < 0)
                return r;
        r = version_is_intact(vm, ulid);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot check version '%s' of VM '%s'", ulid, vm);
        if (r == 0)
                return sentence(ret_error, -EBADMSG, "Version '%s', which VM '%s' was rolled back to, is not what it was when it was built: take another one of 'infernoctl "
                                "versions %s', or 'infernoctl rollback %s --latest'.", ulid, vm, vm, vm);
        r = check_fits(p, ulid, ret_error);
        if (r < 0)
                return r;
        r = version_clean(ulid, 0);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot clean version '%s' of VM '%s'", ulid, vm);
        memcpy(prep->ulid, ulid, sizeof(prep->ulid));
        prep->pinned = true;
        return 0;
}

static int next_ulid(Store *store, const char *vm, char ret[static ULID_STRING_SIZE], char **ret_error) {
        _cleanup_free_ StoreVersion *versions = NULL;
        char current[ULID_STRING_SIZE];
        const char *last = NULL;
        size_t n;
        int r;

        r = store_version_list(store, vm, &versions, &n);
        if (r < 0)
                return sentence(ret_error, r, "%s", store_error(store));
        if (n > 0 && ulid_is_valid(versions[0].ulid))
                last = versions[0].ulid;
        if (version_get_current(vm, current) >= 0 && (!last || strcmp(current, last) > 0))
                last = current;
        r = ulid_new(last, ret);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot make a name for a version of VM '%s'", vm) : 0;
}

static int build(Store *store, const Plan *p, Preparation *prep, char **ret_error) {
        const char *vm = p->in->definition->name;
        _cleanup_free_ char *kiln_config = NULL;
        int r;

        r = next_ulid(store, vm, prep->ulid, ret_error);
        if (r < 0)
                return r;
        r = format_kiln_config(p, prep->ulid, &kiln_config, ret_error);
        if (r < 0)
                return r;

        const VersionFile files[] = {
                { JAIL_ROOTFS, .source = p->in->image->rootfs_path },
                { JAIL_INITRD, .source = p->initramfs },
                { JAIL_KILN_CONFIG, .content = kiln_config },
                { JAIL_VMM_CONFIG, .content = p->vmm_config },
                { JAIL_PROGRAMS, .source = p->programs },
        };
        const VersionSpec spec = {
                .vm = vm, .ulid = prep->ulid, .digest = p->digest, .image_digest = p->in->image->manifest_digest,
                .tree_fd = p->tree_fd, .files = files, .n_files = ELEMENTSOF(files) - !p->programs,
        };

        prep->built = true;
        return version_build(store, &spec, ret_error);
}

/* What was current and is not so any more keeps none of its last run. */
static int make_current(const char *vm, const char *ulid, char **ret_error) {
        char old[ULID_STRING_SIZE];
        int r;

        if (version_get_current(vm, old) >= 0 && !streq(old, ulid)) {
                r = version_clean(old, VERSION_KEEP_EXIT_STATUS);
                if (r < 0)
                        log_warning_errno(r, "Cannot clean version '%s' of VM '%s': %m", old, vm);
        }
        r = version_set_current(vm, ulid);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot make version '%s' the current one of VM '%s'", ulid, vm) : 0;
}

static int put_thin_root(const Plan *p, int root_fd, char **ret_error) {
        const Definition *d = p->in->definition;
        _cleanup_thin_pool_ ThinPool pool = {};
        int r = thin_pool_load(&pool, ret_error);

        return r < 0 ? r : thin_root_put(&pool, d->name, d->root == ROOT_PERSISTENT, p->uid, root_fd, ret_error);
}

static int fill_jail(Store *store, const Plan *p, const char *ulid, char **ret_error) {
        const Definition *d = p->in->definition;
        const UpperSpec upper = {
                .vm = d->name, .persistent = d->root == ROOT_PERSISTENT, .size = d->root_size, .uid = p->uid, .gid = p->uid,
        };
        _cleanup_close_ int root_fd = version_open_root(ulid);
        int r;

        if (root_fd < 0)
                return sentence_errno(ret_error, root_fd, "Cannot open the jail of version '%s' of VM '%s'", ulid, d->name);
        r = d->root_backend == ROOT_LVM_THIN ? put_thin_root(p, root_fd, ret_error) : upper_prepare(&upper, root_fd, ret_error);
        return r < 0 ? r : volume_link_all(store, d, p->uid, root_fd, ret_error);
}

static int write_env(const Plan *p, const char *ulid, char **ret_error) {
        const char *vm = p->in->definition->name;
        _cleanup_free_ char *path = layout_vm_env(vm), *text = NULL;
        int r;

        text = strf("INFERNO_ID=%s\nINFERNO_UID=%u\nINFERNO_GID=%u\nINFERNO_VMM=%s\n", ulid, p->uid, p->uid,
                    p->vmm == VMM_EMBER ? "ember" : "firecracker");
        if (!path || !text)
                return -ENOMEM;
        r = mkdir_parent_of_at(AT_FDCWD, path, 0755);
        if (r >= 0)
                r = write_file_atomic_at(AT_FDCWD, path, text, strlen(text), 0644, WRITE_FILE_LOCKED);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot write '%s'", path) : 0;
}

/* 1: the VM was rolled back, and its definition is the one of then. 0: not so; a roll-back that another definition has ended is forgotten. */
static int get_pin(const Definition *d, char ret_ulid[static ULID_STRING_SIZE], char **ret_error) {
        int r;

        r = version_pin_get(d->name, d->files, ret_ulid);
        if (r > 0 || r == -ENOENT)
                return r > 0;
        if (r == 0) {
                log_notice("The definition of VM '%s' has changed since it was rolled back to version %s: starting with what it says now.", d->name, ret_ulid);
                r = version_pin_clear(d->name);
        }
        return r < 0 ? sentence_errno(ret_error, r, "Cannot find out which version VM '%s' was rolled back to", d->name) : 0;
}

/* The version itself, found or built. */
static int get_version(Store *store, const PrepareInputs *in, Plan *p, Preparation *prep, char **ret_error) {
        const char *vm = in->definition->name;
        char pin[ULID_STRING_SIZE];
        int r;

        r = get_pin(in->definition, pin, ret_error);
        if (r < 0)
                return r;
        if (r > 0)
                return use_pinned(store, in, pin, p, prep, ret_error);
        if (!in->image)
                return sentence(ret_error, -EAGAIN, "VM '%s' was rolled back until a moment ago: start it again.", vm);
        r = make_plan(store, in, p, ret_error);
        if (r < 0)
                return r;
        memcpy(prep->digest, p->digest, sizeof(p->digest));
        r = reuse(store, p, prep, ret_error);
        return r == 0 ? build(store, p, prep, ret_error) : r;
}

int prepare_vm(Store *store, const PrepareInputs *in, Preparation *ret, char **ret_error) {
        _cleanup_(plan_done) Plan p = { .tree_fd = -EBADF };
        const char *vm = in->definition->name;
        _cleanup_close_ int lock_fd = -EBADF;
        Preparation prep = {};
        int r;

        r = check_mount(ret_error);
        if (r < 0)
                return r;
        lock_fd = vm_lock(vm);
        if (lock_fd < 0)
                return sentence_errno(ret_error, lock_fd,
                                      "Cannot lock VM '%s' below '%s" LAYOUT_RUN_DIR "'", vm, layout_root());
        r = refuse_running(vm, ret_error);
        if (r < 0)
                return r;
        r = version_remove_beginnings(store, vm);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot remove what a killed start has left of a version of VM '%s'", vm);
        r = get_version(store, in, &p, &prep, ret_error);
        if (r < 0)
                return r;
        prep.uid = p.uid;
        r = make_current(vm, prep.ulid, ret_error);
        if (r < 0)
                return r;
        r = fill_jail(store, &p, prep.ulid, ret_error);
        if (r < 0)
                return r;
        r = write_env(&p, prep.ulid, ret_error);
        if (r < 0)
                return r;
        *ret = prep;
        return 0;
}
