/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "layout/layout.h"
#include "store/store.h"

enum {
        BUSY_TIMEOUT_MSEC = 10 * 1000,

        /* The helpers live for milliseconds, so the log is not folded into the database whenever the last of them closes it
         * (three more fsyncs), but once it has this many pages: whoever opens it first reads about that much. SQLite's own way, after a
         * commit, would not do: that the log is folded in and can begin anew is known only as long as anybody has the database open. */
        CHECKPOINT_PAGES = 64,

        APPLICATION_ID = 0x496e6672,    /* "Infr" */
};

struct Store {
        sqlite3 *db;
        char *path;
        char *error;
        int log_pages;                  /* after our last commit */
};

/* What turns schema i into schema i + 1. An entry that was released never changes: add one. */
static const char *const migrations[] = {
        "CREATE TABLE vms ("
        "  name TEXT NOT NULL PRIMARY KEY,"
        "  uid INTEGER NOT NULL UNIQUE CHECK (uid > 0),"
        "  created_usec INTEGER NOT NULL"
        ") STRICT;"
        "CREATE TABLE versions ("
        "  ulid TEXT NOT NULL PRIMARY KEY CHECK (length(ulid) = 26),"
        "  vm TEXT NOT NULL REFERENCES vms (name) ON DELETE CASCADE,"
        "  digest TEXT NOT NULL CHECK (length(digest) = 64),"
        "  image_digest TEXT NOT NULL,"
        "  created_usec INTEGER NOT NULL"
        ") STRICT;"
        "CREATE INDEX versions_by_vm ON versions (vm, ulid);"
        "CREATE TABLE network_state ("
        "  vm TEXT NOT NULL PRIMARY KEY REFERENCES vms (name) ON DELETE CASCADE,"
        "  subnet INTEGER NOT NULL UNIQUE CHECK (subnet >= 0),"
        "  active INTEGER NOT NULL DEFAULT 0 CHECK (active IN (0, 1))"
        ") STRICT;"
        "CREATE TABLE images ("
        "  reference TEXT NOT NULL PRIMARY KEY,"
        "  manifest_digest TEXT NOT NULL,"
        "  config_digest TEXT NOT NULL,"
        "  rootfs TEXT NOT NULL,"
        "  size INTEGER NOT NULL,"
        "  created_usec INTEGER NOT NULL"
        ") STRICT;",

        "CREATE TABLE volumes ("
        "  name TEXT NOT NULL PRIMARY KEY,"
        "  backend TEXT NOT NULL CHECK (backend IN ('file', 'lvm-thin')),"
        "  size INTEGER NOT NULL CHECK (size > 0),"
        "  ready INTEGER NOT NULL CHECK (ready IN (0, 1)),"
        "  luks_uuid TEXT,"
        "  luks_cipher TEXT,"
        "  luks_key_bytes INTEGER,"
        "  label TEXT NOT NULL,"
        "  created_usec INTEGER NOT NULL"
        ") STRICT;"
        "CREATE TABLE volume_attachments ("
        "  volume TEXT NOT NULL REFERENCES volumes (name),"
        "  vm TEXT NOT NULL REFERENCES vms (name) ON DELETE CASCADE,"
        "  read_only INTEGER NOT NULL CHECK (read_only IN (0, 1)),"
        "  PRIMARY KEY (volume, vm)"
        ") STRICT;"
        "CREATE TABLE volume_snapshots ("
        "  volume TEXT NOT NULL REFERENCES volumes (name),"
        "  name TEXT NOT NULL,"
        "  size INTEGER NOT NULL CHECK (size > 0),"
        "  created_usec INTEGER NOT NULL,"
        "  PRIMARY KEY (volume, name)"
        ") STRICT;",

        /* address 0: all of the host's, so that the key alone does not keep two VMs apart. */
        "CREATE TABLE published_ports ("
        "  vm TEXT NOT NULL REFERENCES vms (name) ON DELETE CASCADE,"
        "  address INTEGER NOT NULL CHECK (address BETWEEN 0 AND 4294967295),"
        "  protocol INTEGER NOT NULL CHECK (protocol IN (6, 17)),"
        "  host_port INTEGER NOT NULL CHECK (host_port BETWEEN 1 AND 65535),"
        "  guest_port INTEGER NOT NULL CHECK (guest_port BETWEEN 1 AND 65535),"
        "  PRIMARY KEY (host_port, protocol, address)"
        ") STRICT;"
        "CREATE INDEX published_ports_by_vm ON published_ports (vm);",
};

enum { SCHEMA_VERSION = ELEMENTSOF(migrations) };

static void finalizep(sqlite3_stmt **p) {
        sqlite3_finalize(*p);
}
#define _cleanup_stmt_ _cleanup_(finalizep)

static uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

const char *store_error(Store *s) {
        return s->error ?: "Out of memory.";
}

static int fail_oom(Store *s) {
        free(TAKE_PTR(s->error));
        return -ENOMEM;
}

static int fail_damaged(Store *s, const char *why) {
        return sentence(&s->error, -EUCLEAN,
                        "The database '%s' is damaged or not Inferno's (%s): stop all VMs and move it away together with its "
                        "-wal and -shm; a new one is made at the next start, and the VMs get new addresses and user IDs.",
                        s->path, why);
}

