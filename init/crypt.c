/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <malloc.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fd.h"
#include "base/http.h"
#include "base/str.h"
#include "base/wire.h"
#include "init/channel.h"
#include "init/console.h"
#include "init/crypt.h"
#include "init/filesystem.h"
#include "init/luks-header.h"
#include "init/program.h"
#include "json/json.h"

/* linux/fs.h, which does not go together with sys/mount.h. */
#define DEVICE_GET_SIZE64 _IOR(0x12, 114, size_t)

#define HEADERS_DIR "/headers"          /* of the initramfs */
#define KEY_CALL_MSEC (90 * 1000)       /* for the host to connect, and then for each piece of its answer */

typedef struct Key {
        size_t size;
        uint8_t bytes[WIRE_KEY_BYTES_MAX];
} Key;

/* In pages of its own: never in a dump, nor in a child. */
static Key *key_free(Key *k) {
        if (k) {
                explicit_bzero(k, sizeof(*k));
                (void) munmap(k, sizeof(*k));
        }
        return NULL;
}

static void key_freep(Key **k) {
        key_free(*k);
}

static Key *key_new(void) {
        Key *k = mmap(NULL, sizeof(Key), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (k == MAP_FAILED)
                return NULL;
        if (mlock(k, sizeof(*k)) < 0 || madvise(k, sizeof(*k), MADV_DONTDUMP) < 0 || madvise(k, sizeof(*k), MADV_DONTFORK) < 0)
                return key_free(k);
        return k;
}

static int fail(const RunVolume *v, Failure *failure, int r, const char *reason) {
        return failure_set(failure, r, "volume \"%s\" (%s): %s", v->name, v->device, reason);
}

static int fail_errno(const RunVolume *v, Failure *failure, int r, const char *what) {
        return failure_set(failure, r, "volume \"%s\" (%s): cannot %s: %m", v->name, v->device, what);
}

/* --- the header --- */

static int pread_full(int fd, void *buf, size_t n, uint64_t at) {
        for (size_t done = 0; done < n;) {
                ssize_t k = pread(fd, (char *) buf + done, n - done, (off_t) (at + done));

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return negative_errno();
                if (k == 0)
                        return -ENODATA;
                done += (size_t) k;
        }
        return 0;
}

/* A file of its own for cryptsetup, so that what was checked is what is used, and nothing repairs anything on the device. */
static int copy_header(int device_fd, const char *path, const LuksLayout *l) {
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        char buf[16384];
        int r;

        if (fd < 0 || ftruncate(fd, (off_t) l->data_offset) < 0)
                return negative_errno();
        for (uint64_t at = 2 * l->header_size; at < l->keyslots_end;) {
                size_t n = (size_t) MIN(sizeof(buf), l->keyslots_end - at);

                r = pread_full(device_fd, buf, n, at);
                if (r < 0)
                        return r;
                if (pwrite(fd, buf, n, (off_t) at) != (ssize_t) n)
                        return -EIO;
                at += n;
        }
        return 0;
}

static int write_header(const char *path, const void *data, size_t n) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

        return fd < 0 ? negative_errno() : write_full(fd, data, n);
}

