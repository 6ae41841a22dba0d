/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "definition/definition.h"
#include "definition/pass-through.h"
#include "definition/words.h"
#include "layout/layout.h"
#include "test.h"

static char root[] = "/tmp/test-definition.XXXXXX";
static int root_fd = -EBADF;

static void put(const char *path, const char *text) {
        assert_ok(mkdir_parent_of_at(root_fd, path, 0755));
        assert_ok(write_file_atomic_at(root_fd, path, text, strlen(text), 0644, 0));
}

static int setup(void **state) {
        strcpy(root + strlen(root) - 6, "XXXXXX");
        assert_non_null(mkdtemp(root));
        root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(root_fd);
        assert_ok(layout_set_root(root));
        return 0;
}

static int teardown(void **state) {
        layout_set_root(NULL);
        root_fd = safe_close(root_fd);
        return remove_tree_at(AT_FDCWD, root);
}

static int load(const char *name, Definition **ret, DefinitionErrors *e) {
        _cleanup_site_config_ SiteConfig site = {};

        assert_ok(site_config_load(&site, e));
        return definition_load(name, &site, ret, e);
}

/* The text as web.vm is wrong, and its only problem is this one, with the root's path before it. */
static void assert_problem(const char *text, size_t size, const char *expected) {
        _cleanup_definition_errors_ DefinitionErrors e = {};
        _cleanup_(definition_freep) Definition *d = NULL;

        assert_ok(mkdir_parents_at(root_fd, "etc/inferno/vms", 0755));
        assert_ok(write_file_atomic_at(root_fd, "etc/inferno/vms/web.vm", text, size, 0644, 0));
        assert_error(load("web", &d, &e), EINVAL);
        assert_int_equal(strv_length(e.lines), 1);
        assert_non_null(startswith(e.lines[0], root));
        assert_string_equal(e.lines[0] + strlen(root), expected);
        assert_null(d);
}
#define ASSERT_PROBLEM(text, expected) assert_problem(text, sizeof(text) - 1, "/etc/inferno/vms/web.vm" expected)

static void test_everything(void **state) {
        _cleanup_definition_errors_ DefinitionErrors e = {};
        _cleanup_(definition_freep) Definition *d = NULL;

        put("etc/inferno/vms/web.vm",
            "# a comment\n"
            "[VM]\n"
            "Image = docker.io/library/nginx:1.25\n"
            "Pull=always\n"
            "Command=nginx -g 'daemon off;' \\\n"
            "# a comment in the middle\n"
            "   \"%i $HOME\" a\\x41\n"
            "Entrypoint=\"\"\n"
            "Environment=A=1 \"B=2 3\"\n"
            "Environment=C='x'\n"
            "EnvironmentFile=-/etc/web.env\n"
            "User=www:1000\n"
            "VCPUs=0.5\n"
            "Memory=1.5G\n"
            "KernelArgs=quiet loglevel=3\n"
            "DNS=192.0.2.1 2001:db8::1\n"
            "AddHost=db:192.0.2.7 six:2001:db8::2\n"
            "StopSignal=QUIT\n"
            "StopTimeout=1min 30s\n"
            "Root=persistent\nRootBackend=lvm-thin\n"
            "RootSize=2G\n"
            "VMM=ember\n"
            "AutoUpdate=registry\n"
            "Tenant=acme\n"
            "[Unit]\n"
            "After=db.service\n"
            "[Service]\n"
            "Restart=on-failure\n"
            "ExecStartPre=/bin/echo %n\n"
            "[Slice]\n"
            "MemoryHigh=1G\n"
            "[Install]\n"
            "WantedBy=multi-user.target\n");
        assert_ok(load("web", &d, &e));
        assert_int_equal(e.n_lines, 0);
        assert_string_equal(d->image, "docker.io/library/nginx:1.25");
        assert_int_equal(d->pull, PULL_ALWAYS);
        assert_int_equal(strv_length(d->command), 5);
        assert_string_equal(d->command[2], "daemon off;");
        assert_string_equal(d->command[3], "%i $HOME");
        assert_string_equal(d->command[4], "aA");
        assert_non_null(d->entrypoint);
        assert_int_equal(strv_length(d->entrypoint), 0);
        assert_int_equal(strv_length(d->environment), 3);
        assert_string_equal(d->environment[1], "B=2 3");
        assert_string_equal(d->environment[2], "C=x");
        assert_string_equal(d->environment_files[0], "-/etc/web.env");
        assert_string_equal(d->hostname, "web");
        assert_int_equal(d->vcpu_millis, 500);
        assert_true(d->memory == MIB(1536));
        assert_string_equal(d->kernel, LAYOUT_KERNEL);
        assert_int_equal(d->stop_signal, 3);
        assert_true(d->stop_timeout_usec == 90 * USEC_PER_SEC);
        assert_int_equal(d->root, ROOT_PERSISTENT);
        assert_int_equal(d->root_backend, ROOT_LVM_THIN);
        assert_int_equal(d->vmm, VMM_EMBER);
        assert_true(d->auto_update);
        assert_string_equal(d->tenant, "acme");
        assert_int_equal(d->n_pass, 5);
        assert_string_equal(d->pass[2].section, "Service");
        assert_string_equal(d->pass[2].key, "ExecStartPre");
        assert_string_equal(d->pass[2].value, "/bin/echo %n");
        assert_int_equal(d->pass[2].line, 30);
}

