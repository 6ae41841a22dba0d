/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Trees packed and unpacked: between each other, with tar(1) and bsdtar(1), and out of streams that mean it badly. As root, like those who use them. */

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tar-files.h"
#include "base/tar.h"
#include "test.h"
#include "tests/unit/tar-builder.h"

typedef struct Fixture {
        char dir[32];
        StrBuf said;
} Fixture;

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));

        if (geteuid() != 0)
                return 77;
        strcpy(f->dir, "/tmp/tar-files.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        assert_ok(chdir(f->dir));
        (void) umask(0022);
        (void) signal(SIGPIPE, SIG_IGN);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        assert_ok(chdir("/"));
        assert_ok(remove_tree_at(AT_FDCWD, f->dir));
        strbuf_done(&f->said);
        free(f);
        return 0;
}

static void say(void *userdata, const char *text) {
        strbuf_addf(&((Fixture *) userdata)->said, "%s\n", text);
}

/* Runs a command of the shell; its exit code. */
static int shell(const char *format, ...) _printf_(1, 2);
static int shell(const char *format, ...) {
        _cleanup_free_ char *command = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        assert_ok(vasprintf(&command, format, ap));
        va_end(ap);
        r = system(command);
        if (r != 0)
                print_message("%s: %d\n", command, r);
        return r;
}

/* What differs between two trees in anything that is kept, as a command. */
#define LIST "find . -printf '%%p %%y %%m %%U:%%G %%s %%T@ %%l %%n\\n' | sort"

static int pack_to(Fixture *f, const TarPack *p, const char *file, char **ret_error) {
        _cleanup_close_ int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        TarPack q = *p;

        q.say = say;
        q.userdata = f;
        return tar_pack(&q, fd, ret_error);
}

static int unpack_from(Fixture *f, const TarUnpack *u, const char *file, char **ret_error) {
        _cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
        TarUnpack q = *u;

        q.say = say;
        q.userdata = f;
        return tar_unpack(&q, fd, ret_error);
}

/* A copy as the two of them make it. */
static int copy(Fixture *f, const char *from, bool follow, const char *to, const char *name, char **ret_error) {
        int r;

        r = pack_to(f, &(TarPack) { .path = from, .name = ".", .follow = follow }, "stream", ret_error);
        assert_int_equal(r, 0);
        return unpack_from(f, &(TarUnpack) { .path = to, .name = name, .keep = true }, "stream", ret_error);
}

static int make_tree(void) {
        return shell("mkdir -p tree/dir/deep tree/empty && echo hello >tree/dir/file && : >tree/nothing && chmod 4711 tree/dir/file && ln -s ../x tree/link && "
                     "ln tree/dir/file tree/hard && ln -s nowhere tree/dir/dangling && mkdir -m 1777 tree/sticky && mkdir -m 500 tree/closed && echo x >tree/closed/in && "
                     "head -c 300000 /dev/urandom >tree/large && truncate -s 3000000 tree/holes && printf end >>tree/holes && chown -R 7:8 tree/dir && "
                     "touch -d '1960-05-01 10:00:00.25' tree/nothing && touch -h -d '2001-02-03 04:05:06.789' tree/link && "
                     "name=$(printf 'n%%.0s' $(seq 200)) && mkdir tree/$name && echo deep >tree/$name/$name && printf x >\"tree/$(printf 'a\\nb\\377')\" && "
                     "touch -d '2020-01-01' tree/dir/deep tree/dir tree");
}

static void test_tree(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL;

        assert_int_equal(make_tree(), 0);
        assert_int_equal(copy(f, "tree", false, "copy", "tree", &error), 0);
        assert_int_equal(shell("(cd tree && " LIST ") >a && (cd copy && " LIST ") >b && diff a b && diff -r --no-dereference tree copy"), 0);
        assert_int_equal(shell("test tree/dir/file -ef tree/hard && test copy/dir/file -ef copy/hard && test $(stat -c %%b copy/holes) -lt 200"), 0);
        /* Once more, over what is there: the same, and nothing is left beside it. Directories that are there keep what they have. */
        assert_int_equal(copy(f, "tree/.", false, "copy", NULL, &error), 0);
        assert_int_equal(shell("(cd copy && " LIST ") >b && grep -av ' d ' a >c && grep -av ' d ' b | diff -a c - && test $(wc -l <a) = $(wc -l <b)"), 0);
        assert_null(f->said.data);
}

