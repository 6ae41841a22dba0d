/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "base/str.h"
#include "vmm/qemu-command.h"

enum {
        TRANSLATION_BUFFER_MIB = 64,    /* a fixed bound of what emulation takes; boot and a server fit without flushing */
        SLOTS = 8,                      /* virtio-mmio transports of microvm without ACPI */
};

/* Transport N has interrupt 5 + N. 8 is also the clock's and 12 the keyboard controller's: these come last. */
static const uint8_t slot_preference[SLOTS] = { 6, 5, 4, 2, 1, 0, 7, 3 };

/* Firecracker's, where boot-source has none. */
#define DEFAULT_BOOT_ARGS \
        "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce"
/* Nobody has a mouse; looking for one takes time, and its interrupt is a transport's. */
#define MORE_BOOT_ARGS " i8042.noaux"
/* The timer works; finding that out takes 50 ms. Rewriting the kernel's locks for a single processor takes 100 ms, and emulation gains nothing
 * by it. (Without the APIC's timer, whose calibration takes as long, an idle guest would cost the host twice as much for ever.) */
#define TCG_BOOT_ARGS " no_timer_check noreplace-smp"
/* Emulation loses ticks when the host is busy, so nothing that counts them may judge the counter. */
#define TSC_BOOT_ARGS " tsc_early_khz=%u tsc=reliable"
/* What QEMU adds per device: " virtio_mmio.device=512@0xfeb00e00:12". */
#define DEVICE_ARG_BYTES 38

#define LIMIT_MAX UINT64_C(1000000000000000)            /* QEMU's THROTTLE_VALUE_MAX */

typedef struct Command {
        char **argv;
        uint8_t slots[SLOTS];           /* in the order in which Linux finds the devices */
        size_t n_slots, used;
        int error;
} Command;

void qemu_drive_node(size_t drive, char ret[QEMU_NODE_NAME_MAX]) {
        snprintf(ret, QEMU_NODE_NAME_MAX, "drive%zu", drive);
}

static void add(Command *cmd, const char *s) {
        if (cmd->error >= 0)
                cmd->error = s ? strv_extend(&cmd->argv, s) : -ENOMEM;
}

static void add2(Command *cmd, const char *option, const char *value) {
        add(cmd, option);
        add(cmd, value);
}

static _printf_(3, 4) void addf(Command *cmd, const char *option, const char *format, ...) {
        char *s;
        va_list ap;

        add(cmd, option);
        va_start(ap, format);
        if (vasprintf(&s, format, ap) < 0)
                s = NULL;
        va_end(ap);
        if (cmd->error >= 0 && s)
                cmd->error = strv_consume(&cmd->argv, s);
        else {
                free(s);
                if (cmd->error >= 0)
                        cmd->error = -ENOMEM;
        }
}

/* Consumes j. As JSON no string needs any quoting of QEMU's. */
static void add_json(Command *cmd, const char *option, json_t *j) {
        char *s = j ? json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

        add2(cmd, option, s);
        free(s);
        json_decref(j);
}

/* Linux probes the transports from the highest down (QEMU writes its command line so): slots are handed out in that order. */
static void choose_slots(Command *cmd, size_t n) {
        for (int slot = SLOTS - 1; slot >= 0; slot--)
                for (size_t i = 0; i < n; i++)
                        if (slot_preference[i] == slot)
                                cmd->slots[cmd->n_slots++] = (uint8_t) slot;
}

static _printf_(2, 3) void add_device(Command *cmd, const char *format, ...) {
        _cleanup_free_ char *s = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&s, format, ap);
        va_end(ap);
        if (n < 0) {
                s = NULL;
                cmd->error = -ENOMEM;
                return;
        }
        addf(cmd, "-device", "%s,bus=virtio-mmio-bus.%u", s, cmd->slots[cmd->used++]);
}

/* Tokens per refill time as a rate. QEMU's bucket, like Firecracker's, holds what may pass at once; the one-time burst has no
 * counterpart. */
static int set_limits(json_t *limits, const char *total, const char *max, const VmmTokenBucket *b) {
        uint64_t rate, burst;

        if (b->size == 0)
                return 0;
        rate = (uint64_t) MAX((unsigned __int128) b->size * 1000 / b->refill_time, (unsigned __int128) 1);
        rate = MIN(rate, LIMIT_MAX);
        burst = MIN(b->size, LIMIT_MAX);
        burst = MAX(burst, rate);
        if (json_object_set_new(limits, total, json_integer((json_int_t) rate)) < 0 ||
            json_object_set_new(limits, max, json_integer((json_int_t) burst)) < 0)
                return -ENOMEM;
        return 0;
}

