/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The socket of inferno-combined-log(8), by which systemd starts it. Whoever connects wakes it; a connection may carry one
 * request, a packet, which is answered by a packet: COMBINED_LOG_DONE, or a sentence that says why not. */

#include "base/macros.h"

enum { COMBINED_LOG_PACKET_MAX = 1024 };

#define COMBINED_LOG_CLEAR "clear"      /* empty the file */
#define COMBINED_LOG_SYNC "sync"        /* write down how far it is */
#define COMBINED_LOG_DONE "done"

/* A VM is about to log something. Where the combined log is not enabled, or does not work, nobody cares: it never waits nor
 * fails. */
void combined_log_wake(void);

/* Sends a request and waits for its answer. -ENOENT, -ECONNREFUSED: the combined log is not enabled, for which there is no
 * sentence. -ETIMEDOUT … */
int combined_log_ask(const char *request, char **ret_error);
