/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/ulid.h"
#include "layout/layout.h"
#include "test.h"
#include "version/version.h"
#include "volume/volume.h"

#define FILE_OF_DATA LAYOUT_VOLUMES_DIR "/data.img"
#define KEY_OF_DATA LAYOUT_CREDENTIALS_DIR "/inferno.volume.data"

static char root[] = "/tmp/inferno-test-volume.XXXXXX";
static Store *store;
static char *error;

static int setup(void **state) {
        unsigned uid;

        strcpy(root + strlen(root) - 6, "XXXXXX");
        if (!mkdtemp(root) || layout_set_root(root) < 0 || store_open(&store, NULL) < 0)
                return -1;
        return store_vm_ensure(store, "a", 5000, 10, &uid) < 0 || store_vm_ensure(store, "b", 5000, 10, &uid) < 0 ? -1 : 0;
}

static int teardown(void **state) {
        store = store_free(store);
        layout_set_root(NULL);
        free(TAKE_PTR(error));
        return remove_tree_at(AT_FDCWD, root);
}

static char *path_of(const char *path) {
        char *p = layout_path(path);

        assert_non_null(p);
        return p;
}

static void create(const char *name) {
        if (volume_create(store, &(VolumeSpec) { .name = name, .size = MIB(16) }, &error) < 0)
                fail_msg("%s", error);
}

#define assert_refused(call, errno_, text)                                                                      \
        do {                                                                                                    \
                assert_error(call, errno_);                                                                     \
                assert_non_null(error);                                                                         \
                if (!strstr(error, text))                                                                       \
                        fail_msg("no \"%s\" in: %s", text, error);                                              \
        } while (false)

static Definition definition(const char *vm, VolumeUse *use) {
        return (Definition) { .name = (char *) vm, .volumes = use, .n_volumes = 1 };
}

static void put(const char *path, const char *text) {
        _cleanup_free_ char *p = path_of(path);

        assert_ok(mkdir_parent_of_at(AT_FDCWD, p, 0755));
        assert_ok(write_file_atomic_at(AT_FDCWD, p, text, strlen(text), 0644, 0));
}

static void test_create(void **state) {
        _cleanup_free_ char *path = path_of(FILE_OF_DATA);
        _cleanup_store_volume_ StoreVolume v = {};
        _cleanup_close_ int fd = -EBADF;
        unsigned char magic[2];
        struct stat st;

        create("data");
        assert_ok(stat(path, &st));
        assert_int_equal(st.st_size, MIB(16));
        assert_true((uint64_t) st.st_blocks * 512 < MIB(8));
        assert_int_equal(st.st_mode & 07777, 0600);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(pread(fd, magic, 2, 1024 + 56), 2);    /* ext4's */
        assert_int_equal(magic[0] | magic[1] << 8, 0xef53);
        assert_ok(store_volume_get(store, "data", &v));
        assert_true(v.ready);
        assert_int_equal(v.size, MIB(16));

        assert_refused(volume_create(store, &(VolumeSpec) { .name = "data", .size = MIB(16) }, &error), EEXIST, "exists already");
        assert_refused(volume_create(store, &(VolumeSpec) { .name = "small", .size = MIB(8) }, &error), EINVAL, "16M");
        assert_refused(volume_create(store, &(VolumeSpec) { .name = "odd", .size = MIB(16) + 1 }, &error), EINVAL, "16M");
        assert_refused(volume_create(store, &(VolumeSpec) { .name = "far", .size = MIB(16), .backend = "tape" }, &error), EINVAL, "there are file and lvm-thin");
        assert_refused(volume_create(store, &(VolumeSpec) { .name = "lvm", .size = MIB(16), .backend = "lvm-thin" }, &error), EOPNOTSUPP, "LVM is this machine's");
        assert_error(store_volume_get(store, "small", &v), ENOENT);
        assert_error(store_volume_get(store, "lvm", &v), ENOENT);
        assert_ok(volume_remove(store, "data", &error));
        assert_true(access(path, F_OK) < 0);
        assert_refused(volume_remove(store, "data", &error), ENOENT, "no volume 'data'");
}

