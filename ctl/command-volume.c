/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/log.h"
#include "base/str.h"
#include "ctl/ask.h"
#include "ctl/ctl.h"
#include "json/json.h"
#include "layout/layout.h"
#include "volume/info.h"
#include "volume/key.h"
#include "volume/volume.h"

static uint64_t arg_size;
static const char *arg_label, *arg_backend, *arg_key_file, *arg_new_key_file, *arg_output;
static bool arg_encrypted, arg_yes;

static const char *const backends[] = { "file", "lvm-thin", NULL };

static const CtlOption create_options[] = {
        { "size", 's', CTL_OPTION_SIZE, &arg_size, "SIZE", "How large: 512M, 10G" },
        { "label", 0, CTL_OPTION_STRING, &arg_label, "TEXT", "Words of yours" },
        { "backend", 0, CTL_OPTION_STRING, &arg_backend, "BACKEND", "A sparse file, or a thin volume in the pool of inferno-storage(8)", CTL_WORD_CHOICE, backends },
        { "encrypted", 0, CTL_OPTION_FLAG, &arg_encrypted, NULL, "LUKS2, with a random key that systemd-creds(1) keeps for this host" },
        { "key-file", 0, CTL_OPTION_STRING, &arg_key_file, "FILE", "The key of an encrypted one, which you keep", CTL_WORD_FILE },
        {},
};

static const CtlOption resize_options[] = {
        { "size", 's', CTL_OPTION_SIZE, &arg_size, "SIZE", "How large it shall be: 512M, 10G" },
        {},
};

static const CtlOption yes_options[] = {
        { "yes", 'y', CTL_OPTION_FLAG, &arg_yes, NULL, "Do not ask" },
        {},
};

static const CtlOption key_options[] = {
        { "key-file", 0, CTL_OPTION_STRING, &arg_key_file, "FILE", "rotate, add: the present key, where this host does not keep it", CTL_WORD_FILE },
        { "new-key-file", 0, CTL_OPTION_STRING, &arg_new_key_file, "FILE", "rotate, add: the new key; rotate without it makes one at random", CTL_WORD_FILE },
        { "output", 'o', CTL_OPTION_STRING, &arg_output, "FILE", "backup-header: a new file", CTL_WORD_FILE },
        {},
};

static int fail(int r, const char *error) {
        (void) ctl_log_sentence(r, error);
        return EXIT_FAILED;
}

/* A name of the command line, and the database. 0 or an exit code. */
static int begin(Ctl *c, const char *argument, char **ret_name, char **ret_snapshot) {
        _cleanup_free_ char *error = NULL;
        int r;

        r = volume_parse_name(argument, ret_name, ret_snapshot, &error);
        if (r < 0) {
                (void) ctl_log_sentence(r, error);
                return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
        }
        return ctl_need_store(c);
}

static int want_size(const char *command) {
        if (arg_size > 0)
                return 0;
        log_error("%s: how large? Say --size=10G.", command);
        return EXIT_USAGE;
}

static int run_create(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *name = NULL, *error = NULL;
        int r;

        r = want_size("volume create");
        if (r == 0 && arg_label && !volume_label_is_valid(arg_label)) {
                log_error("volume create: a label has at most 255 bytes, and no control characters.");
                r = EXIT_USAGE;
        }
        if (r == 0 && arg_key_file && !arg_encrypted) {
                log_error("volume create: --key-file= is for a volume that is --encrypted.");
                r = EXIT_USAGE;
        }
        if (r == 0)
                r = begin(c, args[0], &name, NULL);
        if (r != 0)
                return r;
        r = volume_create(c->store, &(VolumeSpec) { .name = name, .label = arg_label, .size = arg_size, .backend = arg_backend,
                                                    .encrypted = arg_encrypted, .key_file = arg_key_file }, &error);
        return r < 0 ? fail(r, error) : 0;
}

