/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/str.h"
#include "vmm/qemu-command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken has to make a command line, or be refused in words. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(vmm_config_freep) VmmConfig *c = NULL;
        _cleanup_strv_ char **argv = NULL;
        char error[JSON_ERROR_MAX] = "";
        int r;

        r = vmm_config_parse(data, size, &c, error);
        if (r == -EBADMSG && !*error)
                abort();
        if (r < 0)
                return 0;
        r = qemu_command(c, &(QemuOptions) { .program = "/q", .id = "x", .sandbox = true, .qmp_fd = 3, .vhost_fd = 4 }, &argv, error);
        if (r < 0 && r != -ENOMEM && !*error)
                abort();
        return 0;
}
