/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Numbers, sizes, times, signals and names as they stand in definitions and on command lines. All of them take the whole
 * string or fail with -EINVAL (-ERANGE where the number is too large), and set their output on success only. */

#include "base/macros.h"

/* Decimal digits alone: no sign, no space, no prefix. */
int parse_u64(const char *s, uint64_t *ret);
int parse_uint(const char *s, unsigned *ret);
/* 1, yes, y, true, t, on / 0, no, n, false, f, off, in any case (systemd.syntax(7)). */
int parse_boolean(const char *s);
/* Bytes with an optional suffix K, M, G, T, P to the base of 1024, and optional fraction: "512M", "1.5G" (systemd.syntax(7)). */
int parse_size(const char *s, uint64_t *ret);
/* Time spans as in systemd.time(7): "90", "1min 30s", "500ms"; a bare number is seconds. "infinity" is UINT64_MAX. Microseconds. */
int parse_usec(const char *s, uint64_t *ret);
/* Octal file mode of at most four digits. */
int parse_mode(const char *s, unsigned *ret);
/* "SIGTERM", "TERM", "15", "RTMIN+3"; returns the number, -EINVAL. */
int parse_signal(const char *s);
/* "SIGTERM" for 15; "SIGRTMIN+n" for real-time ones; NULL where there is none. The result is static, per call site good until the next call. */
const char *signal_to_string(int signo);
/* Names of VMs: [A-Za-z0-9][A-Za-z0-9_.-]{0,62}. Not "kiln", since the directory of that name below vms/ is the jailer's; and none that ends in
 * the suffix of a unit, for "inferno@web.service" is the unit of VM "web". */
bool vm_name_is_valid(const char *s);
/* What messages say of a name that is none. */
#define VM_NAME_WANTED "wanted are a letter or digit, then letters, digits, \"_\", \".\", \"-\", 63 at most, without a unit's suffix such as " \
                       "\".service\"; \"kiln\" is taken"
/* RFC 1123: labels of letters, digits and inner hyphens, 64 bytes in all at most (HOST_NAME_MAX). */
bool hostname_is_valid(const char *s);
/* Environment variable names as POSIX has them, any case: [A-Za-z_][A-Za-z0-9_]*. */
bool env_name_is_valid(const char *s);
/* 26 characters of Crockford's base 32 in upper case. */
bool ulid_is_valid(const char *s);
