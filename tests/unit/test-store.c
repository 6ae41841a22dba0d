/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "layout/layout.h"
#include "store/store.h"
#include "test.h"

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define IMAGE_DIGEST "sha256:" DIGEST_A

static int setup(void **state) {
        char *dir = strdup("/tmp/inferno-test-store.XXXXXX");

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

static Store *must_open(void) {
        _cleanup_free_ char *error = NULL;
        Store *s = NULL;

        if (store_open(&s, &error) < 0)
                fail_msg("%s", error);
        return s;
}

static void test_modes(void **state) {
        _cleanup_free_ char *dir = layout_path(LAYOUT_STATE_DIR), *db = layout_path(LAYOUT_DATABASE), *wal = strf("%s-wal", db);
        mode_t old = umask(0);
        struct stat st;

        store_free(must_open());
        umask(old);
        assert_ok(stat(dir, &st));
        assert_int_equal(st.st_mode & 07777, 0711);
        assert_ok(stat(db, &st));
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_ok(stat(wal, &st));
        assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_vms(void **state) {
        _cleanup_(store_freep) Store *s = must_open();
        _cleanup_strv_ char **names = NULL;
        unsigned uid, again;

        assert_error(store_vm_get_uid(s, "web1", &uid), ENOENT);
        assert_non_null(strstr(store_error(s), "web1"));
        assert_ok(store_vm_ensure(s, "web1", 1000, 3, &uid));
        assert_int_equal(uid, 1000);
        assert_ok(store_vm_ensure(s, "web1", 1000, 3, &again));
        assert_int_equal(again, 1000);
        assert_ok(store_vm_ensure(s, "web2", 1000, 3, &uid));
        assert_int_equal(uid, 1001);
        assert_ok(store_vm_ensure(s, "'; DROP TABLE vms; --", 1000, 3, &uid));
        assert_int_equal(uid, 1002);
        assert_error(store_vm_ensure(s, "web3", 1000, 3, &uid), EDQUOT);
        assert_non_null(strstr(store_error(s), "UIDRange="));

        /* A hole is filled, a VM outside of a changed range moves. */
        assert_ok(store_vm_remove(s, "web2"));
        assert_ok(store_vm_remove(s, "web2"));
        assert_ok(store_vm_ensure(s, "web3", 1000, 3, &uid));
        assert_int_equal(uid, 1001);
        assert_ok(store_vm_ensure(s, "web1", 1001, 3, &uid));
        assert_int_equal(uid, 1003);
        assert_ok(store_vm_get_uid(s, "web1", &again));
        assert_int_equal(again, 1003);

        assert_ok(store_vm_list(s, &names));
        assert_int_equal(strv_length(names), 3);
        assert_string_equal(names[1], "web1");
}

static void test_network(void **state) {
        _cleanup_(store_freep) Store *s = must_open();
        _cleanup_strv_ char **active = NULL;
        StoreNetwork *networks;
        unsigned uid, index;
        size_t n_networks;

        assert_error(store_network_ensure(s, "web1", 2, &index), ENOENT);
        assert_ok(store_vm_ensure(s, "web1", 1000, 10, &uid));
        assert_ok(store_vm_ensure(s, "web2", 1000, 10, &uid));
        assert_ok(store_vm_ensure(s, "web3", 1000, 10, &uid));
        assert_error(store_network_get(s, "web1", &index), ENOENT);
        assert_ok(store_network_ensure(s, "web1", 2, &index));
        assert_int_equal(index, 0);
        assert_ok(store_network_ensure(s, "web2", 2, &index));
        assert_int_equal(index, 1);
        assert_error(store_network_ensure(s, "web3", 2, &index), EDQUOT);

        assert_ok(store_network_set_active(s, "web2", true));
        assert_ok(store_network_set_active(s, "absent", true));
        assert_ok(store_network_list(s, &networks, &n_networks));
        assert_int_equal(n_networks, 2);
        assert_string_equal(networks[0].vm, "web1");
        assert_string_equal(networks[1].vm, "web2");
        assert_int_equal(networks[0].index, 0);
        assert_int_equal(networks[1].index, 1);
        assert_true(networks[1].active && !networks[0].active);
        store_networks_free(networks, n_networks);
        assert_ok(store_network_list_active(s, &active));
        assert_int_equal(strv_length(active), 1);
        assert_string_equal(active[0], "web2");

        /* The VM takes its address with it, and the range may shrink. */
        assert_ok(store_vm_remove(s, "web1"));
        assert_error(store_network_get(s, "web1", &index), ENOENT);
        assert_ok(store_network_ensure(s, "web2", 1, &index));
        assert_int_equal(index, 0);
}

static PublishedPort tcp(uint32_t address, uint16_t host_port, uint16_t guest_port) {
        return (PublishedPort) { .address = address, .host_port = host_port, .guest_port = guest_port, .protocol = IPPROTO_TCP };
}

static void assert_ports(Store *s, const char *vm, const char *expected) {
        _cleanup_free_ PublishedPort *ports = NULL;
        _cleanup_free_ char *text = NULL;
        size_t n = 99;

        assert_ok(store_ports_list(s, vm, &ports, &n));
        text = published_ports_to_string(ports, n);
        assert_string_equal(text, expected);
}

static void test_ports(void **state) {
        _cleanup_(store_freep) Store *s = must_open();
        const PublishedPort all[] = { tcp(0, 80, 8080), tcp(0, 443, 8443) }, one = tcp(0x7f000001, 80, 1), other = tcp(0xc0000201, 80, 2),
                            udp = { .host_port = 80, .guest_port = 80, .protocol = IPPROTO_UDP }, changed = tcp(0, 80, 8081),
                            two[] = { tcp(0, 81, 1), tcp(0xc0000201, 443, 1) };
        PublishedPort many[PUBLISHED_PORTS_MAX];
        char *holder = (char *) "", *holder2 = NULL;
        StoreNetwork *networks;
        size_t i = 99, n;
        unsigned v;

        for (n = 1; n <= 3; n++) {
                _cleanup_free_ char *name = strf("web%zu", n);

                assert_ok(store_vm_ensure(s, name, 1000, 10, &v));
                assert_ok(store_network_ensure(s, name, 10, &v));
                assert_ok(store_network_set_active(s, name, true));
        }
        assert_error(store_ports_claim(s, "absent", all, 2, &holder, &i), ENOENT);
        assert_null(holder);
        assert_int_equal(store_ports_claim(s, "web1", NULL, 0, &holder, &i), 0);
        assert_int_equal(store_ports_claim(s, "web1", all, 2, &holder, &i), 0);
        assert_int_equal(store_ports_claim(s, "web1", all, 2, &holder, &i), 0);
        assert_ports(s, "web1", "0.0.0.0:80->8080/tcp, 0.0.0.0:443->8443/tcp");
        assert_int_equal(store_ports_claim(s, "web3", &udp, 1, &holder, &i), 0);

        /* All addresses and one of them, in either order; nothing of a refused claim stays. */
        assert_error(store_ports_claim(s, "web2", &one, 1, &holder, &i), EBUSY);
        assert_string_equal(holder, "web1");
        assert_int_equal(i, 0);
        free(holder);
        assert_error(store_ports_claim(s, "web2", two, 2, &holder, &i), EBUSY);
        assert_string_equal(holder, "web1");
        assert_int_equal(i, 1);
        free(holder);
        assert_ports(s, "web2", "");
        assert_int_equal(store_ports_claim(s, "web1", &one, 1, &holder, &i), STORE_PORTS_OTHERS);
        assert_ports(s, "web1", "0.0.0.0:80->8080/tcp, 0.0.0.0:443->8443/tcp");
        assert_ok(store_ports_release(s, "web1"));
        assert_int_equal(store_ports_claim(s, "web1", &one, 1, &holder, &i), 0);
        assert_int_equal(store_ports_claim(s, "web2", &other, 1, &holder, &i), 0);
        assert_ports(s, "web1", "127.0.0.1:80->1/tcp");
        assert_ports(s, "web2", "192.0.2.1:80->2/tcp");
        assert_error(store_ports_claim(s, "web1", &changed, 1, &holder2, &i), EBUSY);
        assert_string_equal(holder2, "web2");
        free(holder2);
        assert_ports(s, "web1", "127.0.0.1:80->1/tcp");

        /* The same port with another one behind it is another claim. */
        assert_ok(store_network_set_active(s, "web2", false));
        assert_ports(s, "web2", "");
        assert_int_equal(store_ports_claim(s, "web1", &changed, 1, &holder, &i), STORE_PORTS_OTHERS);
        assert_ok(store_ports_release(s, "web1"));
        assert_int_equal(store_ports_claim(s, "web1", &changed, 1, &holder, &i), 0);
        assert_ports(s, "web1", "0.0.0.0:80->8081/tcp");

        for (i = 0; i < PUBLISHED_PORTS_MAX; i++)
                many[i] = tcp(0, (uint16_t) (65535 - i), (uint16_t) (65535 - i));
        assert_int_equal(store_ports_claim(s, "web2", many, PUBLISHED_PORTS_MAX, &holder, &i), 0);
        assert_int_equal(store_ports_claim(s, "web2", many, PUBLISHED_PORTS_MAX, &holder, &i), 0);
        assert_ports(s, "web2", "0.0.0.0:65280-65535->65280-65535/tcp");
        assert_ok(store_network_list(s, &networks, &n));
        assert_int_equal(n, 3);
        assert_int_equal(networks[0].n_ports, 1);
        assert_int_equal(networks[0].ports[0].guest_port, 8081);
        assert_int_equal(networks[1].n_ports, PUBLISHED_PORTS_MAX);
        assert_int_equal(networks[2].n_ports, 1);
        assert_int_equal(networks[2].ports[0].protocol, IPPROTO_UDP);
        store_networks_free(networks, n);

        /* A VM takes its ports with it. */
        assert_ok(store_vm_remove(s, "web1"));
        assert_int_equal(store_ports_claim(s, "web3", NULL, 0, &holder, &i), STORE_PORTS_OTHERS);
        assert_ok(store_ports_release(s, "web3"));
        assert_int_equal(store_ports_claim(s, "web3", all, 2, &holder, &i), 0);
}

static void test_versions(void **state) {
        _cleanup_(store_freep) Store *s = must_open();
        _cleanup_free_ StoreVersion *list = NULL;
        StoreVersion v;
        unsigned uid;
        size_t n;

        assert_error(store_version_add(s, "web1", "01ARZ3NDEKTSV4RRFFQ69G5FAV", DIGEST_A, IMAGE_DIGEST), ENOENT);
        assert_ok(store_vm_ensure(s, "web1", 1000, 10, &uid));
        assert_ok(store_vm_ensure(s, "web2", 1000, 10, &uid));
        assert_error(store_version_find(s, "web1", DIGEST_A, &v), ENOENT);
        assert_ok(store_version_add(s, "web1", "01ARZ3NDEKTSV4RRFFQ69G5FAV", DIGEST_A, IMAGE_DIGEST));
        assert_ok(store_version_add(s, "web1", "01ARZ3NDEKTSV4RRFFQ69G5FAW", DIGEST_A, IMAGE_DIGEST));
        assert_ok(store_version_add(s, "web2", "01ARZ3NDEKTSV4RRFFQ69G5FAX", DIGEST_B, IMAGE_DIGEST));
        assert_error(store_version_add(s, "web2", "01ARZ3NDEKTSV4RRFFQ69G5FAX", DIGEST_A, IMAGE_DIGEST), EEXIST);

        assert_ok(store_version_find(s, "web1", DIGEST_A, &v));
        assert_string_equal(v.image_digest, IMAGE_DIGEST);
        assert_string_equal(v.ulid, "01ARZ3NDEKTSV4RRFFQ69G5FAW");
        assert_string_equal(v.digest, DIGEST_A);
        assert_true(v.created_usec > 0);
        assert_error(store_version_find(s, "web1", DIGEST_B, &v), ENOENT);

        assert_ok(store_version_list(s, "web1", &list, &n));
        assert_int_equal(n, 2);
        assert_string_equal(list[1].ulid, "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        free(TAKE_PTR(list));
        assert_ok(store_version_list(s, NULL, &list, &n));
        assert_int_equal(n, 3);

        assert_ok(store_version_remove(s, "01ARZ3NDEKTSV4RRFFQ69G5FAW"));
        assert_ok(store_version_find(s, "web1", DIGEST_A, &v));
        assert_string_equal(v.ulid, "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        assert_ok(store_vm_remove(s, "web1"));
        assert_error(store_version_find(s, "web1", DIGEST_A, &v), ENOENT);
}

static void test_images(void **state) {
        StoreImage put = {
                .reference = (char *) "oci:/x:y", .manifest_digest = (char *) IMAGE_DIGEST, .config_digest = (char *) "sha256:" DIGEST_B,
                .rootfs = (char *) "x.squashfs", .size = UINT64_C(5) << 40,
        };
        _cleanup_store_image_ StoreImage i = {};
        _cleanup_(store_freep) Store *s = must_open();
        StoreImage *list;
        size_t n;

        assert_error(store_image_get(s, "oci:/x:y", &i), ENOENT);
        assert_ok(store_image_put(s, &put));
        put.rootfs = (char *) "y.squashfs";
        assert_ok(store_image_put(s, &put));
        assert_ok(store_image_get(s, "oci:/x:y", &i));
        assert_string_equal(i.rootfs, "y.squashfs");
        assert_string_equal(i.config_digest, "sha256:" DIGEST_B);
        assert_true(i.size == UINT64_C(5) << 40);
        assert_true(i.created_usec > 0);

        assert_ok(store_image_list(s, &list, &n));
        assert_int_equal(n, 1);
        store_image_done(list);
        free(list);
        assert_ok(store_image_remove(s, "oci:/x:y"));
        assert_ok(store_image_list(s, &list, &n));
        assert_int_equal(n, 0);
        free(list);
}

static void execute(const char *sql) {
        _cleanup_free_ char *path = layout_path(LAYOUT_DATABASE);
        sqlite3 *db;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
}

/* All columns of all tables as text, and the schema's version. */
static char *describe_schema(int *ret_version) {
        _cleanup_free_ char *path = layout_path(LAYOUT_DATABASE);
        _cleanup_strbuf_ StrBuf b = {};
        char *text = NULL;
        sqlite3_stmt *st;
        sqlite3 *db;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT m.type, m.name, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk, x.user_version, a.application_id "
                                                "FROM sqlite_schema m, pragma_user_version x, pragma_application_id a LEFT JOIN pragma_table_info(m.name) c "
                                                "ORDER BY 1, 2, 3", -1, &st, NULL), SQLITE_OK);
        while (sqlite3_step(st) == SQLITE_ROW) {
                for (int i = 0; i < sqlite3_column_count(st); i++)
                        strbuf_addf(&b, "%s ", (const char *) sqlite3_column_text(st, i) ?: "-");
                strbuf_adds(&b, "\n");
                *ret_version = sqlite3_column_int(st, 7);
        }
        sqlite3_finalize(st);
        sqlite3_close(db);
        assert_ok(strbuf_finish(&b, &text, NULL));
        return text;
}

/* A database of each schema that there ever was becomes what a new one is, with what it held. */
static void test_migrations(void **state) {
        _cleanup_free_ char *fresh = NULL, *dir = layout_path(LAYOUT_STATE_DIR);
        int version = 0;

        store_free(must_open());
        fresh = describe_schema(&version);
        assert_true(version > 0);
        for (int i = 1; i <= version; i++) {
                _cleanup_free_ char *dump = strf("%s/tests/golden/store/schema-%d.sql", getenv("INFERNO_SOURCE") ?: ".", i), *sql = NULL, *after = NULL;
                _cleanup_(store_freep) Store *s = NULL;
                _cleanup_store_image_ StoreImage image = {};
                _cleanup_strv_ char **names = NULL;
                StoreVersion v;
                unsigned n;
                int found = 0;

                if (read_file_at(AT_FDCWD, dump, MIB(1), &sql, NULL) < 0)
                        fail_msg("schema %d has no %s: put a dump of a database of that schema there", i, dump);
                assert_ok(remove_tree_at(AT_FDCWD, dir));
                assert_ok(mkdir_parents_at(AT_FDCWD, dir, 0711));
                execute(sql);
                s = must_open();
                after = describe_schema(&found);
                assert_string_equal(after, fresh);

                assert_ok(store_vm_get_uid(s, "web1", &n));
                assert_int_equal(n, 5000);
                assert_ok(store_vm_list(s, &names));
                assert_int_equal(strv_length(names), 2);
                assert_ok(store_network_get(s, "web1", &n));
                assert_int_equal(n, 3);
                names = strv_free(names);
                assert_ok(store_network_list_active(s, &names));
                assert_int_equal(strv_length(names), 1);
                assert_ok(store_version_find(s, "web1", DIGEST_A, &v));
                assert_string_equal(v.ulid, "01ARZ3NDEKTSV4RRFFQ69G5FAV");
                assert_ok(store_image_get(s, "docker://docker.io/library/nginx:latest", &image));
                assert_string_equal(image.rootfs, DIGEST_A ".squashfs");
                assert_int_equal(image.size, 4096);

                assert_ports(s, "web1", i >= 3 ? "0.0.0.0:8080->80/tcp" : "");

                /* The rules hold, too: a number is free again only when its VM is gone. */
                assert_ok(store_network_ensure(s, "db", 10, &n));
                assert_int_equal(n, 0);
                assert_ok(store_vm_remove(s, "web1"));
                assert_error(store_version_find(s, "web1", DIGEST_A, &v), ENOENT);
                assert_ok(store_vm_ensure(s, "other", 5000, 10, &n));
                assert_int_equal(n, 5000);
        }
}

static void assert_refused(int error, const char *part) {
        _cleanup_free_ char *text = NULL, *path = layout_path(LAYOUT_DATABASE);
        Store *s = NULL;

        assert_error(store_open(&s, &text), error);
        assert_null(s);
        assert_non_null(strstr(text, path));
        assert_non_null(strstr(text, part));
}

static void test_newer(void **state) {
        store_free(must_open());
        execute("PRAGMA user_version=1000");
        assert_refused(EPROTO, "newer Inferno");
}

static void test_foreign(void **state) {
        _cleanup_free_ char *dir = layout_path(LAYOUT_STATE_DIR);

        assert_ok(mkdir_parents_at(AT_FDCWD, dir, 0755));
        execute("CREATE TABLE vms (x)");
        assert_refused(EUCLEAN, "another program");
}

static void test_damaged(void **state) {
        _cleanup_free_ char *dir = layout_path(LAYOUT_STATE_DIR), *path = layout_path(LAYOUT_DATABASE), *garbage = NULL;

        garbage = malloc(16384);
        memset(garbage, 'x', 16384);
        assert_ok(mkdir_parents_at(AT_FDCWD, dir, 0755));
        assert_ok(write_file_atomic_at(AT_FDCWD, path, garbage, 16384, 0600, 0));
        assert_refused(EUCLEAN, "damaged");
        assert_ok(unlink(path));
        assert_ok(mkdir(path, 0700));
        assert_refused(EUCLEAN, "no regular file");
        assert_ok(rmdir(path));

        /* A header that promises tables which are not there. */
        store_free(must_open());
        execute("PRAGMA wal_checkpoint(TRUNCATE); DROP TABLE network_state");
        {
                _cleanup_(store_freep) Store *s = must_open();
                unsigned index;

                assert_error(store_network_get(s, "web1", &index), EUCLEAN);
                assert_non_null(strstr(store_error(s), "damaged"));
        }
        /* Pages in the middle overwritten. */
        execute("PRAGMA wal_checkpoint(TRUNCATE)");
        {
                int fd = open(path, O_WRONLY | O_CLOEXEC);
                _cleanup_(store_freep) Store *s = NULL;
                unsigned uid;

                assert_int_equal(pwrite(fd, garbage, 12288, 4096), 12288);
                close(fd);
                s = must_open();
                assert_error(store_vm_ensure(s, "web1", 1000, 10, &uid), EUCLEAN);
        }
}

enum { WRITERS = 6, VMS_EACH = 12 };

/* From nothing: all of them find no database, and each VM gets a uid and a subnet of its own. */
static void test_concurrent(void **state) {
        bool uids[WRITERS * VMS_EACH] = {}, subnets[WRITERS * VMS_EACH] = {};
        _cleanup_(store_freep) Store *s = NULL;
        _cleanup_strv_ char **names = NULL;
        pid_t pids[WRITERS];

        for (int i = 0; i < WRITERS; i++) {
                pids[i] = fork();
                assert_ok(pids[i]);
                if (pids[i] == 0) {
                        _cleanup_free_ char *error = NULL;
                        Store *own = NULL;
                        int r = store_open(&own, &error);

                        if (r < 0)
                                fprintf(stderr, "%s\n", error);
                        for (int k = 0; r >= 0 && k < VMS_EACH; k++) {
                                _cleanup_free_ char *name = strf("vm-%d-%d", i, k);
                                unsigned v;

                                r = store_vm_ensure(own, name, 5000, WRITERS * VMS_EACH, &v);
                                if (r >= 0)
                                        r = store_network_ensure(own, name, WRITERS * VMS_EACH, &v);
                                if (r < 0)
                                        fprintf(stderr, "%s\n", store_error(own));
                        }
                        store_free(own);
                        _exit(r < 0);
                }
        }
        for (int i = 0; i < WRITERS; i++) {
                int status;

                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                assert_int_equal(status, 0);
        }
        s = must_open();
        assert_ok(store_vm_list(s, &names));
        assert_int_equal(strv_length(names), WRITERS * VMS_EACH);
        STRV_FOREACH(name, names) {
                unsigned uid, index;

                assert_ok(store_vm_get_uid(s, *name, &uid));
                assert_false(uids[uid - 5000]);
                uids[uid - 5000] = true;
                assert_ok(store_network_get(s, *name, &index));
                assert_false(subnets[index]);
                subnets[index] = true;
        }
}

/* Of short-lived writers the log does not grow without end. */
static void test_log(void **state) {
        _cleanup_free_ char *db = layout_path(LAYOUT_DATABASE), *wal = strf("%s-wal", db);
        bool folded = false;
        struct stat st;
        unsigned uid;

        for (int i = 0; i < 200; i++) {
                _cleanup_free_ char *name = strf("vm-%d", i);
                Store *s = must_open();

                assert_ok(store_vm_ensure(s, name, 5000, 1000, &uid));
                store_free(s);
                assert_ok(stat(wal, &st));
                assert_true(st.st_size < 100 * 4120);
                folded |= i > 0 && st.st_size == 0;
        }
        assert_true(folded);
        {
                _cleanup_(store_freep) Store *s = must_open();

                assert_ok(store_vm_get_uid(s, "vm-0", &uid));
                assert_ok(store_vm_get_uid(s, "vm-199", &uid));
        }
}

static void assert_intact(void) {
        _cleanup_free_ char *path = layout_path(LAYOUT_DATABASE);
        sqlite3_stmt *st;
        sqlite3 *db;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        assert_string_equal(sqlite3_column_text(st, 0), "ok");
        sqlite3_finalize(st);
        sqlite3_close(db);
}

/* Killed anywhere, from the creation of the file on, the database opens again and what was returned is there. */
static void test_killed(void **state) {
        _cleanup_(store_freep) Store *s = NULL;
        uint64_t told = 0;
        unsigned uid;

        for (int i = 0; i < 40; i++) {
                int fds[2], status;
                char byte;
                pid_t pid;

                assert_ok(pipe2(fds, O_CLOEXEC));
                pid = fork();
                assert_ok(pid);
                if (pid == 0) {
                        Store *own = NULL;

                        if (store_open(&own, NULL) < 0)
                                _exit(1);
                        for (uint64_t k = told;; k++) {
                                _cleanup_free_ char *name = strf("vm-%llu", (unsigned long long) k);

                                if (store_vm_ensure(own, name, 5000, 1000000, &uid) < 0 || write(fds[1], "x", 1) != 1)
                                        _exit(2);
                        }
                }
                close(fds[1]);
                usleep((useconds_t) (i * 700));
                assert_ok(kill(pid, SIGKILL));
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));
                while (read(fds[0], &byte, 1) == 1)
                        told++;
                close(fds[0]);
        }
        s = must_open();
        for (uint64_t k = 0; k < told; k++) {
                _cleanup_free_ char *name = strf("vm-%llu", (unsigned long long) k);

                assert_ok(store_vm_get_uid(s, name, &uid));
        }
        s = store_free(s);
        assert_intact();
}

