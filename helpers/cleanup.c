/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "bundle/bundle.h"
#include "definition/definition.h"
#include "helpers/cleanup.h"
#include "helpers/programs.h"
#include "layout/layout.h"
#include "layout/vm-lock.h"
#include "net/net.h"
#include "ssh/host-key.h"
#include "thin/thin-root.h"
#include "version/pin.h"
#include "version/upper.h"
#include "version/version.h"
#include "volume/key.h"
#include "volume/volume.h"

typedef struct Cleanup {
        Store *store;                   /* NULL: cannot be opened, what cannot do without is left out */
        SiteConfig site;
        bool have_site;
        NetRange range;
        bool have_range;
        int error;                      /* the first */
} Cleanup;

/* Notes a failure that has been logged. */
static void note(Cleanup *c, int r) {
        if (r < 0 && c->error >= 0)
                c->error = r;
}

static void cleanup_begin(Cleanup *c) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_free_ char *error = NULL;
        int r;

        *c = (Cleanup) {};
        r = site_config_load(&c->site, &errors);
        if (r < 0)
                (void) definition_errors_log(&errors, r);
        c->have_site = r >= 0;
        c->have_range = c->have_site && net_range_parse(c->site.network, &c->range) >= 0;
        r = store_open(&c->store, &error);
        if (r < 0) {
                log_error("%s", error ?: "Out of memory.");
                note(c, r);
        }
}

static int cleanup_end(Cleanup *c) {
        store_free(c->store);
        site_config_done(&c->site);
        return c->error;
}

/* Only "there is no such definition" is gone: one that is masked, wrong or unreadable may come back. */
static bool is_gone(const Cleanup *c, const char *vm) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_freep) Definition *d = NULL;

        return c->have_site && definition_load(vm, &c->site, &d, &errors) == -ENOENT;
}

static void remove_path(Cleanup *c, char *path_consume) {
        _cleanup_free_ char *path = path_consume;
        int r = path ? remove_tree_at(AT_FDCWD, path) : -ENOMEM;

        if (r < 0)
                note(c, log_error_errno(r, "Cannot remove '%s': %m", path ?: ""));
}

static void remove_network(Cleanup *c, const char *vm) {
        _cleanup_free_ char *error = NULL;
        int r;

        r = net_vm_down(c->store, c->have_range ? &c->range : NULL, vm, &error);
        if (r < 0) {
                log_error("%s", error ?: "Out of memory.");
                note(c, r);
        }
}

/* 1: it runs, and that was said. */
static int is_running(const char *vm) {
        char ulid[ULID_STRING_SIZE];
        pid_t pid;

        if (version_get_current(vm, ulid) < 0 || version_running(ulid, &pid) <= 0)
                return 0;
        log_error("VM '%s' runs (process %d): stop it first.", vm, (int) pid);
        return 1;
}

/* What a killed helper had begun. Holder of the lock. */
static void remove_beginnings(Cleanup *c, const char *vm) {
        _cleanup_free_ char *dir = layout_vm_dir(vm), *current = layout_vm_current(vm), *initramfs = layout_vm_initramfs(vm);
        _cleanup_free_ char *programs = layout_vm_programs(vm), *env = layout_vm_env(vm);
        const char *const written[] = { current, initramfs, programs, env };
        int r;

        r = c->store ? version_remove_beginnings(c->store, vm) : 0;
        if (r < 0)
                note(c, log_error_errno(r, "Cannot remove what was begun of a version of VM '%s': %m", vm));
        remove_path(c, dir ? strf("%s/.upper.new", dir) : NULL);
        for (size_t i = 0; i < ELEMENTSOF(written); i++) {
                r = written[i] ? remove_temporary_at(AT_FDCWD, written[i]) : -ENOMEM;
                if (r < 0)
                        note(c, log_error_errno(r, "Cannot remove what was to become '%s': %m", written[i] ?: ""));
        }
        r = ssh_host_key_remove_beginnings(vm);
        if (r < 0)
                note(c, log_error_errno(r, "Cannot remove what was begun of the host key of VM '%s': %m", vm));
}

static void detach_volumes(Cleanup *c, const char *vm) {
        _cleanup_free_ char *error = NULL;
        int r;

        r = volume_key_take_back(vm);
        if (r < 0)
                note(c, log_error_errno(r, "Cannot remove the keys of VM '%s': %m", vm));
        r = c->store ? volume_detach_all(c->store, vm, &error) : 0;
        if (r < 0) {
                log_error("%s", error ?: "Out of memory.");
                note(c, r);
        }
}

