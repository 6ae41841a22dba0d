/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Programs that the host runs beside the workload: POST /v1/exec of the API, whose connections speak base/exec-frame.h; and copies of files, which are processes
 * like them. Each is killed, with its process group, when its connection goes; a copy at the latest after EXEC_CLOSE_USEC, if that is not its end already. */

#include "init/files.h"
#include "init/loop.h"
#include "json/json.h"

enum {
        EXEC_MAX = 64,                          /* at a time */
        EXEC_ARGUMENTS_MAX = 4096,
        EXEC_DRAIN_MAX = 2 * 1024 * 1024,       /* of each stream, of what was in its pipe when the program ended */
};
#define EXEC_CLOSE_USEC (10 * USEC_PER_SEC)     /* for the host to close the connection when it was told the exit code, and for a copy to end */

/* The body of the request. */
typedef struct ExecRequest {
        char **argv;                    /* at least one word, and that one not empty */
        char **env;                     /* NAME=VALUE */
        char *cwd, *user;               /* NULL: the workload's */
        bool terminal;
        unsigned rows, columns;         /* of the terminal; 0: not known */
        const FilesRequest *files;      /* borrowed: files are copied, and argv is NULL; NULL: no, and so in what is parsed */
} ExecRequest;

/* -EBADMSG with the reason in error (JSON_ERROR_MAX bytes), -ENOMEM. */
int exec_request_parse(const char *body, size_t n, ExecRequest **ret, char *error);
ExecRequest *exec_request_free(ExecRequest *r);
DEFINE_TRIVIAL_CLEANUP_FUNC(ExecRequest *, exec_request_free)

/* The process's ends of its streams, or three times its terminal, to a new process: its number and its report, as workload_join() has them. */
typedef int (*ExecSpawn)(void *userdata, const ExecRequest *request, const int streams[static 3], pid_t *ret_pid, int *ret_report_fd);

typedef struct ExecServer ExecServer;

/* pts_fd: the directory of devpts, owned by the caller; negative: there are no terminals. */
int exec_server_new(Loop *l, int pts_fd, ExecSpawn spawn, void *userdata, ExecServer **ret);
ExecServer *exec_server_free(ExecServer *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(ExecServer *, exec_server_free)

/* Starts the program. The server works with a duplicate of the connection, and what it says first is the answer to the request. -EBUSY: EXEC_MAX
 * run; another reason else, and the answer is the caller's to give. */
int exec_server_add(ExecServer *s, const ExecRequest *request, int fd);
/* A process was reaped, perhaps one of these. */
void exec_server_reaped(ExecServer *s, pid_t pid, int wait_status);
size_t exec_server_count(const ExecServer *s);
