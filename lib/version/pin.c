/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/sha256.h"
#include "base/str.h"
#include "layout/layout.h"
#include "version/pin.h"

/* "<ULID> <digest of the definition>\n" */
enum {
        PIN_SIZE = ULID_STRING_SIZE + SHA256_HEX_SIZE,          /* with a space and a newline where those have NUL */
        DEFINITION_FILE_MAX = 16 * 1024 * 1024,
};

/* Names and order of drop-ins count, too. */
static int digest_files(char *const *files, char ret[static SHA256_HEX_SIZE]) {
        Sha256 h;

        sha256_init(&h);
        STRV_FOREACH(file, files) {
                _cleanup_free_ char *text = NULL;
                int r;

                r = read_file_at(AT_FDCWD, *file, DEFINITION_FILE_MAX, &text, NULL);
                if (r < 0)
                        return r;
                sha256_update_string(&h, *file);
                sha256_update_string(&h, text);
        }
        sha256_finish_hex(&h, ret);
        return 0;
}

int version_pin_set(const char *vm, const char *ulid, char *const *files) {
        _cleanup_free_ char *path = layout_vm_pin(vm), *text = NULL;
        char digest[SHA256_HEX_SIZE];
        int r;

        r = digest_files(files, digest);
        if (r < 0)
                return r;
        text = strf("%s %s\n", ulid, digest);
        if (!path || !text)
                return -ENOMEM;
        return write_file_atomic_at(AT_FDCWD, path, text, strlen(text), 0600, WRITE_FILE_SYNC | WRITE_FILE_LOCKED);
}

int version_pin_clear(const char *vm) {
        _cleanup_free_ char *path = layout_vm_pin(vm);
        int r;

        if (!path)
                return -ENOMEM;
        r = remove_temporary_at(AT_FDCWD, path);
        if (r < 0 && r != -ENOENT)
                return r;
        if (unlink(path) < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : negative_errno();
        return fsync_parent_at(AT_FDCWD, path);
}

int version_pin_get(const char *vm, char *const *files, char ret_ulid[static ULID_STRING_SIZE]) {
        _cleanup_free_ char *path = layout_vm_pin(vm), *text = NULL;
        char digest[SHA256_HEX_SIZE];
        size_t n;
        int r;

        if (!path)
                return -ENOMEM;
        r = read_file_at(AT_FDCWD, path, PIN_SIZE, &text, &n);
        if (r < 0)
                return r == -ENOTDIR ? -ENOENT : r == -EFBIG ? -EBADMSG : r;
        if (n != PIN_SIZE || text[ULID_STRING_SIZE - 1] != ' ' || text[PIN_SIZE - 1] != '\n')
                return -EBADMSG;
        text[ULID_STRING_SIZE - 1] = text[PIN_SIZE - 1] = 0;
        if (!ulid_is_valid(text))
                return -EBADMSG;
        r = digest_files(files, digest);
        if (r < 0)
                return r;
        memcpy(ret_ulid, text, ULID_STRING_SIZE);
        return streq(text + ULID_STRING_SIZE, digest);
}
