/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>

#include "base/parse.h"
#include "base/str.h"
#include "vmm/command-line.h"
#include "vmm/ember-files.h"
#include "vmm/vmm-config.h"

typedef enum Kind {
        KIND_STRING,
        KIND_NUMBER,                    /* uint64_t */
        KIND_FLAG,
        KIND_IGNORED_FLAG,
        KIND_IGNORED_STRING,
        KIND_IGNORED_NUMBER,
        KIND_REFUSED,
} Kind;

typedef struct Option {
        const char *name;
        Kind kind;
        size_t offset;
        const char *help;               /* of refused ones: why */
} Option;

#define AT(member) offsetof(EmberOptions, member)

static const Option options[] = {
        { "api-sock", KIND_STRING, AT(api_sock), "Unix socket that the API listens at [default: /run/firecracker.socket]" },
        { "id", KIND_STRING, AT(id), "name of the microVM [default: anonymous-instance]" },
        { "config-file", KIND_STRING, AT(config_file), "description of the microVM, as firecracker.json; mandatory" },
        { "no-api", KIND_FLAG, AT(no_api), "no API socket" },
        { "log-path", KIND_STRING, AT(log_path), "file or FIFO for messages, QEMU's too [default: standard error]" },
        { "level", KIND_STRING, AT(level), "Off, Error, Warn, Info, Debug, Trace [default: Info]" },
        { "metrics-path", KIND_STRING, AT(metrics_path), "file or FIFO for metrics" },
        { "http-api-max-payload-size", KIND_NUMBER, AT(api_payload_max), "largest body of an API request in bytes [default: 51200]" },
        { "no-seccomp", KIND_FLAG, AT(no_seccomp), "run QEMU without its seccomp filter" },

        { "module", KIND_IGNORED_STRING, 0, "ignored" },
        { "show-level", KIND_IGNORED_FLAG, 0, "ignored" },
        { "show-log-origin", KIND_IGNORED_FLAG, 0, "ignored" },
        { "start-time-us", KIND_IGNORED_NUMBER, 0, "ignored" },
        { "start-time-cpu-us", KIND_IGNORED_NUMBER, 0, "ignored" },
        { "parent-cpu-time-us", KIND_IGNORED_NUMBER, 0, "ignored" },
        { "mmds-size-limit", KIND_IGNORED_NUMBER, 0, "ignored" },

        { "boot-timer", KIND_REFUSED, 0, "QEMU has no such device" },
        { "describe-snapshot", KIND_REFUSED, 0, "ember makes no snapshots" },
        { "enable-pci", KIND_REFUSED, 0, "ember's devices are virtio-mmio" },
        { "metadata", KIND_REFUSED, 0, "ember has no metadata service" },
        { "seccomp-filter", KIND_REFUSED, 0, "filters for Firecracker do not fit QEMU, which brings its own" },
        { "snapshot-version", KIND_REFUSED, 0, "ember makes no snapshots" },

        /* ember's own, for use by hand. */
        { "accel", KIND_STRING, SIZE_MAX, "auto, kvm or tcg (emulation) [default: auto]" },
        { "qemu", KIND_STRING, AT(qemu), "path of QEMU [default: " EMBER_QEMU "]" },
};

static bool takes_value(const Option *o) {
        return o->kind == KIND_STRING || o->kind == KIND_NUMBER || o->kind == KIND_IGNORED_STRING || o->kind == KIND_IGNORED_NUMBER;
}

void ember_print_help(void) {
        printf("Usage: ember --config-file FILE [OPTIONS]\n\n"
               "Runs a microVM that is described in Firecracker's format on QEMU's microvm machine.\n\n"
               "  --%-34s show this text\n"
               "  --%-34s show the version\n", "help, -h", "version");
        for (size_t i = 0; i < ELEMENTSOF(options); i++) {
                char name[64];

                if (options[i].kind == KIND_REFUSED)
                        continue;
                snprintf(name, sizeof(name), "%s%s", options[i].name, takes_value(&options[i]) ? " VALUE" : "");
                printf("  --%-34s %s\n", name, options[i].help);
        }
}

