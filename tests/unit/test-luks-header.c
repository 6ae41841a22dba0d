/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "init/luks-header.h"
#include "test.h"

#define UUID "0e5b6c2f-9d0d-4f8e-8d4e-0f6f3a1f2b3c"
#define COPY 16384

static const LuksExpected expected = { UUID, "aes-xts-plain64", 64 };

#define SLOT(cipher, size, offset)                                                                                              \
        "{\"type\":\"luks2\",\"key_size\":" size ",\"af\":{\"type\":\"luks1\",\"stripes\":4000,\"hash\":\"sha256\"},"           \
        "\"area\":{\"type\":\"raw\",\"offset\":\"" offset "\",\"size\":\"258048\",\"encryption\":\"" cipher "\",\"key_size\":64}}"
#define SEGMENT(cipher, offset, more)                                                                                           \
        "{\"type\":\"crypt\",\"offset\":\"" offset "\",\"size\":\"dynamic\",\"iv_tweak\":\"0\",\"encryption\":\"" cipher "\",\"sector_size\":4096" more "}"
#define DOCUMENT(slots, segments, config)                                                                                       \
        "{\"keyslots\":{" slots "},\"tokens\":{},\"segments\":{" segments "},\"digests\":{},\"config\":{\"json_size\":\"12288\"" config "}}"
#define GOOD_SLOT "\"0\":" SLOT("aes-xts-plain64", "64", "32768")
#define GOOD_SEGMENT "\"0\":" SEGMENT("aes-xts-plain64", "16777216", "")
#define GOOD DOCUMENT(GOOD_SLOT, GOOD_SEGMENT, "")

/* One copy as cryptsetup writes it. */
static void put(char *at, bool second, const char *uuid, const char *json) {
        memset(at, 0, COPY);
        memcpy(at, second ? "SKUL\xba\xbe" : "LUKS\xba\xbe", 6);
        at[7] = 2;
        at[14] = COPY >> 8;
        memcpy(at + 168, uuid, strlen(uuid));
        if (second)
                at[256 + 6] = COPY >> 8;
        memcpy(at + LUKS_HEADER_BEGIN, json, strlen(json));
}

static int check(const char *data, LuksLayout *ret, char *error) {
        uint64_t size;
        int r;

        r = luks_header_size(data, &size, error);
        return r < 0 ? r : luks_header_check(data, size, MIB(64), &expected, ret, error);
}

static void test_good(void **state) {
        char data[2 * COPY], error[LUKS_HEADER_ERROR_MAX] = "";
        LuksLayout l = {};

        put(data, false, UUID, GOOD);
        put(data + COPY, true, UUID, DOCUMENT(GOOD_SLOT ",\"1\":" SLOT("aes-xts-plain64", "64", "290816"), GOOD_SEGMENT, ""));
        if (check(data, &l, error) < 0)
                fail_msg("%s", error);
        assert_int_equal(l.header_size, COPY);
        assert_int_equal(l.data_offset, MIB(16));
        assert_int_equal(l.keyslots_end, 290816 + 258048);
}

