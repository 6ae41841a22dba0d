/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "base/wire.h"
#include "json/json.h"
#include "kiln/vmm-info.h"

enum { WORD_MAX = 32 };

/* A short word, which may stand in the unit's status text. */
static int read_word(const JsonField *f, json_t *v, void *target, char *error) {
        const char *s = json_string_value(v);

        if (!s || !*s || strlen(s) > WORD_MAX)
                return json_field_error(error, "not a string of 1 to %d bytes", WORD_MAX);
        for (const char *p = s; *p; p++)
                if (*p <= ' ' || *p >= 0x7f)
                        return json_field_error(error, "not a word");
        return free_and_strdup(target, s);
}

static const JsonField info_fields[] = {
        { "app_name", read_word, offsetof(VmmInfo, name), JSON_MANDATORY },
        { "vmm_version", read_word, offsetof(VmmInfo, version), 0 },
        { "accelerator", read_word, offsetof(VmmInfo, accelerator), 0 },
        {},
};

void vmm_info_done(VmmInfo *i) {
        free(i->name);
        free(i->version);
        free(i->accelerator);
        *i = (VmmInfo) {};
}

int vmm_info_parse(const char *body, VmmInfo *ret, char *error) {
        _cleanup_(vmm_info_done) VmmInfo i = {};
        _cleanup_json_ json_t *j = NULL;
        int r;

        r = json_parse(body, strlen(body), WIRE_HTTP_BODY_MAX, &j, error);
        if (r < 0)
                return r;
        r = json_read_object(j, info_fields, JSON_ALLOW_UNKNOWN, &i, error);
        if (r < 0)
                return r;
        *ret = i;
        i = (VmmInfo) {};
        return 0;
}

char *vmm_info_format(const VmmInfo *i) {
        if (!streq(i->name, "ember"))   /* which is ours, and of this very version */
                return strf("%s%s%s (KVM)", i->name, i->version ? " " : "", i->version ?: "");
        if (!i->accelerator)
                return strdup("ember");
        return strf("ember (%s)", streq(i->accelerator, "kvm") ? "KVM" : "emulation");
}
