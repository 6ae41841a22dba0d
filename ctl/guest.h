/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The guest of a running VM, over its vsock: Firecracker's side of it is a Unix socket in the jail (CONNECT PORT, OK N). The guest is believed
 * nothing: answers are bounded in size and time. */

#include <jansson.h>
#include <sys/types.h>

#include "base/macros.h"

/* For whoever only asks how things are. */
#define GUEST_TIMEOUT_USEC (5 * USEC_PER_SEC)

/* A connection to a port of the guest, non-blocking. -ENOTCONN: the VM has no jail or no VMM that listens; -ECONNREFUSED: nobody listens on that port in the
 * guest; -ETIMEDOUT. *ret_error is a sentence. */
int guest_connect(const char *vm, unsigned port, uint64_t timeout_usec, char **ret_error);

/* A line with its end, and a NUL behind it: how long it is. 0: the guest has closed before its end; -EMSGSIZE: it does not fit; -ETIMEDOUT. */
ssize_t guest_read_line(int fd, char *line, size_t size, uint64_t timeout_usec);

/* One request of the guest's API, "GET", "/v1/status", NULL. *ret is its JSON document. -EBADMSG: the answer is none, -EMSGSIZE: too long; -EREMOTEIO: a status of 400
 * or above, *ret_error has it and its "error". */
int guest_call(const char *vm, const char *method, const char *target, const char *body, uint64_t timeout_usec, json_t **ret, char **ret_error);

/* A request that the guest answers by changing to another protocol ("101 Switching Protocols"). Returns the connection, non-blocking, from which no byte
 * behind the answer was read; errors as of guest_call(). */
int guest_upgrade(const char *vm, const char *target, const char *body, uint64_t timeout_usec, char **ret_error);