/* A writer waits for another one instead of failing. */
static void test_waits(void **state) {
        _cleanup_free_ char *path = layout_path(LAYOUT_DATABASE);
        _cleanup_(store_freep) Store *s = NULL;
        int fds[2], status;
        unsigned uid;
        char byte;
        pid_t pid;

        store_free(must_open());
        assert_ok(pipe2(fds, O_CLOEXEC));
        pid = fork();
        assert_ok(pid);
        if (pid == 0) {
                sqlite3 *db;

                if (sqlite3_open(path, &db) != SQLITE_OK || sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL) != SQLITE_OK ||
                    write(fds[1], "x", 1) != 1)
                        _exit(1);
                usleep(200 * 1000);
                _exit(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK);
        }
        assert_int_equal(read(fds[0], &byte, 1), 1);
        s = must_open();
        assert_ok(store_vm_ensure(s, "web1", 1000, 1, &uid));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        close(fds[0]);
        close(fds[1]);
}

static void test_volumes(void **state) {
        _cleanup_(store_freep) Store *s = must_open();
        _cleanup_store_volume_ StoreVolume v = {};
        _cleanup_strv_ char **names = NULL;
        StoreAttachment holder = {}, *a;
        unsigned uid;
        uint64_t size;
        size_t n;

        assert_ok(store_vm_ensure(s, "web1", 5000, 10, &uid));
        assert_ok(store_vm_ensure(s, "db", 5000, 10, &uid));
        assert_ok(store_volume_add(s, "data", "file", 4096, "mine"));
        assert_error(store_volume_add(s, "data", "file", 4096, ""), EEXIST);
        assert_error(store_volume_add(s, "other", "tape", 4096, ""), EEXIST);
        assert_error(store_volume_attach(s, "data", "web1", false, &holder), ENOENT);
        assert_ok(store_volume_set_ready(s, "data"));
        assert_ok(store_volume_set_luks(s, "data", "uuid", "aes", 64));
        assert_ok(store_volume_set_size(s, "data", 8192));
        assert_ok(store_volume_get(s, "data", &v));
        assert_string_equal(v.label, "mine");
        assert_string_equal(v.luks_uuid, "uuid");
        assert_int_equal(v.luks_key_bytes, 64);
        assert_int_equal(v.size, 8192);

        assert_ok(store_volume_attach(s, "data", "web1", true, &holder));
        assert_ok(store_volume_attach(s, "data", "db", true, &holder));
        assert_error(store_volume_attach(s, "data", "db", false, &holder), EBUSY);
        assert_string_equal(holder.vm, "web1");
        assert_true(holder.read_only);
        free(holder.vm);
        assert_error(store_volume_withdraw(s, "data"), EBUSY);
        assert_ok(store_vm_remove(s, "web1"));
        assert_ok(store_volume_attachments(s, "data", NULL, &a, &n));
        assert_int_equal(n, 1);
        assert_string_equal(a[0].vm, "db");
        store_attachments_free(a, n);
        assert_ok(store_volume_detach(s, "data", "db"));
        assert_error(store_volume_attach(s, "data", "nobody", false, &holder), ENOENT);

        assert_ok(store_snapshot_put(s, "data", "one", 4096));
        assert_error(store_snapshot_put(s, "data", "one", 4096), EEXIST);
        assert_ok(store_snapshot_get_size(s, "data", "one", &size));
        assert_int_equal(size, 4096);
        assert_error(store_snapshot_get_size(s, "data", "two", &size), ENOENT);
        assert_ok(store_volume_withdraw(s, "data"));
        assert_error(store_volume_attach(s, "data", "db", false, &holder), ENOENT);
        assert_ok(store_volume_remove(s, "data"));
        assert_ok(store_volume_list(s, &names));
        assert_int_equal(strv_length(names), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_modes), TEST(test_vms), TEST(test_network), TEST(test_ports), TEST(test_versions), TEST(test_images), TEST(test_volumes),
                TEST(test_migrations), TEST(test_newer), TEST(test_foreign), TEST(test_damaged), TEST(test_concurrent), TEST(test_log),
                TEST(test_killed), TEST(test_waits),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
