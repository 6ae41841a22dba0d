/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fd.h"
#include "base/http.h"
#include "base/str.h"
#include "base/wire.h"
#include "init/channel.h"
#include "init/console.h"
#include "init/crypt.h"
#include "init/luks-header.h"
#include "json/json.h"

/* linux/fs.h, which does not go together with sys/mount.h. */
#define DEVICE_GET_SIZE64 _IOR(0x12, 114, size_t)

#define HEADERS_DIR "/headers"          /* of the initramfs */
#define KEY_CALL_MSEC (90 * 1000)       /* for the host to connect, and then for each piece of its answer */

enum { BLANK_BYTES = 1024 * 1024 };

typedef struct Key {
        size_t size;
        uint8_t bytes[WIRE_KEY_BYTES_MAX];
} Key;

static void key_done(Key *k) {
        explicit_bzero(k, sizeof(*k));
        (void) munlock(k, sizeof(*k));
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

/* Whether nobody has ever written where a file system begins: cipher text is not zero. */
static int is_blank(int device_fd, uint64_t at) {
        char buf[16384];
        int r;

        for (uint64_t i = 0; i < BLANK_BYTES; i += sizeof(buf)) {
                r = pread_full(device_fd, buf, sizeof(buf), at + i);
                if (r < 0)
                        return r;
                for (size_t k = 0; k < sizeof(buf); k++)
                        if (buf[k])
                                return 0;
        }
        return 1;
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
        r = is_blank(fd, l.data_offset);
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

/* {"data":{"data":{"key":"<base64>"}}} */
static int decode_key(const char *body, size_t n, Key *ret) {
        _cleanup_json_ json_t *j = NULL;
        char error[JSON_ERROR_MAX];
        const char *text;
        json_t *value;
        ssize_t k;
        int r;

        r = json_parse(body, n, WIRE_HTTP_BODY_MAX, &j, error);
        if (r < 0)
                return r;
        value = json_object_get(json_object_get(json_object_get(j, "data"), "data"), "key");
        text = json_string_value(value);
        if (!text)
                return -EBADMSG;
        k = base64_decode(text, json_string_length(value), ret->bytes, sizeof(ret->bytes));
        explicit_bzero((char *) text, json_string_length(value));
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
        explicit_bzero((char *) body, n);
        return r < 0 ? fail_errno(v, failure, r, "read the key that the host gives") : 0;
}

/* --- programs --- */

/* Runs a program of the initramfs to its end, with something small on its standard input. Returns its exit status. What it said last against it is in
 * `said`. */
static int run(const char *const argv[], const void *input, size_t n, char *said, size_t n_said) {
        static const char *const env[] = {
                "PATH=/inferno/sbin:/usr/sbin:/sbin:/usr/bin:/bin", "LANG=C",
                "LD_LIBRARY_PATH=/lib:/lib64:/usr/lib:/usr/lib64",
                "DM_DISABLE_UDEV=1",            /* there is none to wait for */
                "MKE2FS_CONFIG=/dev/null",
                NULL,
        };
        _cleanup_close_ int in_read = -EBADF, in_write = -EBADF, out_read = -EBADF, out_write = -EBADF;
        int fds[2], status;
        ssize_t k;
        pid_t pid;

        said[0] = 0;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return negative_errno();
        in_read = fds[0];
        in_write = fds[1];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return negative_errno();
        out_read = fds[0];
        out_write = fds[1];
        /* Less than a pipe holds. */
        if (n > 0 && write_full(in_write, input, n) < 0)
                return negative_errno();
        in_write = safe_close(in_write);

        pid = fork();
        if (pid < 0)
                return negative_errno();
        if (pid == 0) {
                sigset_t none;

                (void) sigemptyset(&none);
                (void) sigprocmask(SIG_SETMASK, &none, NULL);
                if (dup2(in_read, STDIN_FILENO) < 0 || dup2(out_write, STDOUT_FILENO) < 0 || dup2(out_write, STDERR_FILENO) < 0)
                        _exit(EXIT_SETUP_FAILED);
                (void) execve(argv[0], (char *const *) argv, (char *const *) env);
                _exit(errno == ENOENT ? EXIT_COMMAND_NOT_FOUND : EXIT_CANNOT_EXEC);
        }
        out_write = safe_close(out_write);
        in_read = safe_close(in_read);
        for (size_t have = 0;;) {
                char rest[512];

                k = have < n_said - 1 ? read(out_read, said + have, n_said - 1 - have) : read(out_read, rest, sizeof(rest));
                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0)
                        break;
                if (have < n_said - 1) {
                        have += (size_t) k;
                        said[have] = 0;
                }
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return negative_errno();
        for (char *p = said; *p; p++)
                if ((unsigned char) *p < ' ')
                        *p = ' ';
        return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNAL_BASE + WTERMSIG(status);
}

static const char *find_program(const char *name, char *path, size_t n) {
        static const char *const dirs[] = { "/inferno/sbin", "/usr/sbin", "/sbin" };

        for (size_t i = 0; i < ELEMENTSOF(dirs); i++) {
                snprintf(path, n, "%s/%s", dirs[i], name);
                if (access(path, X_OK) >= 0)
                        return path;
        }
        return NULL;
}

static int run_cryptsetup(const RunVolume *v, const char *header, const Key *key, Failure *failure) {
        char program[64], said[400];
        const char *argv[16];
        size_t n = 0;
        int r;

        if (!find_program("cryptsetup", program, sizeof(program)))
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
        argv[n++] = v->device;
        argv[n++] = v->name;
        argv[n] = NULL;
        r = run(argv, key->bytes, key->size, said, sizeof(said));
        if (r < 0)
                return fail_errno(v, failure, r, "run cryptsetup");
        if (r == 2)
                return fail(v, failure, EKEYREJECTED, "the key that the host gives does not open it");
        return r > 0 ? failure_set(failure, EIO, "volume \"%s\" (%s): cryptsetup cannot open it (exit status %d): %s", v->name, v->device, r, said) : 0;
}

static int make_file_system(const RunVolume *v, const char *device, Failure *failure) {
        char program[64], said[400];
        int r;

        if (!find_program("mke2fs", program, sizeof(program)))
                return fail(v, failure, ENOENT, "it has no file system, and there is no mke2fs in the initramfs");
        r = run((const char *const []) { program, "-q", "-F", "-t", "ext4", "-m", "0", "-b", "4096", "-I", "256", "-i", "16384",
                                         "-O", "none,ext_attr,dir_index,filetype,extent,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,"
                                               "has_journal,metadata_csum,64bit,resize_inode",
                                         "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0", device, NULL },
                NULL, 0, said, sizeof(said));
        if (r < 0)
                return fail_errno(v, failure, r, "run mke2fs");
        return r > 0 ? failure_set(failure, EIO, "volume \"%s\" (%s): mke2fs cannot make a file system (exit status %d): %s", v->name, v->device, r,
                                   said) : 0;
}

int crypt_open(const RunVolume *v, unsigned key_port, char **ret_device, Failure *failure) {
        _cleanup_free_ char *header = strjoin(HEADERS_DIR "/", v->name), *device = strjoin("/dev/mapper/", v->name);
        _cleanup_(key_done) Key key = {};
        bool blank = false;
        int r;

        if (!header || !device)
                return fail_errno(v, failure, ENOMEM, "open it");
        if (mkdir(HEADERS_DIR, 0700) < 0 && errno != EEXIST)
                return fail_errno(v, failure, errno, "make a directory in the initramfs");
        (void) mlock(&key, sizeof(key));
        r = check_header(v, header, &blank, failure);
        if (r >= 0)
                r = get_key(v, key_port, &key, failure);
        if (r >= 0)
                r = run_cryptsetup(v, header, &key, failure);
        (void) unlink(header);
        if (r >= 0 && blank && !v->read_only)
                r = make_file_system(v, device, failure);
        if (r < 0)
                return r;
        console_debug("volume \"%s\" is open%s", v->name, blank ? ", with a new file system" : "");
        *ret_device = TAKE_PTR(device);
        return 0;
}