/* No pool, where another tree than this machine's is worked on. */
static bool get_pool(const Cleanup *c, ThinPool *ret) {
        *ret = (ThinPool) { c->site.volume_group, c->site.thin_pool, c->site.thin_pool_warn, c->site.thin_pool_limit };
        return c->have_site && !*layout_root();
}

static void remove_thin_root(Cleanup *c, const char *vm, bool kept) {
        _cleanup_free_ char *error = NULL;
        ThinPool pool;
        int r;

        r = get_pool(c, &pool) ? thin_root_remove(&pool, vm, kept, &error) : 0;
        if (r < 0) {
                log_error("%s", error ?: "Out of memory.");
                note(c, r);
        }
}

/* Undoes one run. Holder of the lock. */
static void remove_run(Cleanup *c, const char *vm) {
        char ulid[ULID_STRING_SIZE];
        int r;

        remove_network(c, vm);
        r = version_get_current(vm, ulid);
        if (r >= 0)
                r = version_clean(ulid, VERSION_KEEP_EXIT_STATUS);
        if (r == -ENOENT)
                r = version_clear_current(vm);
        if (r < 0)
                note(c, log_error_errno(r, "Cannot clean the jail of VM '%s': %m", vm));
        else {
                /* They are out of the jail's reach now. */
                detach_volumes(c, vm);
                remove_thin_root(c, vm, false);
        }
        remove_path(c, layout_vm_env(vm));
        remove_beginnings(c, vm);
}

static void remove_versions(Cleanup *c, const char *vm) {
        _cleanup_free_ StoreVersion *versions = NULL;
        char current[ULID_STRING_SIZE];
        size_t n;
        int r;

        r = store_version_list(c->store, vm, &versions, &n);
        if (r < 0) {
                log_error("%s", store_error(c->store));
                note(c, r);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                r = ulid_is_valid(versions[i].ulid) ? version_remove(c->store, versions[i].ulid) : 0;
                if (r < 0)
                        note(c, log_error_errno(r, "Cannot remove version '%s' of VM '%s': %m", versions[i].ulid, vm));
        }
        if (version_get_current(vm, current) >= 0) {
                r = version_remove(c->store, current);
                if (r < 0)
                        note(c, log_error_errno(r, "Cannot remove version '%s' of VM '%s': %m", current, vm));
        }
}

/* Everything of a VM. Holder of the lock, which goes too. The row goes last but for the directory, so that a call that was killed is
 * followed by one that finds the VM again. */
static void forget(Cleanup *c, const char *vm, bool with_layer) {
        _cleanup_free_ char *dir = layout_vm_dir(vm), *upper = layout_vm_upper(vm), *link = layout_vm_initramfs(vm), *lock = layout_vm_lock(vm);
        ThinPool pool;
        int r;

        if (!c->store)
                return;
        if (!dir || !upper || !link || !lock) {
                note(c, log_oom());
                return;
        }
        remove_versions(c, vm);
        r = store_vm_remove(c->store, vm);
        if (r < 0) {
                log_error("%s", store_error(c->store));
                note(c, r);
        }
        if (with_layer)
                remove_thin_root(c, vm, true);
        if (!with_layer && (access(upper, F_OK) >= 0 || (get_pool(c, &pool) && thin_root_exists(&pool, vm, true)))) {
                log_notice("The definition of VM '%s' is gone, what it has written to its root is kept: remove it with inferno-cleanup gone.", vm);
                remove_path(c, layout_vm_current(vm));
                remove_path(c, layout_vm_programs(vm));
                remove_path(c, layout_vm_pin(vm));
                remove_path(c, TAKE_PTR(link));
        } else
                remove_path(c, TAKE_PTR(dir));
        if (unlink(lock) < 0 && errno != ENOENT)
                note(c, log_error_errno(errno, "Cannot remove '%s': %m", lock));
}

int cleanup_stopped(const char *vm) {
        _cleanup_close_ int lock_fd = -EBADF;
        Cleanup c;

        lock_fd = vm_lock(vm);
        if (lock_fd < 0)
                return log_error_errno(lock_fd, "Cannot lock VM '%s': %m", vm);
        if (is_running(vm))
                return -EBUSY;
        cleanup_begin(&c);
        remove_run(&c, vm);
        if (is_gone(&c, vm))
                forget(&c, vm, false);
        return cleanup_end(&c);
}

void cleanup_instance(const char *instance) {
        int r = version_remove_bind_targets(instance);

        if (r < 0)
                log_warning_errno(r, "Cannot remove what systemd has made for the instance \"%.100s\": %m", instance);
}

