/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Versions, writable layers, and the two helpers that make and remove them, in a tree of their own with small files in the place of
 * kernel, image and VMM. */

#include <elf.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "helpers/cleanup.h"
#include "helpers/prepare.h"
#include "json/json.h"
#include "kilnconfig/kiln-config.h"
#include "layout/layout.h"
#include "layout/vm-lock.h"
#include "test.h"
#include "version/pin.h"
#include "version/upper.h"
#include "version/version.h"
#include "vmm/ember-files.h"

#define VM "web1"
#define QEMU_IN_JAIL (&EMBER_QEMU[1])
#define DIGEST "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

typedef struct Fixture {
        char *dir;
        Store *store;
        SiteConfig site;
        Definition definition;
        ImageConfig image;
        PrepareInputs in;
} Fixture;

static void put(const char *path, const void *data, size_t n, mode_t mode) {
        _cleanup_free_ char *full = layout_path(path);

        assert_ok(mkdir_parent_of_at(AT_FDCWD, full, 0755));
        assert_ok(write_file_atomic_at(AT_FDCWD, full, data, n, mode, 0));
}

static void put_text(const char *path, const char *text) {
        put(path, text, strlen(text), 0444);
}

static void put_program(const char *path) {
        static const Elf64_Ehdr head = {
                .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_EXEC, .e_machine = EM_X86_64,
        };

        put(path, &head, sizeof(head), 0755);
}

static void put_definition(const char *vm) {
        _cleanup_free_ char *path = strf("/etc/inferno/vms/%s.vm", vm);

        put_text(path, "[VM]\nImage=busybox\n");
}

static void put_initramfs(const char *vm, const char *content) {
        _cleanup_free_ char *link = layout_vm_initramfs(vm), *target = strf("../../initramfs/%s.cpio", content), *file = NULL;

        file = strf(LAYOUT_INITRAMFS_DIR "/%s.cpio", content);
        put_text(file, content);
        assert_ok(mkdir_parent_of_at(AT_FDCWD, link, 0700));
        assert_ok(symlink_atomic_at(target, AT_FDCWD, link, 0));
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));
        unsigned index;

        f->dir = strdup("/tmp/inferno-test-chroot.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        assert_ok(layout_set_root(f->dir));
        put_program(LAYOUT_KILN);
        put_program(LAYOUT_EMBER);
        put_program(EMBER_QEMU);
        put_program("/usr/bin/firecracker");
        put_text("/usr/share/qemu/qboot.rom", "rom");
        put_text(LAYOUT_KERNEL, "\177ELF\2, a kernel");
        put_text(LAYOUT_IMAGES_DIR "/rootfs/a.squashfs", "squashfs");
        put_definition(VM);
        put_initramfs(VM, "1111");

        f->site = (SiteConfig) {
                .firecracker = (char *) "/usr/bin/firecracker", .network = (char *) "172.16.0.0/12",
                .uid_base = geteuid() ?: 700000, .uid_count = geteuid() ? 1 : 100,
        };
        f->definition = (Definition) {
                .name = (char *) VM, .image = (char *) "busybox", .vcpu_millis = 1500, .memory = MIB(128), .kernel = (char *) LAYOUT_KERNEL,
                .stop_timeout_usec = 10 * USEC_PER_SEC, .root_size = MIB(64),
        };
        f->image = (ImageConfig) {
                .manifest_digest = (char *) DIGEST, .rootfs_path = layout_path(LAYOUT_IMAGES_DIR "/rootfs/a.squashfs"),
                .stop_signal = (char *) "SIGQUIT",
        };
        f->in = (PrepareInputs) { &f->definition, &f->site, &f->image, VMM_EMBER };
        assert_ok(store_open(&f->store, NULL));
        assert_ok(store_vm_ensure(f->store, VM, f->site.uid_base, f->site.uid_count, &index));
        assert_ok(store_network_ensure(f->store, VM, 1000, &index));
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        int r;

        store_free(f->store);
        free(f->image.rootfs_path);
        r = remove_tree_at(AT_FDCWD, f->dir);
        layout_set_root(NULL);
        free(f->dir);
        free(f);
        return r;
}

static Preparation prepare(Fixture *f) {
        _cleanup_free_ char *error = NULL;
        Preparation p;

        if (prepare_vm(f->store, &f->in, &p, &error) < 0)
                fail_msg("%s", error);
        return p;
}

static char *in_jail(const char *ulid, const char *name) {
        _cleanup_free_ char *root = layout_version_root(ulid);

        return strf("%s/%s", root, name);
}

static bool exists(char *path_consume) {
        _cleanup_free_ char *path = path_consume;
        struct stat st;

        return lstat(path, &st) >= 0;
}

static struct stat look(const char *ulid, const char *name) {
        _cleanup_free_ char *path = in_jail(ulid, name);
        struct stat st;

        if (lstat(path, &st) < 0)
                fail_msg("no '%s'", path);
        return st;
}

static char *text_of(const char *ulid, const char *name) {
        _cleanup_free_ char *path = in_jail(ulid, name);
        char *text;

        assert_ok(read_file_at(AT_FDCWD, path, 65536, &text, NULL));
        return text;
}