static json_t *holders(const VolumeInfo *i) {
        json_t *a = json_array();

        for (size_t k = 0; k < i->n_attachments; k++) {
                const StoreAttachment *attachment = i->attachments + k;

                if (json_array_append_new(a, json_pack("{s:s,s:b}", "vm", attachment->vm, "read_only", attachment->read_only)) < 0) {
                        json_decref(a);
                        return NULL;
                }
        }
        return a;
}

static int run_ls(Ctl *c, char **args, size_t n_args) {
        static const TableColumn columns[] = {
                { "VOLUME", "name", TABLE_TEXT },
                { "SIZE", "size", TABLE_BYTES },
                { "USED", "used", TABLE_BYTES },
                { "STATE", "state", TABLE_TEXT },
                { "VM", "holders", TABLE_TEXT, .shrinks = true },
                { "BACKEND", "backend", TABLE_TEXT },
                { "ENCRYPTED", "encrypted", TABLE_TEXT },
                { "LABEL", "label", TABLE_TEXT, .shrinks = true },
                { NULL, "attachments" },
                { NULL, "snapshots", TABLE_NUMBER },
                { NULL, "created", TABLE_TIME },
                {},
        };
        _cleanup_(table_freep) Table *t = NULL;
        _cleanup_strv_ char **names = NULL;
        int r;

        r = ctl_want_store(c);
        if (r != 0)
                return r;
        if (c->store && store_volume_list(c->store, &names) < 0)
                return fail(-EIO, store_error(c->store));
        r = table_new(columns, &t);
        if (r < 0)
                return log_oom();
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *error = NULL, *vms = NULL;
                _cleanup_volume_info_ VolumeInfo i = {};

                r = volume_info_get(c->store, *name, &i, &error);
                if (r == -ENOENT)
                        continue;       /* removed meanwhile */
                if (r < 0)
                        return fail(r, error);
                vms = volume_info_format_holders(&i);
                if (!vms)
                        return log_oom();
                table_add_text(t, i.row.name);
                table_add_number(t, i.row.size);
                table_add_number(t, i.used);
                table_add_text(t, i.state);
                table_add_text(t, vms);
                table_add_text(t, i.row.backend);
                table_add_bool(t, i.row.luks_uuid);
                table_add_text(t, i.row.label);
                table_add(t, holders(&i));
                table_add_number(t, strv_length(i.snapshots));
                table_add_number(t, i.row.created_usec);
        }
        return ctl_print_table(c, t);
}

static json_t *snapshot_list(const VolumeInfo *i) {
        json_t *a = json_array();

        STRV_FOREACH(s, i->snapshots)
                if (json_array_append_new(a, json_string(*s)) < 0) {
                        json_decref(a);
                        return NULL;
                }
        return a;
}

static int print_line(const char *title, const char *value) {
        _cleanup_free_ char *fit = value ? text_escape(*value ? value : "-") : NULL;

        if (!fit)
                return log_oom();
        printf("%-11s %s\n", title, fit);
        return 0;
}

static int print_volume(const VolumeInfo *i, const char *path) {
        _cleanup_free_ char *size = format_bytes(i->row.size), *used = format_bytes(i->used), *vms = volume_info_format_holders(i),
                            *created = format_time(i->row.created_usec), *cipher = NULL;
        int r;

        cipher = i->row.luks_uuid ? strf("LUKS2, %s, %u bits, UUID %s", i->row.luks_cipher, i->row.luks_key_bytes * 8, i->row.luks_uuid) : strdup("no");
        r = print_line("Volume:", i->row.name);
        if (r >= 0)
                r = print_line("State:", i->state);
        if (r >= 0)
                r = print_line("VM:", vms);
        if (r >= 0)
                r = print_line("Size:", size);
        if (r >= 0)
                r = print_line("Used:", used);
        if (r >= 0)
                r = print_line("Backend:", i->row.backend);
        if (r >= 0)
                r = print_line("Disk:", path);
        if (r >= 0)
                r = print_line("Encrypted:", cipher);
        if (r >= 0)
                r = print_line("Label:", i->row.label);
        if (r >= 0)
                r = print_line("Created:", created);
        STRV_FOREACH(s, i->snapshots)
                if (r >= 0)
                        r = print_line(s == i->snapshots ? "Snapshots:" : "", *s);
        return r < 0 ? r : ctl_flush();
}

