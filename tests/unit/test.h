/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What every unit test includes: cmocka with the headers that it wants before itself. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/macros.h"
#include "base/str.h"

#define assert_ok(expr) assert_true((expr) >= 0)
#define assert_error(expr, error) assert_int_equal(expr, -(error))
