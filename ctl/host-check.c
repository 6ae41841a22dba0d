/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kvm.h"
#include "base/log.h"
#include "base/str.h"
#include "ctl/bus.h"
#include "ctl/host-check.h"
#include "ctl/program.h"
#include "layout/layout.h"
#include "version/ext4.h"
#include "vmm/ember-files.h"

enum { SYSTEMD_VERSION_MIN = 252 };

/* Less than this is too little for an image and a writable layer. */
#define DISK_FREE_MIN GIB(1)

static const TableColumn columns[] = {
        { "CHECK", "check", TABLE_TEXT },
        { "RESULT", "result", TABLE_TEXT },
        { "DETAIL", "detail", TABLE_TEXT, .shrinks = true },
        {},
};

typedef enum Verdict { CHECK_OK, CHECK_WARNING, CHECK_FAILED } Verdict;

typedef struct HostCheck {
        Ctl *c;
        Table *table;
        size_t n_failed;
        bool kvm;
} HostCheck;

static void say(HostCheck *h, const char *what, Verdict verdict, const char *format, ...) _printf_(4, 5);
static void say(HostCheck *h, const char *what, Verdict verdict, const char *format, ...) {
        static const char *const words[] = { [CHECK_OK] = "ok", [CHECK_WARNING] = "warning", [CHECK_FAILED] = "failed" };
        _cleanup_free_ char *detail = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&detail, format, ap) < 0)
                detail = NULL;
        va_end(ap);
        h->n_failed += verdict == CHECK_FAILED;
        table_add_text(h->table, what);
        table_add_text(h->table, words[verdict]);
        table_add_text(h->table, detail ?: "");
}

static void check_kvm(HostCheck *h) {
        int r = kvm_probe();

        h->kvm = r >= 0;
        if (r >= 0)
                say(h, "KVM", CHECK_OK, "a guest has run an instruction");
        else
                say(h, "KVM", CHECK_WARNING, "not usable (%s): VMs run in emulation, by ember", strerrordesc_np(-r));
}

/* The device is a module's, which opening loads; it does nothing yet. */
static void check_tun(HostCheck *h) {
        _cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NOCTTY);

        if (fd >= 0)
                say(h, "tun", CHECK_OK, "/dev/net/tun");
        else
                say(h, "tun", CHECK_FAILED, "cannot open /dev/net/tun: %s; VMs have no network without it: 'modprobe tun'", strerrordesc_np(errno));
}

/* NFT_MSG_GETGEN has an answer wherever nf_tables is there. */
static int ask_nftables(void) {
        struct {
                struct nlmsghdr h;
                struct nfgenmsg g;
        } request = {
                .h = { .nlmsg_len = sizeof(request), .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, .nlmsg_flags = NLM_F_REQUEST },
                .g = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0 },
        };
        const struct timeval timeout = { 5, 0 };
        union {
                struct nlmsghdr h;
                char bytes[4096];
        } answer;
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
        ssize_t n;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 || send(fd, &request, sizeof(request), 0) < 0)
                return negative_errno();
        n = recv(fd, &answer, sizeof(answer), 0);
        if (n < 0)
                return negative_errno();
        if (answer.h.nlmsg_type == NLMSG_ERROR && n >= (ssize_t) NLMSG_LENGTH(sizeof(struct nlmsgerr)))
                return ((struct nlmsgerr *) NLMSG_DATA(&answer.h))->error;
        return 0;
}

static void check_nftables(HostCheck *h) {
        int r = ask_nftables();

        if (r >= 0 && geteuid() == 0 && helper_run("inferno-tap", "check", NULL, NULL) != 0)
                say(h, "nftables", CHECK_FAILED, "does not take Inferno's rules, as 'inferno-tap check' says");
        else if (r >= 0)
                say(h, "nftables", CHECK_OK, geteuid() == 0 ? "takes Inferno's rules" : "answers");
        else if (r == -EPERM)
                say(h, "nftables", CHECK_WARNING, "only root can ask it");
        else
                say(h, "nftables", CHECK_FAILED, "%s: 'modprobe nf_tables'", strerrordesc_np(-r));
}