/* A file that belongs to no volume may be somebody's data; one that a killed creation left may not. */
static void test_interrupted(void **state) {
        _cleanup_free_ char *path = path_of(FILE_OF_DATA), *snapshot = path_of(LAYOUT_VOLUMES_DIR "/data@begun.img"),
                            *begun = path_of(LAYOUT_VOLUMES_DIR "/.new-data"), *other = path_of(LAYOUT_VOLUMES_DIR "/data2@begun.img"), *text = NULL;
        _cleanup_store_volume_ StoreVolume v = {};
        VolumeUse use = { .name = (char *) "data", .mount_point = (char *) "/data" };
        Definition d = definition("a", &use);

        put(FILE_OF_DATA, "precious");
        assert_refused(volume_create(store, &(VolumeSpec) { .name = "data", .size = MIB(16) }, &error), EEXIST, "belongs to no volume");
        assert_ok(read_file_at(AT_FDCWD, path, 100, &text, NULL));
        assert_string_equal(text, "precious");
        assert_error(store_volume_get(store, "data", &v), ENOENT);

        assert_ok(store_volume_add(store, "data", "file", MIB(32), ""));
        assert_refused(volume_attach_all(store, &d, 5000, &error), ENOENT, "inferno-volume create data");
        assert_refused(volume_resize(store, "data", MIB(64), &error), ENOENT, "interrupted");
        create("data");
        assert_ok(store_volume_get(store, "data", &v));
        assert_int_equal(v.size, MIB(16));

        put(LAYOUT_VOLUMES_DIR "/data@begun.img", "a copy");
        put(LAYOUT_VOLUMES_DIR "/.new-data", "a copy");
        put(LAYOUT_VOLUMES_DIR "/data2@begun.img", "of another volume");
        assert_ok(volume_remove(store, "data", &error));
        assert_true(access(snapshot, F_OK) < 0);
        assert_true(access(begun, F_OK) < 0);
        assert_ok(access(other, F_OK));
}

/* The same goes for a key that belongs to no volume. */
static void test_interrupted_encrypted(void **state) {
        _cleanup_free_ char *path = path_of(KEY_OF_DATA), *aside = path_of(LAYOUT_CREDENTIALS_DIR "/.aside-inferno.volume.data"), *text = NULL;
        const VolumeSpec spec = { .name = "data", .size = MIB(32), .encrypted = true };
        _cleanup_store_volume_ StoreVolume v = {};

        put(KEY_OF_DATA, "precious");
        assert_refused(volume_create(store, &spec, &error), EEXIST, "the key of no volume");
        put(FILE_OF_DATA, "precious");
        assert_refused(volume_create(store, &spec, &error), EEXIST, "belongs to no volume");
        assert_ok(read_file_at(AT_FDCWD, path, 100, &text, NULL));
        assert_string_equal(text, "precious");
        assert_error(store_volume_get(store, "data", &v), ENOENT);

        assert_ok(store_volume_add(store, "data", "file", MIB(32), ""));
        assert_ok(store_volume_set_luks(store, "data", "uuid", "cipher", 64));
        put(LAYOUT_CREDENTIALS_DIR "/.aside-inferno.volume.data", "another");
        assert_ok(volume_remove(store, "data", &error));
        assert_true(access(path, F_OK) < 0);
        assert_true(access(aside, F_OK) < 0);
}

static void test_resize(void **state) {
        _cleanup_free_ char *path = path_of(FILE_OF_DATA);
        _cleanup_store_volume_ StoreVolume v = {};
        struct stat st;

        create("data");
        assert_refused(volume_resize(store, "data", MIB(15), &error), EINVAL, "cannot shrink");
        assert_refused(volume_resize(store, "data", MIB(20) + 1, &error), EINVAL, "whole MiB");
        assert_ok(volume_resize(store, "data", MIB(20), &error));
        assert_ok(stat(path, &st));
        assert_int_equal(st.st_size, MIB(20));
        assert_ok(store_volume_get(store, "data", &v));
        assert_int_equal(v.size, MIB(20));
        assert_refused(volume_resize(store, "nothing", MIB(20), &error), ENOENT, "no volume 'nothing'");
}

static void write_at(const char *path, off_t at, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
}

static void test_snapshots(void **state) {
        _cleanup_free_ char *path = path_of(FILE_OF_DATA), *copy = path_of(LAYOUT_VOLUMES_DIR "/data@monday.img");
        _cleanup_store_volume_ StoreVolume v = {};
        _cleanup_close_ int fd = -EBADF;
        char text[4] = "";

        create("data");
        write_at(path, MIB(8), "one");
        assert_ok(volume_snapshot(store, "data", "monday", &error));
        assert_refused(volume_snapshot(store, "data", "monday", &error), EEXIST, "already");
        write_at(path, MIB(8), "two");
        assert_ok(volume_resize(store, "data", MIB(20), &error));
        assert_refused(volume_restore(store, "data", "tuesday", &error), ENOENT, "no snapshot 'tuesday'");
        assert_ok(volume_restore(store, "data", "monday", &error));
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(pread(fd, text, 3, MIB(8)), 3);
        assert_string_equal(text, "one");
        assert_ok(store_volume_get(store, "data", &v));
        assert_int_equal(v.size, MIB(16));

        assert_refused(volume_remove(store, "data", &error), ENOTEMPTY, "data@monday");
        assert_ok(truncate(copy, MIB(1)));
        assert_refused(volume_restore(store, "data", "monday", &error), EUCLEAN, "was cut");
        assert_ok(volume_remove_snapshot(store, "data", "monday", &error));
        assert_true(access(copy, F_OK) < 0);
        assert_ok(volume_remove(store, "data", &error));
}