static void test_jail(void **state) {
        static const char *const files[] = { JAIL_KERNEL, JAIL_ROOTFS, JAIL_INITRD, JAIL_KILN_CONFIG, JAIL_VMM_CONFIG, JAIL_VMM, QEMU_IN_JAIL,
                                             "usr/share/qemu/qboot.rom" };
        Fixture *f = *state;
        _cleanup_free_ char *kiln = NULL, *vmm = NULL, *env = NULL, *env_path = layout_vm_env(VM), *env_wanted = NULL, *current = layout_vm_current(VM);
        _cleanup_(kiln_config_freep) KilnConfig *c = NULL;
        char error[JSON_ERROR_MAX], target[64];
        struct stat st, origin;
        Preparation p;

        f->definition.kernel_args = (char *[]) { (char *) "debug", (char *) "x=\"a b\"", NULL };
        p = prepare(f);
        assert_true(p.built);
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                st = look(p.ulid, files[i]);
                assert_true(S_ISREG(st.st_mode));
                assert_int_equal(st.st_uid, geteuid());
                assert_int_equal(st.st_mode & 0222 & ~0200, 0);
        }
        /* The jailer refuses a kiln with two names, and makes its own. */
        assert_false(exists(in_jail(p.ulid, JAIL_KILN)));
        assert_ok(stat(f->image.rootfs_path, &origin));
        assert_int_equal(look(p.ulid, JAIL_ROOTFS).st_ino, origin.st_ino);

        kiln = text_of(p.ulid, JAIL_KILN_CONFIG);
        assert_ok(kiln_config_parse(kiln, strlen(kiln), &c, error));
        assert_string_equal(c->jail_id, p.ulid);
        assert_string_equal(c->version, p.ulid);
        assert_string_equal(c->vmm, "ember");
        assert_string_equal(c->address, "172.16.0.2");
        assert_int_equal(c->uid, f->site.uid_base);
        assert_int_equal(c->stop_signal, SIGQUIT);
        assert_int_equal(c->cpu_count, 2);

        vmm = text_of(p.ulid, JAIL_VMM_CONFIG);
        assert_string_equal(vmm,
                "{\"boot-source\":{\"boot_args\":\"console=ttyS0 reboot=k panic=1 quiet debug x=\\\"a b\\\"\",\"initrd_path\":\"/initrd.cpio\","
                "\"kernel_image_path\":\"/vmlinux\"},\"drives\":[{\"cache_type\":\"Unsafe\",\"drive_id\":\"rootfs\",\"is_read_only\":true,"
                "\"is_root_device\":false,\"path_on_host\":\"/rootfs\"},{\"cache_type\":\"Unsafe\",\"drive_id\":\"upper\",\"is_read_only\":false,"
                "\"is_root_device\":false,\"path_on_host\":\"/upper\"}],\"entropy\":{},\"logger\":{\"level\":\"Warning\",\"log_path\":"
                "\"vmm.log.fifo\",\"show_level\":true},\"machine-config\":{\"mem_size_mib\":128,\"vcpu_count\":2},\"metrics\":{\"metrics_path\":"
                "\"vmm.metrics.fifo\"},\"network-interfaces\":[{\"guest_mac\":\"06:00:ac:10:00:02\",\"host_dev_name\":\"inf0\",\"iface_id\":\"eth0\"}],"
                "\"vsock\":{\"guest_cid\":3,\"uds_path\":\"v.sock\"}}\n");

        st = look(p.ulid, JAIL_UPPER);
        assert_int_equal(st.st_uid, f->site.uid_base);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(st.st_size, MIB(64));
        assert_true(st.st_blocks * 512 < (blkcnt_t) MIB(2));
        assert_true(S_ISREG(look(p.ulid, "run/systemd/notify").st_mode));
        assert_true(S_ISREG(look(p.ulid, "run/systemd/journal/socket").st_mode));

        assert_ok(read_file_at(AT_FDCWD, env_path, 4096, &env, NULL));
        env_wanted = strf("INFERNO_ID=%s\nINFERNO_UID=%u\nINFERNO_GID=%u\nINFERNO_VMM=ember\n", p.ulid, f->site.uid_base, f->site.uid_base);
        assert_string_equal(env, env_wanted);
        assert_int_equal(readlink(current, target, sizeof(target)), strlen("../kiln/") + 26);
}

static void put_programs(const char *vm, const char *content) {
        _cleanup_free_ char *link = layout_vm_programs(vm), *target = strf("../../initramfs/programs-%s.squashfs", content), *file = NULL;

        file = strf(LAYOUT_INITRAMFS_DIR "/programs-%s.squashfs", content);
        put_text(file, content);
        assert_ok(symlink_atomic_at(target, AT_FDCWD, link, 0));
}

/* The disk is the last of the drives, a link to the one file of all VMs; and a VM that brings nothing along does not get one that was left. */
static void test_programs(void **state) {
        _cleanup_free_ char *error = NULL, *vmm = NULL, *without = NULL, *content = NULL, *file = layout_path(LAYOUT_INITRAMFS_DIR "/programs-a.squashfs");
        char *bundle[] = { (char *) "/usr/bin/strace", NULL };
        Fixture *f = *state;
        Preparation p, q;
        struct stat st;

        f->definition.bundle = bundle;
        assert_error(prepare_vm(f->store, &f->in, &p, &error), ENOENT);
        assert_non_null(strstr(error, "VM 'web1' has no disk of programs at"));
        assert_non_null(strstr(error, "run inferno-initramfs build web1 first"));
        put_programs(VM, "a");
        p = prepare(f);
        vmm = text_of(p.ulid, JAIL_VMM_CONFIG);
        assert_non_null(strstr(vmm, "\"path_on_host\":\"/upper\"},{\"cache_type\":\"Unsafe\",\"drive_id\":\"programs\",\"is_read_only\":true,"
                                    "\"is_root_device\":false,\"path_on_host\":\"/programs\"}]"));
        assert_ok(stat(file, &st));
        assert_int_equal(look(p.ulid, JAIL_PROGRAMS).st_ino, st.st_ino);

        put_programs(VM, "b");
        q = prepare(f);
        assert_true(q.built);
        content = text_of(q.ulid, JAIL_PROGRAMS);
        assert_string_equal(content, "b");

        f->definition.bundle = NULL;
        p = prepare(f);
        without = text_of(p.ulid, JAIL_VMM_CONFIG);
        assert_null(strstr(without, "programs"));
        assert_false(exists(in_jail(p.ulid, JAIL_PROGRAMS)));
}

