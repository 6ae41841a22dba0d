/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fd.h"
#include "base/http.h"
#include "base/log.h"
#include "base/str.h"
#include "base/wire.h"
#include "kiln/guest-port.h"
#include "kiln/key-server.h"

enum {
        CONNECTIONS_MAX = 4,
        HEAD_MAX = 4096,
};

#define CALL_USEC (10 * USEC_PER_SEC)                   /* from its connection to the last byte of the answer */
#define TARGET "/v1/volume/key?device="
#define BODY_BEGIN "{\"data\":{\"data\":{\"key\":\""
#define BODY_END "\"}}}\n"

/* A page of its own, for mlock(2) and madvise(2) go by pages. */
typedef struct Secret {
        size_t key_size;
        size_t answer_size;
        uint8_t key[WIRE_KEY_BYTES_MAX];
        char answer[2048];
} Secret;
_Static_assert(BASE64_SIZE(WIRE_KEY_BYTES_MAX) + 512 < 2048, "an answer has room for a key");

typedef struct Key {
        const char *device;             /* borrowed */
        Secret *secret;                 /* NULL: served, or never there */
        bool served;
} Key;

typedef struct Connection {
        KeyServer *server;
        int fd;
        sd_event_source *io, *timer;
        HttpParser *parser;
        Key *key;                       /* whose secret is the answer */
        char *text;                     /* the answer otherwise */
        const char *out;
        size_t size, done;
} Connection;

struct KeyServer {
        sd_event *event;
        GuestPort *port;                /* NULL: listens no more */
        Key *keys;
        size_t n_keys;
        Connection connections[CONNECTIONS_MAX];
};

static void secret_free(Secret *s) {
        if (!s)
                return;
        explicit_bzero(s, sizeof(*s));
        (void) munmap(s, sizeof(*s));
}

static int secret_new(Secret **ret) {
        Secret *s = mmap(NULL, sizeof(Secret), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (s == MAP_FAILED)
                return negative_errno();
        if (mlock(s, sizeof(*s)) < 0 || madvise(s, sizeof(*s), MADV_DONTDUMP) < 0 || madvise(s, sizeof(*s), MADV_WIPEONFORK) < 0) {
                int r = negative_errno();

                (void) munmap(s, sizeof(*s));
                return r;
        }
        *ret = s;
        return 0;
}

/* The file is removed whatever there is to say against it. */
static int key_read(Key *k, const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        struct stat st;
        ssize_t n;
        int r;

        if (fd < 0)
                return log_error_errno(negative_errno(), "Cannot open the key of the volume at %s, \"%s\": %m", k->device, path);
        if (unlink(path) < 0)
                return log_error_errno(negative_errno(), "Cannot remove the key of the volume at %s, \"%s\": %m", k->device, path);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 1 || st.st_size > WIRE_KEY_BYTES_MAX) {
                log_error("The key of the volume at %s is not 1 to %d bytes in a file.", k->device, WIRE_KEY_BYTES_MAX);
                return -EBADMSG;
        }
        r = secret_new(&k->secret);
        if (r < 0)
                return log_error_errno(r, "Cannot lock memory for the key of the volume at %s: %m", k->device);
        n = read_full(fd, k->secret->key, sizeof(k->secret->key));
        if (n < 1)
                return log_error_errno(n < 0 ? (int) n : -EIO, "Cannot read the key of the volume at %s: %m", k->device);
        k->secret->key_size = (size_t) n;
        return 0;
}

static void connection_close(Connection *c) {
        c->io = sd_event_source_disable_unref(c->io);
        c->timer = sd_event_source_disable_unref(c->timer);
        c->parser = http_parser_free(c->parser);
        c->fd = safe_close(c->fd);
        if (c->key) {
                secret_free(TAKE_PTR(c->key->secret));
                c->key = NULL;
        }
        c->text = (free(c->text), NULL);
        c->out = NULL;
        c->size = c->done = 0;
}

