/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "base/str.h"
#include "definition/pass-through.h"
#include "layout/layout.h"
#include "unitfiles/unit-files.h"

/* What of the host the VMM, kiln and the helpers before them may use beside the guest's own. */
enum {
        TASKS_MAX = 256,                /* QEMU's I/O threads come and go, 64 of them at most; skopeo has a dozen */
        STOP_MARGIN_SECONDS = 20,       /* from StopTimeout= to systemd's SIGKILL: kiln's own last steps are shorter */
};

/* What the template's TimeoutStopSec= leaves room for. */
#define TEMPLATE_STOP_TIMEOUT_USEC (10 * USEC_PER_SEC)

#define TEMPLATE_PATH "/usr/lib/systemd/system/" LAYOUT_TEMPLATE_UNIT

/* Drops all but the first n. */
static void truncate_files(UnitFiles *f, size_t n) {
        while (f->n > n) {
                UnitFile *u = f->items + --f->n;

                free(u->path);
                free(u->content);
        }
}

void unit_files_done(UnitFiles *f) {
        truncate_files(f, 0);
        free(f->items);
        *f = (UnitFiles) {};
}

/* Consumes both strings; either may be NULL for want of memory. */
static int add(UnitFiles *f, char *path_consume, char *content_consume, UnitFileFlags flags) {
        UnitFile *u = path_consume && content_consume ? GREEDY_APPEND(f->items, f->n) : NULL;

        if (!u) {
                free(path_consume);
                free(content_consume);
                return -ENOMEM;
        }
        *u = (UnitFile) { path_consume, content_consume, flags };
        f->n++;
        return 0;
}

static void add_pass_through(StrBuf *b, const Definition *d, const char *section) {
        for (size_t i = 0; i < d->n_pass; i++)
                if (streq(d->pass[i].section, section)) {
                        strbuf_adds(b, d->pass[i].key);
                        strbuf_adds(b, "=");
                        strbuf_adds(b, d->pass[i].value);
                        strbuf_adds(b, "\n");
                }
}

/* Specifiers in place of the name, so that VMs which are alike have files which are equal: UnitWriter. The path is that of the definition
 * where the units will be used, without layout_root(). */
static void add_unit_section(StrBuf *b, const Definition *d) {
        const char *path = d->path + strlen(layout_root()), *slash = strrchr(path, '/');

        strbuf_adds(b, UNIT_FILES_MARK "\n\n[Unit]\nDescription=Inferno VM %i\nSourcePath=");
        strbuf_add(b, path, (size_t) (slash - path));
        strbuf_adds(b, "/%i.vm\n");
        add_pass_through(b, d, "Unit");
}

/* Keys are systemd's to decrypt. Whoever brings them in another way gives a LoadCredential= of the same name in [Service], which comes later and
 * wins. From there inferno-volume hands them to kiln alone. */
static void add_keys(StrBuf *b, const Definition *d) {
        bool any = false;

        for (size_t i = 0; i < d->n_volumes; i++) {
                const char *name = d->volumes[i].name;

                if (!d->volumes[i].encrypted)
                        continue;
                strbuf_addf(b, "LoadCredentialEncrypted=inferno.volume.%s\n", name);
                any = true;
        }
        if (any)
                strbuf_adds(b, "BindPaths=-" LAYOUT_RUN_DIR "/keys/%i:" LAYOUT_VMS_DIR "/%i/current/root/" JAIL_KEYS "\n");
}