/* What a name becomes, by what is there. */
static void test_places(void **state) {
        static const struct {
                const char *from, *to, *name;
                bool follow;
                const char *there;      /* a test of the shell; NULL: refused with this: */
                const char *error;
        } cases[] = {
                { "file", "new", "file", false, "grep -q file new", NULL },
                { "file", "dir", "file", false, "grep -q file dir/file", NULL },
                { "file", "dir/", "file", false, "grep -q file dir/file", NULL },
                { "file", "other", "file", false, "grep -q file other", NULL },
                { "file", "to-dir", "file", false, "grep -q file dir/file", NULL },
                { "file", "to-other", "file", false, "grep -q file to-other && test ! -L to-other && grep -q other other", NULL },
                { "file", "new/", "file", false, NULL, "\"new/\" is to be a directory: No such file or directory" },
                { "file", "other/", "file", false, NULL, "\"other/\" is to be a directory: Not a directory" },
                { "file", "no/new", "file", false, NULL, "\"no/new\" cannot be made, for the directory that is to hold it cannot be opened: No such file or directory" },
                { "file", "full", "file", false, NULL, "\"full/file\" cannot be replaced: Is a directory" },
                { "dir", "new", "dir", false, "test -f new/in", NULL },
                { "dir", "new/", "dir", false, "test -f new/in", NULL },
                { "dir", "empty", "dir", false, "test -f empty/dir/in", NULL },
                { "dir/.", "empty", NULL, false, "test -f empty/in", NULL },
                { "dir/.", "new", NULL, false, "test -f new/in", NULL },
                { "dir", "other", "dir", false, NULL, "\"other\" is to be a directory, and something else is there: Not a directory" },
                { "to-dir", "new", "to-dir", false, "test $(readlink new) = dir", NULL },
                { "to-dir", "new", "to-dir", true, "test -d new && test ! -L new && test -f new/in", NULL },
                { "to-other", "new", "to-other", true, "test -f new && test ! -L new && grep -q other new", NULL },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *error = NULL;

                assert_int_equal(shell("rm -rf * && echo file >file && echo other >other && mkdir -p dir empty full/file && touch dir/in && ln -s dir to-dir && ln -s other to-other"), 0);
                /* With this name a directory stands where the file is to go. */
                if (streq(cases[i].to, "full")) {
                        assert_error(copy(f, cases[i].from, false, "full", "file", &error), EISDIR);
                        assert_string_equal(error, cases[i].error);
                        continue;
                }
                if (cases[i].there) {
                        assert_int_equal(copy(f, cases[i].from, cases[i].follow, cases[i].to, cases[i].name, &error), 0);
                        assert_int_equal(shell("%s", cases[i].there), 0);
                } else {
                        assert_true(copy(f, cases[i].from, cases[i].follow, cases[i].to, cases[i].name, &error) < 0);
                        assert_string_equal(error, cases[i].error);
                }
                assert_int_equal(shell("test -z \"$(find . -name '.#*')\""), 0);
        }
}

static void test_owners(void **state) {
        const TarEntry entries[] = {
                { .name = ".", .type = '5', .mode = 0750, .uid = 5, .gid = 6 },
                { .name = "./a", .mode = 06755, .uid = 5, .gid = 6, .content = "x" },
                { .name = "./b", .type = '2', .link = "a", .uid = 5, .gid = 6 },
                { .name = "./c", .type = '5', .mode = 03777, .uid = 5, .gid = 6 },
                {},
        };
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL;
        _cleanup_strbuf_ StrBuf b = {};

        tar_make(&b, entries);
        assert_ok(write_file_atomic_at(AT_FDCWD, "stream", b.data, b.size, 0600, 0));
        assert_int_equal(unpack_from(f, &(TarUnpack) { .path = "ours", .uid = 11, .gid = 12 }, "stream", &error), 0);
        assert_int_equal(shell("test \"$(cd ours && find . -printf '%%p %%m %%U:%%G,' | tr -d '\\n' | tr , '\\n' | sort | tr '\\n' ,)\" = "
                               "'. 750 11:12,./a 755 11:12,./b 777 11:12,./c 1777 11:12,'"), 0);
        assert_int_equal(unpack_from(f, &(TarUnpack) { .path = "theirs", .keep = true }, "stream", &error), 0);
        assert_int_equal(shell("test \"$(cd theirs && find . -printf '%%p %%m %%U:%%G,' | tr -d '\\n' | tr , '\\n' | sort | tr '\\n' ,)\" = "
                               "'. 750 5:6,./a 6755 5:6,./b 777 5:6,./c 3777 5:6,'"), 0);
}