/* SQLite falls back to reading alone without a word about what hindered it: a file that may not be written, or a lack that may be over now. */
static int fail_readonly(Store *s) {
        static const char *const suffixes[] = { "", "-wal", "-shm" };

        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                _cleanup_free_ char *path = strf("%s%s", s->path, suffixes[i]);

                if (!path)
                        return fail_oom(s);
                if (access(path, W_OK) < 0 && errno != ENOENT)
                        return sentence_errno(&s->error, negative_errno(), "The database '%s' cannot be written", path);
        }
        return sentence(&s->error, -EAGAIN, "The database '%s' could be opened for reading alone: try again.", s->path);
}

/* The errno that a failed call of SQLite stands for, and a sentence with the remedy. */
static int fail_sqlite(Store *s, int rc) {
        int e = s->db ? sqlite3_system_errno(s->db) : 0;
        const char *why = s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc);

        switch (rc & 0xff) {
        case SQLITE_NOMEM:
                return fail_oom(s);
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return sentence(&s->error, -EBUSY,
                                "The database '%s' has been locked by another process for more than %d s: see which "
                                "(fuser '%s'), and try again.", s->path, BUSY_TIMEOUT_MSEC / 1000, s->path);
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_ERROR:      /* all statements are ours: what does not compile does not find its table or column */
        case SQLITE_MISMATCH:
                return fail_damaged(s, why);
        case SQLITE_FULL:
                e = ENOSPC;
                break;
        case SQLITE_READONLY:
                return fail_readonly(s);
        case SQLITE_PERM:
        case SQLITE_AUTH:
                e = EACCES;
                break;
        default:
                if (e <= 0)
                        return sentence(&s->error, -EIO, "The database '%s' cannot be used: %s.", s->path, why);
        }
        return sentence_errno(&s->error, -e, "The database '%s' cannot be used", s->path);
}

/* Prepares one statement and binds its parameters: "s" const char *, "i" int64_t, one letter each. */
static int prepare_ap(Store *s, sqlite3_stmt **ret, const char *sql, const char *types, va_list ap) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        int rc;

        rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
        for (int i = 0; rc == SQLITE_OK && types[i]; i++)
                if (types[i] == 's')
                        rc = sqlite3_bind_text(st, i + 1, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
                else
                        rc = sqlite3_bind_int64(st, i + 1, va_arg(ap, int64_t));
        if (rc != SQLITE_OK)
                return fail_sqlite(s, rc);
        *ret = TAKE_PTR(st);
        return 0;
}

static int prepare(Store *s, sqlite3_stmt **ret, const char *sql, const char *types, ...) {
        va_list ap;
        int r;

        va_start(ap, types);
        r = prepare_ap(s, ret, sql, types, ap);
        va_end(ap);
        return r;
}

/* 1: there is a row. 0: there are no more. */
static int step(Store *s, sqlite3_stmt *st) {
        int rc = sqlite3_step(st);

        if (rc == SQLITE_ROW)
                return 1;
        if (rc == SQLITE_DONE)
                return 0;
        if (rc == SQLITE_CONSTRAINT_FOREIGNKEY)
                return sentence(&s->error, -ENOENT, "The VM is not in the database '%s'.", s->path);
        if ((rc & 0xff) == SQLITE_CONSTRAINT)
                return sentence(&s->error, -EEXIST, "The database '%s' refuses the row: %s.", s->path, sqlite3_errmsg(s->db));
        return fail_sqlite(s, rc);
}

/* Runs one statement that returns no rows. */
static int run(Store *s, const char *sql, const char *types, ...) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        va_list ap;
        int r;

        va_start(ap, types);
        r = prepare_ap(s, &st, sql, types, ap);
        va_end(ap);
        if (r < 0)
                return r;
        do
                r = step(s, st);
        while (r > 0);
        return r;
}

/* The first column of the first row as a number; -ENOENT where there is none. The sentence is left to the caller. */
static int query_int(Store *s, int64_t *ret, const char *sql, const char *types, ...) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        va_list ap;
        int r;

        va_start(ap, types);
        r = prepare_ap(s, &st, sql, types, ap);
        va_end(ap);
        if (r < 0)
                return r;
        r = step(s, st);
        if (r < 0)
                return r;
        if (r == 0)
                return -ENOENT;
        *ret = sqlite3_column_int64(st, 0);
        return 0;
}

static int query_strv(Store *s, char ***ret, const char *sql, const char *types, ...) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        size_t n = 0;
        va_list ap;
        char **v;
        int r;

        va_start(ap, types);
        r = prepare_ap(s, &st, sql, types, ap);
        va_end(ap);
        if (r < 0)
                return r;
        v = calloc(1, sizeof(char *));
        if (!v)
                return fail_oom(s);
        while ((r = step(s, st)) > 0) {
                const char *text = (const char *) sqlite3_column_text(st, 0);
                char *copy = text ? strdup(text) : NULL, **w = copy ? reallocarray(v, n + 2, sizeof(char *)) : NULL;

                if (!w) {
                        free(copy);
                        r = fail_oom(s);
                        break;
                }
                v = w;
                v[n++] = copy;
                v[n] = NULL;
        }
        if (r < 0) {
                strv_free(v);
                return r;
        }
        *ret = v;
        return 0;
}