static int run_inspect(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *name = NULL, *path = NULL, *error = NULL;
        _cleanup_volume_info_ VolumeInfo i = {};
        int r;

        r = begin(c, args[0], &name, NULL);
        if (r != 0)
                return r;
        r = volume_info_get(c->store, name, &i, &error);
        if (r >= 0)
                r = volume_get_path(&i.row, &path, &error);
        if (r < 0)
                return fail(r, error);
        if (c->format == CTL_TABLE)
                return print_volume(&i, path);
        return ctl_print_json(json_pack("{s:s,s:s,s:o,s:I,s:I,s:s,s:s,s:b,s:s?,s:s?,s:I,s:s,s:I,s:o}", "name", name, "state", i.state, "attachments", holders(&i),
                                        "size", (json_int_t) i.row.size, "used", (json_int_t) i.used, "backend", i.row.backend, "path", path,
                                        "encrypted", i.row.luks_uuid != NULL, "luks_uuid", i.row.luks_uuid, "luks_cipher", i.row.luks_cipher,
                                        "luks_key_bits", (json_int_t) (i.row.luks_uuid ? i.row.luks_key_bytes * 8 : 0), "label", i.row.label,
                                        "created", (json_int_t) i.row.created_usec, "snapshots", snapshot_list(&i)));
}

static int run_resize(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *name = NULL, *error = NULL;
        int r;

        r = want_size("volume resize");
        if (r == 0)
                r = begin(c, args[0], &name, NULL);
        if (r != 0)
                return r;
        r = volume_resize(c->store, name, arg_size, &error);
        return r < 0 ? fail(r, error) : 0;
}

/* 0: yes. Or an exit code. */
static int confirm(const char *command, char *question_consume) {
        _cleanup_free_ char *question = question_consume;

        if (arg_yes)
                return 0;
        if (!question)
                return log_oom();
        if (!can_ask()) {
                log_error("%s: there is no terminal to ask at: say --yes.", command);
                return EXIT_USAGE;
        }
        return ask(question, false) ? 0 : EXIT_FAILED;
}

static int begin_snapshot(Ctl *c, const char *argument, char **ret_name, char **ret_snapshot) {
        int r = begin(c, argument, ret_name, ret_snapshot);

        if (r == 0 && !*ret_snapshot) {
                log_error("Which snapshot? Wanted is %s@SNAPSHOT.", *ret_name);
                return EXIT_USAGE;
        }
        return r;
}

static int run_snapshot(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *name = NULL, *snapshot = NULL, *error = NULL;
        int r;

        r = begin_snapshot(c, args[0], &name, &snapshot);
        if (r != 0)
                return r;
        r = volume_snapshot(c->store, name, snapshot, &error);
        return r < 0 ? fail(r, error) : 0;
}

static int run_restore(Ctl *c, char **args, size_t n_args) {
        _cleanup_free_ char *name = NULL, *snapshot = NULL, *error = NULL;
        int r;

        r = begin_snapshot(c, args[0], &name, &snapshot);
        if (r == 0)
                r = confirm("volume restore", strf("Put snapshot '%s' in place of what is in volume '%s' now?", snapshot, name));
        if (r != 0)
                return r;
        r = volume_restore(c->store, name, snapshot, &error);
        return r < 0 ? fail(r, error) : 0;
}