static void test_bundle(void **state) {
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_definition_errors_ DefinitionErrors e = {};

        put("etc/inferno/vms/b.vm", "[VM]\nImage=a\nBundle=/gone\nBundle=\nBundle=/usr/bin/strace\nBundle=/opt/my tools/x\n");
        assert_ok(load("b", &d, &e));
        assert_int_equal(strv_length(d->bundle), 2);
        assert_string_equal(d->bundle[0], "/usr/bin/strace");
        assert_string_equal(d->bundle[1], "/opt/my tools/x");

        ASSERT_PROBLEM("[VM]\nImage=a\nBundle=strace\n", ":3: Bundle=strace: wanted is the absolute path of a program, without \".\" and \"..\"");
        ASSERT_PROBLEM("[VM]\nImage=a\nBundle=/usr/bin/../x\n", ":3: Bundle=/usr/bin/../x: wanted is the absolute path of a program, without \".\" and \"..\"");
        ASSERT_PROBLEM("[VM]\nImage=a\nBundle=/usr/bin/\n", ":3: Bundle=/usr/bin/: wanted is the absolute path of a program, without \".\" and \"..\"");
        ASSERT_PROBLEM("[VM]\nImage=a\nBundle=/bin/x\nBundle=/usr/bin/x\n", ":4: Bundle=/usr/bin/x: there is a program of this name already");
}

static void test_ssh_key(void **state) {
        static const char key[] = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAhbrKCMyTEEZYotg8hcU5p/5ZWxx35c9r3WrTHYnCFn";
        _cleanup_free_ char *text = strf("[VM]\nImage=a\nVolume=d:/d:ro\nSSHKey=/gone\nSSHKey=\nSSHKey=%s me  too\nSSHKey=/root/.ssh/id_ed25519.pub\n", key);
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_definition_errors_ DefinitionErrors e = {};

        put("etc/inferno/vms/b.vm", text);
        assert_ok(load("b", &d, &e));
        assert_int_equal(strv_length(d->ssh_keys), 2);
        assert_true(startswith(d->ssh_keys[0], key));
        assert_string_equal(d->ssh_keys[0] + sizeof(key) - 1, " me  too");
        assert_string_equal(d->ssh_keys[1], "/root/.ssh/id_ed25519.pub");
        assert_true(definition_brings_programs(d));

        ASSERT_PROBLEM("[VM]\nImage=a\nSSHKey=id_ed25519.pub\n", ":3: SSHKey=id_ed25519.pub: wanted is a public key, \"ssh-ed25519 AAAA… COMMENT\", of the types "
                       "ssh-ed25519, ecdsa-sha2-nistp256 (384, 521), ssh-rsa and sk-…, without options before it");
        ASSERT_PROBLEM("[VM]\nImage=a\nSSHKey=/a/../b\n", ":3: SSHKey=/a/../b: wanted is an absolute path without \".\" and \"..\"");
        ASSERT_PROBLEM("[VM]\nImage=a\nSSHKey=ssh-ed25519 AAAA\n", ":3: SSHKey=ssh-ed25519 AAAA: behind the type of this public key there is not the whole key in base64");
}

