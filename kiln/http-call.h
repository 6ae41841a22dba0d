/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One HTTP request over a Unix socket, asynchronously and with a time limit: to the VMM's API, or through the VMM's vsock socket
 * to the guest's (Firecracker's "CONNECT <port>\n" -> "OK <port>\n"). */

#include <systemd/sd-event.h>

#include "base/macros.h"

typedef struct HttpCall HttpCall;

/* error 0: an answer came, status and body (NUL-terminated) are its. Otherwise -ETIMEDOUT; -ECONNREFUSED, -ENOENT: nobody listens;
 * -ECONNRESET: closed before an answer; -EBADMSG, -EMSGSIZE: no HTTP. Called once, never from http_call_new(); it may free the call. */
typedef void (*HttpCallFunc)(HttpCall *c, int error, unsigned status, const char *body, void *userdata);

typedef struct HttpCallOptions {
        const char *socket_path;
        unsigned vsock_port;            /* 0: no vsock */
        const char *method, *target;
        const char *body;               /* NULL: none */
        uint64_t timeout_usec;          /* UINT64_MAX: none */
        HttpCallFunc func;
        void *userdata;
} HttpCallOptions;

int http_call_new(sd_event *event, const HttpCallOptions *options, HttpCall **ret);
HttpCall *http_call_free(HttpCall *c);
DEFINE_TRIVIAL_CLEANUP_FUNC(HttpCall *, http_call_free)
