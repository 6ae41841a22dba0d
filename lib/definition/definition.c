/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/parse.h"
#include "base/str.h"
#include "definition/config-key.h"
#include "definition/ini.h"
#include "definition/loader.h"
#include "definition/pass-through.h"
#include "definition/problems.h"
#include "definition/publish.h"
#include "definition/volume-use.h"
#include "layout/layout.h"

enum { UNIT_NAME_MAX = 255 };

static const ConfigKey vm_keys[] = {
        CONFIG_KEY(Definition, image, "Image", config_parse_image, CONFIG_STRING),
        CONFIG_KEY(Definition, pull, "Pull", config_parse_pull, CONFIG_SCALAR),
        CONFIG_KEY(Definition, auto_update, "AutoUpdate", config_parse_auto_update, CONFIG_SCALAR),
        CONFIG_KEY(Definition, command, "Command", config_parse_words, CONFIG_WORDS),
        CONFIG_KEY(Definition, entrypoint, "Entrypoint", config_parse_entrypoint, CONFIG_WORDS),
        CONFIG_KEY(Definition, environment, "Environment", config_parse_environment, CONFIG_LIST),
        CONFIG_KEY(Definition, environment_files, "EnvironmentFile", config_parse_environment_file, CONFIG_LIST),
        CONFIG_KEY(Definition, user, "User", config_parse_user, CONFIG_STRING),
        CONFIG_KEY(Definition, working_directory, "WorkingDirectory", config_parse_path, CONFIG_STRING),
        CONFIG_KEY(Definition, hostname, "Hostname", config_parse_hostname, CONFIG_STRING),
        CONFIG_KEY(Definition, vcpu_millis, "VCPUs", config_parse_vcpus, CONFIG_SCALAR),
        CONFIG_KEY(Definition, memory, "Memory", config_parse_memory, CONFIG_SCALAR),
        CONFIG_KEY(Definition, kernel, "Kernel", config_parse_path, CONFIG_STRING),
        CONFIG_KEY(Definition, kernel_args, "KernelArgs", config_parse_kernel_args, CONFIG_LIST),
        CONFIG_KEY(Definition, bundle, "Bundle", config_parse_bundle, CONFIG_LIST),
        CONFIG_KEY(Definition, publish_words, "Publish", config_parse_publish, CONFIG_LIST),
        CONFIG_KEY(Definition, dns, "DNS", config_parse_dns, CONFIG_LIST),
        CONFIG_KEY(Definition, add_hosts, "AddHost", config_parse_add_host, CONFIG_LIST),
        CONFIG_KEY(Definition, ssh_keys, "SSHKey", config_parse_ssh_key, CONFIG_LIST),
        CONFIG_KEY(Definition, stop_signal, "StopSignal", config_parse_signal, CONFIG_SCALAR),
        CONFIG_KEY(Definition, stop_timeout_usec, "StopTimeout", config_parse_stop_timeout, CONFIG_SCALAR),
        CONFIG_KEY(Definition, root, "Root", config_parse_root, CONFIG_SCALAR),
        CONFIG_KEY(Definition, root_backend, "RootBackend", config_parse_root_backend, CONFIG_SCALAR),
        CONFIG_KEY(Definition, root_size, "RootSize", config_parse_root_size, CONFIG_SCALAR),
        CONFIG_KEY(Definition, volume_lines, "Volume", config_parse_volume, CONFIG_LIST),
        CONFIG_KEY(Definition, vmm, "VMM", config_parse_vmm, CONFIG_SCALAR),
        CONFIG_KEY(Definition, tenant, "Tenant", config_parse_tenant, CONFIG_STRING),
};

static const char *const sections[] = { "VM", "Unit", "Service", "Slice", "Install" };

/* What one load has at hand. */
typedef struct Loader {
        const SiteConfig *site;
        Definition *definition;
        Definition defaults;            /* borrows from site */
        DefinitionErrors *errors;
        unsigned n_problems;

        /* Of the file that is being read. */
        const char *path;               /* borrowed from definition->files */
        const char *section;            /* of sections[]; NULL: unknown, its lines are passed over */
        uint32_t seen;                  /* keys of vm_keys */
} Loader;

