/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>

#include "base/str.h"
#include "layout/layout.h"

const char *const layout_definition_dirs[] = {
        "/etc/inferno/vms",
        "/run/inferno/vms",
        "/usr/local/lib/inferno/vms",
        "/usr/lib/inferno/vms",
        NULL,
};

const char *const layout_config_dirs[] = {
        "/etc/inferno",
        "/run/inferno",
        "/usr/local/lib/inferno",
        "/usr/lib/inferno",
        NULL,
};

static char *layout_root_prefix = NULL;

int layout_set_root(const char *root) {
        size_t n;
        int r;

        if (isempty(root)) {
                free(TAKE_PTR(layout_root_prefix));
                return 0;
        }
        if (root[0] != '/')
                return -EINVAL;
        r = free_and_strdup(&layout_root_prefix, root);
        if (r < 0)
                return r;
        n = strlen(layout_root_prefix);
        while (n > 0 && layout_root_prefix[n - 1] == '/')
                layout_root_prefix[--n] = 0;
        return 0;
}

const char *layout_root(void) {
        return layout_root_prefix ?: "";
}

char *layout_path(const char *path) {
        return strjoin(layout_root(), path);
}

char *layout_vm_dir(const char *vm) {
        return strf("%s" LAYOUT_VMS_DIR "/%s", layout_root(), vm);
}

char *layout_vm_current(const char *vm) {
        return strf("%s" LAYOUT_VMS_DIR "/%s/current", layout_root(), vm);
}

char *layout_vm_pin(const char *vm) {
        return strf("%s" LAYOUT_VMS_DIR "/%s/pin", layout_root(), vm);
}

char *layout_vm_upper(const char *vm) {
        return strf("%s" LAYOUT_VMS_DIR "/%s/upper.ext4", layout_root(), vm);
}

char *layout_vm_initramfs(const char *vm) {
        return strf("%s" LAYOUT_VMS_DIR "/%s/initramfs", layout_root(), vm);
}

char *layout_vm_programs(const char *vm) {
        return strf("%s" LAYOUT_VMS_DIR "/%s/programs", layout_root(), vm);
}

char *layout_vm_ssh_host_key(const char *vm) {
        return strf("%s" LAYOUT_VMS_DIR "/%s/ssh-host-key", layout_root(), vm);
}

char *layout_vm_env(const char *vm) {
        return strf("%s" LAYOUT_RUN_DIR "/%s.env", layout_root(), vm);
}

char *layout_vm_lock(const char *vm) {
        return strf("%s" LAYOUT_LOCK_DIR "/%s.lock", layout_root(), vm);
}

char *layout_version_dir(const char *ulid) {
        return strf("%s" LAYOUT_VMS_DIR "/kiln/%s", layout_root(), ulid);
}

char *layout_version_root(const char *ulid) {
        return strf("%s" LAYOUT_VMS_DIR "/kiln/%s/root", layout_root(), ulid);
}

char *layout_vm_keys(const char *vm) {
        return strf("%s" LAYOUT_RUN_DIR "/keys/%s", layout_root(), vm);
}

char *layout_guest_volume(size_t index) {
        return strf("/dev/vd%c", (char) ('c' + index));
}

char *layout_volume_credential(const char *volume) {
        return strjoin("inferno.volume.", volume);
}

char *layout_volume_lock(const char *volume) {
        return strf("%s" LAYOUT_RUN_DIR "/lock/volumes/%s.lock", layout_root(), volume);
}

char *layout_unit_name(const char *vm) {
        return strjoin("inferno@", vm, ".service");
}

/* systemd.unit(5), "String Escaping for Inclusion in Unit Names": all but [A-Za-z0-9:_.] and a leading "." */
static void add_escaped(StrBuf *b, const char *s) {
        const char *plain = s;

        for (const char *p = s; *p; p++) {
                if (isalnum((unsigned char) *p) || *p == ':' || *p == '_' || (*p == '.' && p != s))
                        continue;
                strbuf_add(b, plain, (size_t) (p - plain));
                strbuf_addf(b, "\\x%02x", (unsigned char) *p);
                plain = p + 1;
        }
        strbuf_adds(b, plain);
}

char *layout_slice_name(const char *tenant, const char *vm) {
        _cleanup_strbuf_ StrBuf b = {};
        char *s;

        strbuf_adds(&b, "inferno-");
        add_escaped(&b, tenant);
        strbuf_adds(&b, "-");
        add_escaped(&b, vm);
        strbuf_adds(&b, ".slice");
        return strbuf_finish(&b, &s, NULL) < 0 ? NULL : s;
}

char *layout_tap_name(unsigned subnet_index) {
        return strf(LAYOUT_TAP_PREFIX "%u", subnet_index);
}

char *layout_tap_altname(const char *vm) {
        return strf(LAYOUT_TAP_ALTNAME_PREFIX "%s", vm);
}