static void add_dropin(StrBuf *b, const Definition *d, const SiteConfig *site, const char *slice) {
        add_unit_section(b, d);
        /* "%i" has no escapes, so it stands for names only that need none. */
        strbuf_adds(b, "\n[Service]\nSlice=");
        if (strchr(d->name, '-'))
                strbuf_adds(b, slice);
        else {
                strbuf_add(b, slice, strlen(slice) - strlen(d->name) - strlen(".slice"));
                strbuf_adds(b, "%i.slice");
        }
        strbuf_addf(b, "\nTimeoutStopSec=%" PRIu64 "ms\n",
                    d->stop_timeout_usec / USEC_PER_MSEC + STOP_MARGIN_SECONDS * 1000);
        /* The steps of the template, with some more: the guest is told what its volumes are like, so they are there before its initramfs. */
        if (d->n_volumes > 0 || d->root_backend == ROOT_LVM_THIN)
                strbuf_addf(b, "ExecStartPre=\n"
                               "ExecStartPre=+" LAYOUT_LIBEXEC_DIR "/inferno-image ensure -- %%i\n"
                               "ExecStartPre=+" LAYOUT_LIBEXEC_DIR "/inferno-tap up -- %%i\n"
                               "%s%s"
                               "ExecStartPre=+" LAYOUT_LIBEXEC_DIR "/inferno-initramfs build -- %%i\n"
                               "ExecStartPre=+" LAYOUT_LIBEXEC_DIR "/inferno-chroot prepare -- %%i\n",
                            d->root_backend == ROOT_LVM_THIN ? "ExecStartPre=+" LAYOUT_LIBEXEC_DIR "/inferno-storage root -- %i\n" : "",
                            d->n_volumes > 0 ? "ExecStartPre=+" LAYOUT_LIBEXEC_DIR "/inferno-volume attach -- %i\n" : "");
        add_keys(b, d);
        if (!streq(site->jailer, LAYOUT_JAILER))
                strbuf_addf(b, "ExecStart=\n"
                               "ExecStart=%s --id ${INFERNO_ID} --exec-file " LAYOUT_KILN " --uid ${INFERNO_UID} --gid ${INFERNO_GID} "
                               "--chroot-base-dir " LAYOUT_VMS_DIR " -- --watchdog-usec=${WATCHDOG_USEC}\n", site->jailer);
        add_pass_through(b, d, "Service");
}

/* The VMM and its guest live in the limits together, so the guest's memory alone would have it killed. Which VMM it will be is known
 * at the start only: where either may run, the larger overhead counts. */
static uint64_t memory_max(const Definition *d, const SiteConfig *site) {
        uint64_t overhead = d->vmm == VMM_FIRECRACKER ? site->vmm_overhead_firecracker :
                            d->vmm == VMM_EMBER       ? site->vmm_overhead_ember :
                                                        MAX(site->vmm_overhead_firecracker, site->vmm_overhead_ember);

        return d->memory + overhead;
}

static void add_slice(StrBuf *b, const Definition *d, const SiteConfig *site) {
        strbuf_addf(b, UNIT_FILES_MARK "\n\n[Unit]\nDescription=Slice of Inferno VM %%J\n\n[Slice]\nCPUQuota=%u", d->vcpu_millis / 10);
        if (d->vcpu_millis % 10 > 0)
                strbuf_addf(b, ".%u", d->vcpu_millis % 10);
        strbuf_addf(b, "%%\nMemoryMax=%" PRIu64 "\nTasksMax=%d\n", memory_max(d, site), TASKS_MAX);
        add_pass_through(b, d, "Slice");
}

/* To tell one state of a definition from another, not against forgery: a few cycles for each eight bytes, since the generator computes
 * one for each VM. */
static uint64_t hash(uint64_t h, const StrBuf *b) {
        for (size_t i = 0; i < b->size; i += sizeof(uint64_t)) {
                uint64_t word = 0;

                memcpy(&word, b->data + i, MIN(sizeof(word), b->size - i));
                h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
                h ^= h >> 32;
        }
        return h ^ b->size;
}

static void format_digest(uint64_t h, char ret[static UNIT_FILES_DIGEST_SIZE]) {
        for (size_t i = UNIT_FILES_DIGEST_SIZE - 1; i-- > 0; h >>= 4)
                ret[i] = "0123456789abcdef"[h & 0xf];
        ret[UNIT_FILES_DIGEST_SIZE - 1] = 0;
}

/* systemd of Debian 12 knows no folder of links for Upholds=, but the key itself. */
static int add_upholds(UnitFiles *f, const char *vm, const char *unit, const char *name, size_t n) {
        return add(f, strf("%.*s.d/50-inferno@%s.conf", (int) n, name, vm),
                   strf(UNIT_FILES_MARK "\n\n[Unit]\nUpholds=%s\n", unit), 0);
}