static void test_reuse(void **state) {
        Fixture *f = *state;
        Preparation a = prepare(f), b = prepare(f), c, d;

        assert_false(b.built);
        assert_string_equal(a.ulid, b.ulid);
        assert_string_equal(a.digest, b.digest);

        /* Each input makes a version of its own, later than the last; going back finds the old one. */
        f->definition.memory = MIB(256);
        c = prepare(f);
        assert_true(c.built);
        assert_true(strcmp(c.ulid, a.ulid) > 0);
        f->definition.memory = MIB(128);
        d = prepare(f);
        assert_false(d.built);
        assert_string_equal(d.ulid, a.ulid);

        put_text(LAYOUT_KERNEL, "\177ELF\2, another");
        assert_true(prepare(f).built);
        put_program(LAYOUT_KILN);
        assert_true(prepare(f).built);
        put_program(EMBER_QEMU);
        assert_true(prepare(f).built);
        put_initramfs(VM, "2222");
        assert_true(prepare(f).built);
        put_text(LAYOUT_IMAGES_DIR "/rootfs/a.squashfs", "changed!");
        assert_true(prepare(f).built);
        f->in.vmm = VMM_FIRECRACKER;
        c = prepare(f);
        assert_true(c.built);
        assert_false(exists(in_jail(c.ulid, QEMU_IN_JAIL)));
        assert_false(prepare(f).built);

        /* What does not go into the jail makes none. */
        f->definition.tenant = (char *) "other";
        f->definition.pull = PULL_ALWAYS;
        assert_false(prepare(f).built);
}

/* What the last run, or somebody who broke out of it, left in the jail's top directory, which is theirs. */
static void test_leftovers(void **state) {
        Fixture *f = *state;
        Preparation a = prepare(f), b;
        _cleanup_free_ char *root = layout_version_root(a.ulid), *victim = layout_path("/victim"), *upper = in_jail(a.ulid, JAIL_UPPER);
        _cleanup_close_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), deep = -EBADF;
        struct stat st;
        char buf[4] = "";
        int k;

        put_text("/victim/file", "precious");
        assert_ok(fchown(fd, f->site.uid_base, f->site.uid_base));
        assert_ok(mkdirat(fd, "dev", 0755));
        assert_ok(mkdirat(fd, "dev/net", 0755));
        if (geteuid() == 0)
                assert_ok(mknodat(fd, "dev/net/tun", S_IFCHR | 0600, makedev(10, 200)));
        assert_ok(mkfifoat(fd, "vmm.log.fifo", 0600));
        assert_ok(mkfifoat(fd, "kiln.pid", 0600));
        assert_ok(symlinkat("/etc/passwd", fd, "exit_status.json"));
        assert_ok(symlinkat(victim, fd, "kiln"));
        assert_ok(mkdirat(fd, "plant", 0));
        assert_ok(mkdirat(fd, "new\nline", 0700));
        /* Deeper than remove_tree_at() has directories open at once. */
        assert_ok(mkdirat(fd, "deep", 0700));
        deep = openat(fd, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (int i = 0; i < 500; i++) {
                assert_ok(mkdirat(deep, "d", 0700));
                k = openat(deep, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_ok(k);
                close(deep);
                deep = k;
        }
        k = open(upper, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(k, "hey", 3, 0), 3);
        close(k);

        b = prepare(f);
        assert_false(b.built);
        assert_string_equal(a.ulid, b.ulid);
        assert_false(exists(in_jail(a.ulid, "dev")) || exists(in_jail(a.ulid, "vmm.log.fifo")) || exists(in_jail(a.ulid, "kiln.pid")) ||
                     exists(in_jail(a.ulid, "exit_status.json")) || exists(in_jail(a.ulid, "kiln")) || exists(in_jail(a.ulid, "plant")) ||
                     exists(in_jail(a.ulid, "deep")) || exists(in_jail(a.ulid, "new\nline")));
        assert_true(S_ISREG(look(a.ulid, "run/systemd/notify").st_mode));
        assert_true(exists(layout_path("/victim/file")));
        /* A fresh writable layer, not the one that was written to. */
        k = open(upper, O_RDONLY | O_CLOEXEC);
        assert_int_equal(pread(k, buf, 3, 0), 3);
        close(k);
        assert_string_not_equal(buf, "hey");
        assert_ok(fstat(fd, &st));
        assert_int_equal(st.st_uid, geteuid());
}

/* What belongs to the version was replaced: nothing of it is used again. */
static void test_tampered(void **state) {
        Fixture *f = *state;

        for (int i = 0; i < 7; i++) {
                Preparation a = prepare(f), b;
                _cleanup_free_ char *root = layout_version_root(a.ulid), *dir = layout_version_dir(a.ulid);
                _cleanup_close_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                switch (i) {
                case 0: /* the same content, but another file */
                        assert_ok(unlinkat(fd, JAIL_KERNEL, 0));
                        assert_ok(write_file_atomic_at(fd, JAIL_KERNEL, "kernel", 6, 0444, 0));
                        break;
                case 1:
                        assert_ok(renameat(fd, JAIL_KERNEL, fd, "tmp"));
                        assert_ok(renameat(fd, JAIL_ROOTFS, fd, JAIL_KERNEL));
                        assert_ok(renameat(fd, "tmp", fd, JAIL_ROOTFS));
                        break;
                case 2:
                        assert_ok(unlinkat(fd, JAIL_KILN_CONFIG, 0));
                        assert_ok(symlinkat("/etc/passwd", fd, JAIL_KILN_CONFIG));
                        break;
                case 3:
                        assert_ok(renameat(fd, "usr", fd, "old"));
                        assert_ok(mkdirat(fd, "usr", 0755));
                        break;
                case 4:
                        assert_ok(remove_tree_at(AT_FDCWD, root));
                        break;
                case 5:
                        assert_ok(remove_tree_at(AT_FDCWD, dir));
                        break;
                case 6: {
                        _cleanup_free_ char *manifest = strf("%s/manifest", dir);

                        assert_ok(truncate(manifest, 40));
                        break;
                }
                }
                b = prepare(f);
                assert_true(b.built);
                assert_string_not_equal(a.ulid, b.ulid);
                assert_int_equal(version_is_intact(VM, b.ulid), 1);
        }
}

static void test_persistent(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *kept = layout_vm_upper(VM), *error = NULL;
        struct stat st;
        Preparation a, b;
        char buf[4] = "";
        int fd;

        f->definition.root = ROOT_PERSISTENT;
        a = prepare(f);
        assert_ok(stat(kept, &st));
        assert_int_equal(look(a.ulid, JAIL_UPPER).st_ino, st.st_ino);
        assert_int_equal(st.st_uid, f->site.uid_base);
        fd = open(kept, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "hey", 3, 0), 3);
        close(fd);

        /* It goes with the VM to its next version, grows, but does not shrink. */
        f->definition.memory = MIB(256);
        f->definition.root_size = MIB(96);
        b = prepare(f);
        assert_string_not_equal(a.ulid, b.ulid);
        assert_false(exists(in_jail(a.ulid, JAIL_UPPER)));
        assert_int_equal(look(b.ulid, JAIL_UPPER).st_ino, st.st_ino);
        assert_int_equal(look(b.ulid, JAIL_UPPER).st_size, MIB(96));
        fd = open(kept, O_RDONLY | O_CLOEXEC);
        assert_int_equal(pread(fd, buf, 3, 0), 3);
        close(fd);
        assert_string_equal(buf, "hey");
        f->definition.root_size = MIB(64);
        assert_error(prepare_vm(f->store, &f->in, &b, &error), EOVERFLOW);
        assert_non_null(strstr(error, "RootSize="));
}