/* The write lock comes first, so that no transaction finds in its middle that it read what is no longer so. */
static int begin(Store *s) {
        return run(s, "BEGIN IMMEDIATE", "");
}

/* Ends what begin() began: commits where r says success. Keeps the sentence of the first failure. */
static int end(Store *s, int r) {
        if (r >= 0)
                r = run(s, "COMMIT", "");
        if (r < 0 && !sqlite3_get_autocommit(s->db))
                (void) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
        return r;
}

static int get_schema(Store *s, int64_t *ret) {
        return query_int(s, ret, "PRAGMA user_version", "");
}

static int check_schema(Store *s, int64_t version) {
        if (version > SCHEMA_VERSION)
                return sentence(&s->error, -EPROTO,
                                "The database '%s' was written by a newer Inferno (schema %lld, this one knows %d): install that "
                                "version again.", s->path, (long long) version, (int) SCHEMA_VERSION);
        if (version < 0)
                return fail_damaged(s, "impossible schema version");
        return 0;
}

/* Makes the tables or brings them up to date. Whoever else opens a database of an older schema waits at the same lock. */
static int migrate(Store *s, const char *dir) {
        _cleanup_close_ int lock_fd = -EBADF;
        int64_t version, n;
        int r;

        lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (lock_fd < 0)
                return sentence_errno(&s->error, negative_errno(), "Cannot open '%s'", dir);
        while (flock(lock_fd, LOCK_EX) < 0)
                if (errno != EINTR)
                        return sentence_errno(&s->error, negative_errno(), "Cannot lock '%s'", dir);

        r = run(s, "PRAGMA journal_mode=WAL", "");
        if (r < 0)
                return r;
        r = begin(s);
        if (r < 0)
                return r;
        r = get_schema(s, &version);
        if (r >= 0)
                r = check_schema(s, version);
        if (r >= 0 && version == 0) {
                r = query_int(s, &n, "SELECT count(*) FROM sqlite_schema", "");
                if (r >= 0 && n > 0)
                        r = fail_damaged(s, "it has tables of another program");
        }
        for (; r >= 0 && version < SCHEMA_VERSION; version++)
                if (sqlite3_exec(s->db, migrations[version], NULL, NULL, NULL) != SQLITE_OK)
                        r = fail_sqlite(s, sqlite3_errcode(s->db));
        if (r >= 0) {
                /* PRAGMA takes no parameters; both are constants of ours. */
                char sql[96];

                snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d", (int) APPLICATION_ID, (int) SCHEMA_VERSION);
                if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
                        r = fail_sqlite(s, sqlite3_errcode(s->db));
        }
        return end(s, r);
}

/* An empty file of mode 0600, for SQLite goes by the umask; it makes -wal and -shm like the database. One that exists is not
 * opened here: closing it would drop the locks that another Store of this process has on it. */
static int create(Store *s, const char *dir) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        r = mkdir_parent_of_at(AT_FDCWD, dir, 0755);
        if (r >= 0)
                r = mkdir_parents_at(AT_FDCWD, dir, 0711);
        if (r < 0)
                return sentence_errno(&s->error, r, "Cannot make the directory '%s'", dir);
        if (lstat(s->path, &st) < 0 && errno == ENOENT) {
                fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
                if (fd < 0 && errno != EEXIST)
                        return sentence_errno(&s->error, negative_errno(), "Cannot make the database '%s'", s->path);
                return 0;
        }
        if (!S_ISREG(st.st_mode))
                return sentence(&s->error, -EUCLEAN, "The database '%s' is no regular file: move it away.", s->path);
        return 0;
}

static int on_commit(void *userdata, sqlite3 *db, const char *name, int pages) {
        Store *s = userdata;

        s->log_pages = pages;
        return SQLITE_OK;
}

static int open_database(Store *s, const char *dir) {
        int64_t version;
        int r, rc;

        r = create(s, dir);
        if (r < 0)
                return r;
        rc = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
        if (rc != SQLITE_OK)
                return fail_sqlite(s, rc);
        if (sqlite3_db_readonly(s->db, "main") != 0)
                return fail_readonly(s);

        (void) sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
        (void) sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        (void) sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        (void) sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void) sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MSEC);
        (void) sqlite3_wal_hook(s->db, on_commit, s);

        r = get_schema(s, &version);
        if (r < 0)
                return r;
        r = check_schema(s, version);
        if (r < 0)
                return r;
        if (version < SCHEMA_VERSION) {
                r = migrate(s, dir);
                if (r < 0)
                        return r;
        }
        return run(s, "PRAGMA synchronous=FULL", "");
}

