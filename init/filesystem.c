/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "init/console.h"
#include "init/filesystem.h"
#include "init/program.h"
#include "init/superblock.h"

/* linux/fs.h, which does not go together with sys/mount.h. */
#define DEVICE_GET_SIZE64 _IOR(0x12, 114, size_t)

#define BLANK_BYTES MIB(16)             /* what ext4 has at its beginning for certain */
#define GROUP_BYTES MIB(128)            /* of blocks of 4 KiB; some groups begin with a copy of the superblock */

#define MARK_FROM_END KIB(512)

enum {
        PIECE_BYTES = 64 * 1024,
        MARK_BYTES = 4096,
        /* e2fsck(8), a bit each */
        FSCK_CORRECTED = 1,
        FSCK_REBOOT = 2,
        FSCK_UNCORRECTED = 4,
};

static int fail(const RunVolume *v, Failure *failure, int r, const char *reason) {
        return failure_set(failure, r, "volume \"%s\" (%s): %s", v->name, v->device, reason);
}

static int fail_errno(const RunVolume *v, Failure *failure, int r, const char *what) {
        return failure_set(failure, r, "volume \"%s\" (%s): cannot %s: %m", v->name, v->device, what);
}

/* Whether a piece that begins in the device is zero as far as that goes. */
static int is_zero_at(int fd, uint64_t at, char buf[static PIECE_BYTES]) {
        ssize_t n = pread(fd, buf, PIECE_BYTES, (off_t) at);

        if (n < 0)
                return negative_errno();
        return n == 0 || (buf[0] == 0 && memcmp(buf, buf + 1, (size_t) n - 1) == 0);
}

int filesystem_is_blank(int device_fd, uint64_t at, uint64_t device_size) {
        static const unsigned groups[] = { 1, 3, 5, 7, 9, 25, 27, 49, 81 };
        _cleanup_free_ char *buf = malloc(PIECE_BYTES);
        int r = 1;

        if (!buf)
                return -ENOMEM;
        for (uint64_t i = at; i < MIN(at + BLANK_BYTES, device_size) && r > 0; i += PIECE_BYTES)
                r = is_zero_at(device_fd, i, buf);
        for (size_t i = 0; i < ELEMENTSOF(groups) && at + groups[i] * GROUP_BYTES < device_size && r > 0; i++)
                r = is_zero_at(device_fd, at + groups[i] * GROUP_BYTES, buf);
        return r;
}

/* While a file system is being made, a block near the end of the device, where mke2fs puts nothing, says so: what was cut off is not blank any more, and
 * is begun anew. A workload can have the same bytes in a file there; but then its file system has been mounted, and is not new. */
static void mark_format(const RunVolume *v, char buf[static MARK_BYTES]) {
        memset(buf, 0, MARK_BYTES);
        snprintf(buf, MARK_BYTES, "Inferno has begun to make the file system of volume %s %s\n", v->name, v->luks_uuid ?: "");
}

static uint64_t mark_at(uint64_t device_size) {
        return (device_size - MIN(device_size, MARK_FROM_END)) / MARK_BYTES * MARK_BYTES;
}

int filesystem_was_begun(int device_fd, uint64_t device_size, const RunVolume *v) {
        char expected[MARK_BYTES], buf[MARK_BYTES];
        ssize_t n;

        mark_format(v, expected);
        n = pread(device_fd, buf, sizeof(buf), (off_t) mark_at(device_size));
        if (n < 0)
                return negative_errno();
        return n == MARK_BYTES && memcmp(buf, expected, MARK_BYTES) == 0;
}

int filesystem_set_begun(int device_fd, uint64_t device_size, const RunVolume *v, bool begun) {
        char buf[MARK_BYTES] = {};
        ssize_t n;

        if (begun)
                mark_format(v, buf);
        n = pwrite(device_fd, buf, sizeof(buf), (off_t) mark_at(device_size));
        if (n != MARK_BYTES)
                return n < 0 ? negative_errno() : -EIO;
        return fsync(device_fd) < 0 ? negative_errno() : 0;
}

static int set_begun(const RunVolume *v, const char *device, uint64_t size, bool begun, Failure *failure) {
        _cleanup_close_ int fd = open(device, O_RDWR | O_CLOEXEC);
        int r = fd < 0 ? negative_errno() : filesystem_set_begun(fd, size, v, begun);

        return r < 0 ? fail_errno(v, failure, r, "write to it") : 0;
}

