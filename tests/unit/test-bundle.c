/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/copy.h"
#include "base/fd.h"
#include "bundle/bundle.h"
#include "layout/layout.h"
#include "test.h"

static int setup(void **state) {
        char *dir = strdup("/tmp/inferno-test-bundle.XXXXXX");

        if (!dir || !mkdtemp(dir) || layout_set_root(dir) < 0)
                return -1;
        *state = dir;
        return 0;
}

static int teardown(void **state) {
        int r = remove_tree_at(AT_FDCWD, *state);

        layout_set_root(NULL);
        free(*state);
        return r;
}

static void put(const char *path, const void *data, size_t n, mode_t mode) {
        _cleanup_free_ char *full = layout_path(path);

        assert_ok(mkdir_parent_of_at(AT_FDCWD, full, 0755));
        assert_ok(write_file_atomic_at(AT_FDCWD, full, data, n, mode, 0));
}

static void put_text(const char *path, const char *text) {
        put(path, text, strlen(text), 0644);
}

static void put_link(const char *path, const char *content) {
        _cleanup_free_ char *full = layout_path(path);

        assert_ok(mkdir_parent_of_at(AT_FDCWD, full, 0755));
        assert_ok(symlink_atomic_at(content, AT_FDCWD, full, 0));
}

typedef struct Fake {
        const char *interpreter, *rpath, *runpath;
        const char *needed[4];
        unsigned machine;
} Fake;

typedef struct Image {
        Elf64_Ehdr head;
        Elf64_Phdr segments[3];
        Elf64_Dyn dynamic[16];
        char strings[1024];
        size_t n_dynamic, n_strings;
} Image;

static void add_string(Image *e, Elf64_Sxword tag, const char *s) {
        if (!s)
                return;
        e->dynamic[e->n_dynamic++] = (Elf64_Dyn) { .d_tag = tag, .d_un.d_val = e->n_strings };
        strcpy(e->strings + e->n_strings, s);
        e->n_strings += strlen(s) + 1;
}

/* A file that has just what the loader looks at: segments, a dynamic section, strings. */
static void put_elf(const char *path, Fake f) {
        Image e = {
                .head = {
                        .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
                        .e_type = ET_DYN, .e_machine = (Elf64_Half) (f.machine ?: EM_X86_64), .e_version = EV_CURRENT,
                        .e_phoff = offsetof(Image, segments), .e_ehsize = sizeof(Elf64_Ehdr),
                        .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = f.interpreter ? 3 : 2,
                },
                .segments = {
                        { .p_type = PT_LOAD, .p_vaddr = 0x10000, .p_filesz = sizeof(e), .p_memsz = sizeof(e) },
                        { .p_type = PT_DYNAMIC, .p_offset = offsetof(Image, dynamic), .p_filesz = sizeof(e.dynamic) },
                        { .p_type = PT_INTERP },
                },
                .n_strings = 1,
        };

        for (size_t i = 0; i < ELEMENTSOF(f.needed); i++)
                add_string(&e, DT_NEEDED, f.needed[i]);
        add_string(&e, DT_RPATH, f.rpath);
        add_string(&e, DT_RUNPATH, f.runpath);
        e.dynamic[e.n_dynamic++] = (Elf64_Dyn) { .d_tag = DT_STRTAB, .d_un.d_ptr = 0x10000 + offsetof(Image, strings) };
        e.dynamic[e.n_dynamic++] = (Elf64_Dyn) { .d_tag = DT_STRSZ, .d_un.d_val = sizeof(e.strings) };
        if (f.interpreter) {
                e.segments[2].p_offset = offsetof(Image, strings) + e.n_strings;
                e.segments[2].p_filesz = strlen(f.interpreter) + 1;
                strcpy(e.strings + e.n_strings, f.interpreter);
        }
        put(path, &e, sizeof(e), 0755);
}

#define LOADER "/lib64/ld-linux-x86-64.so.2"

