/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/parse.h"
#include "base/str.h"
#include "definition/config-key.h"
#include "definition/volume-use.h"

static const char *const mount_options[] = { "noatime", "nosuid", "nodev", "noexec" };

void volume_use_done(VolumeUse *u) {
        free(u->name);
        free(u->mount_point);
        free(u->options);
        *u = (VolumeUse) {};
}

static int wrong(const char **ret_reason, const char *reason) {
        *ret_reason = reason;
        return -EINVAL;
}

/* Absolute, each component once and itself, no way to say the same path in two ways. */
static bool mount_point_is_plain(const char *s) {
        if (s[0] != '/' || s[1] == 0 || strlen(s) > 1024)
                return false;
        for (const char *p = s; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        return false;
        for (const char *p = s; *p;) {
                size_t n = strcspn(++p, "/");

                if (n < 1 || n > 255 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
                        return false;
                p += n;
        }
        return true;
}

/* Whether `path` is `dir` or below it. */
static bool is_below(const char *path, const char *dir) {
        const char *rest = startswith(path, dir);

        return rest && (*rest == 0 || *rest == '/');
}

static bool is_taken(const char *mount_point) {
        static const char *const dirs[] = { "/proc", "/sys", "/dev", "/inferno" };

        for (size_t i = 0; i < ELEMENTSOF(dirs); i++)
                if (is_below(mount_point, dirs[i]))
                        return true;
        return false;
}

/* What of the options was said, which the use itself does not tell. */
typedef struct Given {
        bool mode, mkfs;
} Given;

static int parse_option(const char *option, VolumeUse *u, Given *given, const char **ret_reason) {
        const char *value = startswith(option, "size=");

        if (value) {
                if (u->size > 0 || parse_size(value, &u->size) < 0 || u->size < VOLUME_SIZE_MIN || u->size > VOLUME_SIZE_MAX ||
                    u->size % MIB(1) != 0)
                        return wrong(ret_reason, "wanted is one size=, of whole MiB such as 512M or 1.5G, from 16M to 16T");
                return 0;
        }
        value = startswith(option, "backend=");
        if (value) {
                const char *backend = streq(value, "file") ? "file" : streq(value, "lvm-thin") ? "lvm-thin" : NULL;

                if (u->backend || !backend)
                        return wrong(ret_reason, "wanted is one backend=, file or lvm-thin");
                u->backend = backend;
                return 0;
        }
        if (streq(option, "ro") || streq(option, "rw")) {
                if (given->mode)
                        return wrong(ret_reason, "ro or rw are given twice");
                given->mode = true;
                u->read_only = option[1] == 'o';
                return 0;
        }
        if (streq(option, "encrypted")) {
                u->encrypted = true;
                return 0;
        }
        if (streq(option, "discard")) {
                u->discard = true;
                return 0;
        }
        value = startswith(option, "mkfs=");
        if (value) {
                if (given->mkfs || (!streq(value, "ext4") && !streq(value, "none")))
                        return wrong(ret_reason, "wanted is one mkfs=ext4 or mkfs=none: guests can write to no other file system");
                given->mkfs = true;
                u->make_fs = streq(value, "ext4");
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(mount_options); i++)
                if (streq(option, mount_options[i])) {
                        _cleanup_free_ char *old = u->options;

                        u->options = strjoin(old ?: "", old ? "," : "", option);
                        return u->options ? 0 : -ENOMEM;
                }
        return wrong(ret_reason, "known options are ro, rw, size=, backend=, encrypted, mkfs=, discard, noatime, nosuid, nodev and noexec");
}

int volume_use_parse(const char *line, VolumeUse *ret, const char **ret_reason) {
        _cleanup_(volume_use_done) VolumeUse u = { .make_fs = true };
        _cleanup_free_ char *copy = strdup(line);
        char *mount_point, *options, *option;
        Given given = {};
        int r;

        if (!copy)
                return -ENOMEM;
        options = copy;
        (void) strsep(&options, ":");
        mount_point = strsep(&options, ":");
        if (!mount_point)
                return wrong(ret_reason, "wanted is NAME:/MOUNT/POINT, with \":OPTION,OPTION…\" behind it if need be");
        if (!vm_name_is_valid(copy))
                return wrong(ret_reason, "the name of a volume is like that of a VM: a letter or digit, then letters, digits, \"_\", \".\", \"-\", 63 at most");
        if (!mount_point_is_plain(mount_point))
                return wrong(ret_reason, "wanted is an absolute mount point below \"/\", without \".\", \"..\", \"//\" and a \"/\" at its end");
        if (is_taken(mount_point))
                return wrong(ret_reason, "/proc, /sys, /dev and /inferno are no places for a volume");
        u.name = strdup(copy);
        u.mount_point = strdup(mount_point);
        if (!u.name || !u.mount_point)
                return -ENOMEM;
        while ((option = strsep(&options, ","))) {
                r = parse_option(option, &u, &given, ret_reason);
                if (r < 0)
                        return r;
        }
        if (u.encrypted && u.size > 0 && u.size < VOLUME_SIZE_MIN_ENCRYPTED)
                return wrong(ret_reason, "an encrypted volume needs 32M at least, for its header takes 16M");
        if (u.read_only && u.size > 0)
                return wrong(ret_reason, "a volume that is mounted read-only is not made by its VM: leave out size=");
        if (u.size > 0 && !u.make_fs)
                return wrong(ret_reason, "a volume that its VM makes gets a file system: mkfs=none and size= do not go together");
        if (u.read_only && (given.mkfs || u.discard))
                return wrong(ret_reason, "nothing is written to a volume that is mounted read-only: leave out mkfs= and discard");
        *ret = u;
        u = (VolumeUse) {};
        return 0;
}

/* The lines that came before are good: they went through here. */
int config_parse_volume(const char *value, void *field, const char **ret_reason) {
        _cleanup_(volume_use_done) VolumeUse u = {};
        char ***list = field;
        int r;

        r = volume_use_parse(value, &u, ret_reason);
        if (r < 0)
                return r;
        if (strv_length(*list) >= VOLUME_USES_MAX)
                return wrong(ret_reason, "a VM can have 11 volumes at most, since a guest has 17 virtio devices at most");
        STRV_FOREACH(line, *list) {
                _cleanup_(volume_use_done) VolumeUse other = {};

                r = volume_use_parse(*line, &other, ret_reason);
                if (r < 0)
                        return r;
                if (streq(other.name, u.name))
                        return wrong(ret_reason, "this volume is given twice");
                if (is_below(other.mount_point, u.mount_point))
                        return wrong(ret_reason, "a volume above is mounted there or below it, and would be hidden: put the outer one first");
        }
        return strv_extend(list, value);
}
