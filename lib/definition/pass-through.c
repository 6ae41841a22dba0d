/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>

#include "base/str.h"
#include "definition/pass-through.h"

enum {
        UNIT_NAME_MAX = 255,
        LINKED_NAME_MAX = UNIT_NAME_MAX - (sizeof(".requires") - 1),    /* of a unit that has a folder of links beside it */
};

size_t unit_names_next(const char **s, const char **ret) {
        size_t n;

        *s += strspn(*s, " \t");
        n = strcspn(*s, " \t");
        *ret = *s;
        *s += n;
        return n;
}

bool unit_name_is_valid(const char *s, size_t n) {
        static const char *const types[] = { "service", "socket", "target", "device", "mount", "automount", "swap", "timer", "path", "slice", "scope" };
        const char *dot = memrchr(s, '.', n), *at = memchr(s, '@', n);
        bool known = false;

        if (!dot || dot == s || n > UNIT_NAME_MAX)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                known = known || (strlen(types[i]) == (size_t) (s + n - dot - 1) && memcmp(dot + 1, types[i], strlen(types[i])) == 0);
        for (const char *p = s; p < dot; p++)
                if (!isalnum((unsigned char) *p) && !strchr(":-_.\\@", *p))
                        return false;
        return known && at != s && (!at || at + 1 < dot);
}

/* Keys of [Service] on which a VM's unit stands. All others are the administrator's. */
static const struct {
        const char *key, *reason;
} refused_service_keys[] = {
        { "Type", "A VM's unit is Type=notify: kiln tells systemd when the guest is ready." },
        { "NotifyAccess", "kiln's notifications need NotifyAccess= as it is." },
        { "ExecStart", "ExecStart= runs the VM and cannot be replaced; commands before and after it go to ExecStartPre=, ExecStartPost= and ExecStopPost=." },
        { "ExecReload", "A VM cannot be reloaded." },
        { "BusName", "A VM's unit is Type=notify, without a bus name." },
        { "PIDFile", "A VM's unit is Type=notify, without a PID file." },
        { "GuessMainPID", "A VM's main process is known." },
        { "RemainAfterExit", "A VM's unit is active exactly as long as the VM runs." },
        { "ExitType", "A VM's unit is active exactly as long as the VM runs." },
        { "User", "The unit starts as root, and each VM has a user of its own below that; for the user in the guest there is User= in [VM]." },
        { "Group", "The unit starts as root, and each VM has a group of its own below that; for the group in the guest there is User= in [VM]." },
        { "DynamicUser", "The unit starts as root, and each VM has a user of its own below that." },
        { "RootDirectory", "The VM has a root directory of its own, the jail." },
        { "RootImage", "The VM has a root directory of its own, the jail." },
        { "BindPaths", "BindPaths= carries the notification and journal sockets into the jail." },
        { "BindReadOnlyPaths", "Nothing can be bound into the jail, which is the same for every start of a version." },
        { "EnvironmentFile", "EnvironmentFile= of the unit says which version of the VM to start; for the guest's environment there is EnvironmentFile= in [VM]." },
        { "KillMode", "KillMode= is mixed, so that kiln can stop the guest before anything is killed." },
        { "KillSignal", "SIGTERM has kiln stop the guest, and no other signal; the one that the workload gets is StopSignal= in [VM]." },
        { "RestartKillSignal", "SIGTERM has kiln stop the guest, and no other signal; the one that the workload gets is StopSignal= in [VM]." },
        { "SendSIGHUP", "SIGTERM has kiln stop the guest, and no other signal." },
        { "WatchdogSignal", "SIGABRT has kiln tell of the guest that does not answer." },
        { "TimeoutStopSec", "How long the guest may take to stop is StopTimeout= in [VM], from which TimeoutStopSec= follows." },
        { "TimeoutSec", "How long the start may take is TimeoutStartSec=, and how long the guest may take to stop StopTimeout= in [VM]." },
        { "PrivateDevices", "The jailer makes the VM's device nodes, and its network interface needs /dev/net/tun." },
        { "PrivateUsers", "Each VM has a user of its own, which the unit's user namespace would not have." },
        { "PAMName", "A session would take the VM out of its slice." },
        { "Slice", "The VM's slice follows from Tenant= in [VM]; limits go to [Slice]." },
        { "PrivateNetwork", "The VM's network interface is in the host's network namespace." },
        { "NetworkNamespacePath", "The VM's network interface is in the host's network namespace." },
};

static bool key_is_sane(const char *key) {
        if (!isalpha((unsigned char) key[0]))
                return false;
        for (; *key; key++)
                if (!isalnum((unsigned char) *key) && *key != '-')
                        return false;
        return true;
}

static const char *check_unit(const char *key) {
        if (streq(key, "SourcePath"))
                return "SourcePath= is the definition, so that systemd tells when that has changed.";
        return NULL;
}

static const char *check_slice(const char *key) {
        if (streq(key, "Slice"))
                return "The name of the VM's slice says where it is; Tenant= in [VM] is the slice above it.";
        return NULL;
}

static const char *check_service(const char *key, const char *value) {
        for (size_t i = 0; i < ELEMENTSOF(refused_service_keys); i++)
                if (streq(refused_service_keys[i].key, key))
                        return refused_service_keys[i].reason;
        if (isempty(value) && (streq(key, "ExecStartPre") || streq(key, "ExecStopPost")))
                return "Inferno's own steps before the start and after the end cannot be taken away.";
        return NULL;
}

/* The generator makes symbolic links of these, for which systemctl enable would expand specifiers: there are none here. */
static const char *check_install(const char *key, const char *value) {
        size_t n;

        if (streq(key, "Also") || streq(key, "DefaultInstance"))
                return "Each VM is enabled by its own definition alone.";
        if (streq(key, "Alias"))
                return "systemd has no aliases for instances of templates, which units of VMs are.";
        if (!streq(key, "WantedBy") && !streq(key, "RequiredBy") && !streq(key, "UpheldBy"))
                return "Unknown key in [Install]; there are WantedBy=, RequiredBy= and UpheldBy=.";
        for (const char *s = value, *name; (n = unit_names_next(&s, &name)) > 0;)
                if (n > LINKED_NAME_MAX || !unit_name_is_valid(name, n))
                        return "Wanted are names of units such as multi-user.target, without specifiers and quotes, 246 bytes at most.";
        return NULL;
}

const char *pass_through_check(const char *section, const char *key, const char *value) {
        if (!key_is_sane(key))
                return "Keys are letters, digits and hyphens.";
        if (streq(section, "Unit"))
                return check_unit(key);
        if (streq(section, "Slice"))
                return check_slice(key);
        if (streq(section, "Service"))
                return check_service(key, value);
        if (streq(section, "Install"))
                return check_install(key, value);
        return NULL;
}