static void test_documents(void **state) {
        static const struct {
                const char *json, *message;
        } cases[] = {
                { DOCUMENT(GOOD_SLOT, "\"0\":" SEGMENT("cipher_null-ecb", "16777216", ""), ""), "another cipher" },
                { DOCUMENT(GOOD_SLOT, "\"0\":" SEGMENT("aes-cbc-plain64", "16777216", ""), ""), "another cipher" },
                { DOCUMENT(GOOD_SLOT, "\"0\":" SEGMENT("aes-xts-plain64", "4096", ""), ""), "impossible place" },
                { DOCUMENT(GOOD_SLOT, "\"0\":" SEGMENT("aes-xts-plain64", "67108864", ""), ""), "was cut" },
                { DOCUMENT(GOOD_SLOT, "\"0\":" SEGMENT("aes-xts-plain64", "-1", ""), ""), "impossible place" },
                { DOCUMENT(GOOD_SLOT, "\"0\":" SEGMENT("aes-xts-plain64", "16777216", ",\"integrity\":{}"), ""), "one encrypted segment" },
                { DOCUMENT(GOOD_SLOT, "\"0\":" SEGMENT("aes-xts-plain64", "16777216", ",\"flags\":[\"backup-final\"]"), ""), "one encrypted segment" },
                { DOCUMENT(GOOD_SLOT, GOOD_SEGMENT ",\"1\":" SEGMENT("aes-xts-plain64", "33554432", ""), ""), "one encrypted segment" },
                { DOCUMENT(GOOD_SLOT, "\"0\":{\"type\":\"linear\",\"offset\":\"16777216\",\"size\":\"dynamic\"}", ""), "one encrypted segment" },
                { DOCUMENT(GOOD_SLOT, "", ""), "one encrypted segment" },
                { DOCUMENT("", GOOD_SEGMENT, ""), "no key slot" },
                { DOCUMENT("\"0\":" SLOT("cipher_null-ecb", "64", "32768"), GOOD_SEGMENT, ""), "another cipher" },
                { DOCUMENT("\"0\":" SLOT("aes-xts-plain64", "32", "32768"), GOOD_SEGMENT, ""), "another size" },
                { DOCUMENT("\"0\":" SLOT("aes-xts-plain64", "64", "16384"), GOOD_SEGMENT, ""), "impossible place" },
                { DOCUMENT("\"0\":" SLOT("aes-xts-plain64", "64", "18446744073709551615"), GOOD_SEGMENT, ""), "impossible place" },
                { DOCUMENT(GOOD_SLOT, GOOD_SEGMENT, ",\"requirements\":{\"mandatory\":[\"online-reencrypt-v2\"]}"), "requirements" },
                { "{\"segments\":{},\"segments\":{}}", "damaged" },
                { "{", "damaged" },
                { "", "damaged" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                /* cryptsetup takes the younger of the two copies, so either may be the wrong one. */
                for (int wrong = 0; wrong < 2; wrong++) {
                        char data[2 * COPY], error[LUKS_HEADER_ERROR_MAX] = "";
                        LuksLayout l;

                        put(data, false, UUID, wrong == 0 ? cases[i].json : GOOD);
                        put(data + COPY, true, UUID, wrong == 1 ? cases[i].json : GOOD);
                        assert_error(check(data, &l, error), EBADMSG);
                        if (!strstr(error, cases[i].message))
                                fail_msg("case %zu: no \"%s\" in: %s", i, cases[i].message, error);
                }
}

static void assert_bad(const char *data, const char *message) {
        char error[LUKS_HEADER_ERROR_MAX] = "";
        LuksLayout l;

        assert_error(check(data, &l, error), EBADMSG);
        if (!strstr(error, message))
                fail_msg("no \"%s\" in: %s", message, error);
}

static void test_binary(void **state) {
        char good[2 * COPY], data[2 * COPY];

        put(good, false, UUID, GOOD);
        put(good + COPY, true, UUID, GOOD);
        memset(data, 0, sizeof(data));
        assert_bad(data, "no LUKS2 header");
        memcpy(data, good, sizeof(data));
        data[7] = 1;
        assert_bad(data, "no LUKS2 header");
        memcpy(data, good, sizeof(data));
        data[8] = 1;
        assert_bad(data, "impossible size");
        memcpy(data, good, sizeof(data));
        data[256 + 7] = 1;
        assert_bad(data, "is damaged");
        memcpy(data, good, sizeof(data));
        data[COPY] = 0;
        assert_bad(data, "second copy");
        memcpy(data, good, sizeof(data));
        data[168]++;
        assert_bad(data, "another UUID");
        memcpy(data, good, sizeof(data));
        data[COPY + 168]++;
        assert_bad(data, "another UUID");
        memcpy(data, good, sizeof(data));
        memset(data + 168, 'x', 40);
        assert_bad(data, "another UUID");
        memcpy(data, good, sizeof(data));
        memset(data + LUKS_HEADER_BEGIN, ' ', COPY - LUKS_HEADER_BEGIN);
        assert_bad(data, "no end");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_documents),
                cmocka_unit_test(test_binary),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