static void test_problems(void **state) {
        ASSERT_PROBLEM("[VM]\nImage=a\nMemroy=1G\n", ":3: Memroy=: Unknown key in [VM].");
        ASSERT_PROBLEM("[VM]\nImage=a\nImage=b\n", ":3: Image=: This key is given twice in one file.");
        ASSERT_PROBLEM("[VM]\nMemory=1G\n", ": Image= is missing in [VM].");
        ASSERT_PROBLEM("", ": Image= is missing in [VM].");
        ASSERT_PROBLEM("[VM]\nImage=a\nMemory=1X\n",
                       ":3: Memory=1X: wanted is a size of whole MiB such as 512M or 1.5G, from 32M to 16T");
        ASSERT_PROBLEM("[VM]\nImage=a\nMemory=99999999999999999999G\n",
                       ":3: Memory=99999999999999999999G: wanted is a size of whole MiB such as 512M or 1.5G, from 32M to 16T");
        ASSERT_PROBLEM("[VM]\nImage=a\nVCPUs=33\n", ":3: VCPUs=33: wanted is a number from 0.01 to 32, with three decimals at most");
        ASSERT_PROBLEM("[VM]\nImage=a\nCommand=\"a\n", ":3: Command=\"a: a double quote is not closed");
        ASSERT_PROBLEM("[VM]\nImage=a\nEnvironment=1=2\n",
                       ":3: Environment=1=2: wanted are words NAME=VALUE, quoted where a value has white space");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Vm]\nX=1\n", ":3: [Vm]: Unknown section; there are [VM], [Unit], [Service], [Slice] and [Install].");
        ASSERT_PROBLEM("Image=a\n", ":1: Assignment before the first [Section].");
        ASSERT_PROBLEM("[VM]\nImage=a\nrubbish\n", ":3: Neither a [Section] nor a Key=value.");
        ASSERT_PROBLEM("[VM]\r\nImage=a\r\n", ":1: The line ends in CR LF: save the file with Unix line ends (LF).");
        ASSERT_PROBLEM("\xef\xbb\xbf[VM]\nImage=a\n", ":1: The file begins with a byte order mark (BOM): save it as UTF-8 without one.");
        ASSERT_PROBLEM("[VM]\nImage=a\n\0\n", ":3: NUL byte: this is not a text file.");
        ASSERT_PROBLEM("[VM]\nImage=a\nUser=x\xff\n", ":3: The line is not valid UTF-8.");
        ASSERT_PROBLEM("[VM]\nImage=a\nUser=x\\", ":3: The file ends in a continuation line: remove the last backslash.");
        ASSERT_PROBLEM("[VM]\nImage=a\nUser=x\\\n# c\n", ":3: The file ends in a continuation line: remove the last backslash.");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Service]\nEnvironment=A=x\\ \n",
                       ":4: White space after the backslash at the end of the line, which continues nothing so.");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Service]\nType=simple\n",
                       ":4: Type=simple: A VM's unit is Type=notify: kiln tells systemd when the guest is ready.");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Service]\nKillSignal=SIGINT\n",
                       ":4: KillSignal=SIGINT: SIGTERM has kiln stop the guest, and no other signal; the one that the workload gets is StopSignal= in [VM].");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Service]\nExecStart=/bin/sh\n",
                       ":4: ExecStart=/bin/sh: ExecStart= runs the VM and cannot be replaced; commands before and after it go to ExecStartPre=, "
                       "ExecStartPost= and ExecStopPost=.");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Service]\nExecStartPre=\n",
                       ":4: ExecStartPre=: Inferno's own steps before the start and after the end cannot be taken away.");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Service]\nUser=www\n",
                       ":4: User=www: The unit starts as root, and each VM has a user of its own below that; for the user in the guest there is User= in [VM].");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Service]\nTimeoutStopSec=5\n",
                       ":4: TimeoutStopSec=5: How long the guest may take to stop is StopTimeout= in [VM], from which TimeoutStopSec= follows.");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Service]\nType=oneshot \\\n\n", ":4: Type=oneshot: A VM's unit is Type=notify: kiln tells systemd when the guest is ready.");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Unit]\nSourcePath=/x\n",
                       ":4: SourcePath=/x: SourcePath= is the definition, so that systemd tells when that has changed.");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Slice]\nSlice=x.slice\n",
                       ":4: Slice=x.slice: The name of the VM's slice says where it is; Tenant= in [VM] is the slice above it.");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Slice]\n[Unit]=x\n", ":4: Section header without a name in brackets.");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Unit]\nOn Failure=x\n", ":4: On Failure=x: Keys are letters, digits and hyphens.");
        ASSERT_PROBLEM("[VM]\nImage=a\n[Install]\nAlias=web.service\n",
                       ":4: Alias=web.service: systemd has no aliases for instances of templates, which units of VMs are.");
        ASSERT_PROBLEM("[VM]\nImage=a\nHostname=a_b\n",
                       ":3: Hostname=a_b: wanted is a host name: letters, digits, inner hyphens and dots, 64 at most");
        ASSERT_PROBLEM("[VM]\nImage=a\nHostname=a;reboot\n",
                       ":3: Hostname=a;reboot: wanted is a host name: letters, digits, inner hyphens and dots, 64 at most");
        ASSERT_PROBLEM("[VM]\nImage=a\nKernelArgs='init=/bin/sh -c'\n",
                       ":3: KernelArgs='init=/bin/sh -c': wanted are words of printable ASCII without white space and double quotes; "
                       "\"--\", rdinit= and virtio_mmio.device= are Inferno's");
        ASSERT_PROBLEM("[VM]\nImage=a\nAutoUpdate=yes\n", ":3: AutoUpdate=yes: wanted is registry or no");
        ASSERT_PROBLEM("[VM]\nImage=a\nTenant=..\n", ":3: Tenant=..: this is no name as VMs have: " VM_NAME_WANTED);
        ASSERT_PROBLEM("[VM]\nImage=a\n[Install]\nWantedBy=../x.target\n",
                       ":4: WantedBy=../x.target: Wanted are names of units such as multi-user.target, without specifiers and quotes, 246 bytes at most.");
}

