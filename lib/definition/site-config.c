/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/parse.h"
#include "base/str.h"
#include "definition/config-key.h"
#include "definition/ini.h"
#include "definition/problems.h"
#include "definition/search.h"
#include "layout/layout.h"

/* Uids above those that systemd sets aside for containers (systemd's UIDS-GIDS.md), and below the sign bit that some programs trip over. */
enum { UID_BASE = 1879048192, UID_COUNT = 65536 };

/* "BASE-LAST", of two fields of SiteConfig at once: uid_base is the field that the table names. */
static int parse_uid_range(const char *value, void *field, const char **ret_reason) {
        SiteConfig *c = (SiteConfig *) ((char *) field - offsetof(SiteConfig, uid_base));
        _cleanup_free_ char *copy = strdup(value);
        unsigned base, last;
        char *dash;

        if (!copy)
                return -ENOMEM;
        dash = strchr(copy, '-');
        if (dash)
                *dash++ = 0;
        if (!dash || parse_uint(copy, &base) < 0 || parse_uint(dash, &last) < 0 || base < 1000 || last < base || last >= UINT32_MAX - 1) {
                *ret_reason = "wanted is BASE-LAST, two user IDs from 1000 to 4294967293";
                return -EINVAL;
        }
        c->uid_base = base;
        c->uid_count = last - base + 1;
        return 0;
}

static const ConfigKey site_keys[] = {
        CONFIG_KEY(SiteConfig, kernel, "Kernel", config_parse_path, CONFIG_STRING),
        CONFIG_KEY(SiteConfig, firecracker, "Firecracker", config_parse_path, CONFIG_STRING),
        CONFIG_KEY(SiteConfig, jailer, "Jailer", config_parse_program, CONFIG_STRING),
        CONFIG_KEY(SiteConfig, vmm, "VMM", config_parse_vmm, CONFIG_SCALAR),
        CONFIG_KEY(SiteConfig, vcpu_millis, "VCPUs", config_parse_vcpus, CONFIG_SCALAR),
        CONFIG_KEY(SiteConfig, memory, "Memory", config_parse_memory, CONFIG_SCALAR),
        CONFIG_KEY(SiteConfig, root_size, "RootSize", config_parse_root_size, CONFIG_SCALAR),
        CONFIG_KEY(SiteConfig, stop_timeout_usec, "StopTimeout", config_parse_stop_timeout, CONFIG_SCALAR),
        CONFIG_KEY(SiteConfig, pull, "Pull", config_parse_pull, CONFIG_SCALAR),
        CONFIG_KEY(SiteConfig, dns, "DNS", config_parse_dns, CONFIG_LIST),
        CONFIG_KEY(SiteConfig, auth_file, "AuthFile", config_parse_path, CONFIG_STRING),
        { "UIDRange", parse_uid_range, offsetof(SiteConfig, uid_base), 2 * sizeof(unsigned), CONFIG_SCALAR },
        CONFIG_KEY(SiteConfig, network, "Network", config_parse_network, CONFIG_STRING),
        CONFIG_KEY(SiteConfig, volume_group, "VolumeGroup", config_parse_lvm_name, CONFIG_STRING),
        CONFIG_KEY(SiteConfig, thin_pool, "ThinPool", config_parse_lvm_name, CONFIG_STRING),
        CONFIG_KEY(SiteConfig, thin_pool_warn, "ThinPoolWarn", config_parse_percent, CONFIG_SCALAR),
        CONFIG_KEY(SiteConfig, thin_pool_limit, "ThinPoolLimit", config_parse_percent, CONFIG_SCALAR),
        CONFIG_KEY(SiteConfig, image_size_max, "ImageSizeMax", config_parse_size, CONFIG_SCALAR),
        CONFIG_KEY(SiteConfig, image_entries_max, "ImageEntriesMax", config_parse_count, CONFIG_SCALAR),
        CONFIG_KEY(SiteConfig, vmm_overhead_firecracker, "VMMOverheadFirecracker", config_parse_size, CONFIG_SCALAR),
        CONFIG_KEY(SiteConfig, vmm_overhead_ember, "VMMOverheadEmber", config_parse_size, CONFIG_SCALAR),
};

_Static_assert(offsetof(SiteConfig, uid_count) == offsetof(SiteConfig, uid_base) + sizeof(unsigned), "UIDRange= resets both at once");

static const SiteConfig site_defaults = {
        .vmm = VMM_AUTO,
        .vcpu_millis = 1000,
        .memory = MIB(256),
        .root_size = GIB(1),
        .stop_timeout_usec = 10 * USEC_PER_SEC,
        .pull = PULL_MISSING,
        .uid_base = UID_BASE,
        .uid_count = UID_COUNT,
        .thin_pool_warn = 80,
        .thin_pool_limit = 95,
        .image_size_max = GIB(32),
        .image_entries_max = 1000000,
        .vmm_overhead_firecracker = MIB(64),
        .vmm_overhead_ember = MIB(256),
};

