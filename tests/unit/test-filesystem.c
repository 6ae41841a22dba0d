/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "init/filesystem.h"
#include "init/superblock.h"
#include "test.h"

static char data[SUPERBLOCK_BYTES];

static void put16(size_t at, uint16_t value) {
        value = htole16(value);
        memcpy(data + 1024 + at, &value, sizeof(value));
}

static void put32(size_t at, uint32_t value) {
        value = htole32(value);
        memcpy(data + 1024 + at, &value, sizeof(value));
}

/* A clean one of 16384 blocks of 4 KiB. */
static void put_good(void) {
        memset(data, 0, sizeof(data));
        put16(0x38, 0xef53);
        put16(0x3a, 1);
        put32(0x4, 16384);
        put32(0x18, 2);
}

static Superblock parse(void) {
        Superblock s;

        superblock_parse(data, sizeof(data), &s);
        return s;
}

static void test_state(void **state) {
        Superblock s;

        put_good();
        s = parse();
        assert_true(s.ext4);
        assert_int_equal(s.size, MIB(64));
        assert_false(s.needs_check);
        assert_false(s.needs_replay);

        assert_true(s.is_new);

        put32(0x2c, 1700000000);
        assert_false(parse().is_new);
        put32(0x2c, 0);
        put16(0x34, 1);
        assert_false(parse().is_new);

        put32(0x60, 4);         /* killed: the kernel replays the journal, and nobody waits for a check */
        s = parse();
        assert_true(s.needs_replay);
        assert_false(s.needs_check);

        put16(0x3a, 3);         /* found to be wrong */
        assert_true(parse().needs_check);
        put16(0x3a, 0);         /* without a journal, and not unmounted */
        assert_true(parse().needs_check);
        put16(0x3a, 5);         /* orphans, which the kernel removes */
        assert_false(parse().needs_check);
}

static void test_size(void **state) {
        put_good();
        put32(0x150, 1);        /* without 64bit it is something else */
        assert_int_equal(parse().size, MIB(64));
        put32(0x60, 0x80);
        assert_int_equal(parse().size, MIB(64) + ((uint64_t) 1 << 44));
        put32(0x150, UINT32_MAX);
        assert_int_equal(parse().size, 0);
        put_good();
        put32(0x18, 7);
        assert_int_equal(parse().size, 0);
        put32(0x18, UINT32_MAX);
        assert_int_equal(parse().size, 0);
}

/* Whatever the bytes are, and however few. */
static void test_foreign(void **state) {
        static const struct {
                size_t at;
                const char *magic, *name;
        } cases[] = {
                { 0, "XFSB", "xfs" }, { 4086, "SWAPSPACE2", "swap" }, { 65600, "_BHRfS_M", "btrfs" }, { 510, "\x55\xaa", "partition table" },
        };
        Superblock s;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                memset(data, 0, sizeof(data));
                memcpy(data + cases[i].at, cases[i].magic, strlen(cases[i].magic));
                s = parse();
                assert_false(s.ext4);
                assert_non_null(s.other);
                assert_non_null(strstr(s.other, cases[i].name));
        }
        memset(data, 0, sizeof(data));
        assert_null(parse().other);
        put_good();
        for (size_t n = 0; n < 2048; n++) {
                char *exact = malloc(n + 1);

                assert_non_null(exact);
                memcpy(exact, data, n);
                superblock_parse(exact, n, &s);
                assert_false(s.ext4);
                free(exact);
        }
        superblock_parse(data, 2048, &s);
        assert_true(s.ext4);
        for (unsigned round = 0; round < 1000; round++) {
                for (size_t i = 0; i < 2048; i++)
                        data[i] = (char) random();
                put16(0x38, 0xef53);
                s = parse();
                assert_true(s.ext4);
        }
}

static bool is_blank(int fd, uint64_t at, uint64_t size) {
        int r = filesystem_is_blank(fd, at, size);

        assert_true(r >= 0);
        return r > 0;
}

/* Of a file system whose first megabyte is gone there are copies further on, and it is not made anew. */
static void test_blank(void **state) {
        static const struct {
                uint64_t at;
                bool blank;
        } cases[] = {
                { 0, false }, { 4095, false }, { MIB(1), false }, { MIB(16) - 1, false }, { MIB(128), false }, { MIB(3 * 128) + 1000, false },
                { MIB(200), true },
        };
        uint64_t size = MIB(1000);
        int fd = memfd_create("device", MFD_CLOEXEC);

        assert_true(fd >= 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                assert_int_equal(ftruncate(fd, 0), 0);
                assert_int_equal(ftruncate(fd, (off_t) size), 0);
                assert_true(is_blank(fd, 0, size));
                assert_int_equal(pwrite(fd, "x", 1, (off_t) cases[i].at), 1);
                assert_int_equal(is_blank(fd, 0, size), cases[i].blank);
        }
        /* behind a header */
        assert_int_equal(ftruncate(fd, MIB(20)), 0);
        assert_int_equal(pwrite(fd, "x", 1, 100), 1);
        assert_false(is_blank(fd, 0, MIB(20)));
        assert_true(is_blank(fd, MIB(16), MIB(20)));
        close(fd);
}

/* The mark of one volume is none of another's. */
static void test_begun(void **state) {
        const RunVolume a = { .name = (char *) "a", .luks_uuid = (char *) "1" }, b = { .name = (char *) "a" };
        static const uint64_t sizes[] = { MIB(16), MIB(100) + 12345, KIB(4) };
        int fd = memfd_create("device", MFD_CLOEXEC);

        assert_true(fd >= 0);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                assert_int_equal(ftruncate(fd, 0), 0);
                assert_int_equal(ftruncate(fd, (off_t) sizes[i]), 0);
                assert_int_equal(filesystem_was_begun(fd, sizes[i], &a), 0);
                assert_int_equal(filesystem_set_begun(fd, sizes[i], &a, true), 0);
                assert_int_equal(filesystem_was_begun(fd, sizes[i], &a), 1);
                assert_int_equal(filesystem_was_begun(fd, sizes[i], &b), 0);
                assert_int_equal(filesystem_set_begun(fd, sizes[i], &a, false), 0);
                assert_int_equal(filesystem_was_begun(fd, sizes[i], &a), 0);
                assert_true(is_blank(fd, 0, sizes[i]));
        }
        close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_state),
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_foreign),
                cmocka_unit_test(test_blank),
                cmocka_unit_test(test_begun),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