static void assert_refused(Fixture *f, int error, const char *part) {
        _cleanup_free_ char *text = NULL;
        Preparation p;

        assert_error(prepare_vm(f->store, &f->in, &p, &text), error);
        if (!text || !strstr(text, part))
                fail_msg("%s", text);
}

static void test_refused(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *link = layout_vm_initramfs(VM), *kernel = layout_path(LAYOUT_KERNEL), *qemu = layout_path(EMBER_QEMU);
        char many[2048];

        memset(many, 'x', sizeof(many) - 1);
        many[sizeof(many) - 1] = 0;
        f->definition.kernel_args = (char *[]) { many, NULL };
        assert_refused(f, E2BIG, "KernelArgs=");
        f->definition.kernel_args = NULL;
        assert_ok(unlink(qemu));
        assert_refused(f, ENOENT, EMBER_QEMU);
        put_program(EMBER_QEMU);
        assert_ok(unlink(kernel));
        assert_refused(f, ENOENT, LAYOUT_KERNEL);
        put_text(LAYOUT_KERNEL, "\177ELF\2, a kernel");
        assert_ok(unlink(link));
        assert_refused(f, ENOENT, "inferno-initramfs build " VM);
        put_initramfs(VM, "1111");
        f->definition.name = (char *) "web2";
        assert_refused(f, geteuid() ? EDQUOT : ENOENT, geteuid() ? "UIDRange" : "inferno-tap up web2");
        f->definition.name = (char *) VM;
        (void) prepare(f);
}

/* A process that stands in the jail, as kiln does. */
static pid_t run_in_jail(const char *ulid) {
        _cleanup_free_ char *root = layout_version_root(ulid), *pid_path = in_jail(ulid, "kiln.pid"), *text = NULL;
        int fds[2];
        char byte;
        pid_t pid;

        assert_ok(pipe2(fds, O_CLOEXEC));
        pid = fork();
        assert_ok(pid);
        if (pid == 0) {
                if (chroot(root) < 0 || write(fds[1], "x", 1) != 1)
                        _exit(1);
                pause();
        }
        assert_int_equal(read(fds[0], &byte, 1), 1);
        close(fds[0]);
        close(fds[1]);
        text = strf("%d", (int) pid);
        assert_ok(write_file_atomic_at(AT_FDCWD, pid_path, text, strlen(text), 0644, 0));
        return pid;
}

static void test_running(void **state) {
        Fixture *f = *state;
        Preparation a;
        pid_t pid;

        if (geteuid() != 0) {
                print_message("needs root for chroot(2)\n");
                skip();
        }
        a = prepare(f);
        assert_int_equal(version_running(a.ulid, NULL), 0);
        pid = run_in_jail(a.ulid);
        assert_int_equal(version_running(a.ulid, NULL), 1);
        assert_refused(f, EBUSY, "runs already");
        assert_error(cleanup_stopped(VM), EBUSY);
        assert_true(exists(layout_vm_env(VM)));
        assert_ok(kill(pid, SIGKILL));
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(version_running(a.ulid, NULL), 0);
        assert_false(prepare(f).built);
}