int store_open(Store **ret, char **ret_error) {
        _cleanup_(store_freep) Store *s = calloc(1, sizeof(Store));
        _cleanup_free_ char *dir = layout_path(LAYOUT_STATE_DIR);
        int r;

        if (s)
                s->path = layout_path(LAYOUT_DATABASE);
        r = s && s->path && dir ? open_database(s, dir) : -ENOMEM;
        if (r < 0) {
                if (ret_error)
                        *ret_error = strdup(s ? store_error(s) : "Out of memory.");
                return r;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

Store *store_free(Store *s) {
        if (!s)
                return NULL;
        if (s->log_pages >= CHECKPOINT_PAGES) {
                /* Not waiting: where somebody else is at it, the next one does it. */
                (void) sqlite3_busy_timeout(s->db, 0);
                (void) sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        }
        sqlite3_close(s->db);
        free(s->path);
        free(s->error);
        free(s);
        return NULL;
}

static int fail_no_vm(Store *s, const char *vm) {
        return sentence(&s->error, -ENOENT, "VM '%s' is not in the database '%s'.", vm, s->path);
}

/* The lowest number from `first` on that the column does not have; the column must have a unique index. */
#define LOWEST_FREE(table, column)                                                                                      \
        "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM " table " WHERE " column " = ?1) THEN ?1 ELSE ("                    \
        "  SELECT min(a." column ") + 1 FROM " table " a WHERE a." column " >= ?1"                                      \
        "  AND NOT EXISTS (SELECT 1 FROM " table " b WHERE b." column " = a." column " + 1)) END"

/* What is handed out to VMs: numbers of which each VM has one for itself, the lowest that is free. */
typedef struct Allocation {
        const char *get;                /* the VM's number */
        const char *lowest_free;        /* from ? on */
        const char *put, *put_types;    /* of: the VM, the number, the time now */
        const char *what, *remedy;      /* where all are taken */
} Allocation;

static const Allocation uids = {
        .get = "SELECT uid FROM vms WHERE name = ?",
        .lowest_free = LOWEST_FREE("vms", "uid"),
        .put = "INSERT INTO vms (name, uid, created_usec) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET uid = excluded.uid",
        .put_types = "sii",
        .what = "user ID",
        .remedy = "Widen UIDRange= in inferno.conf.",
};

static const Allocation subnets = {
        .get = "SELECT subnet FROM network_state WHERE vm = ?",
        .lowest_free = LOWEST_FREE("network_state", "subnet"),
        .put = "INSERT INTO network_state (vm, subnet) VALUES (?, ?) ON CONFLICT (vm) DO UPDATE SET subnet = excluded.subnet",
        .put_types = "si",
        .what = "subnet",
        .remedy = "Give Network= in inferno.conf a larger range.",
};

/* The number that the VM has, if it is one of [first, first+count). -ENOENT, without a sentence. */
static int find_number(Store *s, const Allocation *a, const char *vm, int64_t first, int64_t count, int64_t *ret) {
        int64_t n;
        int r;

        r = query_int(s, &n, a->get, "s", vm);
        if (r < 0)
                return r;
        if (n < first || n - first >= count)
                return -ENOENT;
        *ret = n;
        return 0;
}

/* In a transaction. */
static int assign_number(Store *s, const Allocation *a, const char *vm, int64_t first, int64_t count, int64_t *ret) {
        int64_t n;
        int r;

        r = find_number(s, a, vm, first, count, ret);
        if (r != -ENOENT)
                return r;
        r = query_int(s, &n, a->lowest_free, "i", first);
        if (r < 0)
                return r;
        if (n - first >= count)
                return sentence(&s->error, -EDQUOT, "No %s is left for VM '%s': all %lld are taken. %s", a->what, vm, (long long) count,
                                a->remedy);
        r = run(s, a->put, a->put_types, vm, n, (int64_t) now_usec());
        if (r < 0)
                return r;
        *ret = n;
        return 0;
}

static int ensure_number(Store *s, const Allocation *a, const char *vm, int64_t first, int64_t count, unsigned *ret) {
        int64_t n = 0;
        int r;

        /* The usual case needs no write lock. */
        r = find_number(s, a, vm, first, count, &n);
        if (r == -ENOENT) {
                r = begin(s);
                if (r >= 0)
                        r = end(s, assign_number(s, a, vm, first, count, &n));
        }
        if (r < 0)
                return r;
        *ret = (unsigned) n;
        return 0;
}

int store_vm_ensure(Store *s, const char *vm, unsigned uid_base, unsigned uid_count, unsigned *ret_uid) {
        return ensure_number(s, &uids, vm, uid_base, uid_count, ret_uid);
}

int store_vm_get_uid(Store *s, const char *vm, unsigned *ret_uid) {
        int64_t uid;
        int r;

        r = query_int(s, &uid, uids.get, "s", vm);
        if (r < 0)
                return r == -ENOENT ? fail_no_vm(s, vm) : r;
        *ret_uid = (unsigned) uid;
        return 0;
}

int store_vm_list(Store *s, char ***ret) {
        return query_strv(s, ret, "SELECT name FROM vms ORDER BY name", "");
}

int store_vm_remove(Store *s, const char *vm) {
        return run(s, "DELETE FROM vms WHERE name = ?", "s", vm);
}

int store_network_ensure(Store *s, const char *vm, unsigned n_subnets, unsigned *ret_index) {
        return ensure_number(s, &subnets, vm, 0, n_subnets, ret_index);
}

int store_network_get(Store *s, const char *vm, unsigned *ret_index) {
        int64_t subnet;
        int r;

        r = query_int(s, &subnet, subnets.get, "s", vm);
        if (r < 0)
                return r == -ENOENT ? sentence(&s->error, r, "VM '%s' has no address in the database '%s'.", vm, s->path) : r;
        *ret_index = (unsigned) subnet;
        return 0;
}

static int set_active(Store *s, const char *vm, bool active) {
        return run(s, "UPDATE network_state SET active = ?2 WHERE vm = ?1 AND active <> ?2", "si", vm, (int64_t) active);
}

int store_ports_release(Store *s, const char *vm) {
        return run(s, "DELETE FROM published_ports WHERE vm = ?", "s", vm);
}

int store_network_set_active(Store *s, const char *vm, bool active) {
        int r;

        if (active)
                return set_active(s, vm, true);
        r = begin(s);
        if (r < 0)
                return r;
        r = store_ports_release(s, vm);
        return end(s, r < 0 ? r : set_active(s, vm, false));
}

int store_network_list_active(Store *s, char ***ret_vms) {
        return query_strv(s, ret_vms, "SELECT vm FROM network_state WHERE active = 1 ORDER BY vm", "");
}

void store_networks_free(StoreNetwork *v, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(v[i].vm);
                free(v[i].ports);
        }
        free(v);
}

/* The columns address, protocol, host_port, guest_port, from `column` on. */
static int append_port(Store *s, sqlite3_stmt *st, int column, PublishedPort **ports, size_t *n_ports) {
        PublishedPort *slot = GREEDY_APPEND(*ports, *n_ports);

        if (!slot)
                return fail_oom(s);
        *slot = (PublishedPort) {
                .address = (uint32_t) sqlite3_column_int64(st, column),
                .protocol = (uint8_t) sqlite3_column_int(st, column + 1),
                .host_port = (uint16_t) sqlite3_column_int(st, column + 2),
                .guest_port = (uint16_t) sqlite3_column_int(st, column + 3),
        };
        (*n_ports)++;
        return 0;
}

/* Both are sorted by VM; a VM without an address publishes nothing. */
static int read_ports(Store *s, StoreNetwork *v, size_t n) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        size_t i = 0;
        int r;

        r = prepare(s, &st, "SELECT vm, address, protocol, host_port, guest_port FROM published_ports ORDER BY vm, address, protocol, host_port", "");
        if (r < 0)
                return r;
        while ((r = step(s, st)) > 0) {
                const char *vm = (const char *) sqlite3_column_text(st, 0);

                while (i < n && vm && strcmp(v[i].vm, vm) < 0)
                        i++;
                if (i == n || !vm || !streq(v[i].vm, vm))
                        continue;
                r = append_port(s, st, 1, &v[i].ports, &v[i].n_ports);
                if (r < 0)
                        return r;
        }
        return r;
}

