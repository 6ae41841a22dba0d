/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "base/tar.h"

/* A header, tar(5). All fields are bytes of text, not ended where they are full. */
typedef struct Header {
        char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[8], user[32], group[32];
        char device[16], prefix[155], rest[12];
} Header;
_Static_assert(sizeof(Header) == TAR_BLOCK_SIZE, "a header is one block");

/* What an extended header has said of the next member. */
enum {
        SAID_PATH = 1 << 0,
        SAID_LINK = 1 << 1,
        SAID_SIZE = 1 << 2,
        SAID_MTIME = 1 << 3,
        SAID_UID = 1 << 4,
        SAID_GID = 1 << 5,
};

/* What the fields of a header hold at most in octal digits. */
#define OCTAL_7 UINT64_C(07777777)
#define OCTAL_11 UINT64_C(077777777777)

static int fail(TarReader *t, const char *error) {
        t->error = error;
        return -EBADMSG;
}

void tar_reader_done(TarReader *t) {
        strbuf_done(&t->text);
}

static bool is_zero(const char *data, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (data[i] != 0)
                        return false;
        return true;
}

/* Octal digits between spaces, ended by a space, NUL or the field's end; or GNU's base 256, of which the first byte is 0x80, or 0xff where it is negative. */
static bool read_number(const char *field, size_t n, int64_t *ret) {
        const unsigned char *p = (const unsigned char *) field, *end = p + n;
        uint64_t v = 0;

        if (*p == 0x80 || *p == 0xff) {
                bool negative = *p == 0xff;

                v = negative ? UINT64_MAX : 0;
                for (p++; p < end; p++) {
                        if (v >> 56 != (negative ? 0xff : 0))
                                return false;
                        v = v << 8 | *p;
                }
                *ret = (int64_t) v;
                return (*ret < 0) == negative;
        }
        while (p < end && *p == ' ')
                p++;
        for (; p < end && *p >= '0' && *p <= '7'; p++)
                v = v << 3 | (unsigned) (*p - '0');     /* 12 digits at most */
        if (p < end && *p != ' ' && *p != 0)
                return false;
        *ret = (int64_t) v;
        return true;
}

static bool checksum_is_right(const Header *h) {
        const unsigned char *p = (const unsigned char *) h;
        uint64_t sum = 0;
        int64_t said;

        for (size_t i = 0; i < sizeof(Header); i++)
                sum += i >= offsetof(Header, checksum) && i < offsetof(Header, type) ? ' ' : p[i];
        return read_number(h->checksum, sizeof(h->checksum), &said) && (uint64_t) said == sum;
}

static bool set_id(int64_t v, uint32_t *ret) {
        if (v < 0 || v >= UINT32_MAX)
                return false;
        *ret = (uint32_t) v;
        return true;
}

/* A path into one of the reader's own. */
static bool set_path(char *ret, const char *path, size_t n) {
        if (n < 1 || n > TAR_PATH_MAX || memchr(path, 0, n))
                return false;
        memcpy(ret, path, n);
        ret[n] = 0;
        return true;
}

static bool read_decimal(const char **p, const char *end, uint64_t *ret) {
        const char *begin = *p;
        uint64_t v = 0;

        for (; *p < end && **p >= '0' && **p <= '9'; (*p)++)
                if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t) (**p - '0'), &v))
                        return false;
        *ret = v;
        return *p > begin;
}

/* "-1.5" is half a second before -1, so the seconds are -2. More digits than nanoseconds have are cut off. */
static bool read_time(const char *p, const char *end, struct timespec *ret) {
        bool negative = p < end && *p == '-';
        uint64_t sec;
        long nsec = 0, unit = NSEC_PER_SEC / 10;

        p += negative;
        if (!read_decimal(&p, end, &sec) || sec >= INT64_MAX)
                return false;
        if (p < end && *p == '.')
                for (p++; p < end && *p >= '0' && *p <= '9'; p++, unit /= 10)
                        nsec += unit * (*p - '0');
        *ret = (struct timespec) { negative ? -(time_t) sec : (time_t) sec, nsec };
        if (negative && nsec > 0)
                *ret = (struct timespec) { ret->tv_sec - 1, (long) NSEC_PER_SEC - nsec };
        return p == end;
}

static bool key_is(const char *key, size_t n, const char *name) {
        return strlen(name) == n && memcmp(key, name, n) == 0;
}

