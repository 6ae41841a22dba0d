/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Data volumes. inferno-volume(8). */

#include <time.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "helpers/context.h"
#include "helpers/program.h"
#include "layout/layout.h"
#include "version/version.h"
#include "volume/info.h"
#include "volume/volume.h"

static const char usage[] =
        "inferno-volume [OPTIONS…] create NAME | ls | inspect NAME | resize NAME | rm NAME[@SNAPSHOT]\n"
        "       inferno-volume [OPTIONS…] snapshot NAME@SNAPSHOT | restore NAME@SNAPSHOT\n"
        "       inferno-volume [OPTIONS…] attach VM | detach VM\n"
        "\n"
        "Makes and keeps the data volumes that VMs mount by Volume=.\n"
        "\n"
        "  create NAME            Make a volume of --size= with an empty file system.\n"
        "  ls                     Print all volumes.\n"
        "  inspect NAME           Print what is known of one, one Key=Value a line.\n"
        "  resize NAME            Make it larger, up to --size=.\n"
        "  rm NAME[@SNAPSHOT]     Remove a volume, or a snapshot of it, with what is in it.\n"
        "  snapshot NAME@SNAPSHOT Keep a copy of what is in it.\n"
        "  restore NAME@SNAPSHOT  Put that back in place of what is in it now.\n"
        "  rotate-key NAME        Give an encrypted volume another key, at random or --new-key-file=, in place of the present one.\n"
        "  add-key NAME           Have it opened by the key in --new-key-file=, too.\n"
        "  backup-header NAME     Copy its LUKS2 header to a new file, --output=.\n"
        "  attach VM              Give a VM the volumes of its definition. The unit of a VM that has some calls it.\n"
        "  detach VM              Take them from it.\n"
        "\n"
        "      --size=SIZE  For create and resize: 512M, 10G\n"
        "      --label=TEXT For create: words of the owner's\n"
        "      --backend=file|lvm-thin  For create: a sparse file, or a thin volume in the pool of inferno-storage(8)\n"
        "      --encrypted  For create: LUKS2, with a random key that systemd-creds(1) keeps for this host\n"
        "      --key-file=FILE, --new-key-file=FILE  Bring a key along: the present one (create: the first), the new one\n"
        "      --output=FILE  For backup-header\n"
        "      --root=DIR   Work below DIR instead of /\n"
        "  -h, --help       Show this help\n"
        "      --version    Show the version\n"
        "\n"
        "All but ls, inspect and attach want the volume to be in no VM's hands. See inferno-volume(8).\n";

static uint64_t size_wanted = 0;
static const char *label = NULL, *backend = NULL;
static bool encrypted = false;
static const char *key_file = NULL, *new_key_file = NULL, *output = NULL;

static int set_size(const char *value) {
        return parse_size(value, &size_wanted);
}

static int set_label(const char *value) {
        label = value;
        return volume_label_is_valid(value) ? 0 : -EINVAL;
}

static int set_backend(const char *value) {
        backend = value;
        return streq(value, "file") || streq(value, "lvm-thin") ? 0 : -EINVAL;
}

static int set_encrypted(void) {
        encrypted = true;
        return 0;
}

static int set_key_file(const char *value) {
        key_file = value;
        return *value ? 0 : -EINVAL;
}

static int set_new_key_file(const char *value) {
        new_key_file = value;
        return *value ? 0 : -EINVAL;
}

static int set_output(const char *value) {
        output = value;
        return *value ? 0 : -EINVAL;
}

/* "NAME", or "NAME@SNAPSHOT" where that may be. 0 or an exit code. */
static int parse_name(const char *argument, char **ret_name, char **ret_snapshot) {
        _cleanup_free_ char *error = NULL;
        int r;

        r = volume_parse_name(argument, ret_name, ret_snapshot, &error);
        if (r < 0)
                (void) helper_log_sentence(r, error);
        return r == -EINVAL ? EXIT_USAGE : r;
}

static int check_name(const char *name) {
        _cleanup_free_ char *copy = NULL;

        return parse_name(name, &copy, NULL);
}

static int want_size(const char *verb) {
        if (size_wanted > 0)
                return 0;
        log_error("How large? %s needs --size=, such as --size=10G.", verb);
        return EXIT_USAGE;
}