/* QEMU takes files and block devices by different drivers. What is not there is its to say. */
static const char *drive_driver(const VmmDrive *d) {
        struct stat st;

        return stat(d->path_on_host, &st) >= 0 && S_ISBLK(st.st_mode) ? "host_device" : "file";
}

static void add_drive(Command *cmd, const VmmDrive *d, size_t i) {
        bool limited = d->rate_limiter.bandwidth.size > 0 || d->rate_limiter.ops.size > 0;
        char node[QEMU_NODE_NAME_MAX], group[32];
        json_t *raw;

        qemu_drive_node(i, node);
        /* Without locks, as Firecracker: their probe wants /dev/null, which the jail has not. */
        raw = json_pack("{s:s,s:b,s:s,s:{s:b,s:b},s:{s:s,s:s,s:b,s:s,s:s,s:{s:b,s:b}}}",
                        "driver", "raw",
                        "read-only", d->is_read_only,
                        "discard", "unmap",             /* what a guest does not need any more takes no room */
                        "cache", "direct", 0, "no-flush", !d->writeback,
                        "file",
                        "driver", drive_driver(d),
                        "filename", d->path_on_host,
                        "read-only", d->is_read_only,
                        "locking", "off",
                        "discard", "unmap",
                        "cache", "direct", 0, "no-flush", !d->writeback);
        if (limited) {
                json_t *limits = json_object();

                snprintf(group, sizeof(group), "limit%zu", i);
                if (!limits || set_limits(limits, "bps-total", "bps-total-max", &d->rate_limiter.bandwidth) < 0 ||
                    set_limits(limits, "iops-total", "iops-total-max", &d->rate_limiter.ops) < 0)
                        cmd->error = -ENOMEM;
                add_json(cmd, "-object", json_pack("{s:s,s:s,s:o}", "qom-type", "throttle-group", "id", group, "limits", limits));
                raw = json_pack("{s:s,s:s,s:s,s:o}", "driver", "throttle", "node-name", node, "throttle-group", group, "file", raw);
        } else if (raw && json_object_set_new(raw, "node-name", json_string(node)) < 0)
                cmd->error = -ENOMEM;
        add_json(cmd, "-blockdev", raw);
        /* Errors are the guest's to handle: QEMU's default would stop it when the host's disk is full. */
        add_device(cmd, "virtio-blk-device,drive=%s,werror=report,rerror=report", node);
}

static void add_network(Command *cmd, const VmmNetwork *n, size_t i) {
        char mac[32] = "", mtu[32] = "";

        if (n->guest_mac)
                snprintf(mac, sizeof(mac), ",mac=%s", n->guest_mac);
        if (n->mtu > 0)
                snprintf(mtu, sizeof(mtu), ",host_mtu=%u", n->mtu);
        addf(cmd, "-netdev", "tap,id=net%zu,ifname=%s,script=no,downscript=no,vhost=off", i, n->host_dev_name);
        add_device(cmd, "virtio-net-device,netdev=net%zu%s%s", i, mac, mtu);
}

static int kernel_command_line(const VmmConfig *c, const QemuOptions *o, size_t n_devices, char **ret, char *error) {
        const char *args = c->boot_args ?: DEFAULT_BOOT_ARGS;
        _cleanup_free_ char *root = NULL, *line = NULL;
        char tsc[64] = "";

        /* QEMU's additions would end up among the words for init. */
        if (strstr(args, " -- ") || endswith(args, " --")) {
                (void) json_field_error(error, "boot_args: ember cannot pass words to init (\"--\")");
                return -EOPNOTSUPP;
        }
        if (c->n_drives > 0 && c->drives[0].is_root_device) {
                const VmmDrive *d = &c->drives[0];

                root = strf(" root=%s%s %s", d->partuuid ? "PARTUUID=" : "/dev/vda", d->partuuid ?: "", d->is_read_only ? "ro" : "rw");
                if (!root)
                        return -ENOMEM;
        }
        if (o->accelerator == QEMU_TCG && o->tsc_khz > 0)
                snprintf(tsc, sizeof(tsc), TSC_BOOT_ARGS, o->tsc_khz);
        line = strf("%s%s" MORE_BOOT_ARGS "%s%s", args, root ?: "", o->accelerator == QEMU_TCG ? TCG_BOOT_ARGS : "", tsc);
        if (!line)
                return -ENOMEM;
        if (strlen(line) + n_devices * DEVICE_ARG_BYTES >= VMM_CMDLINE_MAX) {
                (void) json_field_error(error, "the kernel's command line would be %zu bytes long, more than the %d that Linux takes",
                                strlen(line) + n_devices * DEVICE_ARG_BYTES, VMM_CMDLINE_MAX - 1);
                return -E2BIG;
        }
        *ret = TAKE_PTR(line);
        return 0;
}