static int take_record(TarReader *t, const char *key, size_t n_key, const char *value, size_t n) {
        static const struct {
                const char *key;
                unsigned said;
        } keys[] = {
                { "path", SAID_PATH }, { "linkpath", SAID_LINK }, { "size", SAID_SIZE },
                { "mtime", SAID_MTIME }, { "uid", SAID_UID }, { "gid", SAID_GID },
        };
        const char *end = value + n;
        unsigned said = 0;
        uint64_t v = 0;
        bool ok = true;

        if (n_key >= 10 && memcmp(key, "GNU.sparse", 10) == 0)
                return fail(t, "it has a sparse file, which is not supported; make it without --sparse");
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (key_is(key, n_key, keys[i].key))
                        said = keys[i].said;
        if (said == 0)
                return 0;
        if (t->extension == 'g')
                return fail(t, "a global header says what concerns single members");
        if (t->said & said)
                return fail(t, "two extended headers say the same thing of one member");
        switch (said) {
        case SAID_PATH:
                ok = set_path(t->path, value, n);
                break;
        case SAID_LINK:
                ok = set_path(t->link, value, n);
                break;
        case SAID_MTIME:
                ok = read_time(value, end, &t->extended.mtime);
                break;
        default:
                ok = read_decimal(&value, end, &v) && value == end && v <= INT64_MAX;
                if (said == SAID_SIZE)
                        t->extended.size = v;
                else
                        ok = ok && set_id((int64_t) v, said == SAID_UID ? &t->extended.uid : &t->extended.gid);
                break;
        }
        t->said |= said;
        return ok ? 0 : fail(t, "an extended header has a value that is none, or is too long");
}