static int run_create(const char *name) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_free_ char *error = NULL;
        int r;

        r = check_name(name);
        if (r != 0)
                return r;
        r = want_size("create");
        if (r == 0 && key_file && !encrypted) {
                log_error("--key-file= is for a volume that is --encrypted.");
                r = EXIT_USAGE;
        }
        if (r == 0)
                r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = volume_create(c.store, &(VolumeSpec) { .name = name, .label = label, .size = size_wanted, .backend = backend, .encrypted = encrypted, .key_file = key_file }, &error);
        return r < 0 ? helper_log_sentence(r, error) : 0;
}

static int run_resize(const char *name) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_free_ char *error = NULL;
        int r;

        r = check_name(name);
        if (r != 0)
                return r;
        r = want_size("resize");
        if (r == 0)
                r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = volume_resize(c.store, name, size_wanted, &error);
        return r < 0 ? helper_log_sentence(r, error) : 0;
}

static int change_key(const char *name, bool replace) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_free_ char *error = NULL;
        int r;

        r = check_name(name);
        if (r != 0)
                return r;
        r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = volume_change_key(c.store, name, key_file, new_key_file, replace, &error);
        return r < 0 ? helper_log_sentence(r, error) : 0;
}

static int run_rotate_key(const char *name) {
        return change_key(name, true);
}

static int run_add_key(const char *name) {
        if (!new_key_file) {
                log_error("Which key? add-key needs --new-key-file=.");
                return EXIT_USAGE;
        }
        return change_key(name, false);
}

static int run_backup_header(const char *name) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_free_ char *error = NULL;
        int r;

        r = check_name(name);
        if (r != 0)
                return r;
        if (!output) {
                log_error("Where to? backup-header needs --output=, the name of a new file.");
                return EXIT_USAGE;
        }
        r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = volume_backup_header(c.store, name, output, &error);
        return r < 0 ? helper_log_sentence(r, error) : 0;
}

/* A call for a volume's snapshot, which must be given. */
static int with_snapshot(const char *argument, int (*f)(Store *s, const char *name, const char *snapshot, char **ret_error)) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_free_ char *name = NULL, *snapshot = NULL, *error = NULL;
        int r;

        r = parse_name(argument, &name, &snapshot);
        if (r != 0)
                return r;
        if (!snapshot) {
                log_error("Which snapshot? Wanted is %s@SNAPSHOT.", name);
                return EXIT_USAGE;
        }
        r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = f(c.store, name, snapshot, &error);
        return r < 0 ? helper_log_sentence(r, error) : 0;
}

static int run_snapshot(const char *argument) {
        return with_snapshot(argument, volume_snapshot);
}

static int run_restore(const char *argument) {
        return with_snapshot(argument, volume_restore);
}

static int run_rm(const char *argument) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_free_ char *error = NULL;
        int r;

        if (strchr(argument, '@'))
                return with_snapshot(argument, volume_remove_snapshot);
        r = check_name(argument);
        if (r != 0)
                return r;
        r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = volume_remove(c.store, argument, &error);
        return r < 0 ? helper_log_sentence(r, error) : 0;
}

static int run_ls(const char *argument) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_strv_ char **names = NULL;
        int r;

        r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = store_volume_list(c.store, &names);
        if (r < 0)
                return helper_log_sentence(r, store_error(c.store));
        printf("%-24s %9s %9s %-12s %-16s %s\n", "VOLUME", "SIZE/MiB", "USED/MiB", "STATE", "VM", "LABEL");
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *holders = NULL, *error = NULL;
                _cleanup_volume_info_ VolumeInfo i = {};

                r = volume_info_get(c.store, *name, &i, &error);
                if (r == -ENOENT)
                        continue;       /* removed meanwhile */
                if (r < 0)
                        return helper_log_sentence(r, error);
                holders = volume_info_format_holders(&i);
                if (!holders)
                        return log_oom();
                printf("%-24s %9llu %9llu %-12s %-16s %s\n", *name, (unsigned long long) (i.row.size / MIB(1)),
                       (unsigned long long) ((i.used + MIB(1) - 1) / MIB(1)), i.state, holders[0] ? holders : "-", i.row.label);
        }
        return 0;
}