/* A merged /usr as distributions have it. */
static void put_host(void) {
        put_link("/lib", "usr/lib");
        put_link("/lib64", "/usr/lib64");
        put_link("/usr/lib64/ld-linux-x86-64.so.2", "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
        put_elf("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", (Fake) {});
        put_elf("/usr/lib/x86_64-linux-gnu/libc.so.6", (Fake) { .needed = { "ld-linux-x86-64.so.2" } });
        put_text("/etc/ld.so.conf", "# all\ninclude /etc/ld.so.conf.d/*.conf\n");
        put_text("/etc/ld.so.conf.d/a.conf", "/usr/local/lib # ours\n\n /opt/x,relative:/opt/y=libc6\nhwcap 0 nosegneg\n");
        put_text("/etc/ld.so.conf.d/b.conf", "include ../ld.so.conf.d/a.conf\n/lib/x86_64-linux-gnu\n");
        put_text("/etc/ld.so.conf.d/unread", "/nowhere\n");
}

static Bundle *resolve(const BundleItem *items) {
        _cleanup_free_ char *error = NULL;
        Bundle *b = NULL;

        if (bundle_resolve(items, &b, &error) < 0)
                fail_msg("%s", error);
        return b;
}

static const BundleEntry *find(const Bundle *b, const char *target) {
        const BundleEntry *e;
        size_t n;

        e = bundle_entries(b, &n);
        for (size_t i = 0; i < n; i++)
                if (streq(e[i].target, target))
                        return e + i;
        return NULL;
}

static void assert_file(const Bundle *b, const char *target, const char *source) {
        const BundleEntry *e = find(b, target);

        if (!e)
                fail_msg("no %s", target);
        assert_null(e->link);
        assert_string_equal(e->source, source);
}

static void assert_link(const Bundle *b, const char *target, const char *content) {
        const BundleEntry *e = find(b, target);

        if (!e)
                fail_msg("no %s", target);
        assert_non_null(e->link);
        assert_string_equal(e->link, content);
}

#define ITEMS(...) ((const BundleItem[]) { __VA_ARGS__, {} })
#define PROGRAM(path) { BUNDLE_PROGRAM, path, NULL }

static void test_closure(void **state) {
        _cleanup_(bundle_freep) Bundle *b = NULL;
        size_t n;

        put_host();
        put_link("/bin", "usr/bin");
        put_elf("/usr/bin/prog", (Fake) { .interpreter = LOADER, .needed = { "liba.so.1", "libc.so.6" } });
        put_elf("/usr/lib/x86_64-linux-gnu/liba.so.1.2", (Fake) { .needed = { "libb.so", "libc.so.6" } });
        put_link("/usr/lib/x86_64-linux-gnu/liba.so.1", "liba.so.1.2");
        put_elf("/usr/lib/libb.so", (Fake) { .needed = { "liba.so.1" } });
        b = resolve(ITEMS(PROGRAM("/bin/prog")));

        assert_link(b, "/bin", "usr/bin");
        assert_file(b, "/usr/bin/prog", "/usr/bin/prog");
        assert_true(find(b, "/usr/bin/prog")->executable);
        assert_link(b, "/lib64", "/usr/lib64");
        assert_link(b, "/usr/lib64/ld-linux-x86-64.so.2", "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
        assert_file(b, "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
        assert_link(b, "/lib", "usr/lib");
        assert_link(b, "/usr/lib/x86_64-linux-gnu/liba.so.1", "liba.so.1.2");
        assert_file(b, "/usr/lib/x86_64-linux-gnu/liba.so.1.2", "/usr/lib/x86_64-linux-gnu/liba.so.1.2");
        assert_file(b, "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libc.so.6");
        /* Not where the loader is, so it gets a second way to it. */
        assert_file(b, "/usr/lib/libb.so", "/usr/lib/libb.so");
        assert_link(b, "/usr/lib/x86_64-linux-gnu/libb.so", "/lib/libb.so");
        bundle_entries(b, &n);
        assert_int_equal(n, 11);
}

static void test_search_paths(void **state) {
        _cleanup_(bundle_freep) Bundle *b = NULL;

        put_host();
        /* DT_RPATH of the program counts for what its libraries need, DT_RUNPATH does not, and makes the file's own DT_RPATH void. */
        put_elf("/opt/p/bin/prog", (Fake) { .interpreter = LOADER, .rpath = "relative:$ORIGIN/../lib:${ORIGIN}x", .needed = { "liba.so" } });
        put_elf("/opt/p/lib/liba.so", (Fake) { .needed = { "libb.so" } });
        put_elf("/opt/p/lib/libb.so", (Fake) { .runpath = "/opt/r", .rpath = "/opt/wrong", .needed = { "libr.so" } });
        put_elf("/opt/wrong/libr.so", (Fake) {});
        put_elf("/opt/r/libr.so", (Fake) { .needed = { "libx.so" } });
        put_elf("/opt/r/libx.so", (Fake) {});
        put_elf("/opt/x/libx.so", (Fake) { .machine = EM_AARCH64 });
        put_elf("/opt/y/libx.so", (Fake) { .needed = { "/opt/z/libz.so" } });
        put_elf("/opt/z/libz.so", (Fake) {});
        b = resolve(ITEMS(PROGRAM("/opt/p/bin/prog")));

        assert_file(b, "/opt/p/lib/libb.so", "/opt/p/lib/libb.so");
        assert_file(b, "/opt/r/libr.so", "/opt/r/libr.so");
        assert_null(find(b, "/opt/wrong/libr.so"));
        assert_null(find(b, "/opt/r/libx.so"));
        assert_file(b, "/opt/y/libx.so", "/opt/y/libx.so");
        assert_link(b, "/usr/lib/x86_64-linux-gnu/libx.so", "/opt/y/libx.so");
        assert_file(b, "/opt/z/libz.so", "/opt/z/libz.so");
        assert_null(find(b, "/usr/lib/x86_64-linux-gnu/libb.so"));
}

static void test_targets(void **state) {
        _cleanup_(bundle_freep) Bundle *b = NULL;

        put_host();
        put_elf("/opt/p/bin/prog", (Fake) { .interpreter = LOADER, .runpath = "$ORIGIN/../lib", .needed = { "liba.so", "libc.so.6" } });
        put_elf("/opt/p/lib/liba.so", (Fake) {});
        put_elf("/usr/bin/other", (Fake) { .interpreter = LOADER, .needed = { "libc.so.6" } });
        put_link("/usr/share/x.rom", "y.rom");
        put_text("/usr/share/y.rom", "rom");
        b = resolve(ITEMS({ BUNDLE_PROGRAM, "/opt/p/bin/prog", "/x//y/./firecracker" }, { BUNDLE_LIBRARIES, "/usr/bin/other", NULL },
                          { BUNDLE_DATA, "/usr/share/x.rom", NULL }, { BUNDLE_DATA | BUNDLE_OPTIONAL, "/usr/share/absent", NULL },
                          { BUNDLE_DATA, "/usr/share/x.rom", "/rom" }));
        assert_file(b, "/x/y/firecracker", "/opt/p/bin/prog");
        assert_null(find(b, "/opt/p/bin/prog"));
        assert_file(b, "/x/lib/liba.so", "/opt/p/lib/liba.so");
        assert_null(find(b, "/usr/bin/other"));
        assert_non_null(find(b, "/usr/lib/x86_64-linux-gnu/libc.so.6"));
        assert_link(b, "/usr/share/x.rom", "y.rom");
        assert_file(b, "/usr/share/y.rom", "/usr/share/y.rom");
        assert_false(find(b, "/usr/share/y.rom")->executable);
        assert_file(b, "/rom", "/usr/share/y.rom");
}

/* The head of a program of 32 bits. */
static void put_old(const char *path) {
        static const Elf32_Ehdr head[2] = { {
                .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_EXEC, .e_machine = EM_386,
        } };

        put(path, head, sizeof(head), 0755);
}

static void assert_refused(const BundleItem *items, int error, const char *part) {
        _cleanup_free_ char *text = NULL;
        Bundle *b = NULL;

        assert_error(bundle_resolve(items, &b, &text), error);
        assert_null(b);
        assert_non_null(text);
        if (!strstr(text, part))
                fail_msg("%s", text);
}

static void test_refused(void **state) {
        put_host();
        assert_refused(ITEMS(PROGRAM("/usr/bin/absent")), ENOENT, "/usr/bin/absent");
        put_text("/usr/bin/text", "echo this is long enough to be a whole ELF header, but it is none, nor is it a script\n");
        assert_refused(ITEMS(PROGRAM("/usr/bin/text")), ENOEXEC, "'/usr/bin/text' is no ELF file: wanted is a program for this machine (x86-64), or a script.");
        put_elf("/usr/bin/lacking", (Fake) { .interpreter = LOADER, .needed = { "liblack.so" } });
        assert_refused(ITEMS(PROGRAM("/usr/bin/lacking")), ENOENT, "needs the library 'liblack.so'");
        put_elf("/usr/bin/noloader", (Fake) { .interpreter = "/lib/absent.so" });
        assert_refused(ITEMS(PROGRAM("/usr/bin/noloader")), ENOENT, "needs the loader '/lib/absent.so'");
        put_elf("/usr/bin/relative", (Fake) { .interpreter = "ld.so" });
        assert_refused(ITEMS(PROGRAM("/usr/bin/relative")), EBADMSG, "no absolute path");
        put_elf("/usr/bin/escape", (Fake) { .interpreter = LOADER, .needed = { "../lib/x.so" } });
        assert_refused(ITEMS(PROGRAM("/usr/bin/escape")), EBADMSG, "relative to wherever");
        put_link("/usr/bin/loop", "loop");
        assert_refused(ITEMS(PROGRAM("/usr/bin/loop")), ENOENT, "/usr/bin/loop");
        put_elf("/usr/bin/arm", (Fake) { .machine = EM_AARCH64 });
        put_elf("/usr/bin/prog", (Fake) { .interpreter = LOADER });
        assert_refused(ITEMS(PROGRAM("/usr/bin/arm")), ENOEXEC, "'/usr/bin/arm' is an ELF file for AArch64: wanted");
        assert_refused(ITEMS(PROGRAM("/usr/bin/prog"), PROGRAM("/usr/bin/arm")), ENOEXEC, "for AArch64");
        put_elf("/usr/bin/foreign", (Fake) { .interpreter = LOADER, .needed = { "libarm.so" } });
        put_elf("/opt/x/libarm.so", (Fake) { .machine = EM_AARCH64 });
        assert_refused(ITEMS(PROGRAM("/usr/bin/foreign")), ENOENT, "needs the library 'libarm.so', but '/opt/x/libarm.so' is an ELF file for AArch64");
        put_old("/usr/bin/old");
        assert_refused(ITEMS(PROGRAM("/usr/bin/old")), ENOEXEC, "'/usr/bin/old' is an ELF file for i386");
        assert_refused(ITEMS({ BUNDLE_DATA, "/usr/bin", NULL }), EBADMSG, "/usr/bin' is not a regular file");
        assert_refused(ITEMS({ BUNDLE_KERNEL, "/usr/bin", NULL }), EBADMSG, "/usr/bin' is not a regular file");
        assert_refused(ITEMS({ BUNDLE_KERNEL, "/boot/vmlinuz", NULL }), ENOENT, "/boot/vmlinuz' does not exist");
        put_text("/boot/vmlinuz", "MZ, and what else a compressed kernel begins with");
        assert_refused(ITEMS({ BUNDLE_KERNEL, "/boot/vmlinuz", NULL }), EBADMSG, "/boot/vmlinuz' is not an uncompressed kernel");
        put_text("/boot/empty", "");
        assert_refused(ITEMS({ BUNDLE_KERNEL, "/boot/empty", NULL }), EBADMSG, "is not an uncompressed kernel");
}

/* A script has its interpreter with it; for env(1), which looks for it at run time, what would be found here. */
static void test_scripts(void **state) {
        _cleanup_(bundle_freep) Bundle *b = NULL;

        put_host();
        put_link("/bin", "usr/bin");
        put_elf("/usr/bin/dash", (Fake) { .interpreter = LOADER, .needed = { "libc.so.6" } });
        put_link("/usr/bin/sh", "dash");
        put_elf("/usr/bin/env", (Fake) { .interpreter = LOADER, .needed = { "libc.so.6" } });
        put_elf("/usr/local/bin/python3", (Fake) { .interpreter = LOADER, .needed = { "liba.so" } });
        put_elf("/opt/y/liba.so", (Fake) {});
        put_text("/root/one", "#! /bin/sh -e \necho\n");
        put_text("/root/two", "#!/usr/bin/env python3\n");
        put_text("/root/three", "#!/usr/bin/env -S python3 -u -x\n");
        b = resolve(ITEMS(PROGRAM("/root/one"), PROGRAM("/root/two"), PROGRAM("/root/three")));
        assert_file(b, "/root/one", "/root/one");
        assert_link(b, "/usr/bin/sh", "dash");
        assert_file(b, "/usr/bin/dash", "/usr/bin/dash");
        assert_non_null(find(b, "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"));
        assert_file(b, "/usr/bin/env", "/usr/bin/env");
        assert_file(b, "/usr/local/bin/python3", "/usr/local/bin/python3");
        assert_file(b, "/opt/y/liba.so", "/opt/y/liba.so");

        put_text("/root/bad", "#!/bin/absent\n");
        assert_refused(ITEMS(PROGRAM("/root/bad")), ENOENT, "'/root/bad' is run by '/bin/absent', which does not exist");
        put_text("/root/bad", "#!sh\n");
        assert_refused(ITEMS(PROGRAM("/root/bad")), ENOEXEC, "no absolute path");
        put_text("/root/bad", "#!/bin/sh\r\n");
        assert_refused(ITEMS(PROGRAM("/root/bad")), ENOEXEC, "DOS line ends");
        put_text("/root/bad", "#!/usr/bin/env absent\n");
        assert_refused(ITEMS(PROGRAM("/root/bad")), ENOENT, "'absent', which is in no directory of the usual PATH");
        put_text("/root/bad", "#!/usr/bin/env -i sh\n");
        assert_refused(ITEMS(PROGRAM("/root/bad")), ENOEXEC, "cannot be told which program");
        put_text("/root/bad", "#!/root/bad\n");
        assert_refused(ITEMS(PROGRAM("/root/bad")), ENOEXEC, "a script of a script");
}

static void assert_content(const Bundle *b, const char *target, const char *content) {
        const BundleEntry *e = find(b, target);

        if (!e)
                fail_msg("no %s", target);
        assert_non_null(e->content);
        assert_string_equal(e->content, content);
        assert_true(e->executable);
}

/* Each program has the libraries that it was linked with, whatever others have by the same names. */
static void test_portable(void **state) {
        _cleanup_(bundle_freep) Bundle *b = NULL;
        const BundleEntry *e;
        size_t n;

        put_host();
        put_elf("/opt/p/bin/prog", (Fake) { .interpreter = LOADER, .rpath = "$ORIGIN/../lib", .needed = { "liba.so", "libc.so.6" } });
        put_elf("/opt/p/lib/liba.so", (Fake) { .runpath = "/opt/r" });
        put_elf("/usr/bin/other", (Fake) { .interpreter = LOADER, .needed = { "liba.so", "libc.so.6" } });
        put_elf("/opt/y/liba.so", (Fake) {});
        put_elf("/usr/bin/static", (Fake) {});
        put_link("/usr/bin/sh", "static");
        put_text("/root/run", "#!/usr/bin/env other\n");
        put_text("/root/sh", "#!/usr/bin/sh -e\n");
        put_elf("/usr/bin/env", (Fake) { .interpreter = LOADER });
        b = resolve(ITEMS({ BUNDLE_PORTABLE, "/opt/p/bin/prog", "/i/bin/prog" }, { BUNDLE_PORTABLE, "/usr/bin/other", "/i/sbin/prog" },
                          { BUNDLE_PORTABLE, "/usr/bin/static", "/i/bin/static" }, { BUNDLE_PORTABLE, "/root/run", "/i/bin/run" },
                          { BUNDLE_PORTABLE, "/root/sh", "/i/bin/sh" }));

        assert_content(b, "/i/bin/prog",
                "#!/i/lib/init\n/i/loader/bin/prog\n%\n--inhibit-cache\n--inhibit-rpath\n:/i/lib/bin/prog/liba.so:\n--library-path\n/i/lib/bin/prog\n"
                "--argv0\n%\n/i/files/opt/p/bin/prog\n");
        assert_content(b, "/i/sbin/prog",
                "#!/i/lib/init\n/i/loader/sbin/prog\n%\n--inhibit-cache\n--inhibit-rpath\n:\n--library-path\n/i/lib/sbin/prog\n"
                "--argv0\n%\n/i/files/usr/bin/other\n");
        assert_content(b, "/i/bin/run",
                "#!/i/lib/init\n/i/loader/bin/run\n/usr/bin/other\n--inhibit-cache\n--inhibit-rpath\n:\n--library-path\n/i/lib/bin/run\n"
                "--argv0\n/usr/bin/other\n/i/files/usr/bin/other\n/i/files/root/run\n");
        assert_content(b, "/i/bin/sh", "#!/i/lib/init\n/i/files/usr/bin/static\n/usr/bin/sh\n-e\n/i/files/root/sh\n");
        assert_link(b, "/i/bin/static", "../files/usr/bin/static");
        assert_link(b, "/i/loader/bin/prog", "../../files/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
        assert_link(b, "/i/lib/bin/prog/liba.so", "../../../files/opt/p/lib/liba.so");
        assert_link(b, "/i/lib/sbin/prog/liba.so", "../../../files/opt/y/liba.so");
        assert_link(b, "/i/lib/bin/prog/libc.so.6", "../../../files/usr/lib/x86_64-linux-gnu/libc.so.6");
        assert_file(b, "/i/files/opt/p/lib/liba.so", "/opt/p/lib/liba.so");
        assert_file(b, "/i/files/usr/bin/static", "/usr/bin/static");

        /* It has its directory to itself. */
        e = bundle_entries(b, &n);
        for (size_t i = 0; i < n; i++)
                assert_non_null(startswith(e[i].target, "/i/"));

        put_elf("/opt/z/libz.so", (Fake) {});
        put_elf("/usr/bin/pinned", (Fake) { .interpreter = LOADER, .needed = { "/opt/z/libz.so" } });
        assert_refused(ITEMS({ BUNDLE_PORTABLE, "/usr/bin/pinned", "/i/bin/pinned" }), EBADMSG, "'/opt/z/libz.so' at just that place");
        put_text("/root/nested", "#!/root/run\n");
        assert_refused(ITEMS({ BUNDLE_PORTABLE, "/root/nested", "/i/bin/nested" }), ENOEXEC, "'/root/run' is no ELF file");
}

/* A name inside the tree that leads out of it must be taken as the loader in the tree would. */
static void test_root(void **state) {
        _cleanup_(bundle_freep) Bundle *b = NULL;

        put_host();
        put_link("/usr/bin/prog", "/../../../../../../opt/real");
        put_elf("/opt/real", (Fake) { .interpreter = LOADER });
        b = resolve(ITEMS(PROGRAM("/usr/bin/prog")));
        assert_file(b, "/opt/real", "/opt/real");
}

static void ensure(const BundleItem *items, char key[static SHA256_HEX_SIZE]) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *error = NULL;

        if (bundle_ensure(items, &fd, key, &error) < 0)
                fail_msg("%s", error);
        assert_ok(faccessat(fd, "usr/bin/prog", X_OK, 0));
        assert_ok(faccessat(fd, "lib64/ld-linux-x86-64.so.2", F_OK, AT_SYMLINK_NOFOLLOW));
}

static void put_program(void) {
        put_host();
        put_elf("/usr/bin/prog", (Fake) { .interpreter = LOADER, .needed = { "liba.so", "libc.so.6" } });
        put_elf("/opt/y/liba.so", (Fake) {});
        put_text("/usr/share/data", "data");
        /* The tree's own absolute symlink would lead to the machine's. */
        put_link("/lib64", "usr/lib64");
}

static bool has_tree(const char *key) {
        _cleanup_free_ char *dir = layout_path(LAYOUT_BUNDLES_DIR), *path = strf("%s/%s", dir, key);

        return access(path, F_OK) >= 0;
}

static void test_cache(void **state) {
        const BundleItem *items = ITEMS(PROGRAM("/usr/bin/prog"), { BUNDLE_DATA | BUNDLE_OPTIONAL, "/usr/share/absent", NULL });
        char a[SHA256_HEX_SIZE], b[SHA256_HEX_SIZE], c[SHA256_HEX_SIZE];
        _cleanup_free_ char *dir = layout_path(LAYOUT_BUNDLES_DIR), *litter = strf("%s/.tmp", dir);
        struct stat st;

        put_program();
        ensure(items, a);
        ensure(items, b);
        assert_string_equal(a, b);

        /* A file was replaced. */
        put_elf("/opt/y/liba.so", (Fake) {});
        ensure(items, b);
        assert_string_not_equal(a, b);
        /* One that was missing is there; a library appears where it is looked for earlier; a new directory is searched. */
        put_text("/usr/share/absent", "here");
        ensure(items, c);
        assert_string_not_equal(b, c);
        put_elf("/opt/x/liba.so", (Fake) {});
        ensure(items, b);
        assert_string_not_equal(b, c);
        put_text("/etc/ld.so.conf.d/0.conf", "/opt/0\n");
        put_elf("/opt/0/liba.so", (Fake) {});
        ensure(items, c);
        assert_string_not_equal(b, c);

        /* Only the last is still asked for. */
        assert_ok(mkdir(litter, 0700));
        assert_true(has_tree(a) && has_tree(b) && has_tree(c));
        assert_ok(bundle_prune());
        assert_false(has_tree(a) || has_tree(b));
        assert_true(has_tree(c));
        assert_error(stat(litter, &st) < 0 ? -errno : 0, ENOENT);
        ensure(items, b);
        assert_string_equal(b, c);
        put_elf("/opt/0/liba.so", (Fake) {});
        assert_ok(bundle_prune());
        assert_false(has_tree(c));
        ensure(items, b);
}

static void test_cache_damaged(void **state) {
        const BundleItem *items = ITEMS(PROGRAM("/usr/bin/prog"));
        _cleanup_free_ char *dir = layout_path(LAYOUT_BUNDLES_DIR), *path = NULL;
        static const char *const texts[] = { "", "x", "inferno-bundle 1 ", "inferno-bundle 1 0123\nf 1 2 3 /x\n" };
        char a[SHA256_HEX_SIZE], b[SHA256_HEX_SIZE];

        put_program();
        ensure(items, a);
        /* The tree is gone, or the manifest is no longer one. */
        path = strf("%s/%s", dir, a);
        assert_ok(remove_tree_at(AT_FDCWD, path));
        ensure(items, b);
        assert_string_equal(a, b);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_free_ char *command = strf("for i in %s/*.manifest; do printf '%%s' '%s' > $i; done", dir, texts[i]);

                assert_int_equal(system(command), 0);
                ensure(items, b);
                assert_string_equal(a, b);
        }
}

static void test_in_use(void **state) {
        const BundleItem *items = ITEMS(PROGRAM("/usr/bin/prog"));
        _cleanup_close_ int fd = -EBADF;
        char key[SHA256_HEX_SIZE];

        put_program();
        assert_ok(bundle_ensure(items, &fd, key, NULL));
        put_elf("/opt/y/liba.so", (Fake) {});
        assert_ok(bundle_prune());
        assert_true(has_tree(key));
        fd = safe_close(fd);
        assert_ok(bundle_prune());
        assert_false(has_tree(key));
}

static void test_concurrent(void **state) {
        const BundleItem *items = ITEMS(PROGRAM("/usr/bin/prog"));
        pid_t pids[6];

        put_program();
        for (size_t i = 0; i < ELEMENTSOF(pids); i++) {
                pids[i] = fork();
                assert_ok(pids[i]);
                if (pids[i] == 0) {
                        char key[SHA256_HEX_SIZE];
                        int r = 0, fd = -EBADF;

                        for (int k = 0; k < 20 && r >= 0; k++) {
                                r = i == 0 ? bundle_prune() : bundle_ensure(items, &fd, key, NULL);
                                if (r >= 0 && i != 0 && faccessat(fd, "usr/bin/prog", X_OK, 0) < 0)
                                        r = -errno;
                                fd = safe_close(fd);
                        }
                        _exit(r < 0 ? -r : 0);
                }
        }
        for (size_t i = 0; i < ELEMENTSOF(pids); i++) {
                int status;

                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                assert_int_equal(status, 0);
        }
}

/* The real thing: QEMU runs in a tree that holds nothing but its bundle. */
static void test_runs(void **state) {
        const BundleItem *items = ITEMS(PROGRAM("/usr/bin/qemu-system-x86_64"));
        _cleanup_(bundle_freep) Bundle *b = NULL;
        _cleanup_close_ int root_fd = -EBADF, fd = -EBADF;
        _cleanup_free_ char *error = NULL;
        char key[SHA256_HEX_SIZE], output[256] = "";
        const BundleEntry *e;
        int fds[2], status;
        size_t n;
        pid_t pid;

        if (geteuid() != 0 || access(items[0].source, X_OK) < 0) {
                print_message("needs root and %s\n", items[0].source);
                skip();
        }
        layout_set_root(NULL);
        b = resolve(items);
        assert_ok(layout_set_root(*state));
        root_fd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        e = bundle_entries(b, &n);
        for (int links = 0; links < 2; links++)
                for (size_t i = 0; i < n; i++) {
                        if (!!e[i].link != links)
                                continue;
                        assert_ok(mkdir_parent_of_at(root_fd, e[i].target + 1, 0755));
                        if (links)
                                assert_ok(symlinkat(e[i].link, root_fd, e[i].target + 1));
                        else
                                assert_ok(link_or_clone_at(AT_FDCWD, e[i].source, root_fd, e[i].target + 1, 0755));
                }
        if (bundle_ensure(items, &fd, key, &error) < 0)
                fail_msg("%s", error);

        assert_ok(pipe2(fds, O_CLOEXEC));
        pid = fork();
        assert_ok(pid);
        if (pid == 0) {
                if (fchdir(fd) < 0 || chroot(".") < 0 || dup2(fds[1], STDOUT_FILENO) < 0)
                        _exit(99);
                execle(items[0].source, items[0].source, "-version", NULL, (char *[]) { NULL });
                _exit(98);
        }
        close(fds[1]);
        assert_true(read_full(fds[0], output, sizeof(output) - 1) > 0);
        close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_non_null(strstr(output, "QEMU emulator version"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_closure), TEST(test_search_paths), TEST(test_targets), TEST(test_refused), TEST(test_scripts), TEST(test_portable), TEST(test_root), TEST(test_cache),
                TEST(test_cache_damaged), TEST(test_in_use), TEST(test_concurrent), TEST(test_runs),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