static void test_attach(void **state) {
        VolumeUse use = { .name = (char *) "data", .mount_point = (char *) "/data", .size = MIB(16) }, reads = use;
        Definition a = definition("a", &use), b = definition("b", &use), ra = definition("a", &reads), rb = definition("b", &reads);
        _cleanup_free_ char *mark = path_of("/run/systemd/units/invocation:inferno@a.service");

        reads.size = 0;
        reads.read_only = true;
        /* As systemd has it for a unit that is active: a link that leads nowhere. */
        assert_ok(mkdir_parent_of_at(AT_FDCWD, mark, 0755));
        assert_ok(symlink("0123", mark));

        assert_ok(volume_attach_all(store, &a, 5000, &error));
        assert_ok(volume_attach_all(store, &a, 5000, &error));        /* it has it */
        assert_refused(volume_attach_all(store, &b, 5000, &error), EBUSY, "attached to VM 'a', which writes");
        assert_refused(volume_attach_all(store, &rb, 5000, &error), EBUSY, "attached to VM 'a', which writes");
        assert_refused(volume_remove(store, "data", &error), EBUSY, "attached");
        assert_refused(volume_resize(store, "data", MIB(32), &error), EBUSY, "attached to VM 'a'");
        assert_refused(volume_snapshot(store, "data", "s", &error), EBUSY, "attached to VM 'a'");
        assert_refused(volume_restore(store, "data", "s", &error), EBUSY, "attached to VM 'a'");

        /* Many may read it, and then none write. */
        assert_ok(volume_attach_all(store, &ra, 5000, &error));
        assert_ok(volume_attach_all(store, &rb, 5000, &error));
        assert_refused(volume_attach_all(store, &b, 5000, &error), EBUSY, "attached to VM 'a', which reads");
        assert_ok(volume_detach_all(store, "b", &error));
        assert_ok(volume_attach_all(store, &a, 5000, &error));

        /* Its unit has gone, nobody has cleaned up. */
        assert_ok(unlink(mark));
        assert_ok(volume_attach_all(store, &b, 5000, &error));
        assert_ok(volume_detach_all(store, "b", &error));
        assert_ok(volume_detach_all(store, "b", &error));
        assert_ok(volume_remove(store, "data", &error));
}

static void test_files(void **state) {
        VolumeUse use = { .name = (char *) "data", .mount_point = (char *) "/data", .size = MIB(16) };
        Definition a = definition("a", &use);
        _cleanup_free_ char *path = path_of(FILE_OF_DATA);

        assert_ok(volume_attach_all(store, &a, 5000, &error));
        assert_ok(truncate(path, MIB(16) - 1));
        assert_refused(volume_attach_all(store, &a, 5000, &error), EUCLEAN, "was cut");
        assert_ok(truncate(path, MIB(18)));
        assert_ok(volume_attach_all(store, &a, 5000, &error));
        assert_ok(unlink(path));
        assert_refused(volume_attach_all(store, &a, 5000, &error), ENOENT, "is missing");
        assert_ok(mkdir(path, 0755));
        assert_refused(volume_attach_all(store, &a, 5000, &error), EUCLEAN, "no regular file");
        assert_ok(rmdir(path));
        assert_ok(symlink("/etc/passwd", path));
        assert_refused(volume_attach_all(store, &a, 5000, &error), ELOOP, "Cannot open");
}