static void test_concurrent(void **state) {
        Fixture *f = *state;
        _cleanup_free_ StoreVersion *versions = NULL;
        pid_t pids[4];
        size_t n;

        /* A connection to SQLite does not go through fork(). */
        f->store = store_free(f->store);
        for (size_t i = 0; i < ELEMENTSOF(pids); i++) {
                pids[i] = fork();
                assert_ok(pids[i]);
                if (pids[i] == 0) {
                        _cleanup_free_ char *error = NULL;
                        Preparation p;
                        int r;

                        r = store_open(&f->store, &error);
                        for (int k = 0; k < 5 && r >= 0; k++)
                                r = prepare_vm(f->store, &f->in, &p, &error);
                        if (r < 0)
                                fprintf(stderr, "%s\n", error);
                        _exit(r < 0);
                }
        }
        for (size_t i = 0; i < ELEMENTSOF(pids); i++) {
                int status;

                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                assert_int_equal(status, 0);
        }
        assert_ok(store_open(&f->store, NULL));
        assert_ok(store_version_list(f->store, VM, &versions, &n));
        assert_int_equal(n, 1);
}

/* Killed at any moment, of a first start, of one that builds, of one that finds its version: the next start works by itself. */
static void test_killed(void **state) {
        Fixture *f = *state;
        _cleanup_free_ StoreVersion *versions = NULL;
        _cleanup_free_ char *beginnings = NULL, *dir = layout_vm_dir(VM);
        _cleanup_strv_ char **on_disk = NULL;
        unsigned n_killed = 0;
        size_t n;

        f->definition.root = ROOT_PERSISTENT;
        for (int i = 0; i < 60; i++) {
                int status;
                Preparation p;
                pid_t pid;

                if (i % 3 == 0)
                        f->definition.memory += MIB(1);
                if (i % 10 == 0)
                        put_program(EMBER_QEMU);
                f->store = store_free(f->store);
                pid = fork();
                assert_ok(pid);
                if (pid == 0) {
                        if (store_open(&f->store, NULL) < 0)
                                _exit(1);
                        _exit(prepare_vm(f->store, &f->in, &p, NULL) < 0);
                }
                usleep((useconds_t) (rand() % (i % 2 ? 4000 : 20000)));
                assert_ok(kill(pid, SIGKILL));
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
                n_killed += WIFSIGNALED(status);
                assert_ok(store_open(&f->store, NULL));
                if (i % 2) {
                        p = prepare(f);
                        assert_int_equal(version_is_intact(VM, p.ulid), 1);
                        assert_true(S_ISREG(look(p.ulid, JAIL_UPPER).st_mode));
                }
        }
        print_message("%u of 60 were killed\n", n_killed);
        assert_true(n_killed > 10);
        /* No row names a version that is not whole, and all but the last one has its row. */
        assert_ok(version_remove_beginnings(f->store, VM));
        assert_ok(store_version_list(f->store, VM, &versions, &n));
        assert_ok(version_enumerate(&on_disk));
        assert_int_equal(strv_length(on_disk), n);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(version_is_intact(VM, versions[i].ulid), 1);
        assert_ok(cleanup_prune(1));
        beginnings = strf("%s/.new", dir);
        assert_true(access(beginnings, F_OK) < 0);
        (void) prepare(f);
}

/* Killed between the rename and the row. */
static void test_unrecorded(void **state) {
        Fixture *f = *state;
        Preparation a = prepare(f), b;
        _cleanup_free_ char *dir = layout_vm_dir(VM), *next = strf("%s/.next", dir), *target = strf("../kiln/%s", a.ulid);

        assert_ok(symlink(target, next));
        assert_ok(version_remove_beginnings(f->store, VM));
        assert_true(exists(layout_version_dir(a.ulid)));
        assert_false(exists(strdup(next)));

        assert_ok(symlink(target, next));
        assert_ok(store_version_remove(f->store, a.ulid));
        b = prepare(f);
        assert_true(b.built);
        assert_false(exists(layout_version_dir(a.ulid)) || exists(strdup(next)));
        assert_true(exists(layout_version_dir(b.ulid)));
}

/* In a network namespace of its own, for the clean-up really takes TAPs and tables away. */
static bool enter_network_namespace(void) {
        static bool entered = false;

        if (!entered && unshare(CLONE_NEWNET) < 0) {
                print_message("needs root for a network namespace\n");
                return false;
        }
        entered = true;
        return true;
}

/* The guest's uid owns the jail's top directory, so that it can put something in the place of what it cannot write to. It is taken away before
 * systemd would follow it; and a version that lacks an entry counts no more. */
static void test_replaced(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *root = NULL, *victim = layout_path("/victim");
        _cleanup_close_ int fd = -EBADF;
        Preparation a, b;

        if (!enter_network_namespace())
                skip();
        a = prepare(f);
        root = layout_version_root(a.ulid);
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        put_text("/victim/file", "precious");
        assert_ok(fchown(fd, f->site.uid_base, f->site.uid_base));
        assert_ok(renameat(fd, "run", fd, "away"));
        assert_ok(symlinkat(victim, fd, "run"));
        assert_ok(cleanup_stopped(VM));
        assert_true(S_ISDIR(look(a.ulid, "run").st_mode));
        assert_false(exists(in_jail(a.ulid, "away")));
        b = prepare(f);
        assert_false(b.built);

        assert_ok(renameat(fd, JAIL_KERNEL, fd, "away"));
        assert_ok(symlinkat(victim, fd, JAIL_KERNEL));
        assert_ok(cleanup_stopped(VM));
        assert_false(exists(in_jail(a.ulid, JAIL_KERNEL)) || exists(in_jail(a.ulid, "away")));
        b = prepare(f);
        assert_true(b.built);
        assert_true(S_ISREG(look(b.ulid, "run/systemd/notify").st_mode));
        assert_true(exists(layout_path("/victim/file")));
        assert_false(exists(layout_path("/victim/systemd")));
}

