/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The part of Firecracker's API that a running guest needs, over HTTP on a Unix socket. What configures a guest is refused as
 * Firecracker refuses it after the start: the configuration file has said it all. */

#include "vmm/event-loop.h"

typedef enum ApiRequest {
        API_GET_INSTANCE,               /* GET / */
        API_GET_VERSION,                /* GET /version */
        API_GET_MACHINE_CONFIG,         /* GET /machine-config */
        API_GET_VM_CONFIG,              /* GET /vm/config */
        API_FLUSH_METRICS,              /* PUT /actions */
        API_SEND_CTRL_ALT_DEL,
} ApiRequest;

enum { API_FAULT_MAX = 512 };

/* What a request asks for. -EBADMSG with the fault_message (API_FAULT_MAX bytes) where it is refused. `body` may be NULL. */
int api_parse_request(const char *method, const char *target, const char *body, size_t body_size, ApiRequest *ret, char *fault);

typedef struct ApiServer ApiServer;

/* Does what a request asks for, and calls api_server_respond() with `client`, at once or later, but for each request. */
typedef void (*ApiFunc)(ApiRequest request, uint64_t client, void *userdata);

/* Listens at path; -EADDRINUSE where something is there. Requests have bodies of at most body_max bytes. */
int api_server_new(EventLoop *loop, const char *path, size_t body_max, ApiFunc func, void *userdata, ApiServer **ret);
ApiServer *api_server_free(ApiServer *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(ApiServer *, api_server_free)

/* Status 204 has no body. A client that has gone meanwhile is no error. */
void api_server_respond(ApiServer *s, uint64_t client, unsigned status, const char *body);
/* A 400 with a fault_message. */
void api_server_respond_fault(ApiServer *s, uint64_t client, const char *fault);