typedef struct SiteLoader {
        SiteConfig *config;
        DefinitionErrors *errors;
        const char *path;
        uint32_t seen;
        bool in_inferno;                /* lines of an unknown section are passed over */
        unsigned n_problems;
} SiteLoader;

void site_config_done(SiteConfig *c) {
        free(c->kernel);
        free(c->firecracker);
        free(c->jailer);
        strv_free(c->dns);
        free(c->auth_file);
        free(c->network);
        free(c->volume_group);
        free(c->thin_pool);
        *c = (SiteConfig) {};
}

static int site_problem(SiteLoader *l, unsigned line, const char *subject, const char *message) {
        int r;

        if (++l->n_problems > PROBLEMS_MAX) {
                r = problems_add(l->errors, "%s: There are more problems than are listed here.", l->path);
                return r == -ENOMEM ? r : -E2BIG;
        }
        r = problems_add(l->errors, "%s:%u: %s%s%s", l->path, line, subject ?: "", subject ? ": " : "", message);
        return r == -ENOMEM ? r : 0;
}

static int on_section(void *userdata, unsigned line, const char *name) {
        SiteLoader *l = userdata;
        _cleanup_free_ char *subject = NULL;

        l->in_inferno = streq(name, "Inferno");
        if (l->in_inferno)
                return 0;
        subject = strf("[%.100s]", name);
        return subject ? site_problem(l, line, subject, "Unknown section; there is [Inferno].") : -ENOMEM;
}

static int on_problem(void *userdata, unsigned line, const char *message) {
        return site_problem(userdata, line, NULL, message);
}

static int on_assignment(void *userdata, unsigned line, const char *key, const char *value) {
        SiteLoader *l = userdata;
        const ConfigKey *k = config_key_find(site_keys, ELEMENTSOF(site_keys), key);
        _cleanup_free_ char *subject = NULL;
        const char *reason = NULL;
        uint32_t bit;
        int r;

        if (!l->in_inferno)
                return 0;
        subject = strf("%.100s=%.100s", key, value);
        if (!subject)
                return -ENOMEM;
        if (!k)
                return site_problem(l, line, subject, "Unknown key in [Inferno].");
        bit = UINT32_C(1) << (k - site_keys);
        if (k->kind != CONFIG_LIST && (l->seen & bit))
                return site_problem(l, line, subject, "This key is given twice in one file.");
        l->seen |= bit;
        r = config_key_assign(k, value, l->config, &site_defaults, &reason);
        return r == -EINVAL ? site_problem(l, line, subject, reason) : r;
}

static int on_file(void *userdata, const char *path, char *text, size_t size) {
        static const IniHandler handler = { .section = on_section, .assignment = on_assignment, .problem = on_problem };
        SiteLoader *l = userdata;
        unsigned before = l->n_problems;
        int r;

        l->path = path;
        l->seen = 0;
        l->in_inferno = false;
        r = ini_parse(text, size, &handler, l);
        if (r < 0 && r != -E2BIG)
                return r;
        return l->n_problems > before ? -EINVAL : 0;
}

static int default_string(char **field, const char *value) {
        return *field ? 0 : free_and_strdup(field, value);
}

/* Fills in what no file has set. */
static int finish(SiteConfig *c) {
        if (default_string(&c->kernel, LAYOUT_KERNEL) < 0 || default_string(&c->firecracker, "/usr/bin/firecracker") < 0 ||
            default_string(&c->jailer, LAYOUT_JAILER) < 0 || default_string(&c->network, "172.16.0.0/12") < 0 ||
            default_string(&c->volume_group, "inferno") < 0 || default_string(&c->thin_pool, "thin") < 0)
                return -ENOMEM;
        return 0;
}

int site_config_defaults(SiteConfig *ret) {
        _cleanup_site_config_ SiteConfig c = site_defaults;
        int r;

        r = finish(&c);
        if (r < 0)
                return r;
        *ret = c;
        c = (SiteConfig) {};
        return 0;
}

int site_config_load(SiteConfig *ret, DefinitionErrors *errors) {
        static const SearchHint anywhere = { .main = SEARCH_ALL_DIRS, .dropins = SEARCH_ALL_DIRS };
        _cleanup_site_config_ SiteConfig c = site_defaults;
        _cleanup_search_ SearchPath search = {};
        SiteLoader l = { .config = &c, .errors = errors };
        int r;

        r = search_open(layout_config_dirs, &search, errors);
        if (r != 0)
                return r == SEARCH_INCOMPLETE ? -EINVAL : r;
        r = search_load(&search, "inferno.conf", anywhere, true, on_file, &l, errors);
        if (r < 0)
                return r;
        r = finish(&c);
        if (r < 0)
                return r;
        *ret = c;
        c = (SiteConfig) {};
        return 0;
}