static void test_stopped(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *root = NULL;
        _cleanup_close_ int fd = -EBADF;
        Preparation p;

        if (!enter_network_namespace())
                skip();
        assert_ok(cleanup_stopped("never-seen"));
        p = prepare(f);
        root = layout_version_root(p.ulid);
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(fchown(fd, f->site.uid_base, f->site.uid_base));
        assert_ok(mknodat(fd, "v.sock", S_IFSOCK | 0600, 0));
        assert_ok(write_file_atomic_at(fd, JAIL_EXIT_STATUS, "{}", 2, 0600, 0));
        assert_ok(cleanup_stopped(VM));
        assert_false(exists(in_jail(p.ulid, "v.sock")) || exists(in_jail(p.ulid, JAIL_UPPER)) || exists(layout_vm_env(VM)));
        assert_true(exists(in_jail(p.ulid, JAIL_EXIT_STATUS)));
        /* systemd need not make it where the disk is full. */
        assert_true(exists(in_jail(p.ulid, "run/systemd/notify")));
        assert_ok(cleanup_stopped(VM));
        assert_false(prepare(f).built);
}

static void test_gone(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *definition = layout_path("/etc/inferno/vms/" VM ".vm");
        Preparation p;
        unsigned uid;

        if (!enter_network_namespace())
                skip();
        f->definition.root = ROOT_PERSISTENT;
        p = prepare(f);
        assert_ok(cleanup_gone(true));
        assert_true(exists(layout_vm_upper(VM)));

        /* A masked definition is not gone. */
        assert_ok(unlink(definition));
        assert_ok(symlink("/dev/null", definition));
        assert_ok(cleanup_gone(true));
        assert_true(exists(layout_vm_upper(VM)));

        /* At its stop the VM is forgotten, but what was to persist does. */
        assert_ok(unlink(definition));
        assert_ok(cleanup_stopped(VM));
        assert_error(store_vm_get_uid(f->store, VM, &uid), ENOENT);
        assert_false(exists(layout_version_dir(p.ulid)) || exists(layout_vm_current(VM)));
        assert_true(exists(layout_vm_upper(VM)));
        assert_ok(cleanup_gone(false));
        assert_true(exists(layout_vm_upper(VM)));
        assert_ok(cleanup_gone(true));
        assert_false(exists(layout_vm_dir(VM)) || exists(layout_vm_lock(VM)));
        assert_ok(cleanup_gone(true));
}

#define UNKNOWN_TREE "0000000000000000000000000000000000000000000000000000000000000000"

/* The name of a tree that lib/bundle has made for the VM. */
static char *bundle_tree(void) {
        _cleanup_free_ char *pattern = layout_path(LAYOUT_BUNDLES_DIR "/*.manifest"), *text = NULL;
        glob_t g;
        char *key;

        assert_int_equal(glob(pattern, 0, NULL, &g), 0);
        assert_ok(read_file_at(AT_FDCWD, g.gl_pathv[0], 1024 * 1024, &text, NULL));
        globfree(&g);
        key = strndup(text + strlen("inferno-bundle 1 "), SHA256_HEX_SIZE - 1);
        assert_non_null(key);
        return key;
}

static void test_prune(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *tree = NULL, *used_programs = NULL;
        _cleanup_free_ char *orphan = layout_version_dir("7ZZZZZZZZZZZZZZZZZZZZZZZZ0"), *templates = layout_path(LAYOUT_TEMPLATES_DIR);
        _cleanup_free_ char *old_template = strf("%s/ext4-1048576-ephemeral-0123456789abcdef.img", templates);
        _cleanup_free_ StoreVersion *versions = NULL;
        Preparation p[5];
        size_t n;

        for (size_t i = 0; i < ELEMENTSOF(p); i++) {
                f->definition.memory += MIB(1);
                p[i] = prepare(f);
        }
        /* The oldest is current again: it stays beside the two newest. */
        f->definition.memory -= MIB(4);
        assert_string_equal(prepare(f).ulid, p[0].ulid);
        put_text(LAYOUT_INITRAMFS_DIR "/2222.cpio", "of no VM");
        /* Programs are kept as long as their tree, or for the VM that names them. */
        put_text(LAYOUT_INITRAMFS_DIR "/programs-" UNKNOWN_TREE ".squashfs", "of no tree");
        tree = bundle_tree();
        used_programs = strf(LAYOUT_INITRAMFS_DIR "/programs-%s.squashfs", tree);
        put_text(used_programs, "of a tree");
        put_programs(VM, "1111");
        /* One whose row was never written, or already removed. */
        assert_ok(store_version_remove(f->store, p[3].ulid));
        assert_ok(mkdir(orphan, 0700));
        assert_ok(write_file_atomic_at(AT_FDCWD, old_template, "x", 1, 0400, 0));
        assert_ok(cleanup_prune(2));
        assert_ok(store_version_list(f->store, VM, &versions, &n));
        assert_int_equal(n, 3);
        assert_string_equal(versions[0].ulid, p[4].ulid);
        assert_string_equal(versions[1].ulid, p[2].ulid);
        assert_string_equal(versions[2].ulid, p[0].ulid);
        assert_false(exists(layout_version_dir(p[1].ulid)) || exists(layout_version_dir(p[3].ulid)) || exists(strdup(orphan)) ||
                     exists(strdup(old_template)));
        assert_true(exists(layout_version_dir(p[0].ulid)));
        assert_false(exists(layout_path(LAYOUT_INITRAMFS_DIR "/2222.cpio")));
        assert_true(exists(layout_path(LAYOUT_INITRAMFS_DIR "/1111.cpio")));
        assert_false(exists(layout_path(LAYOUT_INITRAMFS_DIR "/programs-" UNKNOWN_TREE ".squashfs")));
        assert_true(exists(layout_path(used_programs)));
        assert_true(exists(layout_path(LAYOUT_INITRAMFS_DIR "/programs-1111.squashfs")));
        assert_false(prepare(f).built);
}

