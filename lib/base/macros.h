/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Scope-bound clean-up, ownership transfer and small arithmetic, as systemd's and c-util's code has them. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))
#define _noreturn_ __attribute__((noreturn))
#define _const_ __attribute__((const))
#define _pure_ __attribute__((pure))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))

#define MIN(a, b) ({ typeof(a) _a = (a); typeof(b) _b = (b); _a < _b ? _a : _b; })
#define MAX(a, b) ({ typeof(a) _a = (a); typeof(b) _b = (b); _a > _b ? _a : _b; })

#define TAKE_PTR(p) ({ typeof(p) _taken = (p); (p) = NULL; _taken; })
#define TAKE_FD(fd) ({ int _taken = (fd); (fd) = -EBADF; _taken; })

#define PTR_TO_UINT(p) ((unsigned) (uintptr_t) (p))
#define UINT_TO_PTR(u) ((void *) (uintptr_t) (u))

#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
#define NSEC_PER_SEC UINT64_C(1000000000)
#define NSEC_PER_USEC UINT64_C(1000)

#define KIB(n) (UINT64_C(1024) * (n))
#define MIB(n) (UINT64_C(1024) * KIB(n))
#define GIB(n) (UINT64_C(1024) * MIB(n))

/* Defines name##p(), which frees *p by func() unless it is NULL: for _cleanup_(). */
#define DEFINE_TRIVIAL_CLEANUP_FUNC(type, func)         \
        static inline _unused_ void func##p(type *p) {  \
                if (*p)                                 \
                        (void) func(*p);                \
        }

static inline void freep(void *p) {
        free(*(void **) p);
}
#define _cleanup_free_ _cleanup_(freep)

DEFINE_TRIVIAL_CLEANUP_FUNC(FILE *, fclose)
#define _cleanup_fclose_ _cleanup_(fclosep)

/* Negative errno of the call that has just failed; never 0, whatever libc did. */
static inline int negative_errno(void) {
        return errno > 0 ? -errno : -EIO;
}

/* Appends one element's room to an array of n elements; amortised doubling. Returns the new slot or NULL. */
#define GREEDY_APPEND(array, n)                                                                       \
        ({                                                                                            \
                typeof(array) *_arr = &(array);                                                       \
                size_t _n = (n);                                                                      \
                typeof(*_arr) _slot = NULL;                                                           \
                if ((_n & (_n - 1)) == 0) {                                                           \
                        typeof(*_arr) _q = reallocarray(*_arr, _n == 0 ? 1 : _n * 2, sizeof(**_arr)); \
                        if (_q) {                                                                     \
                                *_arr = _q;                                                           \
                                _slot = _q + _n;                                                      \
                        }                                                                             \
                } else                                                                                \
                        _slot = *_arr + _n;                                                           \
                _slot;                                                                                \
        })
