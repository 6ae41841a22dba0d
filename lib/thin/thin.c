/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names and configuration: what needs neither LVM nor libdevmapper. */

#include "base/sentence.h"
#include "base/str.h"
#include "definition/definition.h"
#include "layout/layout.h"
#include "thin/thin.h"

int thin_pool_load(ThinPool *ret, char **ret_error) {
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        _cleanup_site_config_ SiteConfig site = {};
        int r;

        if (*layout_root())
                return sentence(ret_error, -EOPNOTSUPP, "LVM is this machine's, so nothing of it can be below '%s': leave out --root=.",
                                layout_root());
        r = site_config_load(&site, &errors);
        if (r < 0)
                return errors.n_lines > 0 ? sentence(ret_error, r, "%s", errors.lines[0]) : r;
        *ret = (ThinPool) { TAKE_PTR(site.volume_group), TAKE_PTR(site.thin_pool), site.thin_pool_warn, site.thin_pool_limit };
        return 0;
}

void thin_pool_done(ThinPool *p) {
        free(p->group);
        free(p->name);
        *p = (ThinPool) {};
}

static void add_name(StrBuf *b, const char *name) {
        for (const char *p = name; *p; p++)
                strbuf_add(b, *p == '-' ? "+" : *p == '_' ? "-" : p, 1);
}

char *thin_lv_name(const char *kind, const char *name, const char *snapshot) {
        _cleanup_strbuf_ StrBuf b = {};
        char *s;

        strbuf_addf(&b, "inferno.%s.", kind);
        add_name(&b, name);
        if (snapshot) {
                strbuf_adds(&b, "_.");
                add_name(&b, snapshot);
        }
        return strbuf_finish(&b, &s, NULL) < 0 ? NULL : s;
}

/* A "-" of a name is two. */
static void add_doubled(StrBuf *b, const char *s) {
        for (; *s; s++)
                strbuf_adds(b, *s == '-' ? "--" : (char[]) { *s, 0 });
}

char *thin_device_path(const ThinPool *p, const char *lv) {
        _cleanup_strbuf_ StrBuf b = {};
        char *s;

        strbuf_adds(&b, THIN_DEVICES_DIR);
        add_doubled(&b, p->group);
        strbuf_adds(&b, "-");
        add_doubled(&b, lv);
        return strbuf_finish(&b, &s, NULL) < 0 ? NULL : s;
}