static bool enter_mount_namespace(void) {
        static bool entered = false;

        if (!entered && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)) {
                print_message("needs root for a mount namespace\n");
                return false;
        }
        entered = true;
        return true;
}

/* As systemd does for BindPaths=: makes the place where there is none, and binds something there. */
static void bind_into_current(void) {
        static const char *const names[] = { "run/systemd/notify", "run/systemd/journal/socket" };
        _cleanup_free_ char *current = layout_vm_current(VM), *source = layout_path("/socket");

        put_text("/socket", "host's");
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *target = strf("%s/root/%s", current, names[i]);
                int fd;

                assert_ok(mkdir_parent_of_at(AT_FDCWD, target, 0755));
                fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
                assert_ok(fd);
                close(fd);
                assert_ok(mount(source, target, NULL, MS_BIND, NULL));
        }
}

static void test_bind_paths(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *current = layout_vm_current(VM), *run = NULL;
        Preparation a, b;
        struct stat st;

        if (!enter_mount_namespace() || !enter_network_namespace())
                skip();
        /* Before the first version, and before one that is used again. */
        bind_into_current();
        a = prepare(f);
        assert_true(a.built);
        assert_int_equal(look(a.ulid, "run/systemd/notify").st_size, 0);
        assert_ok(lstat(current, &st));
        assert_true(S_ISLNK(st.st_mode));
        bind_into_current();
        /* The jailer hands it to the VM's user, who may do anything there. */
        run = in_jail(a.ulid, "run");
        assert_ok(chown(run, f->site.uid_base, f->site.uid_base));
        b = prepare(f);
        assert_false(b.built);
        assert_int_equal(look(a.ulid, "run/systemd/notify").st_size, 0);
        assert_int_equal(look(a.ulid, "run").st_uid, 0);

        /* After a run, and after a start that did not come to make a version. */
        bind_into_current();
        assert_ok(cleanup_stopped(VM));
        assert_int_equal(look(a.ulid, "run/systemd/notify").st_size, 0);
        assert_ok(unlink(current));
        bind_into_current();
        assert_ok(cleanup_stopped(VM));
        assert_false(exists(layout_vm_current(VM)));
}

/* State on a file system of its own, of `size` bytes; the caller puts what was in it there again. */
static bool mount_state(const char *options, unsigned long flags) {
        _cleanup_free_ char *path = layout_path(LAYOUT_STATE_DIR);

        if (!enter_mount_namespace())
                return false;
        assert_ok(mount("tmpfs", path, "tmpfs", flags, options));
        return true;
}

static void unmount_state(void) {
        _cleanup_free_ char *path = layout_path(LAYOUT_STATE_DIR);

        assert_ok(umount2(path, MNT_DETACH));
}

static int try_put_state(Fixture *f, char **ret_error) {
        unsigned index;
        int r;

        put_initramfs(VM, "1111");
        put_text(LAYOUT_IMAGES_DIR "/rootfs/a.squashfs", "squashfs");
        r = store_open(&f->store, ret_error);
        if (r < 0)
                return r;
        r = store_vm_ensure(f->store, VM, f->site.uid_base, f->site.uid_count, &index);
        if (r >= 0)
                r = store_network_ensure(f->store, VM, 1000, &index);
        if (r < 0)
                *ret_error = strdup(store_error(f->store));
        return r;
}

/* Rolled back, a VM has that version again and again, whatever else there is meanwhile, and no other one; until its definition is another one. */
static void test_pin(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *definition = layout_path("/etc/inferno/vms/" VM ".vm"), *dropin = layout_path("/etc/inferno/vms/" VM ".vm.d/a.conf"),
                            *pin_path = layout_vm_pin(VM), *victim = NULL;
        char *files[] = { definition, NULL, NULL }, pin[ULID_STRING_SIZE];
        _cleanup_free_ StoreVersion *versions = NULL;
        Preparation a, b, p;
        uint64_t size;
        size_t n;

        f->definition.files = files;
        assert_error(version_pin_get(VM, files, pin), ENOENT);
        assert_ok(version_pin_clear(VM));
        a = prepare(f);
        put_text(LAYOUT_KERNEL, "\177ELF\2, another");
        b = prepare(f);
        assert_string_not_equal(a.ulid, b.ulid);
        assert_ok(version_get_size(a.ulid, &size));
        assert_true(size > 0 && size < MIB(1));

        assert_ok(version_pin_set(VM, a.ulid, files));
        assert_int_equal(version_pin_get(VM, files, pin), 1);
        assert_string_equal(pin, a.ulid);
        /* Without image, initramfs, kernel. */
        f->in.image = NULL;
        put_text(LAYOUT_KERNEL, "\177ELF\2, a third");
        victim = layout_vm_initramfs(VM);
        assert_int_equal(unlink(victim), 0);
        for (unsigned i = 0; i < 2; i++) {
                char current[ULID_STRING_SIZE];

                p = prepare(f);
                assert_true(p.pinned && !p.built);
                assert_string_equal(p.ulid, a.ulid);
                assert_ok(version_get_current(VM, current));
                assert_string_equal(current, a.ulid);
        }
        /* Kept, also where none is. */
        assert_ok(version_set_current(VM, b.ulid));
        assert_ok(cleanup_prune(0));
        assert_ok(store_version_list(f->store, VM, &versions, &n));
        assert_int_equal(n, 2);

        /* What the host has for the VM must be what the version expects. */
        f->definition.root = ROOT_PERSISTENT;
        assert_refused(f, EINVAL, "another set of volumes, or Root=");
        f->definition.root = ROOT_EPHEMERAL;
        f->site.network = (char *) "10.0.0.0/8";
        assert_refused(f, EINVAL, "another address");
        f->site.network = (char *) "172.16.0.0/12";

        /* Another definition, by a drop-in. */
        put_text("/etc/inferno/vms/" VM ".vm.d/a.conf", "[VM]\nMemory=256M\n");
        files[1] = dropin;
        assert_int_equal(version_pin_get(VM, files, pin), 0);
        f->in.image = &f->image;
        put_initramfs(VM, "1111");
        p = prepare(f);
        assert_false(p.pinned);
        assert_string_not_equal(p.ulid, a.ulid);
        assert_error(version_pin_get(VM, files, pin), ENOENT);
        files[1] = NULL;
        assert_false(prepare(f).pinned);

        /* A version that was damaged is not used, and no other one in its place. */
        assert_ok(version_pin_set(VM, a.ulid, files));
        free(victim);
        victim = in_jail(a.ulid, JAIL_KERNEL);
        assert_int_equal(unlink(victim), 0);
        assert_refused(f, EBADMSG, "is not what it was");
        assert_ok(version_pin_clear(VM));
        assert_false(prepare(f).pinned);

        put_text(LAYOUT_VMS_DIR "/" VM "/pin", "nonsense\n");
        assert_error(version_pin_get(VM, files, pin), EBADMSG);
        assert_refused(f, EBADMSG, "rolled back");
        assert_ok(version_pin_clear(VM));
        assert_int_equal(access(pin_path, F_OK), -1);
        f->definition.files = NULL;
}

