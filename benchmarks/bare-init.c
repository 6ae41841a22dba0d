/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The least that a guest can do: PID 1 that prints a line and restarts. What a start of a VM is measured against. */

#include <sys/reboot.h>
#include <unistd.h>

int main(void) {
        (void) !write(STDOUT_FILENO, "ready\n", 6);
        return reboot(RB_AUTOBOOT);
}