int qemu_command(const VmmConfig *c, const QemuOptions *o, char ***ret, char *error) {
        size_t n_devices = c->n_drives + c->n_networks + c->vsock + c->entropy + c->balloon;
        _cleanup_free_ char *line = NULL;
        Command cmd = {};
        int r;

        if (n_devices > SLOTS) {
                (void) json_field_error(error, "%zu drives and other devices, but QEMU's microvm has room for %d", n_devices, SLOTS);
                return -E2BIG;
        }
        r = kernel_command_line(c, o, n_devices, &line, error);
        if (r < 0)
                return r;
        choose_slots(&cmd, n_devices);

        add(&cmd, o->program);
        add2(&cmd, "-name", o->id);
        add(&cmd, "-nodefaults");
        add(&cmd, "-no-user-config");
        add(&cmd, "-no-reboot");
        add(&cmd, "-S");                /* the monitor starts it: ember.c */
        add2(&cmd, "-display", "none");
        if (o->sandbox)
                add2(&cmd, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
        add2(&cmd, "-machine", "microvm,acpi=off,rtc=on,memory-backend=memory");
        if (o->accelerator == QEMU_KVM) {
                add2(&cmd, "-accel", "kvm");
                add2(&cmd, "-cpu", "host");
        } else {
                addf(&cmd, "-accel", "tcg,tb-size=%d", TRANSLATION_BUFFER_MIB);
                /* All that can be emulated, for images built for newer processors. But "rep movsb" is emulated byte by byte: a
                 * guest that takes it for fast copies and clears memory at an eighth of the speed. */
                add2(&cmd, "-cpu", "max,-erms,-fsrm");
        }
        addf(&cmd, "-smp", "%u,sockets=1,cores=%u,threads=%u", c->vcpu_count, c->smt && c->vcpu_count > 1 ? c->vcpu_count / 2 : c->vcpu_count,
                        c->smt && c->vcpu_count > 1 ? 2 : 1);
        addf(&cmd, "-m", "%" PRIu64 "M", c->mem_size_mib);
        /* Shared with the vsock's back end, which is ember. */
        addf(&cmd, "-object", "memory-backend-memfd,id=memory,size=%" PRIu64 "M,share=on", c->mem_size_mib);
        add2(&cmd, "-global", "virtio-mmio.force-legacy=false");

        addf(&cmd, "-chardev", "socket,id=qmp,fd=%d", o->qmp_fd);
        add2(&cmd, "-mon", "chardev=qmp,mode=control");
        add2(&cmd, "-chardev", "stdio,id=console,signal=off");
        add2(&cmd, "-serial", "chardev:console");
        /* reboot=k needs it, and SendCtrlAltDel. */
        add2(&cmd, "-device", "i8042");

        for (size_t i = 0; i < c->n_drives; i++)
                add_drive(&cmd, &c->drives[i], i);
        for (size_t i = 0; i < c->n_networks; i++)
                add_network(&cmd, &c->networks[i], i);
        if (c->vsock) {
                addf(&cmd, "-chardev", "socket,id=vsock,fd=%d", o->vhost_fd);
                add_device(&cmd, "vhost-user-vsock-device,chardev=vsock");
        }
        if (c->entropy) {
                const VmmTokenBucket *b = &c->entropy_limiter.bandwidth;

                add2(&cmd, "-object", "rng-builtin,id=entropy");
                if (b->size > 0)
                        add_device(&cmd, "virtio-rng-device,rng=entropy,max-bytes=%" PRIu64 ",period=%" PRIu64, b->size,
                                        MIN(b->refill_time, (uint64_t) INT32_MAX));
                else
                        add_device(&cmd, "virtio-rng-device,rng=entropy");
        }
        if (c->balloon)
                add_device(&cmd, "virtio-balloon-device,deflate-on-oom=%s,free-page-reporting=%s",
                                c->balloon_deflate_on_oom ? "on" : "off", c->balloon_reporting ? "on" : "off");

        add2(&cmd, "-kernel", c->kernel_image_path);
        if (c->initrd_path)
                add2(&cmd, "-initrd", c->initrd_path);
        add2(&cmd, "-append", line);
        if (cmd.error < 0) {
                strv_free(cmd.argv);
                return cmd.error;
        }
        *ret = cmd.argv;
        return 0;
}