int store_network_list(Store *s, StoreNetwork **ret, size_t *ret_n) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        StoreNetwork *v = NULL;
        size_t n = 0;
        int r;

        r = prepare(s, &st, "SELECT vm, subnet, active FROM network_state ORDER BY vm", "");
        if (r < 0)
                return r;
        while ((r = step(s, st)) > 0) {
                const char *vm = (const char *) sqlite3_column_text(st, 0);
                StoreNetwork *slot = GREEDY_APPEND(v, n);

                if (slot) {
                        *slot = (StoreNetwork) {
                                .vm = vm ? strdup(vm) : NULL,
                                .index = (unsigned) sqlite3_column_int64(st, 1),
                                .active = sqlite3_column_int64(st, 2) != 0,
                        };
                        n++;
                }
                if (!slot || !slot->vm) {
                        r = fail_oom(s);
                        break;
                }
        }
        if (r >= 0)
                r = read_ports(s, v, n);
        if (r < 0) {
                store_networks_free(v, n);
                return r;
        }
        *ret = v;
        *ret_n = n;
        return 0;
}

int store_ports_list(Store *s, const char *vm, PublishedPort **ret, size_t *ret_n) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        _cleanup_free_ PublishedPort *ports = NULL;
        size_t n = 0;
        int r;

        r = prepare(s, &st, "SELECT address, protocol, host_port, guest_port FROM published_ports WHERE vm = ? ORDER BY address, protocol, host_port",
                    "s", vm);
        if (r < 0)
                return r;
        while ((r = step(s, st)) > 0) {
                r = append_port(s, st, 0, &ports, &n);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(ports);
        *ret_n = n;
        return 0;
}

/* Which other VM has the port; 0: none. In a transaction. */
static int find_holder(Store *s, const char *vm, const PublishedPort *p, char **ret_holder) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        const char *holder;
        int r;

        r = prepare(s, &st, "SELECT vm FROM published_ports WHERE host_port = ?1 AND protocol = ?2 AND (address = ?3 OR address = 0 OR ?3 = 0) AND vm <> ?4",
                    "iiis", (int64_t) p->host_port, (int64_t) p->protocol, (int64_t) p->address, vm);
        if (r < 0)
                return r;
        r = step(s, st);
        if (r <= 0)
                return r;
        holder = (const char *) sqlite3_column_text(st, 0);
        *ret_holder = holder ? strdup(holder) : NULL;
        return *ret_holder ? 1 : fail_oom(s);
}

/* In a transaction. */
static int claim_ports(Store *s, const char *vm, const PublishedPort *ports, size_t n_ports, bool others, char **ret_holder, size_t *ret_index) {
        int r = 0;

        for (size_t i = 0; i < n_ports && r >= 0; i++) {
                const PublishedPort *p = ports + i;

                r = find_holder(s, vm, p, ret_holder);
                if (r > 0) {
                        *ret_index = i;
                        return -EBUSY;
                }
                if (r >= 0 && !others)
                        r = run(s, "INSERT INTO published_ports (vm, address, protocol, host_port, guest_port) VALUES (?, ?, ?, ?, ?)", "siiii", vm,
                                (int64_t) p->address, (int64_t) p->protocol, (int64_t) p->host_port, (int64_t) p->guest_port);
        }
        return r;
}