static void check_systemd(HostCheck *h) {
        _cleanup_free_ char *error = NULL, *version = NULL;
        unsigned long n;
        int r;

        r = h->c->bus ? 0 : bus_open(&h->c->bus, &error);
        if (r >= 0)
                r = bus_get_systemd_version(h->c->bus, &version, &error);
        if (r < 0) {
                say(h, "systemd", CHECK_FAILED, "%s", error ?: strerrordesc_np(-r));
                return;
        }
        n = strtoul(version + strcspn(version, "0123456789"), NULL, 10);
        say(h, "systemd", n >= SYSTEMD_VERSION_MIN ? CHECK_OK : CHECK_FAILED, "%s%s", version, n >= SYSTEMD_VERSION_MIN ? "" : ": 252 is the least");
}

static void check_vmm(HostCheck *h) {
        bool firecracker = access(h->c->site.firecracker, X_OK) >= 0, ember = access(LAYOUT_EMBER, X_OK) >= 0 && access(EMBER_QEMU, X_OK) >= 0;

        if (firecracker && h->kvm)
                say(h, "VMM", CHECK_OK, "Firecracker, '%s'", h->c->site.firecracker);
        else if (ember)
                say(h, "VMM", CHECK_OK, "ember, on " EMBER_QEMU "%s", firecracker ? "; Firecracker needs KVM" : "; there is no Firecracker");
        else
                say(h, "VMM", CHECK_FAILED, "neither Firecracker ('%s', with KVM) nor ember with " EMBER_QEMU " is there", h->c->site.firecracker);
}

static void check_file(HostCheck *h, const char *what, const char *path, int mode) {
        if (access(path, mode) >= 0)
                say(h, what, CHECK_OK, "%s", path);
        else
                say(h, what, CHECK_FAILED, "'%s': %s", path, strerrordesc_np(errno));
}

static bool is_in_path(const char *name) {
        const char *path = getenv("PATH") ?: "/usr/sbin:/usr/bin:/sbin:/bin";

        for (;;) {
                size_t n = strcspn(path, ":");
                _cleanup_free_ char *whole = strf("%.*s/%s", (int) n, path, name);

                if (whole && access(whole, X_OK) >= 0)
                        return true;
                if (!path[n])
                        return false;
                path += n + 1;
        }
}

static void check_tools(HostCheck *h) {
        struct stat st;
        const char *mkfs = ext4_find_mkfs(&st);

        if (is_in_path("skopeo"))
                say(h, "skopeo", CHECK_OK, "is there");
        else
                say(h, "skopeo", CHECK_FAILED, "is not there, so no image can be had: install the package skopeo");
        if (mkfs)
                say(h, "mke2fs", CHECK_OK, "%s", mkfs);
        else
                say(h, "mke2fs", CHECK_FAILED, "is not there, so no writable layer can be made: install the package e2fsprogs");
}

/* systemd.slice(5)s do nothing without them. */
static void check_cgroups(HostCheck *h) {
        static const char *const wanted[] = { "cpu", "memory", "pids" };
        _cleanup_free_ char *text = NULL;
        _cleanup_strbuf_ StrBuf missing = {};
        size_t n;

        if (read_file_at(AT_FDCWD, "/sys/fs/cgroup/cgroup.controllers", KIB(4), &text, &n) < 0) {
                say(h, "cgroups", CHECK_WARNING, "there is no cgroup v2 at /sys/fs/cgroup: the limits of VMs do not hold");
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
                bool found = false;

                for (const char *p = text; *p;) {
                        size_t k = strcspn(p, " \n");

                        found = found || (strlen(wanted[i]) == k && strncmp(p, wanted[i], k) == 0);
                        p += k + strspn(p + k, " \n");
                }
                if (!found)
                        strbuf_addf(&missing, " %s", wanted[i]);
        }
        if (missing.size > 0)
                say(h, "cgroups", CHECK_WARNING, "controllers are missing, whose limits do not hold:%s", missing.data);
        else
                say(h, "cgroups", CHECK_OK, "version 2, with the controllers cpu, memory and pids");
}