static void test_volumes(void **state) {
        _cleanup_definition_errors_ DefinitionErrors e = {};
        _cleanup_(definition_freep) Definition *d = NULL;

        put("etc/inferno/vms/web.vm",
            "[VM]\nImage=a\nVolume=old:/old\nVolume=\n"
            "Volume=data-1:/var/lib/postgresql:size=1.5G,noatime,nodev\n"
            "Volume=conf:/etc/app:ro\n"
            "Volume=inner:/var/lib/postgresql/wal:mkfs=none,discard\n");
        assert_ok(load("web", &d, &e));
        assert_int_equal(d->n_volumes, 3);
        assert_string_equal(d->volumes[0].name, "data-1");
        assert_string_equal(d->volumes[0].mount_point, "/var/lib/postgresql");
        assert_string_equal(d->volumes[0].options, "noatime,nodev");
        assert_int_equal(d->volumes[0].size, MIB(1536));
        assert_false(d->volumes[0].read_only);
        assert_true(d->volumes[1].read_only);
        assert_null(d->volumes[1].options);
        assert_true(d->volumes[0].make_fs);
        assert_false(d->volumes[0].discard);
        assert_false(d->volumes[2].make_fs);
        assert_true(d->volumes[2].discard);
        assert_null(d->volumes[2].options);

#define WRONG(line, why) ASSERT_PROBLEM("[VM]\nImage=a\nVolume=" line "\n", ":3: Volume=" line ": " why)
        WRONG("data", "wanted is NAME:/MOUNT/POINT, with \":OPTION,OPTION…\" behind it if need be");
#define WRONG_NAME "the name of a volume is like that of a VM: a letter or digit, then letters, digits, \"_\", \".\", \"-\", 63 at most"
        WRONG("../x:/data", WRONG_NAME);
        WRONG("-x:/data", WRONG_NAME);
        WRONG(":/data", WRONG_NAME);
        WRONG("ü:/data", WRONG_NAME);
#define WRONG_PLACE "wanted is an absolute mount point below \"/\", without \".\", \"..\", \"//\" and a \"/\" at its end"
        WRONG("data:/", WRONG_PLACE);
        WRONG("data:x", WRONG_PLACE);
        WRONG("data:/a/../b", WRONG_PLACE);
        WRONG("data:/a//b", WRONG_PLACE);
        WRONG("data:/a/", WRONG_PLACE);
        WRONG("data:/proc/x", "/proc, /sys, /dev and /inferno are no places for a volume");
#define WRONG_OPTION "known options are ro, rw, size=, backend=, encrypted, mkfs=, discard, noatime, nosuid, nodev and noexec"
        WRONG("data:/a:suid", WRONG_OPTION);
        WRONG("data:/a:", WRONG_OPTION);
        WRONG("data:/a:ro,,noatime", WRONG_OPTION);
        WRONG("data:/a:ro:rw", WRONG_OPTION);
        WRONG("data:/a:ro,rw", "ro or rw are given twice");
#define WRONG_SIZE "wanted is one size=, of whole MiB such as 512M or 1.5G, from 16M to 16T"
        WRONG("data:/a:size=1M", WRONG_SIZE);
        WRONG("data:/a:size=-1", WRONG_SIZE);
        WRONG("data:/a:size=17T", WRONG_SIZE);
        WRONG("data:/a:size=16777217", WRONG_SIZE);
        WRONG("data:/a:size=1G,size=2G", WRONG_SIZE);
        WRONG("data:/a:ro,size=1G", "a volume that is mounted read-only is not made by its VM: leave out size=");
#define WRONG_BACKEND "wanted is one backend=, file or lvm-thin"
        WRONG("data:/a:backend=", WRONG_BACKEND);
        WRONG("data:/a:backend=lvm", WRONG_BACKEND);
        WRONG("data:/a:backend=file,backend=lvm-thin", WRONG_BACKEND);
#define WRONG_MKFS "wanted is one mkfs=ext4 or mkfs=none: guests can write to no other file system"
        WRONG("data:/a:mkfs=xfs", WRONG_MKFS);
        WRONG("data:/a:mkfs=", WRONG_MKFS);
        WRONG("data:/a:mkfs=none,mkfs=ext4", WRONG_MKFS);
        WRONG("data:/a:mkfs=none,size=1G", "a volume that its VM makes gets a file system: mkfs=none and size= do not go together");
        WRONG("data:/a:ro,mkfs=ext4", "nothing is written to a volume that is mounted read-only: leave out mkfs= and discard");
        WRONG("data:/a:discard,ro", "nothing is written to a volume that is mounted read-only: leave out mkfs= and discard");
}

static void test_volumes_together(void **state) {
        _cleanup_definition_errors_ DefinitionErrors e = {};
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_free_ char *text = NULL;
        size_t n;

        ASSERT_PROBLEM("[VM]\nImage=a\nVolume=a:/a\nVolume=a:/b\n", ":4: Volume=a:/b: this volume is given twice");
        ASSERT_PROBLEM("[VM]\nImage=a\nVolume=a:/a/b\nVolume=b:/a\n",
                       ":4: Volume=b:/a: a volume above is mounted there or below it, and would be hidden: put the outer one first");
        strbuf_adds(&b, "[VM]\nImage=a\n");
        for (int i = 0; i < 12; i++)
                strbuf_addf(&b, "Volume=v%d:/v%d\n", i, i);
        assert_ok(strbuf_finish(&b, &text, &n));
        assert_problem(text, n, "/etc/inferno/vms/web.vm:14: Volume=v11:/v11: a VM can have 11 volumes at most, since a guest has 17 virtio devices at most");
        assert_ok(write_file_atomic_at(root_fd, "etc/inferno/vms/web.vm", text, n - strlen("Volume=v11:/v11\n"), 0644, 0));
        assert_ok(load("web", &d, &e));
        assert_int_equal(d->n_volumes, 11);
        ASSERT_PROBLEM("[VM]\nImage=a\nVMM=ember\nVolume=a:/a\nVolume=b:/b\nVolume=c:/c\n",
                       ": With VMM=ember a VM can have 2 volumes at most, since its guest has 8 virtio devices at most.");
}