typedef int (*NameFunc)(Cleanup *c, int dir_fd, const char *name, void *userdata);

/* Calls f for each name in a directory of the host that does not begin with a ".", or, hidden: that does. */
static void for_each_name(Cleanup *c, const char *dir, bool hidden, NameFunc f, void *userdata) {
        _cleanup_free_ char *path = layout_path(dir);
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        int r;

        r = path ? dir_open_at(AT_FDCWD, path, 0, &d) : -ENOMEM;
        if (r < 0) {
                if (r != -ENOENT)
                        note(c, log_error_errno(r, "Cannot open '%s': %m", path ?: dir));
                return;
        }
        while ((r = dir_next(d, &de)) > 0) {
                if ((de->d_name[0] == '.') != hidden)
                        continue;
                r = f(c, dirfd(d), de->d_name, userdata);
                if (r < 0)
                        note(c, log_error_errno(r, "Cannot remove '%s/%s': %m", path, de->d_name));
        }
        if (r < 0)
                note(c, log_error_errno(r, "Cannot read '%s': %m", path));
}

static int collect_vm_dir(Cleanup *c, int dir_fd, const char *name, void *userdata) {
        char ***vms = userdata;

        return vm_name_is_valid(name) && !strv_contains(*vms, name) ? strv_extend(vms, name) : 0;
}

static int collect_vm_lock(Cleanup *c, int dir_fd, const char *name, void *userdata) {
        _cleanup_free_ char *vm = endswith(name, ".lock") ? strndup(name, strlen(name) - strlen(".lock")) : strdup("");

        return vm ? collect_vm_dir(c, dir_fd, vm, userdata) : -ENOMEM;
}

/* The VMs of the database, and those of which there is a directory only, or a lock. */
static char **known_vms(Cleanup *c) {
        char **vms = NULL;
        int r;

        if (!c->store)
                return NULL;
        r = store_vm_list(c->store, &vms);
        if (r < 0) {
                log_error("%s", store_error(c->store));
                note(c, r);
                return NULL;
        }
        for_each_name(c, LAYOUT_VMS_DIR, false, collect_vm_dir, &vms);
        for_each_name(c, LAYOUT_LOCK_DIR, false, collect_vm_lock, &vms);
        return vms;
}

int cleanup_forget(const char *vm) {
        _cleanup_close_ int lock_fd = -EBADF;
        Cleanup c;

        lock_fd = vm_lock(vm);
        if (lock_fd < 0)
                return log_error_errno(lock_fd, "Cannot lock VM '%s': %m", vm);
        if (is_running(vm))
                return -EBUSY;
        cleanup_begin(&c);
        if (is_gone(&c, vm)) {
                remove_run(&c, vm);
                forget(&c, vm, true);
        } else if (c.error >= 0) {
                log_error("VM '%s' has a definition, or inferno.conf is wrong: only what is not defined any more is forgotten.", vm);
                c.error = -EBUSY;
        }
        return cleanup_end(&c);
}

int cleanup_gone(bool with_layers) {
        _cleanup_strv_ char **vms = NULL;
        Cleanup c;

        cleanup_begin(&c);
        vms = known_vms(&c);
        STRV_FOREACH(vm, vms) {
                _cleanup_close_ int lock_fd = -EBADF;
                char ulid[ULID_STRING_SIZE];

                if (!is_gone(&c, *vm))
                        continue;
                lock_fd = vm_lock(*vm);
                if (lock_fd < 0) {
                        note(&c, log_error_errno(lock_fd, "Cannot lock VM '%s': %m", *vm));
                        continue;
                }
                if (version_get_current(*vm, ulid) >= 0 && version_running(ulid, NULL) > 0) {
                        log_notice("The definition of VM '%s' is gone, but it runs: its stop will clean up.", *vm);
                        continue;
                }
                remove_run(&c, *vm);
                forget(&c, *vm, with_layers);
        }
        return cleanup_end(&c);
}

/* Versions of one VM that nobody would go back to. */
static void prune_versions(Cleanup *c, const char *vm, unsigned keep) {
        _cleanup_close_ int lock_fd = vm_try_lock(vm);
        _cleanup_free_ StoreVersion *versions = NULL;
        char current[ULID_STRING_SIZE] = "", pin[ULID_STRING_SIZE] = "";
        size_t n;
        int r;

        if (lock_fd == -EBUSY)
                return; /* it is being started or stopped: next time */
        if (lock_fd < 0) {
                note(c, log_error_errno(lock_fd, "Cannot lock VM '%s': %m", vm));
                return;
        }
        remove_beginnings(c, vm);
        r = store_version_list(c->store, vm, &versions, &n);
        if (r < 0) {
                log_error("%s", store_error(c->store));
                note(c, r);
                return;
        }
        (void) version_get_current(vm, current);
        (void) version_pin_get(vm, NULL, pin);
        for (size_t i = keep; i < n; i++) {
                const char *ulid = versions[i].ulid;

                if (streq(ulid, current) || streq(ulid, pin) || !ulid_is_valid(ulid) || version_running(ulid, NULL) != 0)
                        continue;
                r = version_remove(c->store, ulid);
                if (r < 0)
                        note(c, log_error_errno(r, "Cannot remove version '%s' of VM '%s': %m", ulid, vm));
        }
}

