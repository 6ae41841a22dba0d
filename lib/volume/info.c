/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/parse.h"
#include "base/sentence.h"
#include "base/str.h"
#include "volume/info.h"
#include "volume/volume.h"

int volume_parse_name(const char *argument, char **ret_name, char **ret_snapshot, char **ret_error) {
        const char *at = ret_snapshot ? strchr(argument, '@') : NULL;
        _cleanup_free_ char *name = at ? strndup(argument, (size_t) (at - argument)) : strdup(argument), *snapshot = at ? strdup(at + 1) : NULL;

        if (!name || (at && !snapshot))
                return -ENOMEM;
        if (!vm_name_is_valid(name))
                return sentence(ret_error, -EINVAL, "Not a valid name of a volume: '%s'. Wanted are a letter or digit, then letters, digits, \"_\", \".\", \"-\", 63 at most.", name);
        if (snapshot && !vm_name_is_valid(snapshot))
                return sentence(ret_error, -EINVAL, "Not a valid name of a snapshot: '%s'. It is like that of a volume.", snapshot);
        *ret_name = TAKE_PTR(name);
        if (ret_snapshot)
                *ret_snapshot = TAKE_PTR(snapshot);
        return 0;
}

bool volume_label_is_valid(const char *label) {
        size_t n = strlen(label);

        for (size_t i = 0; i < n; i++)
                if ((unsigned char) label[i] < ' ' || label[i] == 0x7f)
                        return false;
        return n <= 255;
}

void volume_info_done(VolumeInfo *i) {
        store_volume_done(&i->row);
        strv_free(i->snapshots);
        store_attachments_free(i->attachments, i->n_attachments);
        *i = (VolumeInfo) {};
}

int volume_info_get(Store *s, const char *name, VolumeInfo *ret, char **ret_error) {
        _cleanup_volume_info_ VolumeInfo i = {};
        int r;

        r = store_volume_get(s, name, &i.row);
        if (r >= 0)
                r = store_snapshot_list(s, name, &i.snapshots);
        if (r >= 0)
                r = store_volume_attachments(s, name, NULL, &i.attachments, &i.n_attachments);
        if (r < 0)
                return sentence(ret_error, r, "%s", store_error(s));
        r = volume_get_usage(&i.row, &i.used);
        i.state = !i.row.ready ? "incomplete" : r < 0 ? "missing" : i.n_attachments > 0 ? "attached" : "detached";
        *ret = i;
        i = (VolumeInfo) {};
        return 0;
}

char *volume_info_format_holders(const VolumeInfo *i) {
        _cleanup_strbuf_ StrBuf b = {};
        char *text;

        for (size_t k = 0; k < i->n_attachments; k++)
                strbuf_addf(&b, "%s%s%s", k > 0 ? ", " : "", i->attachments[k].vm, i->attachments[k].read_only ? " (ro)" : "");
        return strbuf_finish(&b, &text, NULL) < 0 ? NULL : text;
}
