/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Words for whoever reads the guest's console: fatal ones, since the serial line is slow, and log.debug's. */

#include "base/macros.h"

/* Needs /dev. */
void console_open(void);
void console_set_debug(bool debug);
/* What has no other way to the host. */
void console_fatal(const char *format, ...) _printf_(1, 2);
/* Goes to the kernel's log, which adds the time, and to the console where the kernel arguments say so ("loglevel=8"). */
void console_debug(const char *format, ...) _printf_(1, 2);
