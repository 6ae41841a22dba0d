/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* For test-kiln-life.c: a process that stands where the VMM stands and does on its sockets what Firecracker and init do. */

/* What main() of the test calls when it was started as the VMM: "--id ID --api-sock SOCKET --config-file FILE". The file names the
 * play. Returns the VMM's exit code. */
int kiln_guest_main(int argc, char **argv);