static _printf_(2, 3) int fail(char *error, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        if (vsnprintf(error, COMMAND_LINE_ERROR_MAX, format, ap) < 0)
                error[0] = 0;
        va_end(ap);
        return -EINVAL;
}

static int parse_accelerator(const char *s, EmberAccelerator *ret) {
        static const char *const names[] = { [EMBER_ACCEL_AUTO] = "auto", [EMBER_ACCEL_KVM] = "kvm", [EMBER_ACCEL_TCG] = "tcg" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (streq(names[i], s)) {
                        *ret = (EmberAccelerator) i;
                        return 0;
                }
        return -EINVAL;
}

static int set_option(EmberOptions *o, const Option *option, const char *value, char *error) {
        void *target = option->offset == SIZE_MAX ? NULL : (char *) o + option->offset;
        uint64_t n;

        switch (option->kind) {
        case KIND_STRING:
                if (target)
                        *(const char **) target = value;
                else if (parse_accelerator(value, &o->accelerator) < 0)
                        return fail(error, "--accel is auto, kvm or tcg, not \"%.64s\".", value);
                return 0;
        case KIND_NUMBER:
        case KIND_IGNORED_NUMBER:
                if (parse_u64(value, &n) < 0)
                        return fail(error, "The argument '%s' takes a number, not \"%.64s\".", option->name, value);
                if (option->kind == KIND_NUMBER)
                        *(uint64_t *) target = n;
                return 0;
        case KIND_FLAG:
                *(bool *) target = true;
                return 0;
        case KIND_REFUSED:
                return fail(error, "--%s is not supported: %s.", option->name, option->help);
        default:
                return 0;
        }
}

int ember_parse_command_line(int argc, char *const *argv, EmberOptions *ret, char *error) {
        EmberOptions o = {
                .id = "anonymous-instance",
                .api_sock = "/run/firecracker.socket",
                .qemu = EMBER_QEMU,
                .api_payload_max = 51200,
        };
        bool seen[ELEMENTSOF(options)] = {};
        int level, r, end = 1;

        while (end < argc && !streq(argv[end], "--"))
                end++;
        /* Firecracker: these two win wherever they stand, whatever else there is. */
        for (int i = 1; i < end; i++) {
                o.help = o.help || streq(argv[i], "--help") || streq(argv[i], "-h");
                o.version = o.version || streq(argv[i], "--version");
        }
        if (o.help || o.version) {
                *ret = o;
                return 0;
        }

        for (int i = 1; i < end; i++) {
                const char *name = startswith(argv[i], "--"), *value = NULL;
                size_t k = 0;

                while (name && k < ELEMENTSOF(options) && !streq(options[k].name, name))
                        k++;
                if (!name || k == ELEMENTSOF(options))
                        return fail(error, "Found argument '%.128s' which wasn't expected, or isn't valid in this context.", name ?: argv[i]);
                if (seen[k])
                        return fail(error, "The argument '%s' was provided more than once.", name);
                seen[k] = true;
                if (takes_value(&options[k])) {
                        if (i + 1 >= end || startswith(argv[i + 1], "--"))
                                return fail(error, "The argument '%s' requires a value, but none was supplied.", name);
                        value = argv[++i];
                }
                r = set_option(&o, &options[k], value, error);
                if (r < 0)
                        return r;
        }

        if (!o.config_file)
                return fail(error, "Argument 'config-file' required, but not found: ember cannot be configured through the API.");
        if (!vmm_instance_id_is_valid(o.id))
                return fail(error, "Invalid instance ID \"%.80s\": 1 to 64 letters, digits and \"-\".", o.id);
        if (o.level && vmm_log_level_from_string(o.level, &level) < 0)
                return fail(error, "Invalid value for logger level: %.64s. Possible values: Off, Error, Warn, Info, Debug, Trace.", o.level);
        if (o.api_payload_max > 64 * 1024 * 1024)
                return fail(error, "--http-api-max-payload-size is more than 64 MiB.");
        *ret = o;
        return 0;
}
