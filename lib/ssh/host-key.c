/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fd.h"
#include "base/sentence.h"
#include "base/str.h"
#include "base/subprocess.h"
#include "layout/layout.h"
#include "ssh/host-key.h"

#define KEY_HEAD "\0\0\0\vssh-ed25519"                  /* a string with its length, as is all that follows */
#define HEAD_SIZE (sizeof(KEY_HEAD) - 1)
enum { PUBLIC_SIZE = 32, FILE_MAX = 4096 };

static char *begun_dir(const char *vm) {
        _cleanup_free_ char *dir = layout_vm_dir(vm);

        return dir ? strjoin(dir, "/.ssh-host-key.new") : NULL;
}

int ssh_host_key_load(const char *vm, uint8_t ret[static SSH_HOST_KEY_SIZE], char **ret_error) {
        static const char second_head[] = { 0, 0, 0, 64 };
        _cleanup_free_ char *path = layout_vm_ssh_host_key(vm), *data = NULL;
        size_t n;
        int r;

        r = path ? read_file_at(AT_FDCWD, path, FILE_MAX, &data, &n) : -ENOMEM;
        if (r == -ENOENT)
                return sentence(ret_error, r, "VM '%s' has no host key yet: its first start with SSHKey= in its definition makes one.", vm);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot read the host key '%s' of VM '%s'", path ?: "", vm);
        if (n != SSH_HOST_KEY_SIZE || memcmp(data, KEY_HEAD, HEAD_SIZE) != 0 || memcmp(data + HEAD_SIZE, second_head, sizeof(second_head)) != 0)
                r = sentence(ret_error, -EBADMSG, "The host key '%s' of VM '%s' is damaged: put it back from a copy, or remove it and the VM gets another one.",
                             path, vm);
        else
                memcpy(ret, data, SSH_HOST_KEY_SIZE);
        explicit_bzero(data, n);
        return r;
}

/* dropbearkey writes a file of mode 0600 under another name, with a number in it, before it has the one that is asked for; a killed one leaves that. So
 * it works in a directory of its own, of which nothing is believed the next time. */
static int make(const char *vm, const char *dir, const char *path, char **ret_error) {
        _cleanup_free_ char *made = strjoin(dir, "/key"), *errors = NULL;
        const char *const argv[] = { SSH_DROPBEARKEY, "-t", "ed25519", "-f", made, NULL };
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!made)
                return -ENOMEM;
        r = mkdir_parents_at(AT_FDCWD, dir, 0700);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot make the directory '%s'", dir);
        r = spawn_run(argv, NULL, NULL, &errors);
        if (r == -ENOENT)
                return sentence(ret_error, -EOPNOTSUPP, "SSHKey= of VM '%s' needs '" SSH_DROPBEARKEY "', which is not there: install dropbear-bin.", vm);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot run '" SSH_DROPBEARKEY "'");
        if (r > 0)
                return sentence(ret_error, -EIO, "Cannot make a host key for VM '%s': '" SSH_DROPBEARKEY "' has failed with exit code %d: %s.", vm, r,
                                spawn_last_line(errors));
        fd = open(made, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0 || rename(made, path) < 0)
                return sentence_errno(ret_error, negative_errno(), "Cannot make the host key '%s'", path);
        r = fsync_parent_at(AT_FDCWD, path);
        return r < 0 ? sentence_errno(ret_error, r, "Cannot write the host key '%s' to the disk", path) : 0;
}

int ssh_host_key_ensure(const char *vm, uint8_t ret[static SSH_HOST_KEY_SIZE], char **ret_error) {
        _cleanup_free_ char *path = layout_vm_ssh_host_key(vm), *dir = begun_dir(vm);
        int r, k;

        if (!path || !dir)
                return -ENOMEM;
        r = ssh_host_key_load(vm, ret, ret_error);
        if (r != -ENOENT)
                return r;
        *ret_error = (free(*ret_error), NULL);
        r = mkdir_parent_of_at(AT_FDCWD, path, 0711);
        if (r >= 0)
                r = remove_tree_at(AT_FDCWD, dir);
        if (r < 0)
                return sentence_errno(ret_error, r, "Cannot make a host key in the directory of '%s'", path);
        r = make(vm, dir, path, ret_error);
        k = remove_tree_at(AT_FDCWD, dir);
        if (r >= 0 && k < 0)
                r = sentence_errno(ret_error, k, "Cannot remove '%s'", dir);
        return r < 0 ? r : ssh_host_key_load(vm, ret, ret_error);
}

int ssh_host_key_remove_beginnings(const char *vm) {
        _cleanup_free_ char *dir = begun_dir(vm);

        return dir ? remove_tree_at(AT_FDCWD, dir) : -ENOMEM;
}

char *ssh_host_key_public(const uint8_t key[static SSH_HOST_KEY_SIZE]) {
        static const uint8_t second_head[] = { 0, 0, 0, PUBLIC_SIZE };
        uint8_t blob[HEAD_SIZE + sizeof(second_head) + PUBLIC_SIZE];
        char text[BASE64_SIZE(sizeof(blob)) + 1] = "";

        memcpy(blob, key, HEAD_SIZE);
        memcpy(blob + HEAD_SIZE, second_head, sizeof(second_head));
        memcpy(blob + HEAD_SIZE + sizeof(second_head), key + SSH_HOST_KEY_SIZE - PUBLIC_SIZE, PUBLIC_SIZE);
        base64_encode(blob, sizeof(blob), text);
        return strjoin("ssh-ed25519 ", text);
}
