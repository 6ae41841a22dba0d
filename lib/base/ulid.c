/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/parse.h"
#include "base/ulid.h"

typedef unsigned __int128 Ulid;

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static void encode(Ulid u, char ret[static ULID_STRING_SIZE]) {
        for (int i = ULID_STRING_SIZE - 2; i >= 0; i--, u >>= 5)
                ret[i] = alphabet[u & 31];
        ret[ULID_STRING_SIZE - 1] = 0;
}

static int decode(const char *s, Ulid *ret) {
        Ulid u = 0;

        if (!ulid_is_valid(s))
                return -EINVAL;
        for (; *s; s++)
                u = u << 5 | (Ulid) (strchr(alphabet, *s) - alphabet);
        *ret = u;
        return 0;
}

int ulid_new(const char *previous, char ret[static ULID_STRING_SIZE]) {
        uint8_t rnd[10];
        struct timespec ts;
        Ulid u, last;
        int r;

        if (clock_gettime(CLOCK_REALTIME, &ts) < 0 || getrandom(rnd, sizeof(rnd), 0) != sizeof(rnd))
                return negative_errno();
        u = ((Ulid) ts.tv_sec * 1000 + (Ulid) ts.tv_nsec / (NSEC_PER_USEC * USEC_PER_MSEC)) & ((UINT64_C(1) << 48) - 1);
        for (size_t i = 0; i < sizeof(rnd); i++)
                u = u << 8 | rnd[i];
        if (previous) {
                r = decode(previous, &last);
                if (r < 0)
                        return r;
                if (u >> 80 <= last >> 80) {
                        if (++last == 0)
                                return -ERANGE;
                        u = last;
                }
        }
        encode(u, ret);
        return 0;
}

int ulid_get_usec(const char *ulid, uint64_t *ret) {
        Ulid u;
        int r = decode(ulid, &u);

        if (r < 0)
                return r;
        *ret = (uint64_t) (u >> 80) * USEC_PER_MSEC;
        return 0;
}