/* Whether the list, which is sorted, has just these. Neither has a port twice. */
static bool are_same_ports(const PublishedPort *sorted, size_t n, const PublishedPort *ports, size_t n_ports) {
        if (n != n_ports)
                return false;
        for (size_t i = 0; i < n; i++) {
                const PublishedPort *p = bsearch(ports + i, sorted, n, sizeof(*sorted), published_port_compare);

                if (!p || p->guest_port != ports[i].guest_port)
                        return false;
        }
        return true;
}

int store_ports_claim(Store *s, const char *vm, const PublishedPort *ports, size_t n_ports, char **ret_holder, size_t *ret_index) {
        _cleanup_free_ PublishedPort *before = NULL;
        size_t n_before;
        int r;

        *ret_holder = NULL;
        r = store_ports_list(s, vm, &before, &n_before);
        if (r < 0)
                return r;
        if (are_same_ports(before, n_before, ports, n_ports))
                return 0;
        r = begin(s);
        if (r >= 0)
                r = end(s, claim_ports(s, vm, ports, n_ports, n_before > 0, ret_holder, ret_index));
        return r < 0 ? r : n_before > 0 ? STORE_PORTS_OTHERS : 0;
}

static int read_version(Store *s, sqlite3_stmt *st, StoreVersion *ret) {
        const char *ulid = (const char *) sqlite3_column_text(st, 0), *digest = (const char *) sqlite3_column_text(st, 1),
                   *image = (const char *) sqlite3_column_text(st, 3);

        if (!ulid || !digest)
                return fail_oom(s);
        /* The table's CHECKs hold the lengths, but a damaged file need not hold its CHECKs. */
        if (strlen(ulid) != sizeof(ret->ulid) - 1 || strlen(digest) != sizeof(ret->digest) - 1)
                return fail_damaged(s, "a version of impossible length");
        memcpy(ret->ulid, ulid, sizeof(ret->ulid));
        memcpy(ret->digest, digest, sizeof(ret->digest));
        ret->created_usec = (uint64_t) sqlite3_column_int64(st, 2);
        ret->image_digest[0] = 0;
        if (image && strlen(image) < sizeof(ret->image_digest))
                strcpy(ret->image_digest, image);
        return 0;
}

int store_version_add(Store *s, const char *vm, const char *ulid, const char *digest, const char *image_digest) {
        return run(s, "INSERT INTO versions (ulid, vm, digest, image_digest, created_usec) VALUES (?, ?, ?, ?, ?)",
                   "ssssi", ulid, vm, digest, image_digest, (int64_t) now_usec());
}

int store_version_find(Store *s, const char *vm, const char *digest, StoreVersion *ret) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        int r;

        r = prepare(s, &st, "SELECT ulid, digest, created_usec, image_digest FROM versions WHERE vm = ? AND digest = ? ORDER BY ulid DESC LIMIT 1",
                    "ss", vm, digest);
        if (r < 0)
                return r;
        r = step(s, st);
        if (r < 0)
                return r;
        if (r == 0)
                return sentence(&s->error, -ENOENT, "VM '%s' has no such version in the database '%s'.", vm, s->path);
        return read_version(s, st, ret);
}

int store_version_list(Store *s, const char *vm, StoreVersion **ret, size_t *ret_n) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        _cleanup_free_ StoreVersion *v = NULL;
        size_t n = 0;
        int r;

        r = vm ? prepare(s, &st, "SELECT ulid, digest, created_usec, image_digest FROM versions WHERE vm = ? ORDER BY ulid DESC", "s", vm)
               : prepare(s, &st, "SELECT ulid, digest, created_usec, image_digest FROM versions ORDER BY ulid DESC", "");
        if (r < 0)
                return r;
        while ((r = step(s, st)) > 0) {
                StoreVersion *slot = GREEDY_APPEND(v, n);

                if (!slot)
                        return fail_oom(s);
                r = read_version(s, st, slot);
                if (r < 0)
                        return r;
                n++;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        *ret_n = n;
        return 0;
}

int store_version_remove(Store *s, const char *ulid) {
        return run(s, "DELETE FROM versions WHERE ulid = ?", "s", ulid);
}

void store_image_done(StoreImage *i) {
        free(i->reference);
        free(i->manifest_digest);
        free(i->config_digest);
        free(i->rootfs);
        *i = (StoreImage) {};
}

#define IMAGE_COLUMNS "reference, manifest_digest, config_digest, rootfs, size, created_usec"

static int read_image(Store *s, sqlite3_stmt *st, StoreImage *ret) {
        _cleanup_store_image_ StoreImage i = {
                .size = (uint64_t) sqlite3_column_int64(st, 4),
                .created_usec = (uint64_t) sqlite3_column_int64(st, 5),
        };
        char **fields[] = { &i.reference, &i.manifest_digest, &i.config_digest, &i.rootfs };

        for (size_t k = 0; k < ELEMENTSOF(fields); k++) {
                const char *text = (const char *) sqlite3_column_text(st, (int) k);

                *fields[k] = text ? strdup(text) : NULL;
                if (!*fields[k])
                        return fail_oom(s);
        }
        *ret = i;
        i = (StoreImage) {};
        return 0;
}