static int check_header(const RunVolume *v, const char *copy, bool *ret_blank, Failure *failure) {
        const LuksExpected expected = { v->luks_uuid, v->luks_cipher, v->luks_key_bytes };
        _cleanup_close_ int fd = open(v->device, O_RDONLY | O_CLOEXEC);
        char begin[LUKS_HEADER_BEGIN], error[LUKS_HEADER_ERROR_MAX] = "";
        _cleanup_free_ char *data = NULL;
        uint64_t size, device_size;
        LuksLayout l = {};
        int r;

        if (fd < 0 || ioctl(fd, DEVICE_GET_SIZE64, &device_size) < 0)
                return fail_errno(v, failure, errno, "look at its size");
        r = pread_full(fd, begin, sizeof(begin), 0);
        if (r < 0)
                return fail_errno(v, failure, r, "read its header");
        r = luks_header_size(begin, &size, error);
        if (r < 0)
                return fail(v, failure, r, error);
        data = malloc(2 * (size_t) size);
        if (!data)
                return fail_errno(v, failure, ENOMEM, "read its header");
        r = pread_full(fd, data, 2 * (size_t) size, 0);
        if (r < 0)
                return fail_errno(v, failure, r, "read its header");
        r = luks_header_check(data, size, device_size, &expected, &l, error);
        if (r < 0)
                return fail(v, failure, r, r == -ENOMEM ? "out of memory" : error);
        r = copy_header(fd, copy, &l);
        if (r >= 0)
                r = write_header(copy, data, 2 * (size_t) size);
        if (r < 0)
                return fail_errno(v, failure, r, "copy its header");
        r = filesystem_is_blank(fd, l.data_offset, device_size);
        if (r < 0)
                return fail_errno(v, failure, r, "read its beginning");
        *ret_blank = r > 0;
        return 0;
}

/* --- the key --- */

static int wait_for(int fd, short events) {
        struct pollfd p = { .fd = fd, .events = events };
        int r;

        do
                r = poll(&p, 1, KEY_CALL_MSEC);
        while (r < 0 && errno == EINTR);
        return r < 0 ? negative_errno() : r == 0 ? -ETIMEDOUT : 0;
}

static int call_host(unsigned port, const char *request, size_t n, HttpParser *p) {
        _cleanup_close_ int fd = channel_socket(port);
        int r, error = 0;
        socklen_t length = sizeof(error);

        if (fd < 0)
                return fd;
        r = wait_for(fd, POLLOUT);
        if (r < 0)
                return r;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error > 0)
                return error > 0 ? -error : negative_errno();
        if (send(fd, request, n, MSG_NOSIGNAL) != (ssize_t) n)
                return negative_errno();
        for (;;) {
                char buf[2048];
                size_t used;
                ssize_t k;

                r = wait_for(fd, POLLIN);
                if (r < 0)
                        return r;
                k = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
                if (k < 0 && (errno == EAGAIN || errno == EINTR))
                        continue;
                if (k <= 0)
                        return k < 0 ? negative_errno() : -ECONNRESET;
                r = http_parser_feed(p, buf, (size_t) k, &used);
                explicit_bzero(buf, sizeof(buf));
                if (r != 0)
                        return r;
        }
}

/* For jansson, which copies what it reads: nothing of it stays in memory that was given back. */
static void wipe_and_free(void *p) {
        if (p)
                explicit_bzero(p, malloc_usable_size(p));
        free(p);
}

/* {"data":{"data":{"key":"<base64>"}}} */
static int decode_key(const char *body, size_t n, Key *ret) {
        _cleanup_json_ json_t *j = NULL;
        char error[JSON_ERROR_MAX];
        const char *text;
        json_t *value;
        ssize_t k;
        int r;

        json_set_alloc_funcs(malloc, wipe_and_free);
        r = json_parse(body, n, WIRE_HTTP_BODY_MAX, &j, error);
        explicit_bzero(error, sizeof(error));   /* which quotes it */
        if (r < 0)
                return r;
        value = json_object_get(json_object_get(json_object_get(j, "data"), "data"), "key");
        text = json_string_value(value);
        if (!text)
                return -EBADMSG;
        k = base64_decode(text, json_string_length(value), ret->bytes, sizeof(ret->bytes));
        if (k < 1)
                return -EBADMSG;
        ret->size = (size_t) k;
        return 0;
}