static void test_publish(void **state) {
        _cleanup_definition_errors_ DefinitionErrors e = {};
        _cleanup_(definition_freep) Definition *d = NULL;
        _cleanup_strbuf_ StrBuf b = {};
        _cleanup_free_ char *text = NULL, *all = NULL;
        size_t n;

        put("etc/inferno/vms/web.vm",
            "[VM]\nImage=a\nPublish=1:1\nPublish=\n"
            "Publish=8080:80 127.0.0.1:8443:443/tcp\n"
            "Publish=53:53/udp 0.0.0.0:53:53\n"
            "Publish=192.0.2.1:8000-8002:80-82\n"
            "Publish=192.0.2.2:8002:1 192.0.2.1:65535:65535\n");
        assert_ok(load("web", &d, &e));
        assert_int_equal(d->n_published, 9);
        all = published_ports_to_string(d->published, d->n_published);
        assert_string_equal(all, "0.0.0.0:8080->80/tcp, 127.0.0.1:8443->443/tcp, 0.0.0.0:53->53/udp, 0.0.0.0:53->53/tcp, "
                                 "192.0.2.1:8000-8002->80-82/tcp, 192.0.2.2:8002->1/tcp, 192.0.2.1:65535->65535/tcp");
        assert_int_equal(d->published[1].address, 0x7f000001);
        assert_int_equal(d->published[2].protocol, IPPROTO_UDP);
        assert_int_equal(d->published[6].host_port, 8002);
        assert_int_equal(d->published[6].guest_port, 82);

#define WRONG_PORT(line, why) ASSERT_PROBLEM("[VM]\nImage=a\nPublish=" line "\n", ":3: Publish=" line ": " why)
#define NO_CHANCE "wanted is HOSTPORT:GUESTPORT, for no port of the host is chosen at random"
        WRONG_PORT("80", NO_CHANCE);
        WRONG_PORT(":80", NO_CHANCE);
        WRONG_PORT("127.0.0.1::80", NO_CHANCE);
#define PORTS "ports are from 1 to 65535, and a range such as 8000-8010 begins with the lower one"
        WRONG_PORT("0:80", PORTS);
        WRONG_PORT("80:0", PORTS);
        WRONG_PORT("80:", PORTS);
        WRONG_PORT("65536:80", PORTS);
        WRONG_PORT("80:99999999999999999999", PORTS);
        WRONG_PORT("-80:80", PORTS);
        WRONG_PORT("80-:80", PORTS);
        WRONG_PORT("+80:80", PORTS);
        WRONG_PORT("90-80:80-90", PORTS);
        WRONG_PORT("80-90-95:80-90", PORTS);
        WRONG_PORT("65530-65536:1-7", PORTS);
        WRONG_PORT("80-81:80", "the ranges of host and guest are not equally long");
        WRONG_PORT("80:80-81", "the ranges of host and guest are not equally long");
#define PROTOCOL "the protocol is tcp or udp, in small letters"
        WRONG_PORT("80:80/", PROTOCOL);
        WRONG_PORT("80:80/TCP", PROTOCOL);
        WRONG_PORT("80:80/sctp", PROTOCOL);
        WRONG_PORT("80/tcp:80/tcp", PROTOCOL);
#define NO_IPV6 "guests have no IPv6, so that only IPv4 addresses of the host can be published"
        WRONG_PORT("[::1]:80:80", NO_IPV6);
        WRONG_PORT("::1:80:80", NO_IPV6);
        WRONG_PORT("[::]:80:80", NO_IPV6);
#define ADDRESS "before the ports stands an IPv4 address of the host, such as 127.0.0.1, or 0.0.0.0 for all of them"
        WRONG_PORT(":80:80", ADDRESS);
        WRONG_PORT("localhost:80:80", ADDRESS);
        WRONG_PORT("1.2.3:80:80", ADDRESS);
        WRONG_PORT("0.0.0.1:80:80", ADDRESS);
        WRONG_PORT("224.0.0.1:80:80", ADDRESS);
        WRONG_PORT("255.255.255.255:80:80", ADDRESS);
#define TWICE "a port of the host is given twice; at one address and at all of them it is the same"
        WRONG_PORT("80:80 80:81", TWICE);
        WRONG_PORT("80:80 192.0.2.1:80:80", TWICE);
        WRONG_PORT("192.0.2.1:80:80 080:80", TWICE);
        WRONG_PORT("80-90:80-90 90-99:1-10", TWICE);
        WRONG_PORT("85-86:1-2 80-90:80-90", TWICE);
        ASSERT_PROBLEM("[VM]\nImage=a\nPublish=80:80\nPublish=0.0.0.0:80:8080/tcp\n", ":4: Publish=0.0.0.0:80:8080/tcp: " TWICE);
#define TOO_MANY "a VM can have 256 published ports at most"
        WRONG_PORT("1-257:1-257", TOO_MANY);
        WRONG_PORT("1-256:1-256 257:257", TOO_MANY);

        strbuf_adds(&b, "[VM]\nImage=a\n");
        for (int i = 1; i <= 257; i++)
                strbuf_addf(&b, "Publish=%d:80\n", i);
        assert_ok(strbuf_finish(&b, &text, &n));
        assert_problem(text, n, "/etc/inferno/vms/web.vm:259: Publish=257:80: " TOO_MANY);
}

static void test_long_line(void **state) {
        size_t n = 300 * 1024;
        _cleanup_free_ char *text = malloc(n);
        int k = snprintf(text, n, "[VM]\nImage=a\nUser=");

        memset(text + k, 'x', n - (size_t) k);
        assert_problem(text, n, "/etc/inferno/vms/web.vm:3: The line is longer than 64 KiB.");
}

static void test_all_problems_are_told(void **state) {
        _cleanup_definition_errors_ DefinitionErrors e = {};
        _cleanup_(definition_freep) Definition *d = NULL;

        put("etc/inferno/vms/web.vm", "[VM]\nImage=a\nA=1\nB=2\n[Nope]\nC=3\n");
        put("run/inferno/vms/web.vm.d/x.conf", "[VM]\nD=4\n");
        assert_error(load("web", &d, &e), EINVAL);
        assert_int_equal(e.n_lines, 4);
        assert_string_equal(e.lines[3] + strlen(root), "/run/inferno/vms/web.vm.d/x.conf:2: D=: Unknown key in [VM].");
}

