/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The API that the host calls over vsock (base/wire.h): GET /v1/ping, GET /v1/status, POST /v1/signal, POST /v1/exec, POST
 * /v1/files, GET /v1/metrics. */

#include "base/http.h"
#include "init/exec.h"
#include "init/loop.h"

enum {
        API_CONNECTIONS_MAX = 16,
        API_BACKLOG = 256,                      /* the kernel refuses whoever finds it full */
        API_PENDING_MAX = 64 * 1024,            /* of answers that the peer does not read */
};
#define API_REQUEST_USEC (10 * USEC_PER_SEC)    /* for a request that has begun, and for an answer to be taken */
#define API_IDLE_USEC (60 * USEC_PER_SEC)       /* between two requests of a connection */

/* What the API acts on. */
typedef struct ApiBackend {
        /* The JSON object of /v1/status; NULL: no memory. */
        char *(*status)(void *userdata);
        /* Likewise of /v1/metrics. */
        char *(*metrics)(void *userdata);
        /* -ESRCH where the workload does not run. */
        int (*signal)(void *userdata, int signo);
        /* As exec_server_add(). -ESRCH likewise. */
        int (*exec)(void *userdata, const ExecRequest *request, int fd);
        void *userdata;
} ApiBackend;

/* The answer to one request: the HTTP status, and the body in *ret_body (owned; NULL: none). fd is the connection, for what goes on in another
 * protocol, negative where more requests came with this one. 101: that has happened, the connection is somebody else's. */
unsigned api_handle(const ApiBackend *backend, const char *method, const char *target, const char *body, size_t n_body, int fd, char **ret_body);

typedef struct ApiServer ApiServer;

/* Serves a listening socket. Peers other than the host (a process of the guest that connects to its own CID) are turned away; peers of
 * another family, as tests have them, are not. */
int api_server_new(Loop *l, const ApiBackend *backend, int listen_consume, ApiServer **ret);
ApiServer *api_server_free(ApiServer *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(ApiServer *, api_server_free)

/* Whether a connection comes from the host, and not from a process of the guest; one of another family than vsock's always does. */
bool api_peer_is_host(int fd);

/* The socket for it. */
int api_listen(unsigned port);
