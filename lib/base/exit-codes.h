/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the exit codes of Inferno's programs mean. The helpers' are those of sysexits.h; kiln's are the workload's own,
 * with docker-run(1)'s and podman-run(1)'s meanings of 125 to 127 and the shell's 128+n. */

enum {
        EXIT_OK = 0,
        EXIT_FAILED = 1,                /* a reason without a code of its own */
        EXIT_USAGE = 2,                 /* wrong command line */
        EXIT_BAD_DATA = 65,             /* EX_DATAERR: an image, a JSON document, the database is malformed */
        EXIT_NOT_FOUND = 66,            /* EX_NOINPUT: a definition, image, kernel or file that is named does not exist */
        EXIT_UNAVAILABLE = 69,          /* EX_UNAVAILABLE: a tool, registry or kernel facility is missing */
        EXIT_INTERNAL = 70,             /* EX_SOFTWARE */
        EXIT_SYSTEM = 71,               /* EX_OSERR: a system call failed, a resource ran out */
        EXIT_CANNOT_WRITE = 73,         /* EX_CANTCREAT: no space, read-only file system */
        EXIT_BUSY = 75,                 /* EX_TEMPFAIL: somebody else has it: a lock for too long, a port */
        EXIT_NEWER_DATA = 76,           /* EX_PROTOCOL: the database was made by a newer Inferno */
        EXIT_NO_PERMISSION = 77,        /* EX_NOPERM */
        EXIT_BAD_DEFINITION = 78,       /* EX_CONFIG: the definition or inferno.conf is wrong */

        EXIT_GUEST_PANIC = 121,         /* the guest's kernel panicked */
        EXIT_VMM_FAILED = 122,          /* the VMM crashed, could not start, or was killed */
        EXIT_GUEST_LOST = 123,          /* the guest ended without saying how its workload ended */
        EXIT_SETUP_FAILED = 125,        /* the workload could not be set up, in the guest or before it */
        EXIT_CANNOT_EXEC = 126,
        EXIT_COMMAND_NOT_FOUND = 127,
        EXIT_SIGNAL_BASE = 128,         /* 128 + n: the workload died by signal n */
};

/* The helper exit code that tells a negative errno best; EXIT_FAILED where none does. */
int exit_code_from_errno(int error);
