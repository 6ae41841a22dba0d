/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What has to be in a jail besides ember itself and the libraries that ember and QEMU need (DT_NEEDED, transitively), at the same
 * paths as on the host. The list is what QEMU opens for the machine that qemu-command.c describes, on Debian and on what is laid out like
 * it: a path that the host does not have is not needed there.
 *
 * Modules are opened by QEMU at run time; their own libraries are among QEMU's, but a bundler should resolve them all the same.
 * Of devices ember needs /dev/net/tun where there is a network interface, and takes /dev/kvm where it works. Nothing of /proc, /sys,
 * /tmp or the environment is used. */

#define EMBER_QEMU "/usr/bin/qemu-system-x86_64"

/* ELF files that QEMU loads by name, one of each list entry's candidates per distribution. */
#define EMBER_QEMU_MODULES                                                      \
        {                                                                       \
                "/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so",           \
                "/usr/lib64/qemu/accel-tcg-x86_64.so",                          \
                "/usr/lib/qemu/accel-tcg-x86_64.so",                            \
        }

/* Firmware: the microvm machine's BIOS, and the loader of ELF kernels. */
#define EMBER_QEMU_DATA                                                         \
        {                                                                       \
                "/usr/share/qemu/qboot.rom", "/usr/share/qboot/qboot.rom",      \
                "/usr/share/seabios/qboot.rom", "/usr/share/qemu/pvh.bin",      \
        }

/* What ember and QEMU together need in emulation beyond the guest's own memory: libraries, translated code (its buffer has a fixed size),
 * device state. For limits like MemoryMax=. */
#define EMBER_OVERHEAD_MIB 192