Definition *definition_free(Definition *d) {
        if (!d)
                return NULL;
        free(d->name);
        free(d->path);
        strv_free(d->files);
        free(d->image);
        strv_free(d->command);
        strv_free(d->entrypoint);
        strv_free(d->environment);
        strv_free(d->environment_files);
        free(d->user);
        free(d->working_directory);
        free(d->hostname);
        free(d->kernel);
        strv_free(d->kernel_args);
        strv_free(d->bundle);
        strv_free(d->publish_words);
        free(d->published);
        strv_free(d->dns);
        strv_free(d->add_hosts);
        strv_free(d->ssh_keys);
        strv_free(d->volume_lines);
        for (size_t i = 0; i < d->n_volumes; i++)
                volume_use_done(d->volumes + i);
        free(d->volumes);
        free(d->tenant);
        for (size_t i = 0; i < d->n_pass; i++) {
                free(d->pass[i].key);
                free(d->pass[i].value);
        }
        free(d->pass);
        free(d);
        return NULL;
}

/* Past the limit the rest of the file is not even read: -E2BIG ends the parse, and the definition is wrong anyway. */
static int loader_problem(Loader *l, unsigned line, const char *subject, const char *message) {
        int r;

        if (++l->n_problems > PROBLEMS_MAX) {
                r = problems_add(l->errors, "%s: There are more problems than are listed here.", l->path);
                return r == -ENOMEM ? r : -E2BIG;
        }
        if (line > 0)
                r = problems_add(l->errors, "%s:%u: %s%s%s", l->path, line, subject ?: "", subject ? ": " : "", message);
        else
                r = problems_add(l->errors, "%s: %s", l->path, message);
        return r == -ENOMEM ? r : 0;
}

static int on_problem(void *userdata, unsigned line, const char *message) {
        return loader_problem(userdata, line, NULL, message);
}

static int on_section(void *userdata, unsigned line, const char *name) {
        Loader *l = userdata;
        _cleanup_free_ char *subject = NULL;

        l->section = NULL;
        for (size_t i = 0; i < ELEMENTSOF(sections); i++)
                if (streq(sections[i], name))
                        l->section = sections[i];
        if (l->section)
                return 0;
        subject = strf("[%.100s]", name);
        if (!subject)
                return -ENOMEM;
        return loader_problem(l, line, subject, "Unknown section; there are [VM], [Unit], [Service], [Slice] and [Install].");
}

static int assign_vm_key(Loader *l, unsigned line, const char *key, const char *value) {
        const ConfigKey *k = config_key_find(vm_keys, ELEMENTSOF(vm_keys), key);
        _cleanup_free_ char *subject = NULL;
        const char *reason = NULL;
        uint32_t bit;
        int r;

        if (!k) {
                subject = strf("%.100s=", key);
                return subject ? loader_problem(l, line, subject, "Unknown key in [VM].") : -ENOMEM;
        }
        bit = UINT32_C(1) << (k - vm_keys);
        if (k->kind != CONFIG_LIST && (l->seen & bit)) {
                subject = strf("%s=", key);
                return subject ? loader_problem(l, line, subject, "This key is given twice in one file.") : -ENOMEM;
        }
        l->seen |= bit;

        r = config_key_assign(k, value, l->definition, &l->defaults, &reason);
        if (r != -EINVAL)
                return r;
        subject = strf("%s=%.100s", key, value);
        return subject ? loader_problem(l, line, subject, reason) : -ENOMEM;
}

static int add_pass_through(Loader *l, unsigned line, const char *key, const char *value) {
        Definition *d = l->definition;
        const char *reason;
        PassThrough *p;

        reason = pass_through_check(l->section, key, value);
        if (reason) {
                _cleanup_free_ char *subject = strf("%.100s=%.100s", key, value);

                return subject ? loader_problem(l, line, subject, reason) : -ENOMEM;
        }
        p = GREEDY_APPEND(d->pass, d->n_pass);
        if (!p)
                return -ENOMEM;
        *p = (PassThrough) { .section = l->section, .key = strdup(key), .value = strdup(value), .file = l->path, .line = line };
        d->n_pass++;
        return p->key && p->value ? 0 : -ENOMEM;
}

static int on_assignment(void *userdata, unsigned line, const char *key, const char *value) {
        Loader *l = userdata;

        if (!l->section)
                return 0;
        return streq(l->section, "VM") ? assign_vm_key(l, line, key, value) : add_pass_through(l, line, key, value);
}

