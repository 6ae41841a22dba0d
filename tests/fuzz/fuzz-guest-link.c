/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kiln's ear for a guest, with a journal that takes entries as the input says: connections come, say this and that, and go, in whatever order.
 * It always comes to an end then, and what is in the journal as a stream is what somebody sent as one. */

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "base/wire.h"
#include "kiln/guest-link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
        STEP_CONNECT,                   /* to one of the two ports, with or without what init says first */
        STEP_WRITE,                     /* bytes of the input */
        STEP_WRITE_LONG,                /* a line of up to 256 kB */
        STEP_CLOSE,
        STEP_JOURNAL,                   /* takes some entries */
        STEP_RUN,
        N_STEPS,

        CONNECTIONS_MAX = 16,
        STEPS_MAX = 256,
};

typedef struct Connection {
        int fd;
        StrBuf sent;
} Connection;

static struct {
        char dir[40], uds[64], journal_path[64];
        sd_event *event;
        int journal_fd;
        JournalSource sources[2];
} g;

static Connection connections[CONNECTIONS_MAX];
static size_t n_connections;
static StrBuf logged[2];                /* what the journal has of each stream, as text */
static GuestLink *guest_link;
static int last_state;
static bool sizes_said;

static void on_status(const StatusLine *line, void *userdata) {
        if ((int) line->state <= last_state)
                abort();
        last_state = (int) line->state;
        if (line->state == GUEST_EXITED) {
                if (line->exit_code > 255)
                        abort();
                sizes_said = true;
                guest_link_set_sizes(guest_link, line->stdout_bytes, line->stderr_bytes);
        }
}

static void on_end(void *userdata) {
}

/* One entry, which has the fields of its source, its priority, perhaps that it is partial, and its message with a length. */
static bool journal_take(void) {
        static char buf[128 * 1024];
        ssize_t n = recv(g.journal_fd, buf, sizeof(buf), MSG_DONTWAIT);
        char *message;
        uint64_t size;
        StrBuf *b;

        if (n <= 0)
                return false;
        b = &logged[memcmp(buf, "S=out\n", 6) == 0 ? 0 : 1];
        message = memmem(buf, (size_t) n, "MESSAGE\n", 8);
        if (!message)
                abort();
        memcpy(&size, message + 8, sizeof(size));
        if (message + 16 + size + 1 != buf + n)
                abort();
        strbuf_add(b, message + 16, size);
        if (!memmem(buf, (size_t) (message - buf), "INFERNO_PARTIAL=1\n", 18))
                strbuf_add(b, "\n", 1);
        return true;
}

static void run(void) {
        for (int i = 0; i < 64; i++) {
                int r = sd_event_run(g.event, 0);

                if (r < 0)
                        abort();
                if (r == 0)
                        return;
        }
}

static void put(Connection *c, const void *data, size_t n) {
        ssize_t k = send(c->fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (k > 0)
                strbuf_add(&c->sent, data, (size_t) k);
}

static void connect_port(unsigned port, const char *first) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        Connection *c;

        if (n_connections == CONNECTIONS_MAX)
                return;
        c = &connections[n_connections++];
        *c = (Connection) { .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
        snprintf(sa.sun_path, sizeof(sa.sun_path), "%.60s_%u", g.uds, port);
        if (connect(c->fd, (struct sockaddr *) &sa, sizeof(sa)) >= 0)
                put(c, first, strlen(first));
}

/* What is logged of a stream was sent by one connection, behind the stream's name: all of it, but where it was said how much it is. */
static void check(const StrBuf *b, const char *name) {
        size_t n_name = strlen(name);

        if (b->size == 0)
                return;
        for (size_t i = 0; i < n_connections; i++) {
                const StrBuf *s = &connections[i].sent;
                const char *rest;
                size_t n;

                if (s->size < n_name || memcmp(s->data, name, n_name) != 0)
                        continue;
                rest = s->data + n_name;
                n = s->size - n_name;
                if (b->size == n && memcmp(b->data, rest, n) == 0)
                        return;
                /* The last newline may be ours. */
                if ((b->size == n + 1 || (sizes_said && b->size <= n)) && memcmp(b->data, rest, b->size - 1) == 0)
                        return;
        }
        abort();
}

static void clean_up(void) {
        (void) remove_tree_at(AT_FDCWD, g.dir);
}

static void set_up(void) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };

        log_set_max_level(-1);
        strcpy(g.dir, "/tmp/fuzz-guest-link.XXXXXX");
        if (!mkdtemp(g.dir) || atexit(clean_up) != 0)
                abort();
        snprintf(g.uds, sizeof(g.uds), "%s/v", g.dir);
        snprintf(g.journal_path, sizeof(g.journal_path), "%s/j", g.dir);
        strcpy(sa.sun_path, g.journal_path);
        g.journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (g.journal_fd < 0 || bind(g.journal_fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 || sd_event_new(&g.event) < 0 ||
            journal_source_init(&g.sources[0], "S=out\n", "", 1) < 0 || journal_source_init(&g.sources[1], "S=err\n", "", 2) < 0)
                abort();
}