/* What others pack is unpacked, what we pack others unpack, in each format that they have; with times that all of these can say. */
static void test_with_tar(void **state) {
        static const char *const formats[] = { "tar --format=gnu", "tar --format=posix", "bsdtar --format=pax", "bsdtar --format=gnutar", "bsdtar" };
        Fixture *f = *state;

        assert_int_equal(make_tree(), 0);
        assert_int_equal(shell("truncate -s 0 tree/holes; touch -d 1999-05-01 tree/nothing; (cd tree && find . -printf '%%p %%y %%m %%U:%%G %%s %%Ts %%l %%n\\n' | sort) >a"), 0);
        for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
                _cleanup_free_ char *error = NULL;

                assert_int_equal(shell("rm -rf copy back; mkdir copy back; cd tree && LC_ALL=C %s -cf ../stream.tar * && cd .. && touch -r tree copy", formats[i]), 0);
                assert_int_equal(unpack_from(f, &(TarUnpack) { .path = "copy", .foreign = true, .keep = true }, "stream.tar", &error), 0);
                assert_int_equal(shell("touch -r tree copy; (cd copy && find . -printf '%%p %%y %%m %%U:%%G %%s %%Ts %%l %%n\\n' | sort) | diff a - && "
                                       "diff -r --no-dereference tree copy && test copy/dir/file -ef copy/hard"), 0);
                assert_int_equal(pack_to(f, &(TarPack) { .path = "copy", .name = "named" }, "stream", &error), 0);
                assert_int_equal(shell("cd back && LC_ALL=C %s -xpf ../stream && cd named && find . -printf '%%p %%y %%m %%U:%%G %%s %%Ts %%l %%n\\n' | sort | diff ../../a - && "
                                       "diff -r --no-dereference ../../tree . && test dir/file -ef hard", strstr(formats[i], "bsd") ? "bsdtar" : "tar"), 0);
        }
        assert_null(f->said.data);
}