static int make(const RunVolume *v, const char *device, uint64_t size, Failure *failure) {
        char program[PROGRAM_PATH_MAX], said[PROGRAM_SAID_MAX];
        int r;

        if (v->read_only)
                return fail(v, failure, ENODATA, "it is blank, and attached for reading: a VM that has it for writing makes its file system");
        if (!v->make_fs)
                return fail(v, failure, ENODATA, "it is blank, and mkfs=none keeps its file system from being made");
        if (program_find("mke2fs", program) < 0)
                return fail(v, failure, ENOENT, "it is blank, and there is no mke2fs in the initramfs");
        r = set_begun(v, device, size, true, failure);
        if (r < 0)
                return r;
        r = program_run((const char *const []) {
                        program, "-q", "-F", "-t", "ext4", "-m", "0", "-b", "4096", "-I", "256", "-i", "16384",
                        "-O", "none,ext_attr,dir_index,filetype,extent,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,"
                              "has_journal,metadata_csum,64bit,resize_inode",
                        "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0", device, NULL },
                NULL, 0, said);
        if (r < 0)
                return fail_errno(v, failure, r, "run mke2fs");
        if (r > 0)
                return failure_set(failure, EIO, "volume \"%s\" (%s): mke2fs cannot make a file system (exit status %d): %s", v->name, v->device, r, said);
        r = set_begun(v, device, size, false, failure);
        if (r < 0)
                return r;
        console_debug("volume \"%s\" was blank and has a new file system", v->name);
        return 0;
}

static int check(const RunVolume *v, const char *device, Failure *failure) {
        char program[PROGRAM_PATH_MAX], said[PROGRAM_SAID_MAX];
        int r;

        if (program_find("e2fsck", program) < 0)
                return fail(v, failure, ENOENT, "its file system has to be checked, and there is no e2fsck in the initramfs");
        console_fatal("volume \"%s\": its file system was found to be wrong, and is being checked", v->name);
        r = program_run((const char *const []) { program, "-p", device, NULL }, NULL, 0, said);
        if (r < 0)
                return fail_errno(v, failure, r, "run e2fsck");
        if (r == 0 || r == FSCK_CORRECTED) {
                console_fatal("volume \"%s\": e2fsck has %s: %s", v->name, r == 0 ? "found nothing wrong" : "mended its file system", said);
                return 0;
        }
        if (r < FSCK_UNCORRECTED && (r & FSCK_REBOOT))
                return failure_set(failure, EAGAIN, "volume \"%s\" (%s): e2fsck has mended its file system and asks for a restart: start the VM again",
                                   v->name, v->device);
        if (r & FSCK_UNCORRECTED)
                return failure_set(failure, EUCLEAN, "volume \"%s\" (%s): its file system has errors that e2fsck does not mend by itself; "
                                   "\"REPAIR\" in inferno-volume(8) says how to do it by hand: %s", v->name, v->device, said);
        return failure_set(failure, EIO, "volume \"%s\" (%s): e2fsck cannot check its file system (exit status %d): %s", v->name, v->device, r, said);
}

static int refuse(const RunVolume *v, const Superblock *s, Failure *failure) {
        if (s->other)
                return failure_set(failure, EMEDIUMTYPE, "volume \"%s\" (%s): it holds %s where a file system of ext4 should be; nothing was written to it",
                                   v->name, v->device, s->other);
        return fail(v, failure, EMEDIUMTYPE, "it holds no file system of ext4 and yet is not blank, so nothing was written to it");
}

static int examine(const RunVolume *v, int fd, uint64_t size, bool *blank, Superblock *ret, Failure *failure) {
        _cleanup_free_ char *data = malloc(SUPERBLOCK_BYTES);
        ssize_t n;
        int r;

        n = data ? pread(fd, data, SUPERBLOCK_BYTES, 0) : -1;
        if (n < 0)
                return fail_errno(v, failure, errno, "read its beginning");
        superblock_parse(data, (size_t) n, ret);
        r = ret->ext4 && !ret->is_new ? 0 : filesystem_was_begun(fd, size, v);
        if (r == 0 && !ret->ext4 && !v->luks_uuid)
                r = filesystem_is_blank(fd, 0, size);
        if (r < 0)
                return fail_errno(v, failure, r, "read its beginning");
        *blank = r > 0;
        return 0;
}

int filesystem_prepare(const RunVolume *v, const char *device, bool blank, Failure *failure) {
        _cleanup_close_ int fd = open(device, O_RDONLY | O_CLOEXEC);
        Superblock s = {};
        uint64_t size;
        int r;

        if (fd < 0 || ioctl(fd, DEVICE_GET_SIZE64, &size) < 0)
                return fail_errno(v, failure, errno, "look at its size");
        r = blank ? 0 : examine(v, fd, size, &blank, &s, failure);
        if (r < 0)
                return r;
        fd = safe_close(fd);
        if (blank)
                return make(v, device, size, failure);
        if (!s.ext4)
                return refuse(v, &s, failure);
        if (s.size == 0)
                return fail(v, failure, EUCLEAN, "the superblock of its file system is damaged; \"REPAIR\" in inferno-volume(8) says how to mend it by hand");
        if (s.size > size)
                return failure_set(failure, EUCLEAN, "volume \"%s\" (%s): its file system takes %llu MiB, and it has %llu: it was cut", v->name, v->device,
                                   (unsigned long long) (s.size / MIB(1)), (unsigned long long) (size / MIB(1)));
        if (v->read_only && s.needs_replay)
                return fail(v, failure, EROFS, "it was not unmounted, and is attached for reading: a VM that has it for writing writes its journal back");
        return s.needs_check && !v->read_only ? check(v, device, failure) : 0;
}