static void step(const uint8_t **data, size_t *size) {
        static const char *const firsts[] = { "", "std", "stdout\n", "stderr\n", "{\"state\":\"booted\"}\n" };
        uint8_t what = (*data)[0], argument = *size > 1 ? (*data)[1] : 0;
        Connection *c = n_connections > 0 ? &connections[argument % n_connections] : NULL;

        *data += MIN(*size, (size_t) 2);
        *size -= MIN(*size, (size_t) 2);
        switch (what % N_STEPS) {
        case STEP_CONNECT:
                connect_port(argument & 1 ? WIRE_PORT_STREAM : WIRE_PORT_STATUS, firsts[(argument >> 1) % ELEMENTSOF(firsts)]);
                break;
        case STEP_WRITE: {
                size_t n = MIN(*size, (size_t) what / N_STEPS * 4 + 1);

                if (c && c->fd >= 0)
                        put(c, *data, n);
                *data += n;
                *size -= n;
                break;
        }
        case STEP_WRITE_LONG: {
                static char text[1024];

                memset(text, 'x', sizeof(text));
                for (unsigned i = 0; c && c->fd >= 0 && i < what; i++)
                        put(c, text, sizeof(text));
                break;
        }
        case STEP_CLOSE:
                if (c)
                        c->fd = safe_close(c->fd);
                break;
        case STEP_JOURNAL:
                for (unsigned i = 0; i < argument && journal_take(); i++)
                        ;
                break;
        default:
                run();
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(journal_freep) Journal *journal = NULL;

        if (!g.event)
                set_up();
        last_state = -1;
        sizes_said = false;
        if (journal_new(g.event, g.journal_path, &journal) < 0 ||
            guest_link_new(g.event, journal, &(GuestLinkOptions) {
                    .uds_path = g.uds,
                    .stream_port = WIRE_PORT_STREAM,
                    .status_port = WIRE_PORT_STATUS,
                    .stdout_source = &g.sources[0],
                    .stderr_source = &g.sources[1],
                    .on_status = on_status,
                    .on_end = on_end }, &guest_link) < 0)
                abort();
        for (unsigned n = 0; n < STEPS_MAX && size > 0; n++)
                step(&data, &size);

        /* The VMM goes, and with it all of its connections. */
        for (size_t i = 0; i < n_connections; i++)
                connections[i].fd = safe_close(connections[i].fd);
        guest_link_stop_listening(guest_link);
        for (unsigned n = 0; !guest_link_is_idle(guest_link); n++) {
                if (n == 10000)
                        abort();
                run();
                while (journal_take())
                        ;
        }
        while (journal_take())
                ;
        check(&logged[0], WIRE_STREAM_STDOUT);
        check(&logged[1], WIRE_STREAM_STDERR);

        guest_link = guest_link_free(guest_link);
        for (size_t i = 0; i < n_connections; i++)
                strbuf_done(&connections[i].sent);
        n_connections = 0;
        strbuf_done(&logged[0]);
        strbuf_done(&logged[1]);
        return 0;
}