/* Whatever the stream says, what is outside stays as it was, and each message says what is wrong. */
static void test_hostile(void **state) {
#define TOP { .name = ".", .type = '5' }
        static const struct {
                bool foreign;
                TarEntry entries[4];
                const char *error;
        } cases[] = {
                { false, { TOP, { .name = "../x", .content = "x" } }, "\"to/../x\" is no name for anything in a copy" },
                { false, { TOP, { .name = "./a/../../x", .content = "x" } }, "\"to/./a/../../x\" is no name for anything in a copy" },
                { false, { TOP, { .name = "/nowhere-x", .content = "x" } }, "\"to//nowhere-x\" is no name for anything in a copy" },
                { false, { TOP, { .name = "..", .type = '5' } }, "\"to/..\" is no name for anything in a copy" },
                { false, { { .name = "./a", .content = "x" } }, "\"to/a\" is not where a copy begins" },
                { false, { { .name = ".", .content = "x" }, { .name = "./b", .content = "x" } }, "\"to/b\" comes behind a file, as nothing in a copy can" },
                { false, { { .name = ".", .content = "x" }, { .name = ".", .type = '2', .link = "/" } }, "\"to\" comes behind a file, as nothing in a copy can" },
                { false, { { .name = ".", .type = '2', .link = "../outside" }, { .name = "./b", .content = "x" } }, "\"to/b\" comes behind a file, as nothing in a copy can" },
                { false, { { .name = ".", .type = '3', .major = 1, .minor = 3 } }, "\"to\" is a device or FIFO, which cannot be copied" },
                { false, { { .name = ".", .type = '1', .link = "outside/secret" } }, "\"to\" is a hard link to something outside of the copy" },
                { false, { TOP, { .name = "./l", .type = '2', .link = "../outside" }, { .name = "./l/x", .content = "x" } },
                  "\"to/l/x\" cannot be made: its directory cannot be opened, or is a symlink: Too many levels of symbolic links" },
                { false, { TOP, { .name = "./l", .type = '2', .link = "../outside" }, { .name = "./l", .type = '5', .mode = 0777 } },
                  "\"to/l\" is to be a directory, and something else is there: Not a directory" },
                { false, { TOP, { .name = "./l", .type = '2', .link = ".." }, { .name = "./h", .type = '1', .link = "l/outside/secret" } },
                  "\"to/h\" cannot be linked to what it is a hard link of: Too many levels of symbolic links" },
                { false, { TOP, { .name = "./h", .type = '1', .link = "../outside/secret" } }, "\"to/h\" is a hard link to something outside of the copy" },
                { false, { TOP, { .name = "./h", .type = '1', .link = "./nothing" } }, "\"to/h\" cannot be linked to what it is a hard link of: No such file or directory" },
                { false, { TOP, { .name = "./h", .type = '1', .link = "." } }, "\"to/h\" is a hard link to something outside of the copy" },
                { false, { TOP, { .name = ".", .content = "x" } }, "\"to\" comes behind a file, as nothing in a copy can" },
                { true, { { .name = "there/h", .type = '1', .link = "there/before" } }, "\"there/there/h\" cannot be linked to what it is a hard link of: No such file or directory" },
                { true, { { .name = "h", .type = '1', .link = "before" } }, "\"there/h\" is a hard link to something outside of the copy" },
                { true, { { .name = "link/x", .content = "x" } }, "\"there/link/x\" cannot be made: its directory cannot be opened, or is a symlink: Too many levels of symbolic links" },
                { true, { { .name = "before/x", .content = "x" } }, "\"there/before/x\" cannot be made: its directory cannot be opened, or is a symlink: Not a directory" },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *error = NULL;
                _cleanup_strbuf_ StrBuf b = {};

                assert_int_equal(shell("rm -rf * && mkdir outside there && echo secret >outside/secret && echo before >there/before && ln -s ../outside there/link && touch -d @1 outside"), 0);
                tar_make(&b, cases[i].entries);
                assert_ok(write_file_atomic_at(AT_FDCWD, "stream", b.data, b.size, 0600, 0));
                assert_true(unpack_from(f, &(TarUnpack) { .path = cases[i].foreign ? "there" : "to", .foreign = cases[i].foreign }, "stream", &error) < 0);
                assert_string_equal(error, cases[i].error);
                assert_int_equal(shell("test \"$(ls outside)\" = secret && test $(stat -c %%Y outside) = 1 && grep -qx secret outside/secret && "
                                       "test $(stat -c %%h outside/secret) = 1 && test ! -e x && test ! -e /nowhere-x && grep -qx before there/before && "
                                       "test $(stat -c %%h there/before) = 1 && test -z \"$(find . -name '.#*')\""), 0);
        }
        assert_null(f->said.data);
}

/* Devices are left out, and what is there of that name stays. A symlink that is there is replaced, not followed. */
static void test_left_out(void **state) {
        const TarEntry entries[] = {
                { .name = "./" , .type = '5' },
                { .name = "./null", .type = '3', .major = 1, .minor = 3 },
                { .name = "./sda", .type = '4', .major = 8 },
                { .name = "./pipe", .type = '6' },
                { .name = "./link", .content = "file" },
                { .name = "./a/b/c/implied", .content = "file" },
                {},
        };
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL;
        _cleanup_strbuf_ StrBuf b = {};

        assert_int_equal(shell("mkdir to && echo kept >to/pipe && echo kept >outside && ln -s ../outside to/link"), 0);
        tar_make(&b, entries);
        assert_ok(write_file_atomic_at(AT_FDCWD, "stream", b.data, b.size, 0600, 0));
        assert_int_equal(unpack_from(f, &(TarUnpack) { .path = "to", .foreign = true, .uid = 3, .gid = 4 }, "stream", &error), 0);
        assert_string_equal(f->said.data, "\"to/null\" is a device or FIFO, and left out\n\"to/sda\" is a device or FIFO, and left out\n"
                                          "\"to/pipe\" is a device or FIFO, and left out\n");
        assert_int_equal(shell("grep -qx kept to/pipe && grep -qx kept outside && grep -qx file to/link && test ! -L to/link && test ! -e to/null && "
                               "test $(stat -c %%u:%%g:%%a to/a/b) = 3:4:755 && grep -q file to/a/b/c/implied"), 0);

        strbuf_done(&f->said);
        assert_int_equal(shell("rm -rf to; mkdir from && mkfifo from/pipe && touch from/file"), 0);
        assert_int_equal(copy(f, "from", false, "to", "from", &error), 0);
        assert_string_equal(f->said.data, "\"from/pipe\" is a device, FIFO or socket, and left out\n");
        assert_int_equal(shell("test \"$(ls to)\" = file"), 0);
        assert_error(pack_to(f, &(TarPack) { .path = "from/pipe", .name = "." }, "stream", &error), EOPNOTSUPP);
        assert_string_equal(error, "\"from/pipe\" is a device, FIFO or socket, which cannot be copied");
        assert_error(pack_to(f, &(TarPack) { .path = "from/nothing", .name = "." }, "stream", &error), ENOENT);
        assert_string_equal(error, "\"from/nothing\" cannot be read: No such file or directory");
        assert_error(pack_to(f, &(TarPack) { .path = "from/file/.", .name = "." }, "stream", &error), ENOTDIR);
}