/* "LENGTH KEY=VALUE\n", where the length is that of all of it. */
static int take_records(TarReader *t) {
        const char *p = t->text.data, *end = p + t->text.size;
        int r;

        while (p < end) {
                const char *record = p, *key, *equals;
                uint64_t length;

                if (!read_decimal(&p, end, &length) || p >= end || *p != ' ' || length > (uint64_t) (end - record) ||
                    length <= (uint64_t) (p + 1 - record) || record[length - 1] != '\n')
                        return fail(t, "an extended header is malformed");
                key = p + 1;
                p = record + length;
                equals = memchr(key, '=', (size_t) (p - 1 - key));
                if (!equals)
                        return fail(t, "an extended header is malformed");
                r = take_record(t, key, (size_t) (equals - key), equals + 1, (size_t) (p - 1 - (equals + 1)));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* GNU's: the name is all there is, with a NUL behind it. */
static int take_long_name(TarReader *t, unsigned said, char *ret) {
        size_t n = t->text.size;

        if (t->said & said)
                return fail(t, "two extended headers say the same thing of one member");
        if (n > 0 && t->text.data[n - 1] == 0)
                n--;
        t->said |= said;
        return set_path(ret, t->text.data, n) ? 0 : fail(t, "a long name is empty or too long");
}

static int take_extension(TarReader *t) {
        int r;

        if (t->text.failed)
                return -ENOMEM;
        switch (t->extension) {
        case 'L':
                r = take_long_name(t, SAID_PATH, t->path);
                break;
        case 'K':
                r = take_long_name(t, SAID_LINK, t->link);
                break;
        default:
                r = take_records(t);
                break;
        }
        t->extension = 0;
        strbuf_done(&t->text);
        return r;
}

static int begin_extension(TarReader *t, const Header *h) {
        int64_t size;

        if (!read_number(h->size, sizeof(h->size), &size) || size < 1)
                return fail(t, "an extended header has no size");
        if (size > TAR_EXTENSION_MAX)
                return fail(t, "an extended header is too long");
        t->extension = h->type;
        t->left = (uint64_t) size;
        t->padding = (unsigned) tar_padding(t->left);
        return 0;
}

/* The name of the header itself, with its prefix. */
static bool read_name(TarReader *t, const Header *h) {
        size_t n = strnlen(h->name, sizeof(h->name)), n_prefix = 0;

        if (memcmp(h->magic, "ustar\0", 6) == 0)
                n_prefix = strnlen(h->prefix, sizeof(h->prefix));
        memcpy(t->path, h->prefix, n_prefix);
        if (n_prefix > 0)
                t->path[n_prefix++] = '/';
        memcpy(t->path + n_prefix, h->name, n);
        t->path[n_prefix + n] = 0;
        return n > 0;
}

/* 0: an extended header; 1: a member. */
static int take_header(TarReader *t, TarMember *ret) {
        int64_t mode, uid, gid, size, mtime;
        bool old = is_zero(((const Header *) t->header)->magic, 8);
        Header h;
        TarMember m;

        memcpy(&h, t->header, sizeof(h));
        if (!checksum_is_right(&h))
                return fail(t, "it is no tar archive, or a damaged one");
        if (!old && memcmp(h.magic, "ustar\0" "00", 8) != 0 && memcmp(h.magic, "ustar  \0", 8) != 0)
                return fail(t, "it is in a format of tar that is not known");
        if (h.type == 'x' || h.type == 'g' || h.type == 'L' || h.type == 'K')
                return begin_extension(t, &h);

        m = t->extended;
        if (!read_number(h.mode, sizeof(h.mode), &mode) || !read_number(h.uid, sizeof(h.uid), &uid) ||
            !read_number(h.gid, sizeof(h.gid), &gid) || !read_number(h.size, sizeof(h.size), &size) ||
            !read_number(h.mtime, sizeof(h.mtime), &mtime) || mode < 0 || size < 0)
                return fail(t, "a header has a number that is none");
        if (!(t->said & SAID_PATH) && !read_name(t, &h))
                return fail(t, "a member has no name");
        if (!(t->said & SAID_LINK) && !set_path(t->link, h.link, strnlen(h.link, sizeof(h.link))))
                t->link[0] = 0;
        if ((!(t->said & SAID_UID) && !set_id(uid, &m.uid)) || (!(t->said & SAID_GID) && !set_id(gid, &m.gid)))
                return fail(t, "a member's owner has no number that can be one");
        if (!(t->said & SAID_MTIME))
                m.mtime = (struct timespec) { .tv_sec = mtime };
        if (!(t->said & SAID_SIZE))
                m.size = (uint64_t) size;
        if (m.size > INT64_MAX - TAR_BLOCK_SIZE)
                return fail(t, "a member is larger than anything can be");

        m.mode = (unsigned) mode & 07777;
        m.type = h.type == 0 || h.type == '7' ? TAR_FILE : (TarType) h.type;
        /* As the oldest archives have directories. */
        if (m.type == TAR_FILE && endswith(t->path, "/"))
                m.type = TAR_DIRECTORY;
        if (m.type < TAR_FILE || m.type > TAR_FIFO)
                return fail(t, h.type == 'S' ? "it has a sparse file, which is not supported; make it without --sparse"
                                             : "it has a member of a kind that is not known");
        if (m.type != TAR_FILE && m.size > 0)
                return fail(t, "a member that is no file has content");
        if ((m.type == TAR_HARD_LINK || m.type == TAR_SYMLINK) != (t->link[0] != 0))
                return fail(t, "a link points to nothing, or something else than a link to something");
        m.path = t->path;
        m.link = t->link;
        t->left = m.size;
        t->padding = (unsigned) tar_padding(m.size);
        t->said = 0;
        t->extended = (TarMember) {};
        *ret = m;
        return 1;
}

int tar_reader_next(TarReader *t, const char **data, size_t *n, TarMember *ret_member, const char **ret_data, size_t *ret_n) {
        int r;

        for (;;) {
                size_t k;

                if (t->error)
                        return -EBADMSG;
                if (t->ended)
                        return TAR_END;
                if (*n == 0)
                        return TAR_MORE;
                if (t->left > 0) {
                        k = (size_t) MIN((uint64_t) *n, t->left);
                        t->left -= k;
                        if (!t->extension) {
                                *ret_data = *data;
                                *ret_n = k;
                        } else
                                strbuf_add(&t->text, *data, k);
                        *data += k;
                        *n -= k;
                        if (!t->extension)
                                return TAR_DATA;
                        r = t->left == 0 ? take_extension(t) : 0;
                        if (r < 0)
                                return r;
                        continue;
                }
                if (t->padding > 0) {
                        k = MIN(*n, (size_t) t->padding);
                        t->padding -= (unsigned) k;
                        *data += k;
                        *n -= k;
                        continue;
                }
                k = MIN(*n, sizeof(t->header) - t->n_header);
                memcpy(t->header + t->n_header, *data, k);
                t->n_header += k;
                *data += k;
                *n -= k;
                if (t->n_header < sizeof(t->header))
                        continue;
                t->n_header = 0;
                if (is_zero(t->header, sizeof(t->header))) {
                        if (t->said)
                                return fail(t, "it ends behind an extended header");
                        t->ended = t->one_zero;
                        t->one_zero = true;
                        continue;
                }
                if (t->one_zero)
                        return fail(t, "it goes on behind its end");
                r = take_header(t, ret_member);
                if (r < 0)
                        return r;
                if (r > 0)
                        return TAR_MEMBER;
        }
}

static void write_octal(char *field, size_t n, uint64_t v) {
        char text[24];

        snprintf(text, sizeof(text), "%0*" PRIo64, (int) n - 1, v);
        memcpy(field, text, n);
}

/* The content of an ustar header; values that do not fit stand in an extended one. */
static void add_header(StrBuf *b, char type, const TarMember *m) {
        const unsigned char *p;
        unsigned sum = 0;
        Header h = {};

        memcpy(h.name, m->path, strnlen(m->path, sizeof(h.name)));
        write_octal(h.mode, sizeof(h.mode), m->mode);
        write_octal(h.uid, sizeof(h.uid), m->uid <= OCTAL_7 ? m->uid : 0);
        write_octal(h.gid, sizeof(h.gid), m->gid <= OCTAL_7 ? m->gid : 0);
        write_octal(h.size, sizeof(h.size), m->size <= OCTAL_11 ? m->size : 0);
        write_octal(h.mtime, sizeof(h.mtime), m->mtime.tv_sec >= 0 && (uint64_t) m->mtime.tv_sec <= OCTAL_11 ? (uint64_t) m->mtime.tv_sec : 0);
        h.type = type;
        memcpy(h.link, m->link, strnlen(m->link, sizeof(h.link)));
        memcpy(h.magic, "ustar\0" "00", sizeof(h.magic));
        memset(h.checksum, ' ', sizeof(h.checksum));
        p = (const unsigned char *) &h;
        for (size_t i = 0; i < sizeof(h); i++)
                sum += p[i];
        write_octal(h.checksum, sizeof(h.checksum) - 1, sum);
        strbuf_add(b, &h, sizeof(h));
}

/* The length at the front of a record counts its own digits. */
static void add_record(StrBuf *b, const char *key, const char *value) {
        size_t body = 1 + strlen(key) + 1 + strlen(value) + 1, digits = 1;

        for (size_t limit = 10; body + digits >= limit; limit *= 10)
                digits++;
        strbuf_addf(b, "%zu %s=%s\n", body + digits, key, value);
}

static void add_number_record(StrBuf *b, const char *key, uint64_t v) {
        char text[24];

        snprintf(text, sizeof(text), "%" PRIu64, v);
        add_record(b, key, text);
}

static void add_time_record(StrBuf *b, const struct timespec *t) {
        bool negative = t->tv_sec < 0;
        uint64_t sec = (uint64_t) t->tv_sec;
        long nsec = t->tv_nsec;
        char text[40];
        int n;

        if (negative) {
                sec = -sec - (nsec > 0);
                nsec = nsec > 0 ? (long) NSEC_PER_SEC - nsec : 0;
        }
        n = snprintf(text, sizeof(text), "%s%" PRIu64 ".%09ld", negative ? "-" : "", sec, nsec);
        while (text[n - 1] == '0')
                n--;
        text[n - (text[n - 1] == '.')] = 0;
        add_record(b, "mtime", text);
}

void tar_add_member(StrBuf *b, const TarMember *m) {
        static const char zeros[TAR_BLOCK_SIZE];
        _cleanup_strbuf_ StrBuf records = {};

        if (strlen(m->path) > sizeof(((Header *) NULL)->name))
                add_record(&records, "path", m->path);
        if (strlen(m->link) > sizeof(((Header *) NULL)->link))
                add_record(&records, "linkpath", m->link);
        if (m->size > OCTAL_11)
                add_number_record(&records, "size", m->size);
        if (m->uid > OCTAL_7)
                add_number_record(&records, "uid", m->uid);
        if (m->gid > OCTAL_7)
                add_number_record(&records, "gid", m->gid);
        if (m->mtime.tv_nsec > 0 || m->mtime.tv_sec < 0 || (uint64_t) m->mtime.tv_sec > OCTAL_11)
                add_time_record(&records, &m->mtime);
        if (records.size > 0) {
                add_header(b, 'x', &(TarMember) { .path = "PaxHeader", .link = "", .mode = 0644, .size = records.size });
                strbuf_add(b, records.data, records.size);
                strbuf_add(b, zeros, tar_padding(records.size));
        }
        b->failed = b->failed || records.failed;
        add_header(b, (char) m->type, m);
}

void tar_add_end(StrBuf *b) {
        static const char zeros[2 * TAR_BLOCK_SIZE];

        strbuf_add(b, zeros, sizeof(zeros));
}