static int run_inspect(const char *name) {
        _cleanup_free_ char *holders = NULL, *path = NULL, *error = NULL;
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_volume_info_ VolumeInfo i = {};
        char created[32] = "-";
        struct tm tm;
        time_t t;
        int r;

        r = check_name(name);
        if (r == 0)
                r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = volume_info_get(c.store, name, &i, &error);
        if (r >= 0)
                r = volume_get_path(&i.row, &path, &error);
        if (r < 0)
                return helper_log_sentence(r, error);
        holders = volume_info_format_holders(&i);
        if (!holders)
                return log_oom();
        t = (time_t) (i.row.created_usec / USEC_PER_SEC);
        if (localtime_r(&t, &tm))
                (void) strftime(created, sizeof(created), "%Y-%m-%d %H:%M:%S", &tm);
        printf("Name=%s\nState=%s\nBackend=%s\nFile=%s\nSize=%llu\nUsed=%llu\nVMs=%s\nLabel=%s\nCreated=%s\n", name, i.state, i.row.backend, path,
               (unsigned long long) i.row.size, (unsigned long long) i.used, holders, i.row.label, created);
        if (i.row.luks_uuid)
                printf("Encrypted=yes\nUUID=%s\nCipher=%s\nKeySize=%u\n", i.row.luks_uuid, i.row.luks_cipher, i.row.luks_key_bytes * 8);
        STRV_FOREACH(snapshot, i.snapshots)
                printf("Snapshot=%s\n", *snapshot);
        return 0;
}

static int run_attach(const char *vm) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_close_ int lock = -EBADF;
        _cleanup_free_ char *error = NULL;
        char ulid[ULID_STRING_SIZE];
        unsigned uid;
        int r;

        r = helper_load_site(&c);
        if (r == 0)
                r = helper_load_definition(&c, vm);
        if (r != 0)
                return r;
        lock = helper_lock_vm(vm);
        if (lock < 0)
                return lock;
        if (version_get_current(vm, ulid) >= 0 && version_running(ulid, NULL) > 0) {
                log_error("VM '%s' runs already, with the volumes that it had at its start: stop it first.", vm);
                return EXIT_BUSY;
        }
        r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = store_vm_ensure(c.store, vm, c.site.uid_base, c.site.uid_count, &uid);
        if (r < 0)
                return helper_log_sentence(r, store_error(c.store));
        r = volume_attach_all(c.store, c.definition, uid, &error);
        return r < 0 ? helper_log_sentence(r, error) : 0;
}

static int run_detach(const char *vm) {
        _cleanup_helper_context_ HelperContext c = {};
        _cleanup_close_ int lock = -EBADF;
        _cleanup_free_ char *error = NULL;
        char ulid[ULID_STRING_SIZE];
        int r;

        lock = helper_lock_vm(vm);
        if (lock < 0)
                return lock;
        if (version_get_current(vm, ulid) >= 0 && version_running(ulid, NULL) > 0) {
                log_error("VM '%s' runs, and writes to its volumes: stop it first.", vm);
                return EXIT_BUSY;
        }
        r = helper_open_store(&c);
        if (r != 0)
                return r;
        r = volume_detach_all(c.store, vm, &error);
        return r < 0 ? helper_log_sentence(r, error) : 0;
}

static const HelperVerb verbs[] = {
        { "create", "NAME", run_create },
        { "ls", NULL, run_ls },
        { "inspect", "NAME", run_inspect },
        { "resize", "NAME", run_resize },
        { "rm", "NAME", run_rm },
        { "snapshot", "NAME@SNAPSHOT", run_snapshot },
        { "restore", "NAME@SNAPSHOT", run_restore },
        { "rotate-key", "NAME", run_rotate_key },
        { "add-key", "NAME", run_add_key },
        { "backup-header", "NAME", run_backup_header },
        { "attach", "VM", run_attach },
        { "detach", "VM", run_detach },
        {},
};

static const HelperOption options[] = {
        { "--size", .set = set_size },
        { "--label", .set = set_label },
        { "--backend", .set = set_backend },
        { "--encrypted", .flag = set_encrypted },
        { "--key-file", .set = set_key_file },
        { "--new-key-file", .set = set_new_key_file },
        { "--output", .set = set_output },
        {},
};

int main(int argc, char **argv) {
        return helper_main(argc, argv, usage, verbs, options);
}
