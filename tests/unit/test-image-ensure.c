/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a reference to an image file and back, in a store of its own, from layouts on disk. */

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/digest.h"
#include "image/image.h"
#include "layout/layout.h"
#include "test.h"
#include "tests/unit/image-builder.h"

typedef struct Fixture {
        char *dir;
        char *layout_path, *reference;
        Store *store;
        SiteConfig site;
        TestLayout layout;
        char *error;
        char *notices;
} Fixture;

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));
        char template[] = "/tmp/inferno-test-XXXXXX";

        f->dir = strdup(mkdtemp(template));
        f->layout_path = strf("%s/layout", f->dir);
        f->reference = strf("oci:%s", f->layout_path);
        assert_ok(layout_set_root(f->dir));
        assert_ok(store_open(&f->store, NULL));
        f->site = (SiteConfig) { .image_size_max = MIB(16), .image_entries_max = 1000 };
        layout_make(&f->layout, f->layout_path);
        f->notices = strdup("");
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        store_free(f->store);
        layout_done(&f->layout);
        assert_ok(remove_tree_at(AT_FDCWD, f->dir));
        free(f->dir);
        free(f->layout_path);
        free(f->reference);
        free(f->error);
        free(f->notices);
        free(f);
        return layout_set_root(NULL);
}

static void notice(ImageNotice kind, const char *text, void *userdata) {
        Fixture *f = userdata;
        char *s = kind == IMAGE_NOTICE_PROGRESS ? NULL : strf("%s%s\n", f->notices, text);

        if (s) {
                free(f->notices);
                f->notices = s;
        }
}

static int ensure(Fixture *f, const char *reference, PullPolicy policy, ImageConfig *ret) {
        const ImageObserver observer = { .notify = notice, .userdata = f };
        ImageConfig c = {};
        int r;

        f->notices[0] = 0;
        f->error = (free(f->error), NULL);
        r = image_ensure(f->store, reference, policy, &f->site, &observer, &c, &f->error);
        if (r < 0)
                assert_non_null(f->error);
        else
                assert_null(f->error);
        if (ret)
                *ret = c;
        else
                image_config_done(&c);
        return r;
}

static void assert_ensured(Fixture *f, PullPolicy policy, ImageConfig *ret) {
        int r = ensure(f, f->reference, policy, ret);

        if (r < 0)
                print_message("said: %s\n", f->error);
        assert_ok(r);
}

/* All files of the store but its own lock, with their sizes and times. */
static char *list_store(const Fixture *f) {
        _cleanup_free_ char *command = strf("cd %s && [ ! -e var/lib/inferno/images ] || find var/lib/inferno/images -type f ! -path '*/lock/store' "
                                            "-printf '%%P %%s %%T@\\n' | sort", f->dir);
        _cleanup_free_ char *line = NULL;
        _cleanup_strbuf_ StrBuf b = {};
        FILE *p = popen(command, "re");
        size_t room = 0;
        char *text;

        assert_non_null(p);
        while (getline(&line, &room, p) > 0)
                strbuf_adds(&b, line);
        assert_int_equal(pclose(p), 0);
        assert_ok(strbuf_finish(&b, &text, NULL));
        return text;
}

static void assert_refused(Fixture *f, int expected, const char *words) {
        _cleanup_free_ char *before = list_store(f), *after = NULL;
        int r = ensure(f, f->reference, PULL_MISSING, NULL);
        StoreImage row;

        if (!f->error || !strstr(f->error, words))
                print_message("said: %s\n", f->error);
        assert_int_equal(r, -expected);
        assert_non_null(strstr(f->error, words));
        assert_non_null(strstr(f->error, f->reference));
        /* The store is as before. */
        assert_error(store_image_get(f->store, f->reference, &row), ENOENT);
        after = list_store(f);
        assert_string_equal(after, before);
}