int store_image_get(Store *s, const char *reference, StoreImage *ret) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        int r;

        r = prepare(s, &st, "SELECT " IMAGE_COLUMNS " FROM images WHERE reference = ?", "s", reference);
        if (r < 0)
                return r;
        r = step(s, st);
        if (r < 0)
                return r;
        if (r == 0)
                return sentence(&s->error, -ENOENT, "Image '%s' is not in the database '%s'.", reference, s->path);
        return read_image(s, st, ret);
}

int store_image_put(Store *s, const StoreImage *i) {
        return run(s, "INSERT OR REPLACE INTO images (" IMAGE_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?)", "ssssii", i->reference,
                   i->manifest_digest, i->config_digest, i->rootfs, (int64_t) i->size,
                   (int64_t) (i->created_usec > 0 ? i->created_usec : now_usec()));
}

int store_image_list(Store *s, StoreImage **ret, size_t *ret_n) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        StoreImage *v = NULL;
        size_t n = 0;
        int r;

        r = prepare(s, &st, "SELECT " IMAGE_COLUMNS " FROM images ORDER BY reference", "");
        if (r < 0)
                return r;
        while ((r = step(s, st)) > 0) {
                StoreImage *slot = GREEDY_APPEND(v, n);

                r = slot ? read_image(s, st, slot) : fail_oom(s);
                if (r < 0)
                        break;
                n++;
        }
        if (r < 0) {
                while (n > 0)
                        store_image_done(v + --n);
                free(v);
                return r;
        }
        *ret = v;
        *ret_n = n;
        return 0;
}

int store_image_remove(Store *s, const char *reference) {
        return run(s, "DELETE FROM images WHERE reference = ?", "s", reference);
}

void store_volume_done(StoreVolume *v) {
        free(v->name);
        free(v->backend);
        free(v->luks_uuid);
        free(v->luks_cipher);
        free(v->label);
        *v = (StoreVolume) {};
}

#define VOLUME_COLUMNS "name, backend, label, luks_uuid, luks_cipher, luks_key_bytes, size, ready, created_usec"

static int read_volume(Store *s, sqlite3_stmt *st, StoreVolume *ret) {
        _cleanup_store_volume_ StoreVolume v = {
                .luks_key_bytes = (unsigned) sqlite3_column_int64(st, 5),
                .size = (uint64_t) sqlite3_column_int64(st, 6),
                .ready = sqlite3_column_int64(st, 7) != 0,
                .created_usec = (uint64_t) sqlite3_column_int64(st, 8),
        };
        char **fields[] = { &v.name, &v.backend, &v.label, &v.luks_uuid, &v.luks_cipher };

        for (size_t k = 0; k < ELEMENTSOF(fields); k++) {
                const char *text = (const char *) sqlite3_column_text(st, (int) k);

                if (!text && k >= 3)
                        continue;       /* not encrypted */
                *fields[k] = text ? strdup(text) : NULL;
                if (!*fields[k])
                        return fail_oom(s);
        }
        *ret = v;
        v = (StoreVolume) {};
        return 0;
}

int store_volume_add(Store *s, const char *name, const char *backend, uint64_t size, const char *label) {
        return run(s, "INSERT INTO volumes (name, backend, size, ready, label, created_usec) VALUES (?, ?, ?, 0, ?, ?)", "ssisi", name,
                   backend, (int64_t) size, label, (int64_t) now_usec());
}

int store_volume_set_ready(Store *s, const char *name) {
        return run(s, "UPDATE volumes SET ready = 1 WHERE name = ?", "s", name);
}

int store_volume_set_luks(Store *s, const char *name, const char *uuid, const char *cipher, unsigned key_bytes) {
        return run(s, "UPDATE volumes SET luks_uuid = ?2, luks_cipher = ?3, luks_key_bytes = ?4 WHERE name = ?1", "sssi", name, uuid, cipher,
                   (int64_t) key_bytes);
}

int store_volume_set_size(Store *s, const char *name, uint64_t size) {
        return run(s, "UPDATE volumes SET size = ?2 WHERE name = ?1", "si", name, (int64_t) size);
}

int store_volume_get(Store *s, const char *name, StoreVolume *ret) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        int r;

        r = prepare(s, &st, "SELECT " VOLUME_COLUMNS " FROM volumes WHERE name = ?", "s", name);
        if (r < 0)
                return r;
        r = step(s, st);
        if (r < 0)
                return r;
        if (r == 0)
                return sentence(&s->error, -ENOENT, "There is no volume '%s': make it with inferno-volume create %s --size=SIZE.", name, name);
        return read_volume(s, st, ret);
}

int store_volume_list(Store *s, char ***ret) {
        return query_strv(s, ret, "SELECT name FROM volumes ORDER BY name", "");
}

/* Also the only place where an attachment can stop a removal: in one transaction with the mark that makes the volume unusable. */
static int withdraw_volume(Store *s, const char *name) {
        int64_t n;
        int r;

        r = query_int(s, &n, "SELECT count(*) FROM volume_attachments WHERE volume = ?", "s", name);
        if (r < 0)
                return r;
        if (n > 0)
                return sentence(&s->error, -EBUSY, "Volume '%s' is attached: stop its VM first.", name);
        return run(s, "UPDATE volumes SET ready = 0 WHERE name = ?", "s", name);
}