static void test_precedence(void **state) {
        _cleanup_definition_errors_ DefinitionErrors e = {};
        _cleanup_(definition_freep) Definition *d = NULL, *masked = NULL;

        put("usr/lib/inferno/vms/web.vm", "[VM]\nImage=vendor\n");
        put("etc/inferno/vms/web.vm", "[VM]\nImage=local\nEnvironment=A=1\nMemory=64M\n");
        put("usr/lib/inferno/vms/web.vm.d/10.conf", "[VM]\nMemory=128M\n");
        put("usr/lib/inferno/vms/web.vm.d/20.conf", "[VM]\nUser=vendor\n");
        put("etc/inferno/vms/web.vm.d/20.conf", "[VM]\nUser=local\n");
        put("usr/lib/inferno/vms/web.vm.d/30.conf", "[VM]\nWorkingDirectory=/no\n");
        assert_ok(symlinkat("/dev/null", root_fd, "etc/inferno/vms/web.vm.d/30.conf"));
        put("run/inferno/vms/web.vm.d/40.conf", "[VM]\nEnvironment=\nEnvironment=B=2\n");
        assert_ok(load("web", &d, &e));
        assert_string_equal(d->image, "local");
        assert_true(d->memory == MIB(128));
        assert_string_equal(d->user, "local");
        assert_null(d->working_directory);
        assert_int_equal(strv_length(d->environment), 1);
        assert_string_equal(d->environment[0], "B=2");
        assert_int_equal(strv_length(d->files), 4);

        assert_ok(unlinkat(root_fd, "etc/inferno/vms/web.vm", 0));
        assert_ok(symlinkat("/dev/null", root_fd, "etc/inferno/vms/web.vm"));
        assert_error(load("web", &masked, &e), ERFKILL);
        assert_error(load("nobody", &masked, &e), ENOENT);
        assert_error(load("../web", &masked, &e), EINVAL);
}

/* The only definition is this one, and it cannot be read for this reason. */
static void assert_unreadable(const char *name, const char *problem) {
        _cleanup_definition_errors_ DefinitionErrors e = {};
        _cleanup_(definition_freep) Definition *d = NULL;

        assert_error(load(name, &d, &e), EINVAL);
        assert_int_equal(e.n_lines, 1);
        assert_true(endswith(e.lines[0], problem));
}

static void test_odd_files(void **state) {
        _cleanup_close_ int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        assert_ok(mkdir_parents_at(root_fd, "etc/inferno/vms/dir.vm", 0755));
        assert_ok(symlinkat("loop.vm", root_fd, "etc/inferno/vms/loop.vm"));
        assert_ok(symlinkat("nowhere.vm", root_fd, "etc/inferno/vms/dangling.vm"));
        assert_ok(symlinkat("fifo.vm", root_fd, "etc/inferno/vms/link.vm"));
        assert_ok(mkfifoat(root_fd, "etc/inferno/vms/fifo.vm", 0644));
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/etc/inferno/vms/socket.vm", root);
        assert_ok(bind(socket_fd, (struct sockaddr *) &address, sizeof(address)));
        assert_unreadable("dir", "dir.vm: This is a directory, not a file.");
        assert_unreadable("loop", "loop.vm: The symbolic link leads to itself.");
        assert_unreadable("dangling", "dangling.vm: The symbolic link leads to a file that does not exist.");
        assert_unreadable("fifo", "fifo.vm: This is not a regular file.");
        assert_unreadable("link", "link.vm: This is not a regular file.");
        assert_unreadable("socket", "socket.vm: This is not a regular file.");
}

/* What is no regular file is not opened either: that alone rewinds a tape, or starts a watchdog. */
static void test_device(void **state) {
        _cleanup_close_ int inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), fd = -EBADF;
        struct inotify_event event;
        char path[128];

        assert_ok(mkdir_parents_at(root_fd, "etc/inferno/vms", 0755));
        assert_ok(mkfifoat(root_fd, "etc/inferno/vms/device.vm", 0644));
        assert_ok(symlinkat("device.vm", root_fd, "etc/inferno/vms/link.vm"));
        snprintf(path, sizeof(path), "%s/etc/inferno/vms/device.vm", root);
        assert_ok(inotify_add_watch(inotify_fd, path, IN_OPEN));
        assert_unreadable("device", "device.vm: This is not a regular file.");
        assert_unreadable("link", "link.vm: This is not a regular file.");
        assert_true(read(inotify_fd, &event, sizeof(event)) < 0 && errno == EAGAIN);
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        assert_true(read(inotify_fd, &event, sizeof(event)) == sizeof(event));
}