static int get_key(const RunVolume *v, unsigned port, Key *ret, Failure *failure) {
        _cleanup_(http_parser_freep) HttpParser *p = NULL;
        _cleanup_free_ char *request = NULL, *target = strjoin("/v1/volume/key?device=", v->device);
        const char *body;
        size_t n;
        int r;

        r = target ? http_format_request("GET", target, NULL, &request, &n) : -ENOMEM;
        if (r >= 0)
                r = http_parser_new(HTTP_RESPONSE, WIRE_HTTP_HEAD_MAX, WIRE_HTTP_BODY_MAX, &p);
        if (r >= 0)
                r = call_host(port, request, n, p);
        if (r < 0)
                return fail_errno(v, failure, r, "get its key from the host");
        if (http_status(p) != 200)
                return failure_set(failure, EACCES, "volume \"%s\" (%s): the host does not give its key: HTTP status %u", v->name, v->device,
                                   http_status(p));
        body = http_body(p, &n);
        r = decode_key(body, n, ret);
        return r < 0 ? fail_errno(v, failure, r, "read the key that the host gives") : 0;
}

/* --- cryptsetup --- */

static int run_cryptsetup(const RunVolume *v, const char *header, const Key *key, Failure *failure) {
        char program[PROGRAM_PATH_MAX], said[PROGRAM_SAID_MAX];
        const char *argv[17];
        size_t n = 0;
        int r;

        if (program_find("cryptsetup", program) < 0)
                return fail(v, failure, ENOENT, "there is no cryptsetup in the initramfs");
        argv[n++] = program;
        argv[n++] = "open";
        argv[n++] = "--type";
        argv[n++] = "luks2";
        argv[n++] = "--batch-mode";
        argv[n++] = "--disable-locks";
        argv[n++] = "--disable-external-tokens";
        argv[n++] = "--key-file";
        argv[n++] = "-";
        argv[n++] = "--header";
        argv[n++] = header;
        if (v->read_only)
                argv[n++] = "--readonly";
        if (v->discard)
                argv[n++] = "--allow-discards";
        argv[n++] = v->device;
        argv[n++] = v->name;
        argv[n] = NULL;
        r = program_run(argv, key->bytes, key->size, said);
        if (r < 0)
                return fail_errno(v, failure, r, "run cryptsetup");
        if (r == 2)
                return fail(v, failure, EKEYREJECTED, "the key that the host gives does not open it");
        return r > 0 ? failure_set(failure, EIO, "volume \"%s\" (%s): cryptsetup cannot open it (exit status %d): %s", v->name, v->device, r, said) : 0;
}

int crypt_open(const RunVolume *v, unsigned key_port, char **ret_device, bool *ret_blank, Failure *failure) {
        _cleanup_free_ char *header = strjoin(HEADERS_DIR "/", v->name), *device = strjoin("/dev/mapper/", v->name);
        _cleanup_(key_freep) Key *key = key_new();
        bool blank = false;
        int r;

        if (!header || !device || !key)
                return fail_errno(v, failure, ENOMEM, "open it");
        if (mkdir(HEADERS_DIR, 0700) < 0 && errno != EEXIST)
                return fail_errno(v, failure, errno, "make a directory in the initramfs");
        r = check_header(v, header, &blank, failure);
        console_debug("asks for the key of volume \"%s\"", v->name);
        if (r >= 0)
                r = get_key(v, key_port, key, failure);
        if (r >= 0)
                r = run_cryptsetup(v, header, key, failure);
        (void) unlink(header);
        if (r < 0)
                return r;
        console_debug("volume \"%s\" is open", v->name);
        *ret_device = TAKE_PTR(device);
        *ret_blank = blank;
        return 0;
}

int crypt_close(int mapper_fd, const char *name) {
        struct dm_ioctl d = { .version = { DM_VERSION_MAJOR, 0, 0 }, .data_size = sizeof(d), .data_start = sizeof(d) };

        if (strlen(name) >= sizeof(d.name))
                return -ENAMETOOLONG;
        memcpy(d.name, name, strlen(name) + 1);
        return ioctl(mapper_fd, DM_DEV_REMOVE, &d) < 0 ? negative_errno() : 0;
}
