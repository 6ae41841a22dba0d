/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/fd.h"
#include "base/str.h"
#include "helpers/loop-device.h"

enum { ATTEMPTS = 16 };         /* others ask for free devices, too */

typedef struct Search {
        const char *path;
        char *device;
} Search;

static int look_at(int dir_fd, const char *name, void *userdata) {
        Search *s = userdata;
        _cleanup_free_ char *attribute = strf("%s/loop/backing_file", name), *file = NULL;

        if (!attribute)
                return -ENOMEM;
        if (s->device || !startswith(name, "loop") || read_file_at(dir_fd, attribute, 64 * 1024, &file, NULL) < 0)
                return 0;
        file[strcspn(file, "\n")] = 0;
        if (!streq(file, s->path))
                return 0;
        s->device = strjoin("/dev/", name);
        return s->device ? 0 : -ENOMEM;
}

int loop_device_find(const char *path, char **ret) {
        _cleanup_close_ int dir_fd = open("/sys/block", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        Search s = { .path = path };
        int r;

        if (dir_fd < 0)
                return negative_errno();
        r = dir_for_each(dir_fd, look_at, &s);
        if (r < 0)
                return r;
        if (!s.device)
                return -ENOENT;
        *ret = s.device;
        return 0;
}

static int configure(int control_fd, int file_fd, const char *path, char **ret) {
        struct loop_config config = { .fd = (uint32_t) file_fd, .info = { .lo_flags = LO_FLAGS_DIRECT_IO } };
        _cleanup_free_ char *device = NULL;
        _cleanup_close_ int fd = -EBADF;
        int n = ioctl(control_fd, LOOP_CTL_GET_FREE);

        if (n < 0)
                return negative_errno();
        device = strf("/dev/loop%d", n);
        if (!device)
                return -ENOMEM;
        fd = open(device, O_RDWR | O_CLOEXEC);
        if (fd < 0)
                return negative_errno();
        strncpy((char *) config.info.lo_file_name, path, LO_NAME_SIZE - 1);
        if (ioctl(fd, LOOP_CONFIGURE, &config) < 0)
                return negative_errno();
        *ret = TAKE_PTR(device);
        return 0;
}

int loop_device_attach(const char *path, char **ret) {
        _cleanup_close_ int control_fd = -EBADF, fd = -EBADF;
        int r = loop_device_find(path, ret);

        if (r != -ENOENT)
                return r;
        fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        control_fd = fd < 0 ? -1 : open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        if (control_fd < 0)
                return negative_errno();
        for (unsigned i = 0; i < ATTEMPTS; i++) {
                r = configure(control_fd, fd, path, ret);
                if (r != -EBUSY)
                        break;
        }
        return r;
}

int loop_device_detach(const char *device) {
        _cleanup_close_ int fd = open(device, O_RDONLY | O_CLOEXEC);

        return fd < 0 || ioctl(fd, LOOP_CLR_FD) < 0 ? negative_errno() : 0;
}
