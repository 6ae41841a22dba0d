/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>
#include <unistd.h>

#include "base/str.h"
#include "base/tar-files.h"
#include "base/wire.h"
#include "init/files.h"

FilesRequest *files_request_free(FilesRequest *r) {
        if (r) {
                free(r->path);
                free(r->name);
                free(r->user);
                free(r);
        }
        return NULL;
}

/* "action" */
static int read_action(const JsonField *f, json_t *v, void *target, char *error) {
        const char *s = json_string_value(v);

        if (!s || (!streq(s, "read") && !streq(s, "write")))
                return json_field_error(error, "%s is neither \"read\" nor \"write\"", f->name);
        *(bool *) target = streq(s, "write");
        return 0;
}

int files_request_parse(const char *body, size_t n, FilesRequest **ret, char *error) {
        static const JsonField fields[] = {
                { "action", read_action, offsetof(FilesRequest, write), JSON_MANDATORY },
                { "archive", json_read_bool, offsetof(FilesRequest, archive), 0 },
                { "follow", json_read_bool, offsetof(FilesRequest, follow), 0 },
                { "foreign", json_read_bool, offsetof(FilesRequest, foreign), 0 },
                { "name", json_read_string, offsetof(FilesRequest, name), 0 },
                { "path", json_read_string, offsetof(FilesRequest, path), JSON_MANDATORY },
                { "user", json_read_string, offsetof(FilesRequest, user), 0 },
                {},
        };
        _cleanup_(files_request_freep) FilesRequest *q = calloc(1, sizeof(FilesRequest));
        _cleanup_json_ json_t *j = NULL;
        int r;

        if (!q)
                return -ENOMEM;
        r = json_parse(body, n, WIRE_HTTP_BODY_MAX, &j, error);
        if (r >= 0)
                r = json_read_object(j, fields, 0, q, error);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        if (!*q->path || strlen(q->path) >= PATH_MAX)
                return json_field_error(error, "path is empty or longer than %d bytes", PATH_MAX - 1);
        if (q->name && (!*q->name || strlen(q->name) > NAME_MAX || strchr(q->name, '/') || streq(q->name, "..") || (q->write && streq(q->name, "."))))
                return json_field_error(error, "name is no name of a file");
        *ret = TAKE_PTR(q);
        return 0;
}

/* A name can have any byte; the line is one write(2), so that it stays whole. */
static void say(void *userdata, const char *text) {
        _cleanup_free_ char *line = strf("%s\n", text);

        if (line)
                (void) !write(STDERR_FILENO, line, strlen(line));
}

int files_run(const FilesRequest *q, const User *user, Failure *failure) {
        _cleanup_free_ char *error = NULL;
        int r;

        if (q->write)
                r = tar_unpack(&(TarUnpack) { .path = q->path, .name = q->name, .foreign = q->foreign, .keep = q->archive, .uid = user->uid,
                                               .gid = user->gid, .say = say },
                                STDIN_FILENO, &error);
        else
                r = tar_pack(&(TarPack) { .path = q->path, .name = q->name ?: ".", .follow = q->follow, .say = say }, STDOUT_FILENO, &error);
        if (r < 0)
                return failure_set(failure, r, "%s", error ?: "no memory");
        return r;
}
