/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>
#include <string.h>

#include "base/parse.h"
#include "base/str.h"
#include "init/luks-header.h"
#include "json/json.h"

/* The binary header, big-endian. */
typedef struct LuksBinary {
        char magic[6];
        uint16_t version;
        uint64_t header_size;
        uint64_t seqid;
        char label[48];
        char checksum_algorithm[32];
        uint8_t salt[64];
        char uuid[40];
        char subsystem[48];
        uint64_t header_offset;
        char padding[184];
        uint8_t checksum[64];
} __attribute__((packed)) LuksBinary;
_Static_assert(sizeof(LuksBinary) == 512, "the header as it is on the disk");

static const char magic_first[6] = "LUKS\xba\xbe", magic_second[6] = "SKUL\xba\xbe";

static int bad(char *error, const char *reason) {
        snprintf(error, LUKS_HEADER_ERROR_MAX, "%s", reason);
        return -EBADMSG;
}

int luks_header_size(const void *data, uint64_t *ret, char *error) {
        LuksBinary b;
        uint64_t size;

        memcpy(&b, data, sizeof(b));
        if (memcmp(b.magic, magic_first, sizeof(b.magic)) != 0 || be16toh(b.version) != 2)
                return bad(error, "it has no LUKS2 header");
        size = be64toh(b.header_size);
        if (size < 16 * 1024 || size > LUKS_COPY_MAX || (size & (size - 1)) != 0)
                return bad(error, "its LUKS2 header has an impossible size");
        *ret = size;
        return 0;
}

static const char *string_of(json_t *object, const char *key) {
        return json_string_value(json_object_get(object, key)) ?: "";
}

/* Numbers of 64 bits are strings in LUKS2. */
static int number_of(json_t *object, const char *key, uint64_t *ret) {
        return parse_u64(string_of(object, key), ret);
}

static int check_keyslot(json_t *slot, const LuksExpected *expected, const LuksLayout *l, uint64_t *ret_end, char *error) {
        json_t *area = json_object_get(slot, "area");
        uint64_t offset, size;

        if (!streq(string_of(slot, "type"), "luks2") || json_integer_value(json_object_get(slot, "key_size")) != expected->key_bytes)
                return bad(error, "a key slot of its header has another type, or a key of another size, than when it was made");
        if (!streq(string_of(area, "type"), "raw") || !streq(string_of(area, "encryption"), expected->cipher))
                return bad(error, "a key slot of its header has another cipher than when it was made");
        if (number_of(area, "offset", &offset) < 0 || number_of(area, "size", &size) < 0 || offset < 2 * l->header_size ||
            offset > l->data_offset || size > l->data_offset - offset || size > LUKS_COPY_MAX)
                return bad(error, "a key slot of its header is in an impossible place");
        *ret_end = offset + size;
        return 0;
}

static int check_segment(json_t *segments, uint64_t device_size, const LuksExpected *expected, LuksLayout *l, char *error) {
        json_t *segment = json_object_get(segments, "0");
        json_int_t sector_size = json_integer_value(json_object_get(segment, "sector_size"));

        if (json_object_size(segments) != 1 || !streq(string_of(segment, "type"), "crypt") || json_object_get(segment, "integrity") ||
            json_object_get(segment, "flags"))
                return bad(error, "its header does not have the one encrypted segment that it was made with");
        if (!streq(string_of(segment, "encryption"), expected->cipher))
                return bad(error, "its header has another cipher than when it was made");
        if (!streq(string_of(segment, "iv_tweak"), "0") || !streq(string_of(segment, "size"), "dynamic") ||
            (sector_size != 512 && sector_size != 4096))
                return bad(error, "the encrypted segment of its header is not as it was made");
        if (number_of(segment, "offset", &l->data_offset) < 0 || l->data_offset < 2 * l->header_size || l->data_offset % 4096 != 0 ||
            l->data_offset >= device_size)
                return bad(error, "its data begin in an impossible place, or the volume was cut");
        return 0;
}

/* Nothing but what cryptsetup luksFormat writes: no requirements (a reencryption that goes on), no flags. */
static int check_config(json_t *config, char *error) {
        if (json_object_get(config, "requirements") || json_object_get(config, "flags"))
                return bad(error, "its header has requirements that it was not made with");
        return 0;
}

static int check_json(json_t *j, uint64_t device_size, const LuksExpected *expected, LuksLayout *l, char *error) {
        json_t *keyslots = json_object_get(j, "keyslots"), *slot;
        const char *name;
        int r;

        r = check_config(json_object_get(j, "config"), error);
        if (r >= 0)
                r = check_segment(json_object_get(j, "segments"), device_size, expected, l, error);
        if (r < 0)
                return r;
        if (json_object_size(keyslots) < 1 || json_object_size(keyslots) > 32)
                return bad(error, "its header has no key slot");
        json_object_foreach(keyslots, name, slot) {
                uint64_t end = 0;

                r = check_keyslot(slot, expected, l, &end, error);
                if (r < 0)
                        return r;
                l->keyslots_end = MAX(l->keyslots_end, end);
        }
        return 0;
}

static int check_copy(const char *data, const char *magic, uint64_t at, uint64_t device_size, const LuksExpected *expected, LuksLayout *l, char *error) {
        const char *text = data + LUKS_HEADER_BEGIN;
        size_t room = (size_t) l->header_size - LUKS_HEADER_BEGIN, n = strnlen(text, room);
        _cleanup_json_ json_t *j = NULL;
        char why[JSON_ERROR_MAX] = "";
        LuksBinary b;
        int r;

        memcpy(&b, data, sizeof(b));
        if (memcmp(b.magic, magic, sizeof(b.magic)) != 0 || be16toh(b.version) != 2 || be64toh(b.header_size) != l->header_size ||
            be64toh(b.header_offset) != at)
                return bad(error, at == 0 ? "its LUKS2 header is damaged" : "the second copy of its LUKS2 header is damaged");
        if (strnlen(b.uuid, sizeof(b.uuid)) == sizeof(b.uuid) || !streq(b.uuid, expected->uuid))
                return bad(error, "its header has another UUID than when it was made");
        if (n == room)
                return bad(error, "the description in its LUKS2 header has no end");
        r = json_parse(text, n, room, &j, why);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return bad(error, "the description in its LUKS2 header is damaged");
        return check_json(j, device_size, expected, l, error);
}

int luks_header_check(const void *data, uint64_t header_size, uint64_t device_size, const LuksExpected *expected, LuksLayout *ret, char *error) {
        LuksLayout first = { .header_size = header_size }, second = first;
        int r;

        /* cryptsetup takes the younger of the two, so both have to be right. */
        r = check_copy(data, magic_first, 0, device_size, expected, &first, error);
        if (r >= 0)
                r = check_copy((const char *) data + header_size, magic_second, header_size, device_size, expected, &second, error);
        if (r < 0)
                return r;
        if (first.data_offset != second.data_offset)
                return bad(error, "the two copies of its LUKS2 header do not agree");
        first.keyslots_end = MAX(first.keyslots_end, second.keyslots_end);
        *ret = first;
        return 0;
}
