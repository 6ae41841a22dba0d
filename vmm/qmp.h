/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* QEMU's monitor (QMP): commands with their replies in order, and events. */

#include "json/json.h"
#include "vmm/event-loop.h"

typedef struct Qmp Qmp;

/* `data` may be NULL. A negative errno ends the loop. */
typedef int (*QmpEventFunc)(const char *event, json_t *data, void *userdata);
/* What a command returned, NULL where it failed (that is logged) or where QEMU has ended. */
typedef void (*QmpReplyFunc)(json_t *result, void *userdata);

/* Owns fd_consume, also on failure. */
int qmp_new(EventLoop *loop, int fd_consume, QmpEventFunc event, void *userdata, Qmp **ret);
Qmp *qmp_free(Qmp *q);
DEFINE_TRIVIAL_CLEANUP_FUNC(Qmp *, qmp_free)

/* Sends a command; arguments_consume may be NULL, reply too. -EBUSY where too many are under way. */
int qmp_command(Qmp *q, const char *name, json_t *arguments_consume, QmpReplyFunc reply, void *userdata);
/* Handles what has arrived, without waiting: for the last words of a QEMU that has ended. */
int qmp_drain(Qmp *q);