int store_volume_withdraw(Store *s, const char *name) {
        int r;

        r = begin(s);
        return r < 0 ? r : end(s, withdraw_volume(s, name));
}

int store_volume_remove(Store *s, const char *name) {
        int r;

        r = begin(s);
        if (r < 0)
                return r;
        r = run(s, "DELETE FROM volume_snapshots WHERE volume = ?", "s", name);
        if (r >= 0)
                r = run(s, "DELETE FROM volumes WHERE name = ?", "s", name);
        return end(s, r);
}

static int attach_volume(Store *s, const char *name, const char *vm, bool read_only, StoreAttachment *ret_holder) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        int64_t ready;
        int r;

        r = query_int(s, &ready, "SELECT ready FROM volumes WHERE name = ?", "s", name);
        if (r == -ENOENT || (r >= 0 && !ready))
                return sentence(&s->error, -ENOENT, "There is no volume '%s', or it is not whole: see inferno-volume ls.", name);
        if (r < 0)
                return r;
        /* Many readers or one writer. */
        r = prepare(s, &st, "SELECT vm, read_only FROM volume_attachments WHERE volume = ?1 AND vm <> ?2 AND (read_only = 0 OR ?3 = 0) LIMIT 1",
                    "ssi", name, vm, (int64_t) read_only);
        if (r < 0)
                return r;
        r = step(s, st);
        if (r < 0)
                return r;
        if (r > 0) {
                const char *holder = (const char *) sqlite3_column_text(st, 0);

                ret_holder->vm = holder ? strdup(holder) : NULL;
                if (!ret_holder->vm)
                        return fail_oom(s);
                ret_holder->read_only = sqlite3_column_int64(st, 1) != 0;
                return -EBUSY;
        }
        return run(s, "INSERT OR REPLACE INTO volume_attachments (volume, vm, read_only) VALUES (?, ?, ?)", "ssi", name, vm, (int64_t) read_only);
}

int store_volume_attach(Store *s, const char *name, const char *vm, bool read_only, StoreAttachment *ret_holder) {
        int r;

        r = begin(s);
        return r < 0 ? r : end(s, attach_volume(s, name, vm, read_only, ret_holder));
}

int store_volume_detach(Store *s, const char *name, const char *vm) {
        return run(s, "DELETE FROM volume_attachments WHERE volume = ? AND vm = ?", "ss", name, vm);
}

void store_attachments_free(StoreAttachment *a, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(a[i].volume);
                free(a[i].vm);
        }
        free(a);
}

int store_volume_attachments(Store *s, const char *name, const char *vm, StoreAttachment **ret, size_t *ret_n) {
        _cleanup_stmt_ sqlite3_stmt *st = NULL;
        StoreAttachment *v = NULL;
        size_t n = 0;
        int r;

        r = prepare(s, &st, "SELECT volume, vm, read_only FROM volume_attachments WHERE (?1 = '' OR volume = ?1) AND (?2 = '' OR vm = ?2) "
                            "ORDER BY volume, vm", "ss", name ?: "", vm ?: "");
        if (r < 0)
                return r;
        while ((r = step(s, st)) > 0) {
                const char *volume = (const char *) sqlite3_column_text(st, 0), *who = (const char *) sqlite3_column_text(st, 1);
                StoreAttachment *slot = GREEDY_APPEND(v, n);

                if (slot) {
                        *slot = (StoreAttachment) { volume ? strdup(volume) : NULL, who ? strdup(who) : NULL, sqlite3_column_int64(st, 2) != 0 };
                        n++;
                }
                if (!slot || !slot->volume || !slot->vm) {
                        r = fail_oom(s);
                        break;
                }
        }
        if (r < 0) {
                store_attachments_free(v, n);
                return r;
        }
        *ret = v;
        *ret_n = n;
        return 0;
}

int store_snapshot_put(Store *s, const char *volume, const char *name, uint64_t size) {
        return run(s, "INSERT INTO volume_snapshots (volume, name, size, created_usec) VALUES (?, ?, ?, ?)", "ssii", volume, name, (int64_t) size,
                   (int64_t) now_usec());
}

int store_snapshot_get_size(Store *s, const char *volume, const char *name, uint64_t *ret) {
        int64_t size;
        int r;

        r = query_int(s, &size, "SELECT size FROM volume_snapshots WHERE volume = ? AND name = ?", "ss", volume, name);
        if (r == -ENOENT)
                return sentence(&s->error, r, "Volume '%s' has no snapshot '%s': see inferno-volume inspect %s.", volume, name, volume);
        if (r < 0)
                return r;
        *ret = (uint64_t) size;
        return 0;
}

int store_snapshot_list(Store *s, const char *volume, char ***ret) {
        return query_strv(s, ret, "SELECT name FROM volume_snapshots WHERE volume = ? ORDER BY created_usec, name", "s", volume);
}

int store_snapshot_remove(Store *s, const char *volume, const char *name) {
        return run(s, "DELETE FROM volume_snapshots WHERE volume = ? AND name = ?", "ss", volume, name);
}