int unit_files_add_install(UnitFiles *f, const Definition *d) {
        static const char *const keys[] = { "WantedBy", "RequiredBy", "UpheldBy" };
        _cleanup_free_ char *unit = layout_unit_name(d->name);
        int r;

        if (!unit)
                return -ENOMEM;
        for (size_t k = 0; k < ELEMENTSOF(keys); k++) {
                size_t first = f->n;

                for (size_t i = 0; i < d->n_pass; i++) {
                        const char *s = d->pass[i].value, *name;
                        size_t n;

                        if (!streq(d->pass[i].section, "Install") || !streq(d->pass[i].key, keys[k]))
                                continue;
                        /* An empty value takes back what lines before it (of the main file, say) asked for. */
                        if (isempty(s))
                                truncate_files(f, first);
                        while ((n = unit_names_next(&s, &name)) > 0) {
                                if (streq(keys[k], "UpheldBy"))
                                        r = add_upholds(f, d->name, unit, name, n);
                                else
                                        r = add(f, strf("%.*s.%s/%s", (int) n, name, streq(keys[k], "WantedBy") ? "wants" : "requires", unit),
                                                strdup(TEMPLATE_PATH), UNIT_FILE_LINK);
                                if (r < 0)
                                        return r;
                        }
                }
        }
        return 0;
}

int unit_files_add(UnitFiles *f, const Definition *d, const SiteConfig *site) {
        _cleanup_free_ char *unit = layout_unit_name(d->name), *slice = layout_slice_name(d->tenant, d->name);
        _cleanup_free_ char *dropin_content = NULL, *slice_content = NULL;
        _cleanup_strbuf_ StrBuf dropin = {}, limits = {};
        int r;

        if (!unit || !slice)
                return -ENOMEM;
        add_dropin(&dropin, d, site, slice);
        add_slice(&limits, d, site);
        format_digest(hash(hash(0, &dropin), &limits), f->digest);
        strbuf_adds(&dropin, "Environment=" UNIT_FILES_VARIABLE "=");
        strbuf_adds(&dropin, f->digest);
        strbuf_adds(&dropin, "\n");

        r = strbuf_finish(&dropin, &dropin_content, NULL);
        if (r >= 0)
                r = strbuf_finish(&limits, &slice_content, NULL);
        if (r >= 0)
                r = add(f, strjoin(unit, ".d/50-inferno.conf"), TAKE_PTR(dropin_content), UNIT_FILE_OWN_DIR);
        if (r >= 0)
                r = add(f, TAKE_PTR(slice), TAKE_PTR(slice_content), 0);
        return r;
}

/* What a definition makes that says nothing of its unit: whole processors, the default tenant, no lines of other sections. */
static int plain_digest(const Definition *d, const SiteConfig *site, UnitFiles *f) {
        Definition plain = {
                .name = d->name, .path = d->path, .tenant = (char *) "default",
                .vcpu_millis = (d->vcpu_millis + 999) / 1000 * 1000,
                .memory = d->memory,
                .vmm = d->vmm,
                .stop_timeout_usec = MIN(d->stop_timeout_usec, TEMPLATE_STOP_TIMEOUT_USEC),
        };
        SiteConfig plain_site = {
                .jailer = (char *) LAYOUT_JAILER,
                .vmm_overhead_firecracker = site->vmm_overhead_firecracker,
                .vmm_overhead_ember = site->vmm_overhead_ember,
        };

        return unit_files_add(f, &plain, &plain_site);
}

int unit_files_compare(const char *loaded, const Definition *d, const SiteConfig *site) {
        _cleanup_unit_files_ UnitFiles now = {}, plain = {};
        int r;

        r = unit_files_add(&now, d, site);
        if (r < 0)
                return r;
        if (streq(loaded, now.digest))
                return UNITS_CURRENT;
        if (!streq(loaded, UNIT_FILES_TEMPLATE))
                return UNITS_OLDER;
        r = plain_digest(d, site, &plain);
        return r < 0 ? r : streq(plain.digest, now.digest) ? UNITS_WITHOUT_LIMITS : UNITS_MISSING;
}

int unit_files_add_broken(UnitFiles *f, const Definition *d) {
        _cleanup_free_ char *unit = layout_unit_name(d->name);
        _cleanup_strbuf_ StrBuf b = {};
        char *content;
        int r;

        if (!unit)
                return -ENOMEM;
        if (!d->path)
                return add(f, strjoin(LAYOUT_TARGET_UNIT ".wants/", unit), strdup(TEMPLATE_PATH), UNIT_FILE_LINK);
        /* SourcePath=, so that systemctl says what is missing to who has mended the file; [Unit], for its OnFailure=. */
        add_unit_section(&b, d);
        r = strbuf_finish(&b, &content, NULL);
        if (r < 0)
                return r;
        r = add(f, strjoin(unit, ".d/50-inferno.conf"), content, UNIT_FILE_OWN_DIR);
        if (r < 0)
                return r;
        return unit_files_add_install(f, d);
}