static void check_database(HostCheck *h) {
        _cleanup_free_ char *path = layout_path(LAYOUT_DATABASE), *error = NULL;
        int r;

        if (!path || access(path, F_OK) < 0) {
                say(h, "database", CHECK_WARNING, "there is none yet: 'infernoctl init', or the first start, makes it");
                return;
        }
        if (access(path, R_OK | W_OK) < 0) {
                say(h, "database", CHECK_WARNING, "'%s': %s", path, strerrordesc_np(errno));
                return;
        }
        r = h->c->store ? 0 : store_open(&h->c->store, &error);
        if (r >= 0) {
                _cleanup_strv_ char **vms = NULL;

                r = store_vm_list(h->c->store, &vms);
                if (r >= 0) {
                        say(h, "database", CHECK_OK, "'%s', of %zu VMs", path, strv_length(vms));
                        return;
                }
        }
        say(h, "database", CHECK_FAILED, "%s", error ?: h->c->store ? store_error(h->c->store) : strerrordesc_np(-r));
}

static void check_disk(HostCheck *h) {
        _cleanup_free_ char *dir = layout_path(LAYOUT_STATE_DIR), *free_bytes = NULL, *all = NULL;
        struct statvfs st;
        uint64_t left;

        if (!dir || statvfs(dir, &st) < 0) {
                say(h, "disk", CHECK_WARNING, "'%s': %s", dir ?: LAYOUT_STATE_DIR, strerrordesc_np(errno));
                return;
        }
        left = (uint64_t) st.f_bavail * st.f_frsize;
        free_bytes = format_bytes(left);
        all = format_bytes((uint64_t) st.f_blocks * st.f_frsize);
        if (st.f_flag & ST_RDONLY)
                say(h, "disk", CHECK_FAILED, "the file system of '%s' is read-only", dir);
        else
                say(h, "disk", left < DISK_FREE_MIN ? CHECK_WARNING : CHECK_OK, "%s of %s are free for '%s'", free_bytes ?: "", all ?: "", dir);
}

static void check_definitions(HostCheck *h) {
        _cleanup_(definition_set_freep) DefinitionSet *set = NULL;
        _cleanup_definition_errors_ DefinitionErrors errors = {};
        size_t n_wrong;

        if (definition_set_new(&set, &errors) < 0) {
                say(h, "definitions", CHECK_FAILED, "cannot be listed");
                return;
        }
        n_wrong = errors.n_lines;
        for (size_t i = 0; i < definition_set_size(set); i++) {
                _cleanup_definition_errors_ DefinitionErrors lines = {};
                _cleanup_(definition_freep) Definition *d = NULL;

                n_wrong += definition_set_load(set, i, &h->c->site, &d, &lines) == -EINVAL;
        }
        if (n_wrong > 0)
                say(h, "definitions", CHECK_WARNING, "%zu of %zu are wrong: 'infernoctl verify'", n_wrong, definition_set_size(set) + errors.n_lines);
        else
                say(h, "definitions", CHECK_OK, "%zu", definition_set_size(set));
}

int host_check(Ctl *c, Table **ret, size_t *ret_failed) {
        HostCheck h = { .c = c };
        int r;

        r = ctl_need_site(c);
        if (r != 0)
                return -EINVAL;
        r = table_new(columns, &h.table);
        if (r < 0)
                return log_oom();
        check_systemd(&h);
        check_kvm(&h);
        check_vmm(&h);
        check_file(&h, "guest kernel", c->site.kernel, R_OK);
        check_file(&h, "guest init", LAYOUT_INIT, R_OK);
        check_file(&h, "jailer", c->site.jailer, X_OK);
        check_file(&h, "kiln", LAYOUT_KILN, X_OK);
        check_tools(&h);
        check_tun(&h);
        check_nftables(&h);
        check_cgroups(&h);
        check_disk(&h);
        check_database(&h);
        check_definitions(&h);
        *ret = h.table;
        *ret_failed = h.n_failed;
        return 0;
}
