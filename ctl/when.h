/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Moments as they are typed, most of what journalctl(1) takes: systemd.time(7), "PARSING TIMESTAMPS", of which libsystemd offers nothing. */

#include "base/macros.h"

/* "2026-11-21 10:00:00", with less of the time or with a fraction, "2026-11-21", "10:00" (today), "now", "today", "yesterday", "tomorrow", "@SECONDS",
 * "-1h 30min", "+5min", "2 days ago"; those of a calendar are local time, or end with " UTC". `now` and *ret are microseconds since 1970. -EINVAL. */
int parse_when(const char *s, uint64_t now, uint64_t *ret);