/* Files that only their owner can read; root reads them all. */
static void test_unreadable(void **state) {
        int wstatus;
        pid_t pid;

        if (geteuid() != 0)
                skip();
        put("etc/inferno/vms/closed.vm", "[VM]\nImage=a\n");
        put("etc/inferno/vms/web.vm", "[VM]\nImage=a\n");
        put("run/inferno/vms/web.vm.d/x.conf", "[VM]\n");
        assert_ok(fchmodat(root_fd, "etc/inferno/vms/closed.vm", 0600, 0));
        assert_ok(fchmodat(root_fd, "run/inferno/vms/web.vm.d", 0700, 0));
        assert_ok(fchmodat(root_fd, ".", 0755, 0));
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                assert_ok(setuid(65534));
                assert_unreadable("closed", "closed.vm: Permission denied");
                assert_unreadable("web", "web.vm.d: Permission denied");
                _exit(0);
        }
        assert_true(waitpid(pid, &wstatus, 0) == pid && WIFEXITED(wstatus));
        assert_int_equal(WEXITSTATUS(wstatus), 0);
}

/* Definitions' folders that are links, within the other tree, files, loops, or missing. */
static void test_odd_folders(void **state) {
        _cleanup_definition_errors_ DefinitionErrors e = {};
        _cleanup_(definition_freep) Definition *d = NULL, *none = NULL;
        _cleanup_(definition_set_freep) DefinitionSet *set = NULL;

        put("srv/vms/web.vm", "[VM]\nImage=a\n");
        put("srv/dropins/x.conf", "[VM]\nUser=linked\n");
        assert_ok(mkdir_parents_at(root_fd, "etc/inferno", 0755));
        assert_ok(symlinkat("/srv/vms", root_fd, "etc/inferno/vms"));
        assert_ok(symlinkat("/srv/dropins", root_fd, "srv/vms/web.vm.d"));
        assert_ok(load("web", &d, &e));
        assert_string_equal(d->user, "linked");

        /* What a folder that is none would mask is not known; the others' definitions are listed all the same. */
        put("run/inferno/vms", "");
        assert_unreadable("web", "/run/inferno/vms: This is not a directory.");
        assert_ok(definition_set_new(&set, &e));
        assert_int_equal(definition_set_size(set), 1);
        assert_int_equal(e.n_lines, 1);

        assert_ok(unlinkat(root_fd, "run/inferno/vms", 0));
        assert_ok(symlinkat("vms", root_fd, "run/inferno/vms"));
        assert_unreadable("web", "/run/inferno/vms: The symbolic link leads to itself.");
        assert_ok(unlinkat(root_fd, "run/inferno/vms", 0));
        assert_ok(symlinkat("/nowhere", root_fd, "run/inferno/vms"));
        assert_error(load("nobody", &none, &e), ENOENT);
}

/* While others write it, by rename or in place, it is as it was at some time, or wrong; never worse. */
static void test_changes_while_read(void **state) {
        static const char small[] = "[VM]\nImage=small\n";
        _cleanup_free_ char *large = calloc(1, 40000);
        unsigned found[2] = {};
        int wstatus;
        pid_t pid;

        strcpy(large, "[VM]\nImage=large\n");
        memset(large + strlen(large), '#', 30000);
        put("etc/inferno/vms/web.vm", small);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                for (unsigned i = 0;; i++) {
                        const char *text = i % 2 ? small : large;

                        if (i % 8 < 4)
                                put("etc/inferno/vms/web.vm", text);
                        else {
                                _cleanup_close_ int fd = openat(root_fd, "etc/inferno/vms/web.vm", O_WRONLY | O_TRUNC | O_CLOEXEC);

                                assert_ok(write_full(fd, text, strlen(text)));
                        }
                }
        for (unsigned i = 0; i < 20000 && (found[0] == 0 || found[1] == 0 || i < 2000); i++) {
                _cleanup_definition_errors_ DefinitionErrors e = {};
                _cleanup_(definition_freep) Definition *d = NULL;
                int r = load("web", &d, &e);

                assert_true(r == 0 || r == -EINVAL);
                assert_int_equal(r < 0, e.n_lines > 0);
                if (r == 0)
                        found[streq(d->image, "large")]++;
        }
        assert_ok(kill(pid, SIGKILL));
        assert_true(waitpid(pid, &wstatus, 0) == pid && WIFSIGNALED(wstatus));
        assert_true(found[0] > 0 && found[1] > 0);
}

static void test_enumerate(void **state) {
        _cleanup_definition_errors_ DefinitionErrors e = {};
        _cleanup_strv_ char **names = NULL;

        put("etc/inferno/vms/b.vm", "");
        put("usr/lib/inferno/vms/b.vm", "");
        put("usr/lib/inferno/vms/a.vm", "");
        put("usr/lib/inferno/vms/masked.vm", "");
        put("etc/inferno/vms/only.vm.d/x.conf", "");
        put("etc/inferno/vms/-x.vm", "");
        put("etc/inferno/vms/a\nb.vm", "");
        put("etc/inferno/vms/note.txt", "");
        assert_ok(symlinkat("/dev/null", root_fd, "etc/inferno/vms/masked.vm"));
        assert_ok(definition_enumerate(&names, &e));
        assert_int_equal(strv_length(names), 2);
        assert_string_equal(names[0], "a");
        assert_string_equal(names[1], "b");
        assert_int_equal(e.n_lines, 2);
        for (size_t i = 0; i < e.n_lines; i++)
                assert_null(strchr(e.lines[i], '\n'));
}