static void put_state(Fixture *f) {
        _cleanup_free_ char *error = NULL;

        if (try_put_state(f, &error) < 0)
                fail_msg("%s", error);
}

static void test_mount_options(void **state) {
        Fixture *f = *state;

        f->store = store_free(f->store);
        if (!mount_state(NULL, MS_NODEV))
                skip();
        put_state(f);
        assert_refused(f, EOPNOTSUPP, "'nodev'");
        f->store = store_free(f->store);
        unmount_state();
        assert_true(mount_state(NULL, MS_NOEXEC));
        put_state(f);
        assert_refused(f, EOPNOTSUPP, "'noexec'");
        f->store = store_free(f->store);
        unmount_state();
}

/* However much room there is, a start works or says that there is none, and leaves nothing that counts. */
static void test_no_space(void **state) {
        Fixture *f = *state;
        unsigned n_refused = 0, n_without_store = 0;

        f->store = store_free(f->store);
        f->definition.root_size = MIB(8);
        for (unsigned pages = 12; pages < 90; pages += 2) {
                _cleanup_free_ char *size = strf("size=%uk", pages * 4), *error = NULL;
                _cleanup_free_ StoreVersion *versions = NULL;
                Preparation p;
                size_t n;
                int r;

                f->definition.root = pages % 4 ? ROOT_PERSISTENT : ROOT_EPHEMERAL;
                if (!mount_state(size, 0))
                        skip();
                r = try_put_state(f, &error);
                if (r < 0)
                        n_without_store++;
                else
                        r = prepare_vm(f->store, &f->in, &p, &error);
                if (r < 0) {
                        _cleanup_free_ char *path = layout_path(LAYOUT_STATE_DIR);

                        n_refused++;
                        if (r != -ENOSPC || !strstr(error, "Make room"))
                                fail_msg("%u KiB: %s", pages * 4, error);
                        assert_ok(mount(NULL, path, NULL, MS_REMOUNT, "size=64m"));
                        f->store = store_free(f->store);
                        put_state(f);
                        assert_ok(store_version_list(f->store, VM, &versions, &n));
                        for (size_t i = 0; i < n; i++)
                                assert_int_equal(version_is_intact(VM, versions[i].ulid), 1);
                        p = prepare(f);
                }
                assert_int_equal(version_is_intact(VM, p.ulid), 1);
                f->store = store_free(f->store);
                unmount_state();
        }
        print_message("%u sizes were too small, %u of them for the database\n", n_refused, n_without_store);
        assert_true(n_without_store > 0 && n_refused > n_without_store + 5);
}

/* The cost of the usual case: an unchanged definition. */
static void test_cost(void **state) {
        Fixture *f = *state;
        struct rusage a, b;
        double ms;

        (void) prepare(f);
        getrusage(RUSAGE_SELF, &a);
        for (int i = 0; i < 50; i++)
                assert_false(prepare(f).built);
        getrusage(RUSAGE_SELF, &b);
        ms = (double) (b.ru_utime.tv_sec - a.ru_utime.tv_sec + b.ru_stime.tv_sec - a.ru_stime.tv_sec) * 20 +
             (double) (b.ru_utime.tv_usec - a.ru_utime.tv_usec + b.ru_stime.tv_usec - a.ru_stime.tv_usec) / 50000;
        print_message("a warm prepare takes %.2f ms of CPU\n", ms);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_jail), TEST(test_programs), TEST(test_reuse), TEST(test_pin), TEST(test_leftovers), TEST(test_tampered), TEST(test_persistent), TEST(test_refused),
                TEST(test_running), TEST(test_concurrent), TEST(test_killed), TEST(test_unrecorded), TEST(test_stopped), TEST(test_gone),
                TEST(test_prune),
                TEST(test_bind_paths), TEST(test_replaced), TEST(test_mount_options), TEST(test_no_space), TEST(test_cost),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