static const TarEntry hello[] = { { .name = "hello", .content = "world" }, {} };
static const TarEntry more[] = { { .name = ".wh.hello" }, { .name = "hallo", .content = "Welt" }, {} };

static void make_simple(Fixture *f) {
        layout_add_entries(&f->layout, hello);
        f->layout.config = "{\"Cmd\":[\"/hello\"],\"Env\":[\"A=b\"],\"User\":\"me\",\"StopSignal\":\"SIGINT\",\"WorkingDir\":\"/x\"}";
        layout_finish(&f->layout);
}

static void test_missing(void **state) {
        _cleanup_image_config_ ImageConfig c = {}, d = {};
        Fixture *f = *state;
        _cleanup_free_ char *dump = NULL, *path = NULL;
        struct stat st;

        make_simple(f);
        assert_error(ensure(f, f->reference, PULL_NEVER, NULL), ENOENT);
        assert_non_null(strstr(f->error, "Pull=never"));
        assert_ensured(f, PULL_MISSING, &c);
        assert_string_equal(c.cmd[0], "/hello");
        assert_null(c.entrypoint);
        assert_string_equal(c.env[0], "A=b");
        assert_string_equal(c.user, "me");
        assert_string_equal(c.stop_signal, "SIGINT");
        assert_string_equal(c.working_dir, "/x");
        assert_string_equal(c.manifest_digest, f->layout.manifest_digest);
        assert_string_equal(c.rootfs_type, "squashfs");
        dump = squash_dump(c.rootfs_path);
        assert_string_equal(dump, "/ d 755 0:0 0 n2\nhello f 644 0:0 0 n1 \"world\"\n");
        assert_int_equal(stat(c.rootfs_path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0444);
        assert_non_null(strstr(f->notices, "is ready"));

        /* From now on it is there, even without its source, and nothing is said. */
        path = strf("%s.gone", f->layout_path);
        assert_int_equal(rename(f->layout_path, path), 0);
        assert_ensured(f, PULL_NEVER, &d);
        assert_string_equal(f->notices, "");
        assert_string_equal(d.rootfs_path, c.rootfs_path);
        assert_error(ensure(f, f->reference, PULL_ALWAYS, NULL), ENOENT);
        assert_non_null(strstr(f->error, "cannot open the folder"));
        /* What failed has taken nothing away. */
        assert_ensured(f, PULL_NEVER, NULL);
        assert_int_equal(rename(path, f->layout_path), 0);
}

static void test_always(void **state) {
        _cleanup_image_config_ ImageConfig a = {}, b = {}, c = {};
        Fixture *f = *state;
        struct stat before, after;

        make_simple(f);
        assert_ensured(f, PULL_MISSING, &a);
        assert_int_equal(stat(a.rootfs_path, &before), 0);
        /* Unchanged: nothing is built. */
        assert_ensured(f, PULL_ALWAYS, &b);
        assert_int_equal(stat(b.rootfs_path, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);

        layout_add_entries(&f->layout, more);
        layout_finish(&f->layout);
        assert_ensured(f, PULL_MISSING, NULL);
        assert_string_equal(f->notices, "");
        assert_ensured(f, PULL_ALWAYS, &c);
        assert_string_not_equal(c.rootfs_path, a.rootfs_path);
        {
                _cleanup_free_ char *dump = squash_dump(c.rootfs_path);

                assert_string_equal(dump, "/ d 755 0:0 0 n2\nhallo f 644 0:0 0 n1 \"Welt\"\n");
        }
}

/* Two names of one manifest share its file, and it stays while one of them does. */
static void test_shared_and_removed(void **state) {
        _cleanup_image_config_ ImageConfig a = {}, b = {};
        Fixture *f = *state;
        _cleanup_free_ char *named = strf("%s:latest", f->reference), *blobs = strf("%s/var/lib/inferno/images/oci/blobs/sha256", f->dir), *text = NULL;
        struct stat st;

        make_simple(f);
        assert_ensured(f, PULL_MISSING, &a);
        assert_ok(ensure(f, named, PULL_MISSING, &b));
        assert_string_equal(a.rootfs_path, b.rootfs_path);
        assert_ok(image_inspect(f->store, named, &text, NULL));
        assert_non_null(strstr(text, "\"Cmd\":[\"/hello\"]"));

        assert_ok(image_remove(f->store, f->reference, NULL, NULL, &f->error));
        assert_int_equal(stat(a.rootfs_path, &st), 0);
        assert_ok(ensure(f, named, PULL_NEVER, NULL));
        assert_error(ensure(f, f->reference, PULL_NEVER, NULL), ENOENT);
        assert_ok(image_remove(f->store, named, NULL, NULL, &f->error));
        assert_int_equal(stat(a.rootfs_path, &st), -1);
        assert_int_equal(rmdir(blobs), 0);
        assert_error(image_remove(f->store, named, NULL, NULL, &f->error), ENOENT);
        assert_ok(mkdir_parents_at(AT_FDCWD, blobs, 0700));
}

static void rewrite(char *text, const char *from, const char *to) {
        char *p = strstr(text, from);

        assert_non_null(p);
        assert_int_equal(strlen(from), strlen(to));
        memcpy(p, to, strlen(to));
}

/* Changes one byte of a file in its middle. */
static void flip(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
        struct stat st;
        char c;

        assert_ok(fd);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(pread(fd, &c, 1, st.st_size / 2), 1);
        c ^= 1;
        assert_int_equal(pwrite(fd, &c, 1, st.st_size / 2), 1);
}

/* What a power cut may leave: a row, and a file that is empty, cut off or all zeros, or none; and one that somebody wrote to. It is built
 * again. */
static void test_damaged_file(void **state) {
        _cleanup_image_config_ ImageConfig c = {};
        Fixture *f = *state;
        _cleanup_free_ char *other = NULL;
        struct stat st;

        make_simple(f);
        assert_ensured(f, PULL_MISSING, &c);
        assert_int_equal(stat(c.rootfs_path, &st), 0);
        for (unsigned i = 0; i < 5; i++) {
                _cleanup_image_config_ ImageConfig d = {};
                ImageConfig e;

                if (i == 4)
                        flip(c.rootfs_path);
                else
                        assert_int_equal(unlink(c.rootfs_path), 0);
                if (i > 0 && i < 4) {
                        _cleanup_close_ int fd = open(c.rootfs_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

                        assert_int_equal(ftruncate(fd, i == 1 ? 0 : i == 2 ? st.st_size - 4096 : st.st_size), 0);
                }
                assert_error(image_config_load(f->store, f->reference, &e, NULL), ENOENT);
                assert_ensured(f, PULL_MISSING, &d);
                {
                        _cleanup_free_ char *dump = squash_dump(d.rootfs_path);

                        assert_string_equal(dump, "/ d 755 0:0 0 n2\nhello f 644 0:0 0 n1 \"world\"\n");
                }
        }
        /* The configuration likewise; an "Env" of the same length is another one. */
        other = strf("%s/var/lib/inferno/images/oci/blobs/sha256", f->dir);
        for (unsigned i = 0; i < 4; i++) {
                _cleanup_free_ char *blob = strf("%s/%s", other, digest_hex(f->layout.config_digest)), *text = NULL;
                _cleanup_image_config_ ImageConfig d = {};
                ImageConfig e;
                size_t n;

                assert_ok(read_file_at(AT_FDCWD, blob, MIB(1), &text, &n));
                if (i == 0)
                        assert_ok(remove_tree_at(AT_FDCWD, other));
                else if (i == 1)
                        assert_int_equal(truncate(blob, 0), 0);
                else if (i == 2)
                        flip(blob);
                else {
                        rewrite(text, "A=b", "A=c");
                        assert_ok(write_file_atomic_at(AT_FDCWD, blob, text, n, 0444, 0));
                }
                assert_error(image_config_load(f->store, f->reference, &e, NULL), ENOENT);
                assert_ensured(f, PULL_MISSING, &d);
                assert_string_equal(d.env[0], "A=b");
        }
}

/* A row that does not fit what it names counts for nothing. */
static void test_damaged_row(void **state) {
        static const char *const wrong[] = {
                "rootfs = '../../../../etc/passwd'", "rootfs = 'x.squashfs'", "rootfs = ''", "size = size + 4096", "size = 0", "size = -1",
                "manifest_digest = 'sha256:x'", "manifest_digest = replace(manifest_digest, substr(manifest_digest, 8), printf('%064d', 0))",
                "config_digest = ''", "config_digest = manifest_digest",
        };
        Fixture *f = *state;
        _cleanup_free_ char *path = layout_path(LAYOUT_DATABASE);
        _cleanup_image_config_ ImageConfig c = {};

        make_simple(f);
        assert_ensured(f, PULL_MISSING, &c);
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                _cleanup_free_ char *sql = strf("UPDATE images SET %s", wrong[i]);
                _cleanup_image_config_ ImageConfig d = {};
                ImageConfig e;
                sqlite3 *db;

                assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
                assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
                assert_int_equal(sqlite3_changes(db), 1);
                sqlite3_close(db);
                assert_true(image_config_load(f->store, f->reference, &e, NULL) < 0);
                assert_ensured(f, PULL_MISSING, &d);
                assert_string_equal(d.manifest_digest, c.manifest_digest);
                assert_string_equal(d.rootfs_path, c.rootfs_path);
                assert_string_equal(d.cmd[0], "/hello");
        }
}

static void *ensure_thread(void *userdata) {
        Fixture *f = userdata;
        ImageConfig c = {};
        Store *s;

        assert_ok(store_open(&s, NULL));
        assert_ok(image_ensure(s, f->reference, PULL_MISSING, &f->site, NULL, &c, NULL));
        image_config_done(&c);
        store_free(s);
        return NULL;
}

/* Eight at once get the same file, and it is built by one of them: it is the first that it is ever built. */
static void test_at_once(void **state) {
        _cleanup_image_config_ ImageConfig c = {};
        Fixture *f = *state;
        pthread_t threads[8];
        pid_t children[8];
        struct stat st;

        make_simple(f);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                assert_int_equal(pthread_create(threads + i, NULL, ensure_thread, f), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_ensured(f, PULL_NEVER, &c);
        assert_int_equal(stat(c.rootfs_path, &st), 0);
        assert_ok(image_remove(f->store, f->reference, NULL, NULL, NULL));

        for (size_t i = 0; i < ELEMENTSOF(children); i++) {
                children[i] = fork();
                assert_ok(children[i]);
                if (children[i] == 0) {
                        (void) ensure_thread(f);
                        _exit(0);
                }
        }
        for (size_t i = 0; i < ELEMENTSOF(children); i++) {
                int status;

                assert_int_equal(waitpid(children[i], &status, 0), children[i]);
                assert_int_equal(status, 0);
        }
        assert_ensured(f, PULL_NEVER, NULL);
}

static void test_formats(void **state) {
        static const Packing packings[] = { PACK_NONE, PACK_GZIP_MEMBERS, PACK_ZSTD, PACK_ZSTD_FRAMES };
        _cleanup_image_config_ ImageConfig c = {};
        Fixture *f = *state;

        f->layout.docker = true;
        for (size_t i = 0; i < ELEMENTSOF(packings); i++) {
                _cleanup_strbuf_ StrBuf tar = {};
                char name[] = "file-0";

                name[5] = (char) ('0' + i);
                tar_make(&tar, (const TarEntry[]) { { .name = name, .content = name }, {} });
                layout_add_layer(&f->layout, &tar, packings[i]);
        }
        layout_finish(&f->layout);
        assert_ensured(f, PULL_MISSING, &c);
        {
                _cleanup_free_ char *dump = squash_dump(c.rootfs_path);

                assert_string_equal(dump, "/ d 755 0:0 0 n2\nfile-0 f 644 0:0 0 n1 \"file-0\"\nfile-1 f 644 0:0 0 n1 \"file-1\"\nfile-2 f 644 0:0 0 n1 \"file-2\"\n"
                                          "file-3 f 644 0:0 0 n1 \"file-3\"\n");
        }
}

static void test_no_layers(void **state) {
        _cleanup_image_config_ ImageConfig c = {};
        Fixture *f = *state;

        layout_finish(&f->layout);
        assert_ensured(f, PULL_MISSING, &c);
}

static void test_nested_index(void **state) {
        _cleanup_image_config_ ImageConfig c = {};
        _cleanup_free_ char *index = NULL, *top = NULL;
        Fixture *f = *state;
        char digest[80];

        make_simple(f);
        /* The manifest's size is what the file has; an index around it, and index.json around that. */
        {
                _cleanup_free_ char *path = strf("%s/blobs/sha256/%s", f->layout_path, digest_hex(f->layout.manifest_digest));
                struct stat st;

                assert_int_equal(stat(path, &st), 0);
                index = strf("{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":["
                             "{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:%064d\",\"size\":3,\"platform\":{\"os\":\"linux\",\"architecture\":\"mips\"}},"
                             "{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\",\"size\":%zu}]}",
                                0, f->layout.manifest_digest, (size_t) st.st_size);
        }
        layout_add_blob(&f->layout, index, strlen(index), digest);
        top = strf("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"digest\":\"%s\",\"size\":%zu}]}", digest, strlen(index));
        layout_write_index(&f->layout, top);
        assert_ensured(f, PULL_MISSING, &c);
        assert_string_equal(c.manifest_digest, f->layout.manifest_digest);
}

static void test_wrong_images(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *none = strf("oci:%s/none", f->dir);
        char digest[80];

        assert_error(ensure(f, none, PULL_MISSING, NULL), ENOENT);
        assert_refused(f, ENOENT, "no OCI layout");
        layout_write_index(&f->layout, "{");
        assert_refused(f, EBADMSG, "index.json: malformed JSON");
        layout_write_index(&f->layout, "{\"schemaVersion\":2,\"manifests\":[]}");
        assert_refused(f, ENOENT, "has no image for linux/");
        layout_write_index(&f->layout, "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"x\",\"digest\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",\"size\":3}]}");
        assert_refused(f, ENOENT, "has no image for linux/");
        layout_write_index(&f->layout, "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
                                       "\"digest\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",\"size\":3}]}");
        assert_refused(f, ENOENT, "cannot read the manifest");

        /* A manifest, and a configuration, other than their names say. */
        make_simple(f);
        {
                _cleanup_free_ char *path = strf("%s/blobs/sha256/%s", f->layout_path, digest_hex(f->layout.manifest_digest)), *text = NULL;
                size_t n;

                assert_ok(read_file_at(AT_FDCWD, path, MIB(1), &text, &n));
                text[n - 1] = ' ';
                assert_ok(write_file_atomic_at(AT_FDCWD, path, text, n, 0644, 0));
                assert_refused(f, EBADMSG, "and the digest sha256:");
                assert_ok(write_file_atomic_at(AT_FDCWD, path, text, n - 1, 0644, 0));
                assert_refused(f, EBADMSG, "its index says");
        }

        /* More layers in one document than in the other. */
        strbuf_adds(&f->layout.diff_ids, ",\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"");
        layout_finish(&f->layout);
        assert_refused(f, EBADMSG, "its manifest has 1 layers, its configuration 2");
        strbuf_done(&f->layout.diff_ids);
        strbuf_adds(&f->layout.diff_ids, "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"");
        layout_finish(&f->layout);
        assert_refused(f, EBADMSG, "layer 1 of 1 (sha256:");
        assert_non_null(strstr(f->error, "unpacks to the digest"));

        /* A layer that is missing, or is another one. */
        strbuf_done(&f->layout.layers);
        strbuf_adds(&f->layout.layers, "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",\"size\":3}");
        layout_finish(&f->layout);
        assert_refused(f, EBADMSG, "its blob is missing");
        layout_add_blob(&f->layout, "abc", 3, digest);
        {
                _cleanup_free_ char *from = strf("%s/blobs/sha256/%s", f->layout_path, digest_hex(digest)), *to = strf("%s/blobs/sha256/%064d", f->layout_path, 0);

                assert_int_equal(rename(from, to), 0);
        }
        assert_refused(f, EBADMSG, "the blob's digest is sha256:ba7816bf");
}

static void test_wrong_layers(void **state) {
        Fixture *f = *state;

        layout_add_entries(&f->layout, hello);
        layout_add_entries(&f->layout, (const TarEntry[]) { { .name = "ok" }, { .name = "../../etc/passwd\n" }, {} });
        layout_finish(&f->layout);
        assert_refused(f, EBADMSG, "layer 2 of 2 (sha256:");
        assert_non_null(strstr(f->error, "entry \"../../etc/passwd\\x0a\""));

        f->site.image_entries_max = 2;
        layout_done(&f->layout);
        layout_make(&f->layout, f->layout_path);
        layout_add_entries(&f->layout, hello);
        layout_add_entries(&f->layout, more);
        layout_finish(&f->layout);
        assert_refused(f, EFBIG, "ImageEntriesMax=");
        f->site.image_entries_max = 3;
        f->site.image_size_max = 3000;
        assert_refused(f, EFBIG, "ImageSizeMax=");
        f->site.image_size_max = MIB(1);
        assert_ensured(f, PULL_MISSING, NULL);
}

/* What is refused takes nothing with it that was there before, or that others need. */
static void test_refused_beside_others(void **state) {
        _cleanup_free_ char *good = NULL, *before = NULL, *after = NULL;
        Fixture *f = *state;

        make_simple(f);
        good = strf("%s:latest", f->reference);
        assert_ok(ensure(f, good, PULL_MISSING, NULL));
        layout_add_entries(&f->layout, (const TarEntry[]) { { .name = "../x" }, {} });
        layout_finish(&f->layout);
        assert_refused(f, EBADMSG, "layer 2 of 2");

        before = list_store(f);
        assert_error(ensure(f, good, PULL_ALWAYS, NULL), EBADMSG);
        after = list_store(f);
        assert_string_equal(after, before);
        assert_ok(ensure(f, good, PULL_NEVER, NULL));
        assert_error(image_remove(f->store, f->reference, NULL, NULL, &f->error), ENOENT);
        free(after);
        after = list_store(f);
        assert_string_equal(after, before);
}

static void test_other_platform(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *text = strdup("{\"architecture\":\"mips\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}"), *manifest = NULL, *index = NULL;
        char digest[80];

        for (unsigned i = 0; i < 2; i++) {
                layout_add_blob(&f->layout, text, strlen(text), digest);
                manifest = (free(manifest), strf("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[]}",
                                digest, strlen(text)));
                layout_add_blob(&f->layout, manifest, strlen(manifest), digest);
                index = (free(index), strf("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\",\"size\":%zu}]}",
                                digest, strlen(manifest)));
                layout_write_index(&f->layout, index);
                assert_refused(f, EOPNOTSUPP, i == 0 ? "it is for linux/mips" : "it is for plan9/");
                if (i == 0)
                        rewrite(text, "\"os\":\"linux\"", "\"os\":\"plan9\"");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_missing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_always, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_shared_and_removed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_damaged_file, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_damaged_row, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_at_once, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_formats, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_layers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_nested_index, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_wrong_images, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_wrong_layers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_refused_beside_others, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_other_platform, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
