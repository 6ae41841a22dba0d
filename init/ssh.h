/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* SSHKey=: an SSH server for the workload's user alone, beside the workload. init listens, on vsock for the host, and where that publishes
 * the port, on the network as well, each with sessions of its own, so that nobody outside takes the host's; each connection is handed over to a dropbear(8)
 * of its own, which runs as that user: nothing of SSH is init's to understand, and none of its bytes go through init. */

#include <sys/types.h>

#include "init/loop.h"
#include "init/user.h"
#include "runspec/runspec.h"

enum {
        SSH_SESSIONS_MAX = 16,                  /* of a server, at a time; the next ones are told so */
        SSH_BACKLOG = 64,
};

/* Puts the authorized keys into the user's home in the image's tree, in the place of those that are there. */
int ssh_set_up(const RunSpec *spec, int root_fd, Failure *failure);

/* What the server is executed with: WorkloadJoin's argv and make_environment(). It reads the host key from WORKLOAD_PASSED_FD. */
extern char *ssh_argv[];
int ssh_make_environment(const User *user, char ***ret, Failure *failure);

/* A new process with the connection as its streams: its number and its report, as workload_join() has them. -ESRCH: the workload does not run. */
typedef int (*SshSpawn)(void *userdata, int fd, int host_key_fd, pid_t *ret_pid, int *ret_report_fd);

typedef struct SshServer SshServer;

/* Takes the host key out of the specification: a sealed file without a name. */
int ssh_open_host_key(RunSpec *spec);
/* The socket for the network. */
int ssh_listen_tcp(unsigned port);

/* Serves a listening socket, for peers as of api_server_new(), with a duplicate of the host key. */
int ssh_server_new(Loop *l, int host_key_fd, int listen_consume, SshSpawn spawn, void *userdata, SshServer **ret);
SshServer *ssh_server_free(SshServer *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(SshServer *, ssh_server_free)

/* A process was reaped, perhaps one of these; s may be NULL. */
void ssh_server_reaped(SshServer *s, pid_t pid);
