/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Whether hardware virtualisation works here, not only whether its device file is there. */

#include "base/macros.h"

/* 0 where a guest has just run an instruction and halted as it should. -ENOENT, -EACCES …: no /dev/kvm for us; -ENODEV: it does not do
 * what it says; -ETIMEDOUT: its guest did not come back within a second. Takes about a millisecond where all is well. */
int kvm_probe(void);