static void test_link(void **state) {
        VolumeUse use = { .name = (char *) "data", .mount_point = (char *) "/data", .size = MIB(16) };
        Definition a = definition("a", &use), b = definition("b", &use);
        _cleanup_free_ char *path = path_of(FILE_OF_DATA), *jail = path_of(LAYOUT_VMS_DIR "/jail"), *in_jail = strjoin(jail, "/volumes/data");
        _cleanup_close_ int root_fd = -EBADF;
        struct stat st, host;

        assert_ok(mkdir_parents_at(AT_FDCWD, jail, 0755));
        root_fd = open(jail, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(volume_attach_all(store, &a, 5000, &error));
        assert_refused(volume_link_all(store, &b, 5001, root_fd, &error), ENOENT, "inferno-volume attach b");
        assert_ok(remove_tree_at(root_fd, JAIL_VOLUMES));
        assert_ok(volume_link_all(store, &a, 5000, root_fd, &error));
        assert_ok(stat(in_jail, &st));
        assert_ok(stat(path, &host));
        assert_int_equal(st.st_ino, host.st_ino);
        assert_int_equal(st.st_uid, 5000);
        assert_int_equal(st.st_mode & 07777, 0600);

        assert_ok(volume_detach_all(store, "a", &error));
        assert_ok(stat(path, &host));
        assert_int_equal(host.st_uid, 0);

        use.size = 0;
        use.read_only = true;
        assert_ok(remove_tree_at(root_fd, JAIL_VOLUMES));
        assert_ok(volume_attach_all(store, &b, 5000, &error));
        assert_ok(volume_link_all(store, &b, 5001, root_fd, &error));
        assert_ok(stat(in_jail, &st));
        assert_int_equal(st.st_uid, 0);
        assert_int_equal(st.st_mode & 07777, 0444);
}

static void test_encrypted(void **state) {
        _cleanup_free_ char *path = path_of(FILE_OF_DATA), *one = path_of("/one"), *two = path_of("/two"), *header = path_of("/header");
        VolumeUse use = { .name = (char *) "data", .mount_point = (char *) "/data" };
        const VolumeSpec spec = { .name = "data", .size = MIB(32), .encrypted = true, .key_file = one };
        _cleanup_store_volume_ StoreVolume v = {};
        Definition a = definition("a", &use);
        struct stat st;

        put("/two", "another");
        assert_refused(volume_create(store, &spec, &error), ENOENT, "Cannot read the key");
        put("/one", "");
        assert_refused(volume_create(store, &spec, &error), EBADMSG, "1 to 512 bytes");
        put("/one", "the first");
        assert_refused(volume_create(store, &(VolumeSpec) { .name = "data", .size = MIB(31), .encrypted = true, .key_file = one }, &error), EINVAL, "32M");
        assert_ok(volume_create(store, &spec, &error));
        assert_ok(store_volume_get(store, "data", &v));
        assert_int_equal(strlen(v.luks_uuid), 36);
        assert_string_equal(v.luks_cipher, "aes-xts-plain64");
        assert_int_equal(v.luks_key_bytes, 64);

        assert_refused(volume_attach_all(store, &a, 5000, &error), EINVAL, "is encrypted, but Volume= of VM 'a' has it without");
        use.encrypted = true;
        assert_refused(volume_attach_all(store, &a, 5000, &error), ENOENT, "no key for the encrypted volume 'data' of VM 'a'");
        assert_ok(volume_detach_all(store, "a", &error));

        /* The old key opens it until it is replaced, and restoring does not bring it back. */
        assert_ok(volume_snapshot(store, "data", "s", &error));
        assert_refused(volume_change_key(store, "data", two, one, false, &error), EKEYREJECTED, "does not open");
        assert_ok(volume_change_key(store, "data", one, two, true, &error));
        assert_refused(volume_change_key(store, "data", one, two, true, &error), EKEYREJECTED, "does not open");
        assert_ok(volume_restore(store, "data", "s", &error));
        assert_refused(volume_change_key(store, "data", one, two, true, &error), EKEYREJECTED, "does not open");
        assert_ok(volume_change_key(store, "data", two, one, false, &error));
        assert_ok(volume_change_key(store, "data", one, two, false, &error));
        /* Both open it now, each is the other's successor, and none its own. */
        assert_refused(volume_change_key(store, "data", two, two, true, &error), EKEYREJECTED, "is the present one");
        assert_ok(volume_change_key(store, "data", one, two, true, &error));
        assert_refused(volume_change_key(store, "data", one, two, true, &error), EKEYREJECTED, "does not open");

        /* All that restoring wants of what is there is the header. */
        assert_int_equal(truncate(path, MIB(20)), 0);
        assert_refused(volume_snapshot(store, "data", "t", &error), EUCLEAN, "restore a snapshot");
        assert_ok(volume_restore(store, "data", "s", &error));
        assert_ok(volume_change_key(store, "data", two, one, false, &error));

        assert_ok(volume_backup_header(store, "data", header, &error));
        assert_ok(stat(header, &st));
        assert_int_equal(st.st_size, MIB(16));
        assert_true(volume_backup_header(store, "data", header, &error) < 0);
        assert_int_equal(truncate(path, 0), 0);
        assert_int_equal(truncate(path, MIB(32)), 0);
        assert_refused(volume_change_key(store, "data", one, two, false, &error), EUCLEAN, "no LUKS2 header");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_create, setup, teardown),
                cmocka_unit_test_setup_teardown(test_interrupted, setup, teardown),
                cmocka_unit_test_setup_teardown(test_interrupted_encrypted, setup, teardown),
                cmocka_unit_test_setup_teardown(test_resize, setup, teardown),
                cmocka_unit_test_setup_teardown(test_snapshots, setup, teardown),
                cmocka_unit_test_setup_teardown(test_attach, setup, teardown),
                cmocka_unit_test_setup_teardown(test_files, setup, teardown),
                cmocka_unit_test_setup_teardown(test_link, setup, teardown),
                cmocka_unit_test_setup_teardown(test_encrypted, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