static void test_site_config(void **state) {
        _cleanup_definition_errors_ DefinitionErrors e = {};
        _cleanup_site_config_ SiteConfig c = {}, none = {};
        _cleanup_(definition_freep) Definition *d = NULL;

        assert_ok(site_config_load(&none, &e));
        assert_true(none.memory == MIB(256));
        assert_string_equal(none.network, "172.16.0.0/12");
        assert_string_equal(none.volume_group, "inferno");
        assert_string_equal(none.thin_pool, "thin");
        assert_int_equal(none.thin_pool_limit, 95);

        put("etc/inferno/inferno.conf", "[Inferno]\nMemory=512M\nUIDRange=200000-200099\nDNS=192.0.2.1\n"
                                                "VolumeGroup=vg-0\nThinPool=pool\nThinPoolWarn=50%\nThinPoolLimit=100\n");
        put("usr/lib/inferno/inferno.conf.d/50.conf", "[Inferno]\nNetwork=10.0.0.0/8\n");
        assert_ok(site_config_load(&c, &e));
        assert_true(c.memory == MIB(512));
        assert_int_equal(c.uid_base, 200000);
        assert_int_equal(c.uid_count, 100);
        assert_string_equal(c.network, "10.0.0.0/8");
        assert_string_equal(c.volume_group, "vg-0");
        assert_string_equal(c.thin_pool, "pool");
        assert_int_equal(c.thin_pool_warn, 50);
        assert_int_equal(c.thin_pool_limit, 100);

        put("etc/inferno/vms/web.vm", "[VM]\nImage=a\nMemory=\n");
        assert_ok(definition_load("web", &c, &d, &e));
        assert_true(d->memory == MIB(512));
        assert_string_equal(d->dns[0], "192.0.2.1");

        put("etc/inferno/inferno.conf", "[Inferno]\nNetwork=10.0.0.1/8\nUIDRange=5-1\nNope=1\n");
        assert_error(site_config_load(&none, &e), EINVAL);
        assert_int_equal(e.n_lines, 3);

        put("etc/inferno/inferno.conf", "[Inferno]\nVolumeGroup=a/b\nVolumeGroup=x\nThinPoolWarn=0%\nThinPoolLimit=101%\nThinPool=-x\n");
        definition_errors_done(&e);
        assert_error(site_config_load(&none, &e), EINVAL);
        assert_int_equal(e.n_lines, 5);
}

static void test_words(void **state) {
        static const struct {
                const char *in, *joined;        /* words with "|" between them */
        } good[] = {
                { "", "" },
                { "  a  b\t", "a|b" },
                { "'a b'c \"d\\\"e\"", "a bc|d\"e" },
                { "\\x41\\101\\u00e4\\s.", "AA\xc3\xa4 ." },
                { "'' \"\"", "|" },
        };
        static const char *const bad[] = { "'a", "\"", "\\", "\\q", "\\x4", "\\000", "\\400", "\\ud800", "\\xff" };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                _cleanup_strv_ char **v = NULL;
                _cleanup_strbuf_ StrBuf b = {};
                const char *reason;

                assert_ok(words_split(good[i].in, &v, &reason));
                for (size_t k = 0; v[k]; k++)
                        strbuf_addf(&b, "%s%s", k > 0 ? "|" : "", v[k]);
                assert_string_equal(b.data ?: "", good[i].joined);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                char **v = NULL;
                const char *reason = NULL;

                assert_error(words_split(bad[i], &v, &reason), EINVAL);
                assert_non_null(reason);
        }
}

static bool is_unit_name(const char *s) {
        return unit_name_is_valid(s, strlen(s));
}

static void test_unit_names(void **state) {
        const char *list = " a.target\tdev-sda\\x2d1.device ", *name;

        assert_true(is_unit_name("multi-user.target"));
        assert_true(is_unit_name("a@b.service"));
        assert_true(is_unit_name("dev-sda\\x2d1.device"));
        assert_false(is_unit_name("a@.service"));
        assert_false(is_unit_name("@a.service"));
        assert_false(is_unit_name("../a.service"));
        assert_false(is_unit_name("a.txt"));
        assert_false(is_unit_name("a.services"));
        assert_false(is_unit_name("%n.service"));
        assert_false(is_unit_name(".service"));
        assert_false(is_unit_name("service"));
        assert_false(is_unit_name(""));

        assert_int_equal(unit_names_next(&list, &name), strlen("a.target"));
        assert_memory_equal(name, "a.target", 8);
        assert_int_equal(unit_names_next(&list, &name), strlen("dev-sda\\x2d1.device"));
        assert_int_equal(unit_names_next(&list, &name), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_everything, setup, teardown),
                cmocka_unit_test_setup_teardown(test_bundle, setup, teardown),
                cmocka_unit_test_setup_teardown(test_ssh_key, setup, teardown),
                cmocka_unit_test_setup_teardown(test_problems, setup, teardown),
                cmocka_unit_test_setup_teardown(test_volumes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_volumes_together, setup, teardown),
                cmocka_unit_test_setup_teardown(test_publish, setup, teardown),
                cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
                cmocka_unit_test_setup_teardown(test_all_problems_are_told, setup, teardown),
                cmocka_unit_test_setup_teardown(test_precedence, setup, teardown),
                cmocka_unit_test_setup_teardown(test_odd_files, setup, teardown),
                cmocka_unit_test_setup_teardown(test_device, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
                cmocka_unit_test_setup_teardown(test_odd_folders, setup, teardown),
                cmocka_unit_test_setup_teardown(test_changes_while_read, setup, teardown),
                cmocka_unit_test_setup_teardown(test_enumerate, setup, teardown),
                cmocka_unit_test_setup_teardown(test_site_config, setup, teardown),
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_unit_names),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