static int on_file(void *userdata, const char *path, char *text, size_t size) {
        static const IniHandler handler = { .section = on_section, .assignment = on_assignment, .problem = on_problem };
        Loader *l = userdata;
        char *copy = strdup(path);
        unsigned before = l->n_problems;
        int r;

        r = strv_consume(&l->definition->files, copy);
        if (r < 0)
                return r;
        l->path = copy;
        /* The main file comes first, if it can be read; drop-ins end in ".conf". */
        if (!l->definition->path && endswith(path, ".vm")) {
                l->definition->path = strdup(path);
                if (!l->definition->path)
                        return -ENOMEM;
        }
        l->section = NULL;
        l->seen = 0;
        r = ini_parse(text, size, &handler, l);
        if (r < 0 && r != -E2BIG)
                return r;
        return l->n_problems > before ? -EINVAL : 0;
}

/* RFC 1123 has no underscore, and no label that begins or ends with a hyphen; names of VMs have both. */
static char *hostname_from_vm_name(const char *name) {
        _cleanup_free_ char *s = calloc(1, strlen(name) + 1);
        char *end = s;

        if (!s)
                return NULL;
        for (const char *p = name; *p; p++) {
                char c = *p == '_' ? '-' : *p;

                if (c == '.')
                        while (end > s && end[-1] == '-')
                                end--;
                if ((c == '.' || c == '-') && (end == s || end[-1] == '.'))
                        continue;
                *end++ = c;
        }
        while (end > s && (end[-1] == '-' || end[-1] == '.'))
                end--;
        *end = 0;
        return TAKE_PTR(s);
}

bool definition_brings_programs(const Definition *d) {
        for (size_t i = 0; i < d->n_volumes; i++)
                if (d->volumes[i].encrypted || !d->volumes[i].read_only)
                        return true;
        return (d->bundle && *d->bundle) || (d->ssh_keys && *d->ssh_keys);
}

static int finish_volumes(Definition *d) {
        STRV_FOREACH(line, d->volume_lines) {
                VolumeUse *slot = GREEDY_APPEND(d->volumes, d->n_volumes);
                const char *reason;
                int r;

                if (!slot)
                        return -ENOMEM;
                r = volume_use_parse(*line, slot, &reason);
                if (r < 0)
                        return r;
                d->n_volumes++;
        }
        return 0;
}

static int finish_published(Definition *d) {
        STRV_FOREACH(word, d->publish_words) {
                const char *reason;
                PublishRange p;
                int r;

                r = publish_parse(*word, &p, &reason);
                if (r < 0)
                        return r;
                for (unsigned i = 0; i < p.count; i++) {
                        PublishedPort *slot = GREEDY_APPEND(d->published, d->n_published);

                        if (!slot)
                                return -ENOMEM;
                        *slot = p.first;
                        slot->host_port = (uint16_t) (p.first.host_port + i);
                        slot->guest_port = (uint16_t) (p.first.guest_port + i);
                        d->n_published++;
                }
        }
        return 0;
}

/* What no key has set, and what only makes sense together. */
static int finish(Loader *l) {
        Definition *d = l->definition;
        _cleanup_free_ char *slice = NULL;
        int r;

        if (!d->hostname)
                d->hostname = hostname_from_vm_name(d->name);
        if (!d->kernel)
                d->kernel = strdup(l->site->kernel);
        if (!d->tenant)
                d->tenant = strdup("default");
        if (!d->hostname || !d->kernel || !d->tenant)
                return -ENOMEM;
        if (!d->dns && l->site->dns) {
                d->dns = strv_copy(l->site->dns);
                if (!d->dns)
                        return -ENOMEM;
        }
        r = finish_volumes(d);
        if (r >= 0)
                r = finish_published(d);
        if (r < 0)
                return r;
        slice = layout_slice_name(d->tenant, d->name);
        if (!slice)
                return -ENOMEM;
        l->path = d->path;
        if (!d->image && l->n_problems == 0)
                return loader_problem(l, 0, NULL, "Image= is missing in [VM].");
        if (d->vmm == VMM_EMBER && d->n_volumes > VOLUME_USES_MAX_EMBER)
                return loader_problem(l, 0, NULL, "With VMM=ember a VM can have 2 volumes at most, since its guest has 8 virtio devices at most.");
        if (strlen(slice) > UNIT_NAME_MAX)
                return loader_problem(l, 0, NULL,
                                      "The names of VM and tenant make a slice name of more than 255 bytes; each \"-\" counts as four.");
        return 0;
}

/* A main file that does not come from the search path. */
typedef struct MainText {
        const char *path, *text;
        size_t size;
} MainText;