static bool version_has_row(Cleanup *c, const char *ulid, const char *vm) {
        _cleanup_free_ StoreVersion *versions = NULL;
        size_t n;

        if (store_version_list(c->store, vm, &versions, &n) < 0)
                return true;    /* rather keep it */
        for (size_t i = 0; i < n; i++)
                if (streq(versions[i].ulid, ulid))
                        return true;
        return false;
}

/* A version on the disk without a row is what a killed builder had finished but not recorded, or a killed clean-up had begun to remove. */
static int prune_orphan(Cleanup *c, const char *ulid) {
        _cleanup_free_ char *vm = NULL;
        _cleanup_close_ int lock_fd = -EBADF;
        char current[ULID_STRING_SIZE];
        int r;

        r = version_get_vm(ulid, &vm);
        if (r < 0 && r != -ENOENT)
                return r;
        if (r >= 0) {
                lock_fd = vm_try_lock(vm);
                if (lock_fd < 0)
                        return lock_fd == -EBUSY ? 0 : lock_fd;
                if (version_has_row(c, ulid, vm) || (version_get_current(vm, current) >= 0 && streq(current, ulid)))
                        return 0;
        }
        return version_running(ulid, NULL) != 0 ? 0 : version_remove(c->store, ulid);
}

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static void prune_orphans(Cleanup *c) {
        _cleanup_free_ StoreVersion *versions = NULL;
        _cleanup_strv_ char **ulids = NULL;
        _cleanup_free_ char **known = NULL;
        size_t n, n_known = 0;
        int r;

        r = version_enumerate(&ulids);
        if (r < 0) {
                note(c, log_error_errno(r, "Cannot list the versions below '%s" LAYOUT_VMS_DIR "': %m", layout_root()));
                return;
        }
        r = store_version_list(c->store, NULL, &versions, &n);
        if (r < 0) {
                log_error("%s", store_error(c->store));
                note(c, r);
                return;
        }
        known = calloc(n + 1, sizeof(char *));
        if (!known) {
                note(c, log_oom());
                return;
        }
        for (size_t i = 0; i < n; i++)
                known[n_known++] = versions[i].ulid;
        qsort(known, n_known, sizeof(char *), compare_strings);
        STRV_FOREACH(ulid, ulids)
                if (!bsearch(ulid, known, n_known, sizeof(char *), compare_strings)) {
                        r = prune_orphan(c, *ulid);
                        if (r < 0)
                                note(c, log_error_errno(r, "Cannot remove version '%s': %m", *ulid));
                }
}

/* Adds what the symlink names; -ENOENT is fine. */
static int add_target(char *link_consume, char ***used) {
        _cleanup_free_ char *link = link_consume;
        char target[256];
        ssize_t n;

        n = link ? readlink(link, target, sizeof(target) - 1) : -1;
        if (n < 0)
                return !link ? -ENOMEM : errno == ENOENT || errno == ENOTDIR ? 0 : negative_errno();
        target[n] = 0;
        return strv_extend(used, strrchr(target, '/') ? strrchr(target, '/') + 1 : target);
}

/* The files of LAYOUT_INITRAMFS_DIR that a symlink of a VM names. NULL: not known, and not knowing what is used is no reason to remove it. */
static char **used_initramfs(char *const *vms) {
        char **used = calloc(1, sizeof(char *));

        STRV_FOREACH(vm, vms)
                if (!used || add_target(layout_vm_initramfs(*vm), &used) < 0 || add_target(layout_vm_programs(*vm), &used) < 0)
                        return strv_free(used);
        return used;
}

static int prune_temporary(Cleanup *c, int dir_fd, const char *name, void *userdata) {
        return remove_tree_at(dir_fd, name);
}

