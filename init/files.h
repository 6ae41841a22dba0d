/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Files that the host copies out of the guest or into it: POST /v1/files of the API. It goes as a program of POST /v1/exec does, but the process executes
 * nothing: an image need not have a tar(1). */

#include "init/failure.h"
#include "init/user.h"
#include "json/json.h"

/* The body of the request. */
typedef struct FilesRequest {
        bool write;                     /* "action": "write" into the guest, else "read" from it */
        bool follow, archive, foreign;  /* base/tar-files.h; archive: keeps owners */
        char *path;                     /* not empty; a relative one begins at the working directory, which is the root directory */
        char *name;                     /* one component, or NULL: base/tar-files.h */
        char *user;                     /* whose the files become; NULL: the workload's */
} FilesRequest;

/* -EBADMSG with the reason in error (JSON_ERROR_MAX bytes), -ENOMEM. */
int files_request_parse(const char *body, size_t n, FilesRequest **ret, char *error);
FilesRequest *files_request_free(FilesRequest *r);
DEFINE_TRIVIAL_CLEANUP_FUNC(FilesRequest *, files_request_free)

/* Copies between the tree of this process and its standard streams, as root: who is allowed to ask may do all. Complaints go to standard error,
 * a line each. Returns the exit code: 1 where a file could not be read as it is; or a negative errno with the failure. */
int files_run(const FilesRequest *request, const User *user, Failure *failure);