/* As search_load() would, with that text in place of the main file. */
static int load_text(const SearchPath *search, const char *file, const MainText *main, Loader *l) {
        static const SearchHint dropins_alone = { .dropins = SEARCH_ALL_DIRS };
        _cleanup_free_ char *copy = strndup(main->text, main->size);
        int r, k;

        if (!copy)
                return -ENOMEM;
        r = memchr(main->text, 0, main->size) ? problems_add(l->errors, "%s: there is a NUL byte in it", main->path) :
            main->size > INI_FILE_MAX         ? problems_add(l->errors, "%s: %s", main->path, problems_read_error(-EFBIG)) :
                                                on_file(l, main->path, copy, main->size);
        if (r < 0 && r != -EINVAL)
                return r;
        k = search_load(search, file, dropins_alone, true, on_file, l, l->errors);
        return k < 0 ? k : r;
}

static int load(const SearchPath *search, const char *name, SearchHint hint, const MainText *main, const SiteConfig *site, Definition **ret,
                Definition **ret_wrong, DefinitionErrors *errors) {
        _cleanup_(definition_freep) Definition *d = calloc(1, sizeof(Definition));
        _cleanup_free_ char *file = strjoin(name, ".vm");
        Loader l = {
                .site = site,
                .definition = d,
                .defaults = {
                        .pull = site->pull,
                        .vcpu_millis = site->vcpu_millis,
                        .memory = site->memory,
                        .stop_timeout_usec = site->stop_timeout_usec,
                        .root = ROOT_EPHEMERAL,
                        .root_size = site->root_size,
                        .vmm = site->vmm,
                },
                .errors = errors,
        };
        int r, k;

        if (!d || !file)
                return -ENOMEM;
        *d = l.defaults;
        d->name = strdup(name);
        if (!d->name)
                return -ENOMEM;

        r = main ? load_text(search, file, main, &l) : search_load(search, file, hint, false, on_file, &l, errors);
        if (r == -ENOENT) {
                k = problems_add(errors, "There is no definition \"%s\" in %s, %s, %s or %s.", file, search->dirs[0], search->dirs[1],
                                 search->dirs[2], search->dirs[3]);
                return k == -ENOMEM ? k : r;
        }
        if (r == -ERFKILL) {
                k = problems_add(errors, "The definition \"%s\" is masked by a symbolic link to /dev/null.", file);
                return k == -ENOMEM ? k : r;
        }
        if (r < 0 && r != -EINVAL)
                return r;
        if (r >= 0) {
                k = finish(&l);
                if (k < 0 && k != -E2BIG)
                        return k;
        }
        if (r < 0 || l.n_problems > 0) {
                if (ret_wrong)
                        *ret_wrong = TAKE_PTR(d);
                return -EINVAL;
        }
        *ret = TAKE_PTR(d);
        return 0;
}

int loader_load(const SearchPath *search, const char *name, SearchHint hint, const SiteConfig *site, Definition **ret, Definition **ret_wrong,
                DefinitionErrors *errors) {
        return load(search, name, hint, NULL, site, ret, ret_wrong, errors);
}

int definition_load_text(const char *name, const char *path, const char *text, size_t size, const SiteConfig *site, Definition **ret,
                         DefinitionErrors *errors) {
        const MainText main = { path, text, size };
        _cleanup_search_ SearchPath search = {};
        int r;

        if (!vm_name_is_valid(name))
                return problems_add(errors, "\"%.100s\" is no name of a VM: " VM_NAME_WANTED ".", name);
        r = search_open(layout_definition_dirs, &search, errors);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        return load(&search, name, (SearchHint) {}, &main, site, ret, NULL, errors);
}

int definition_load(const char *name, const SiteConfig *site, Definition **ret, DefinitionErrors *errors) {
        static const SearchHint anywhere = { .main = SEARCH_ALL_DIRS, .dropins = SEARCH_ALL_DIRS };
        _cleanup_search_ SearchPath search = {};
        int r;

        if (!vm_name_is_valid(name))
                return problems_add(errors, "\"%.100s\" is no name of a VM: " VM_NAME_WANTED ".", name);
        r = search_open(layout_definition_dirs, &search, errors);
        if (r != 0)
                return r == SEARCH_INCOMPLETE ? -EINVAL : r;
        return loader_load(&search, name, anywhere, site, ret, NULL, errors);
}
