/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The whole of inferno-jailer: main() is this. */

/* Does not return where the program could be run in this process; otherwise an exit code. */
int jailer_run(char **argv);