static int connection_write(Connection *c) {
        while (c->done < c->size) {
                ssize_t n = send(c->fd, c->out + c->done, c->size - c->done, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return sd_event_source_set_io_events(c->io, EPOLLOUT);
                if (n < 0)
                        break;
                c->done += (size_t) n;
        }
        connection_close(c);
        return 0;
}

static int connection_refuse(Connection *c, unsigned status, const char *reason) {
        int r;

        guest_port_refused(c->server->port, reason);
        r = http_format_response(status, "{\"errors\":[\"refused\"]}\n", true, &c->text, &c->size);
        if (r < 0) {
                connection_close(c);
                return 0;
        }
        c->out = c->text;
        return connection_write(c);
}

/* The answer is put together where the key is, so that there is no copy of it anywhere else. */
static int connection_serve(Connection *c, Key *k) {
        Secret *s = k->secret;
        size_t body = strlen(BODY_BEGIN) + BASE64_SIZE(s->key_size) + strlen(BODY_END);
        int n;

        n = snprintf(s->answer, sizeof(s->answer), "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n"
                     BODY_BEGIN, body);
        base64_encode(s->key, s->key_size, s->answer + n);
        n += (int) BASE64_SIZE(s->key_size);
        memcpy(s->answer + n, BODY_END, strlen(BODY_END));
        k->served = true;
        c->key = k;
        c->out = s->answer;
        c->size = (size_t) n + strlen(BODY_END);
        log_debug("Gave the guest the key of the volume at %s.", k->device);
        return connection_write(c);
}

static int connection_answer(Connection *c) {
        const char *device = startswith(http_target(c->parser), TARGET);

        if (!streq(http_method(c->parser), "GET"))
                return connection_refuse(c, 405, "it is not GET");
        if (!device)
                return connection_refuse(c, 404, "there is nothing at that path");
        for (size_t i = 0; i < c->server->n_keys; i++) {
                Key *k = &c->server->keys[i];

                if (!streq(k->device, device))
                        continue;
                if (k->served)
                        return connection_refuse(c, 409, "it was given once already");
                if (!k->secret)
                        return connection_refuse(c, 404, "it is not there any more");
                return connection_serve(c, k);
        }
        return connection_refuse(c, 403, "the device is no encrypted volume of this VM");
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Connection *c = userdata;
        char buf[2048];
        size_t used;
        ssize_t n;
        int r;

        if (c->out)
                return connection_write(c);
        n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0) {
                guest_port_refused(c->server->port, "the connection was closed before it was whole");
                connection_close(c);
                return 0;
        }
        r = http_parser_feed(c->parser, buf, (size_t) n, &used);
        if (r == HTTP_PARSER_DONE)
                return used < (size_t) n ? connection_refuse(c, 400, "something follows it") : connection_answer(c);
        if (r == -EMSGSIZE)
                return connection_refuse(c, 431, "it is too long");
        return r < 0 ? connection_refuse(c, 400, "it is no HTTP") : 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Connection *c = userdata;

        guest_port_refused(c->server->port, "it took too long");
        connection_close(c);
        return 0;
}

static void take(int fd_consume, void *userdata) {
        KeyServer *s = userdata;

        for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
                Connection *c = &s->connections[i];
                int r;

                if (c->fd >= 0)
                        continue;
                c->fd = fd_consume;
                r = http_parser_new(HTTP_REQUEST, HEAD_MAX, 0, &c->parser);
                if (r >= 0)
                        r = sd_event_add_io(s->event, &c->io, c->fd, EPOLLIN, on_io, c);
                if (r >= 0)
                        r = sd_event_add_time_relative(s->event, &c->timer, CLOCK_MONOTONIC, CALL_USEC, 100 * USEC_PER_MSEC, on_timer, c);
                if (r < 0) {
                        log_error_errno(r, "Cannot take a request for a volume's key: %m");
                        connection_close(c);
                }
                return;
        }
        safe_close(fd_consume);
        guest_port_refused(s->port, "there are too many at once");
}

int key_server_new(sd_event *event, const KilnConfig *config, KeyServer **ret) {
        _cleanup_(key_server_freep) KeyServer *s = calloc(1, sizeof(KeyServer));
        int r;

        if (!s)
                return log_oom();
        s->event = sd_event_ref(event);
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                s->connections[i] = (Connection) { .server = s, .fd = -EBADF };
        s->keys = calloc(config->n_volumes + 1, sizeof(Key));
        if (!s->keys)
                return log_oom();
        for (size_t i = 0; i < config->n_volumes; i++) {
                Key *k = &s->keys[s->n_keys++];

                k->device = config->volumes[i].device;
                r = key_read(k, config->volumes[i].key_path);
                if (r < 0)
                        return r;
        }
        r = guest_port_new(event, config->firecracker_vsock_uds_path, config->vsock_key_port, take, s, &s->port);
        if (r < 0)
                return log_error_errno(r, "Cannot listen on \"%s_%u\": %m", config->firecracker_vsock_uds_path, config->vsock_key_port);
        *ret = TAKE_PTR(s);
        return 0;
}

void key_server_wipe(KeyServer *s) {
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                connection_close(&s->connections[i]);
        for (size_t i = 0; i < s->n_keys; i++)
                secret_free(TAKE_PTR(s->keys[i].secret));
}

void key_server_stop(KeyServer *s) {
        s->port = guest_port_free(s->port);
        key_server_wipe(s);
}

KeyServer *key_server_free(KeyServer *s) {
        if (!s)
                return NULL;
        key_server_stop(s);
        free(s->keys);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}