/* For VMs to come: as long as the tree that it was made from is there. */
static bool programs_are_current(const char *name) {
        _cleanup_free_ char *dir = layout_path(LAYOUT_BUNDLES_DIR), *path = NULL;

        path = strf("%s/%.*s", dir ?: "", (int) (strlen(name) - strlen(PROGRAMS_PREFIX PROGRAMS_SUFFIX)), name + strlen(PROGRAMS_PREFIX));
        return !dir || !path || access(path, F_OK) >= 0 || errno != ENOENT;
}

static int prune_initramfs_file(Cleanup *c, int dir_fd, const char *name, void *userdata) {
        char *const *used = userdata;
        bool programs = startswith(name, PROGRAMS_PREFIX) && endswith(name, PROGRAMS_SUFFIX);

        if (strv_contains(used, name) || (programs ? programs_are_current(name) : !endswith(name, ".cpio")))
                return 0;
        return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? negative_errno() : 0;
}

/* Versions have links of their own to them. Under the lock that inferno-initramfs shares with its like from looking for a file until the symlink
 * to it is there. */
static void prune_initramfs(Cleanup *c, char *const *vms) {
        _cleanup_free_ char *path = layout_path(LAYOUT_INITRAMFS_DIR);
        _cleanup_close_ int fd = -EBADF;
        _cleanup_strv_ char **used = NULL;

        fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        if (fd < 0) {
                if (!path || errno != ENOENT)
                        note(c, log_error_errno(path ? errno : ENOMEM, "Cannot open '%s': %m", path ?: LAYOUT_INITRAMFS_DIR));
                return;
        }
        if (flock(fd, LOCK_EX) < 0) {
                note(c, log_error_errno(errno, "Cannot lock '%s': %m", path));
                return;
        }
        used = used_initramfs(vms);
        if (!used) {
                note(c, log_error_errno(EIO, "Cannot find out which files in '%s' are used, keeping all.", path));
                return;
        }
        for_each_name(c, LAYOUT_INITRAMFS_DIR, false, prune_initramfs_file, used);
        for_each_name(c, LAYOUT_INITRAMFS_DIR, true, prune_temporary, NULL);
}

static void prune_templates(Cleanup *c) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_set_freep) DefinitionSet *set = NULL;
        _cleanup_free_ uint64_t *sizes = NULL;
        size_t n = 0;
        int r;

        if (!c->have_site)
                return;
        r = definition_set_new(&set, &errors);
        if (r < 0) {
                note(c, log_error_errno(r, "Cannot read the definitions: %m"));
                return;
        }
        sizes = calloc(definition_set_size(set) + 1, sizeof(uint64_t));
        if (!sizes) {
                note(c, log_oom());
                return;
        }
        sizes[n++] = c->site.root_size;
        for (size_t i = 0; i < definition_set_size(set); i++) {
                _cleanup_definition_errors_ DefinitionErrors own = {};
                _cleanup_(definition_freep) Definition *d = NULL;

                if (definition_set_load(set, i, &c->site, &d, &own) >= 0)
                        sizes[n++] = d->root_size;
        }
        r = upper_prune_templates(sizes, n);
        if (r < 0)
                note(c, log_error_errno(r, "Cannot remove old templates below '%s" LAYOUT_TEMPLATES_DIR "': %m", layout_root()));
}

/* The contents of images in the thin pool. */
static void prune_thin_images(Cleanup *c) {
        _cleanup_free_ char *error = NULL;
        _cleanup_strv_ char **wanted = NULL;
        StoreImage *images = NULL;
        ThinPool pool;
        size_t n = 0;
        int r;

        if (!c->store || !get_pool(c, &pool))
                return;
        r = store_image_list(c->store, &images, &n);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = strv_consume(&wanted, thin_root_image(images[i].manifest_digest));
        for (size_t i = 0; i < n; i++)
                store_image_done(images + i);
        free(images);
        if (r >= 0)
                r = thin_root_prune(&pool, wanted, &error);
        if (r < 0) {
                log_error("Cannot remove images from the thin pool. %s", error ?: store_error(c->store));
                note(c, r);
        }
}

int cleanup_prune(unsigned keep) {
        _cleanup_strv_ char **vms = NULL;
        Cleanup c;
        int r;

        cleanup_begin(&c);
        vms = known_vms(&c);
        STRV_FOREACH(vm, vms)
                prune_versions(&c, *vm, keep);
        r = bundle_prune();
        if (r < 0)
                note(&c, log_error_errno(r, "Cannot remove old trees below '%s" LAYOUT_BUNDLES_DIR "': %m", layout_root()));
        if (vms) {
                prune_orphans(&c);
                prune_initramfs(&c, vms);
        }
        prune_templates(&c);
        prune_thin_images(&c);
        return cleanup_end(&c);
}
