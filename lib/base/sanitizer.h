/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* For main.c of programs that run in a jail: there is no /proc there, without which LeakSanitizer cannot work and would fail them. Elsewhere
 * it looks for leaks as ever. Nothing in builds without a sanitizer. */

#include <unistd.h>

#if defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    define BUILT_WITH_ASAN 1
#  endif
#elif defined(__SANITIZE_ADDRESS__)
#  define BUILT_WITH_ASAN 1
#endif

#ifdef BUILT_WITH_ASAN
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) {
        return access("/proc/self/task", F_OK) < 0;
}
#endif