static int run_rm(Ctl *c, char **args, size_t n_args) {
        int first = 0;

        for (size_t i = 0; i < n_args; i++) {
                _cleanup_free_ char *name = NULL, *snapshot = NULL, *error = NULL;
                int r;

                r = begin(c, args[i], &name, &snapshot);
                if (r == 0)
                        r = confirm("volume rm", snapshot ? strf("Remove snapshot '%s' of volume '%s'?", snapshot, name) :
                                                            strf("Remove volume '%s' and all that is in it?", name));
                if (r == 0) {
                        r = snapshot ? volume_remove_snapshot(c->store, name, snapshot, &error) : volume_remove(c->store, name, &error);
                        r = r < 0 ? fail(r, error) : 0;
                }
                first = first ?: r;
        }
        return first;
}

/* What of a definition gives its unit the key: "LoadCredential=inferno.volume.data:/path". Of one that has the key itself in it, not that. */
static int add_settings(const Definition *d, const char *credential, json_t *list) {
        for (size_t i = 0; i < d->n_pass; i++) {
                const PassThrough *p = d->pass + i;
                const char *rest = startswith(p->value, credential);

                if (!streq(p->section, "Service") || !strstr(p->key, "Credential") || !rest || (*rest && *rest != ':'))
                        continue;
                if (json_array_append_new(list, json_pack("{s:s,s:s,s:s?}", "vm", d->name, "setting", p->key, "from",
                                                          startswith(p->key, "Load") && *rest ? rest + 1 : NULL)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int collect_settings(Ctl *c, const char *volume, const char *credential, json_t *list) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_(definition_set_freep) DefinitionSet *set = NULL;
        int r;

        r = ctl_need_site(c);
        if (r != 0)
                return -EIO;
        r = definition_set_new(&set, &errors);
        for (size_t i = 0; r >= 0 && i < definition_set_size(set); i++) {
                _cleanup_definition_errors_ DefinitionErrors own = {};
                _cleanup_(definition_freep) Definition *d = NULL;

                if (definition_set_load(set, i, &c->site, &d, &own) < 0)
                        continue;       /* such a VM cannot be started */
                for (size_t k = 0; r >= 0 && k < d->n_volumes; k++)
                        if (streq(d->volumes[k].name, volume))
                                r = add_settings(d, credential, list);
        }
        return r < 0 ? log_error_errno(r, "Cannot read the definitions: %m") : 0;
}

static int show_source(Ctl *c, const char *name) {
        _cleanup_free_ char *credential = layout_volume_credential(name), *path = credential ? strjoin(LAYOUT_CREDENTIALS_DIR "/", credential) : NULL, *error = NULL;
        bool kept = volume_key_exists(name);
        _cleanup_volume_info_ VolumeInfo i = {};
        _cleanup_json_ json_t *list = json_array();
        json_t *setting;
        size_t k;
        int r;

        if (!path || !list)
                return log_oom();
        r = volume_info_get(c->store, name, &i, &error);
        if (r < 0)
                return fail(r, error);
        if (!i.row.luks_uuid) {
                log_error("Volume '%s' is not encrypted: it has no key.", name);
                return EXIT_FAILED;
        }
        r = collect_settings(c, name, credential, list);
        if (r < 0)
                return r;
        if (c->format == CTL_JSON)
                return ctl_print_json(json_pack("{s:s,s:s,s:b,s:s?,s:O}", "volume", name, "credential", credential, "kept", kept, "path", kept ? path : NULL,
                                                "settings", list));
        r = print_line("Volume:", name);
        if (r >= 0)
                r = print_line("Credential:", credential);
        if (r >= 0)
                r = print_line("Kept:", kept ? path : "not on this host, see inferno-volume(8)");
        json_array_foreach(list, k, setting) {
                _cleanup_free_ char *text = strf("%s= of VM '%s', %s", json_string_value(json_object_get(setting, "setting")),
                                                 json_string_value(json_object_get(setting, "vm")),
                                                 json_string_value(json_object_get(setting, "from")) ?: "wherever systemd finds it");

                if (r >= 0)
                        r = print_line("Given by:", text);
        }
        return r < 0 ? r : ctl_flush();
}

static int run_key(Ctl *c, char **args, size_t n_args) {
        bool rotate = streq(args[0], "rotate"), add = streq(args[0], "add"), backup = streq(args[0], "backup-header");
        _cleanup_free_ char *name = NULL, *error = NULL;
        int r;

        if (!rotate && !add && !backup && !streq(args[0], "show-source")) {
                log_error("volume key: \"%.100s\" is none of rotate, add, show-source and backup-header.", args[0]);
                return EXIT_USAGE;
        }
        if ((add && !arg_new_key_file) || (backup && !arg_output)) {
                log_error("volume key %s: say %s.", args[0], add ? "--new-key-file=FILE" : "--output=FILE");
                return EXIT_USAGE;
        }
        r = begin(c, args[1], &name, NULL);
        if (r != 0)
                return r;
        if (rotate || add)
                r = volume_change_key(c->store, name, arg_key_file, arg_new_key_file, rotate, &error);
        else if (backup)
                r = volume_backup_header(c->store, name, arg_output, &error);
        else
                return show_source(c, name);
        return r < 0 ? fail(r, error) : 0;
}

const Command command_volume_create = {
        .name = "volume create",
        .group = GROUP_STORAGE,
        .synopsis = "NAME",
        .summary = "Make a data volume",
        .min_args = 1,
        .max_args = 1,
        .flags = COMMAND_ROOT,
        .options = create_options,
        .run = run_create,
};

const Command command_volume_ls = {
        .name = "volume ls",
        .aliases = "list",
        .group = GROUP_STORAGE,
        .synopsis = "",
        .summary = "List the data volumes, and which VMs have them",
        .flags = COMMAND_FORMAT | COMMAND_ROOT,
        .run = run_ls,
};

const Command command_volume_inspect = {
        .name = "volume inspect",
        .group = GROUP_STORAGE,
        .synopsis = "NAME",
        .summary = "Show what is known of a volume",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_VOLUME,
        .flags = COMMAND_FORMAT | COMMAND_ROOT,
        .run = run_inspect,
};

const Command command_volume_resize = {
        .name = "volume resize",
        .group = GROUP_STORAGE,
        .synopsis = "NAME",
        .summary = "Make a volume larger",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_VOLUME,
        .flags = COMMAND_ROOT,
        .options = resize_options,
        .run = run_resize,
};

const Command command_volume_snapshot = {
        .name = "volume snapshot",
        .group = GROUP_STORAGE,
        .synopsis = "NAME@SNAPSHOT",
        .summary = "Keep a copy of what is in a volume",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_VOLUME,
        .flags = COMMAND_ROOT,
        .run = run_snapshot,
};

const Command command_volume_restore = {
        .name = "volume restore",
        .group = GROUP_STORAGE,
        .synopsis = "NAME@SNAPSHOT",
        .summary = "Put a snapshot back in place of what is in the volume",
        .min_args = 1,
        .max_args = 1,
        .first = CTL_WORD_VOLUME,
        .flags = COMMAND_ROOT,
        .options = yes_options,
        .run = run_restore,
};

const Command command_volume_rm = {
        .name = "volume rm",
        .group = GROUP_STORAGE,
        .synopsis = "NAME[@SNAPSHOT]…",
        .summary = "Remove volumes or snapshots, with all that is in them",
        .min_args = 1,
        .max_args = COMMAND_ANY_NUMBER,
        .first = CTL_WORD_VOLUME,
        .rest = CTL_WORD_VOLUME,
        .flags = COMMAND_ROOT,
        .options = yes_options,
        .run = run_rm,
};

const Command command_volume_key = {
        .name = "volume key",
        .group = GROUP_STORAGE,
        .synopsis = "rotate|add|show-source|backup-header NAME",
        .summary = "Change the key of an encrypted volume, or show where it comes from",
        .min_args = 2,
        .max_args = 2,
        .rest = CTL_WORD_VOLUME,
        .flags = COMMAND_FORMAT | COMMAND_ROOT,
        .options = key_options,
        .run = run_key,
};
