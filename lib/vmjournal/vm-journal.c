/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/resource.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/sentence.h"
#include "base/str.h"
#include "layout/layout.h"
#include "vmjournal/vm-journal.h"

/* Who else writes to the journal for a VM. */
static const char *const steps[] = {
        "inferno-image", "inferno-tap", "inferno-volume", "inferno-initramfs", "inferno-chroot", "inferno-jailer",
        "inferno-storage", "inferno-cleanup",
};
static const char *const streams[] = { "stdout", "stderr", "console", "vmm", "kiln", "metrics" };

int vm_journal_match_field(sd_journal *j, const char *field, const char *value) {
        _cleanup_free_ char *match = strjoin(field, "=", value);

        return match ? sd_journal_add_match(j, match, 0) : -ENOMEM;
}

int vm_journal_match(sd_journal *j, const char *vm, bool with_systemd) {
        _cleanup_free_ char *unit = layout_unit_name(vm);
        int r;

        if (!unit)
                return -ENOMEM;
        r = vm_journal_match_field(j, "_SYSTEMD_UNIT", unit);
        if (r < 0 || !with_systemd)
                return r;
        r = sd_journal_add_disjunction(j);
        if (r >= 0)
                r = vm_journal_match_field(j, "UNIT", unit);
        if (r >= 0)
                r = vm_journal_match_field(j, "_PID", "1");
        return r >= 0 ? sd_journal_add_disjunction(j) : r;
}

/* There is no matching of a unit's template, and VMs come while we follow: so whatever may be of one, of which
 * vm_journal_entry_vm() then takes what is. */
int vm_journal_match_all(sd_journal *j) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(streams); i++)
                r = vm_journal_match_field(j, "INFERNO_STREAM", streams[i]);
        if (r >= 0)
                r = sd_journal_add_disjunction(j);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(steps); i++)
                r = vm_journal_match_field(j, "SYSLOG_IDENTIFIER", steps[i]);
        if (r >= 0)
                r = sd_journal_add_disjunction(j);
        return r >= 0 ? vm_journal_match_field(j, "_PID", "1") : r;
}

/* libsystemd leaves out the files that the caller may not read, without a word. */
static int check_readable(char **ret_error) {
        sd_journal *j;
        bool readable;
        int r;

        r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot open the journal");
        readable = sd_journal_has_runtime_files(j) > 0 || sd_journal_has_persistent_files(j) > 0;
        sd_journal_close(j);
        if (readable)
                return 0;
        return geteuid() == 0
                       ? sentence(ret_error, -ENOENT, "The journal has no files: see systemctl status systemd-journald.")
                       : sentence(ret_error, -EACCES,
                                  "The journal may be read by root and the group 'systemd-journal': try it with sudo, or have "
                                  "yourself added to that group.");
}

/* libsystemd leaves out the files that it may not open, too: each VM has some of its own, since to journald it is a user, by its
 * uid. */
static void allow_many_files(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
}

int vm_journal_open(sd_journal **ret, char **ret_error) {
        sd_journal *j;
        int r;

        r = check_readable(ret_error);
        if (r < 0)
                return r;
        allow_many_files();
        r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot open the journal");
        /* Also long messages whole; what a message can be is journald's to limit. */
        r = sd_journal_set_data_threshold(j, 0);
        if (r < 0) {
                sd_journal_close(j);
                return sentence_errno(ret_error, r, "Cannot open the journal");
        }
        *ret = j;
        return 0;
}

bool vm_journal_get(sd_journal *j, const char *name, const char **ret, size_t *ret_n) {
        size_t n, skip = strlen(name) + 1;
        const void *data;

        if (sd_journal_get_data(j, name, &data, &n) < 0 || n < skip)
                return false;
        *ret = (const char *) data + skip;
        *ret_n = n - skip;
        return true;
}

bool vm_journal_is(sd_journal *j, const char *name, const char *value) {
        const char *data;
        size_t n;

        return vm_journal_get(j, name, &data, &n) && n == strlen(value) && memcmp(data, value, n) == 0;
}

char *vm_journal_copy(sd_journal *j, const char *name) {
        const char *data;
        size_t n;

        return vm_journal_get(j, name, &data, &n) ? strndup(data, n) : NULL;
}

char *vm_journal_entry_vm(sd_journal *j) {
        static const char prefix[] = "inferno@", suffix[] = ".service";
        _cleanup_free_ char *unit = vm_journal_copy(j, vm_journal_is(j, "_PID", "1") ? "UNIT" : "_SYSTEMD_UNIT");
        const char *name = unit ? startswith(unit, prefix) : NULL;
        char *vm;

        if (!name || !endswith(name, suffix))
                return NULL;
        vm = strndup(name, strlen(name) - strlen(suffix));
        if (vm && !vm_name_is_valid(vm)) {
                free(vm);
                return NULL;
        }
        return vm;
}
