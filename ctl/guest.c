/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/http.h"
#include "base/sentence.h"
#include "base/str.h"
#include "base/wire.h"
#include "ctl/guest.h"
#include "ctl/table.h"
#include "json/json.h"
#include "layout/layout.h"
#include "version/version.h"

static uint64_t now(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / NSEC_PER_USEC;
}

/* Waits for a socket until a moment of the monotonic clock. */
static int wait_for(int fd, short events, uint64_t deadline) {
        for (;;) {
                struct pollfd p = { .fd = fd, .events = events };
                uint64_t t = now();
                struct timespec left;
                int n;

                if (t >= deadline)
                        return -ETIMEDOUT;
                left.tv_sec = (time_t) ((deadline - t) / USEC_PER_SEC);
                left.tv_nsec = (long) ((deadline - t) % USEC_PER_SEC * NSEC_PER_USEC);
                n = ppoll(&p, 1, &left, NULL);
                if (n < 0 && errno != EINTR)
                        return negative_errno();
                if (n > 0)
                        return 0;
        }
}

static int send_all(int fd, const char *data, size_t n, uint64_t deadline) {
        while (n > 0) {
                ssize_t k = send(fd, data, n, MSG_NOSIGNAL);
                int r;

                if (k >= 0) {
                        data += k;
                        n -= (size_t) k;
                        continue;
                }
                if (errno != EAGAIN && errno != EINTR)
                        return negative_errno();
                r = wait_for(fd, POLLOUT, deadline);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What has arrived, at least one byte; 0: the peer has closed. */
static ssize_t receive(int fd, char *data, size_t n, uint64_t deadline) {
        for (;;) {
                ssize_t k = recv(fd, data, n, 0);
                int r;

                if (k >= 0)
                        return k;
                if (errno != EAGAIN && errno != EINTR)
                        return negative_errno();
                r = wait_for(fd, POLLIN, deadline);
                if (r < 0)
                        return r;
        }
}

/* The jail belongs to the VM's uid: a symlink in the socket's place leads nowhere. connect(2) waits while the VMM has many to accept, as long as
 * SO_SNDTIMEO says. */
static int connect_socket(const char *vm, uint64_t timeout_usec) {
        const struct timeval timeout = { (time_t) (timeout_usec / USEC_PER_SEC), (suseconds_t) (timeout_usec % USEC_PER_SEC) };
        _cleanup_close_ int root_fd = -EBADF, path_fd = -EBADF, fd = -EBADF;
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        char ulid[ULID_STRING_SIZE];
        int r;

        r = version_get_current(vm, ulid);
        if (r < 0)
                return r;
        root_fd = version_open_root(ulid);
        if (root_fd < 0)
                return root_fd;
        path_fd = open_beneath(root_fd, JAIL_VSOCK, O_PATH | O_CLOEXEC, 0);
        if (path_fd < 0)
                return path_fd;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
                return negative_errno();
        snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d", path_fd);
        if (connect(fd, (struct sockaddr *) &a, sizeof(a)) < 0)
                return errno == EAGAIN ? -ETIMEDOUT : negative_errno();
        r = set_nonblock(fd, true);
        return r < 0 ? r : TAKE_FD(fd);
}

/* Not a byte behind the line, which would be another reader's. */
static ssize_t read_line(int fd, char *line, size_t size, uint64_t deadline) {
        for (size_t n = 0; n < size - 1; n++) {
                ssize_t k = receive(fd, line + n, 1, deadline);

                if (k < 0)
                        return k;
                if (k == 0)
                        return 0;
                if (line[n] == '\n') {
                        line[n + 1] = 0;
                        return (ssize_t) n + 1;
                }
        }
        return -EMSGSIZE;
}

ssize_t guest_read_line(int fd, char *line, size_t size, uint64_t timeout_usec) {
        return read_line(fd, line, size, now() + timeout_usec);
}

/* The VMM's, "OK N\n". */
static int read_ok(int fd, uint64_t deadline) {
        char line[33];
        ssize_t n = read_line(fd, line, sizeof(line), deadline);

        if (n <= 0)
                return n == 0 ? -ECONNREFUSED : (int) n;
        return n > 4 && startswith(line, "OK ") ? 0 : -EBADMSG;
}

int guest_connect(const char *vm, unsigned port, uint64_t timeout_usec, char **ret_error) {
        _cleanup_free_ char *request = strf("CONNECT %u\n", port);
        uint64_t deadline = now() + timeout_usec;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!request)
                return -ENOMEM;
        fd = connect_socket(vm, timeout_usec);
        if (fd == -EACCES || fd == -EPERM)
                return sentence(ret_error, fd, "The guest of VM '%s' may be asked by root only: try it with sudo.", vm);
        if (fd < 0)
                return sentence(ret_error, -ENOTCONN, "The guest of VM '%s' cannot be reached: its VMM does not listen (%s).", vm, strerrordesc_np(-fd));
        r = send_all(fd, request, strlen(request), deadline);
        if (r >= 0)
                r = read_ok(fd, deadline);
        if (r == -ETIMEDOUT)
                return sentence(ret_error, r, "The guest of VM '%s' does not answer: no connection to its port %u within %llu s.", vm, port,
                                (unsigned long long) (timeout_usec / USEC_PER_SEC));
        if (r < 0)
                return sentence(ret_error, -ECONNREFUSED, "The guest of VM '%s' does not listen on its port %u.", vm, port);
        return TAKE_FD(fd);
}

/* Reads no byte behind the answer where the connection is to go on as something else. */
static int exchange(int fd, const char *request, size_t n_request, HttpParser *parser, bool goes_on, uint64_t deadline) {
        char data[4096];
        int r;

        r = send_all(fd, request, n_request, deadline);
        while (r >= 0 && r != HTTP_PARSER_DONE) {
                ssize_t k = receive(fd, data, goes_on ? 1 : sizeof(data), deadline);
                size_t used;

                if (k < 0)
                        return (int) k;
                r = k == 0 ? http_parser_eof(parser) : http_parser_feed(parser, data, (size_t) k, &used);
                if (k == 0 && r == 0)
                        return -ECONNRESET;
        }
        return r;
}

/* One request and its answer on a connection of its own, which is returned. Of an answer with a status that is not `wanted` (0: below 400)
 * *ret_error has it and its "error". */
static int ask(const char *vm, const char *method, const char *target, const char *body, unsigned wanted, uint64_t timeout_usec,
                HttpParser **ret, char **ret_error) {
        _cleanup_(http_parser_freep) HttpParser *parser = NULL;
        _cleanup_free_ char *request = NULL, *reason = NULL;
        _cleanup_json_ json_t *j = NULL;
        _cleanup_close_ int fd = -EBADF;
        uint64_t begin = now();
        char error[JSON_ERROR_MAX];
        const char *answer, *said;
        unsigned status;
        size_t n;
        int r;

        fd = guest_connect(vm, WIRE_PORT_API, timeout_usec, ret_error);
        if (fd < 0)
                return fd;
        r = http_parser_new(HTTP_RESPONSE, WIRE_HTTP_HEAD_MAX, WIRE_HTTP_BODY_MAX, &parser);
        if (r >= 0)
                r = http_format_request(method, target, body, &request, &n);
        if (r < 0)
                return r;
        r = exchange(fd, request, n, parser, wanted == 101, begin + timeout_usec);
        if (r == -ETIMEDOUT)
                return sentence(ret_error, r, "The guest of VM '%s' does not answer: nothing within %llu s.", vm,
                                (unsigned long long) (timeout_usec / USEC_PER_SEC));
        if (r == -EMSGSIZE)
                return sentence(ret_error, r, "The guest of VM '%s' answers more than is allowed.", vm);
        if (r < 0)
                return sentence(ret_error, r == -ENOMEM ? r : -EBADMSG, "The guest of VM '%s' does not answer as it should: %s.", vm, strerrordesc_np(-r));
        status = http_status(parser);
        if (wanted > 0 ? status == wanted : status < 400) {
                *ret = TAKE_PTR(parser);
                return TAKE_FD(fd);
        }
        answer = http_body(parser, &n);
        said = json_parse(answer, n, WIRE_HTTP_BODY_MAX, &j, error) >= 0 ? json_string_value(json_object_get(j, "error")) : NULL;
        reason = said ? text_escape(said) : NULL;
        return sentence(ret_error, -EREMOTEIO, "The guest of VM '%s' refuses: %s (%u).", vm, reason ?: "it does not say why", status);
}

int guest_call(const char *vm, const char *method, const char *target, const char *body, uint64_t timeout_usec, json_t **ret, char **ret_error) {
        _cleanup_(http_parser_freep) HttpParser *parser = NULL;
        _cleanup_close_ int fd = -EBADF;
        char error[JSON_ERROR_MAX];
        const char *answer;
        size_t n;
        int r;

        fd = ask(vm, method, target, body, 0, timeout_usec, &parser, ret_error);
        if (fd < 0)
                return fd;
        answer = http_body(parser, &n);
        r = json_parse(answer, n, WIRE_HTTP_BODY_MAX, ret, error);
        if (r < 0)
                return sentence(ret_error, r == -ENOMEM ? r : -EBADMSG, "The guest of VM '%s' does not answer as it should: %s.", vm, error);
        return 0;
}

int guest_upgrade(const char *vm, const char *target, const char *body, uint64_t timeout_usec, char **ret_error) {
        _cleanup_(http_parser_freep) HttpParser *parser = NULL;

        return ask(vm, "POST", target, body, 101, timeout_usec, &parser, ret_error);
}