/* Cut anywhere, a file has its old content or its new one, and nothing else is there. */
/* What a copy that ended early has left, the next one has to go on with. */
static void test_again(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL, *data = NULL;
        size_t size;

        assert_int_equal(shell("mkdir -p from/dir/deep && head -c 5000 /dev/urandom >from/dir/deep/a && chmod 750 from/dir && touch -d 2020-01-01 from/dir"), 0);
        assert_int_equal(pack_to(f, &(TarPack) { .path = "from", .name = "." }, "whole", &error), 0);
        assert_ok(read_file_at(AT_FDCWD, "whole", 1000000, &data, &size));
        for (size_t n = 0; n < size; n += 512) {
                const TarUnpack u = { .path = "to", .uid = 1000, .gid = 1001 };

                assert_int_equal(shell("rm -rf to"), 0);
                assert_ok(write_file_atomic_at(AT_FDCWD, "stream", data, n, 0600, 0));
                assert_error(unpack_from(f, &u, "stream", &error), ENODATA);
                assert_int_equal(unpack_from(f, &u, "whole", &error), 0);
                assert_int_equal(shell("(cd from && find . -printf '%%p %%m 1000:1001\n' | sort) >a && (cd to && find . -printf '%%p %%m %%U:%%G\n' | sort) >b && diff a b"), 0);
        }
}

static void test_cut(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL, *data = NULL;
        size_t size;

        assert_int_equal(shell("mkdir from && head -c 5000 /dev/urandom >from/a && head -c 700 /dev/urandom >from/b && ln from/a from/c"), 0);
        assert_int_equal(pack_to(f, &(TarPack) { .path = "from", .name = "." }, "whole", &error), 0);
        assert_ok(read_file_at(AT_FDCWD, "whole", 1000000, &data, &size));
        for (size_t n = 0; n < size; n += 500) {
                assert_int_equal(shell("rm -rf to; mkdir to; for i in a b c; do echo old >to/$i; done"), 0);
                assert_ok(write_file_atomic_at(AT_FDCWD, "stream", data, n, 0600, 0));
                assert_error(unpack_from(f, &(TarUnpack) { .path = "to" }, "stream", &error), ENODATA);
                assert_string_equal(error, "what comes has ended before it was whole");
                assert_int_equal(shell("for i in a b c; do grep -qx old to/$i || cmp -s from/$i to/$i || exit 1; done; test $(ls -A to | wc -l) = 3"), 0);
        }
        assert_int_equal(unpack_from(f, &(TarUnpack) { .path = "to" }, "whole", &error), 0);
        assert_int_equal(shell("diff -r from to"), 0);
}

/* Into a full file system, and one that is read-only. */
static void test_full(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL;

        if (shell("mkdir small && mount -t tmpfs -o size=200k none small") != 0)
                skip();
        assert_int_equal(shell("echo old >small/file && head -c 1000000 /dev/urandom >large"), 0);
        assert_int_equal(pack_to(f, &(TarPack) { .path = "large", .name = "." }, "stream", &error), 0);
        assert_error(unpack_from(f, &(TarUnpack) { .path = "small", .name = "file" }, "stream", &error), ENOSPC);
        assert_string_equal(error, "\"small/file\" cannot be written: No space left on device");
        assert_int_equal(shell("grep -qx old small/file && test \"$(ls -A small)\" = file && mount -o remount,ro small"), 0);
        assert_error(unpack_from(f, &(TarUnpack) { .path = "small", .name = "file" }, "stream", &error), EROFS);
        assert_int_equal(shell("umount small"), 0);
}

/* A file that changes while it is read: as long as it was said to be, and that is told. */
static void test_changing(void **state) {
        static const struct {
                long change;
                const char *said;
        } cases[] = {
                { -150000, "\"file\" has become shorter while it was read, and is filled up with zeros\n" },
                { 150000, "\"file\" has become longer while it was read, and is cut\n" },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *error = NULL;
                struct stat st;
                int fds[2], status;
                char byte;
                pid_t pid;

                assert_int_equal(shell("head -c 400000 /dev/urandom >file"), 0);
                assert_ok(pipe2(fds, O_CLOEXEC));
                pid = fork();
                if (pid == 0) {
                        close(fds[0]);
                        f->said.size = 0;
                        status = tar_pack(&(TarPack) { .path = "file", .name = ".", .say = say, .userdata = f }, fds[1], &error);
                        _exit(status == 1 && streq(f->said.data, cases[i].said) ? 0 : 1);
                }
                close(fds[1]);
                assert_int_equal(read(fds[0], &byte, 1), 1);
                assert_ok(truncate("file", 400000 + cases[i].change));
                {
                        _cleanup_close_ int fd = open("stream", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
                        char data[65536];
                        ssize_t k;

                        assert_ok(write_full(fd, &byte, 1));
                        while ((k = read(fds[0], data, sizeof(data))) > 0)
                                assert_ok(write_full(fd, data, (size_t) k));
                }
                close(fds[0]);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_int_equal(status, 0);
                assert_int_equal(unpack_from(f, &(TarUnpack) { .path = "copy" }, "stream", &error), 0);
                assert_ok(stat("copy", &st));
                assert_int_equal(st.st_size, 400000);
        }
}

/* Files of the kernel have the size that they are read with, and what it shows below the tree is left alone. */
static void test_kernel(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL;

        assert_int_equal(copy(f, "/proc/version", false, "version", "version", &error), 0);
        assert_int_equal(shell("cmp version /proc/version"), 0);
        if (shell("mkdir -p from/proc && mount --bind /proc from/proc") != 0)
                skip();
        assert_int_equal(copy(f, "from", false, "to", "from", &error), 0);
        assert_int_equal(shell("umount from/proc && test -d to/proc && test -z \"$(ls to/proc)\""), 0);
        assert_null(f->said.data);
}

/* On file systems without O_TMPFILE, as which from here on all are: until the file is whole it has a name that is not its own. */
static void test_without_tmpfile(void **state) {
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
                BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const struct sock_fprog program = { ELEMENTSOF(filter), filter };

        assert_ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        assert_ok(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
        assert_error(open(".", O_TMPFILE | O_WRONLY, 0600) < 0 ? -errno : 0, EOPNOTSUPP);
        test_cut(state);
}

/* Nobody reads, or what is behind the end does not end. */
static void test_ends(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL;
        int fds[2];

        assert_ok(pipe2(fds, O_CLOEXEC));
        close(fds[0]);
        assert_error(tar_pack(&(TarPack) { .path = "/etc/passwd", .name = ".", .say = say, .userdata = f }, fds[1], &error), EPIPE);
        close(fds[1]);
        assert_int_equal(shell("mkdir to; touch to/a; tar -cf stream -C to a; head -c 3000000 /dev/zero >>stream"), 0);
        assert_error(unpack_from(f, &(TarUnpack) { .path = "to", .foreign = true }, "stream", &error), EBADMSG);
        assert_string_equal(error, "what comes is no copy: it goes on behind its end");
        assert_int_equal(shell("head -c 1024 /dev/zero >stream"), 0);
        assert_int_equal(unpack_from(f, &(TarUnpack) { .path = "to", .foreign = true }, "stream", &error), 0);
        assert_error(unpack_from(f, &(TarUnpack) { .path = "to" }, "stream", &error), EBADMSG);
        assert_string_equal(error, "what comes is no copy: it is empty");
        assert_error(unpack_from(f, &(TarUnpack) { .path = "to/a", .foreign = true }, "stream", &error), ENOTDIR);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_tree, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_places, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_owners, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_with_tar, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_hostile, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_left_out, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_again, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_cut, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_changing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_kernel, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_ends, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_without_tmpfile, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_tree, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
