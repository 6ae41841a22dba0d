/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>
#include <unistd.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/wire.h"
#include "init/init.h"
#include "init/launch.h"

static int say(int fd, const char *text) {
        return write_full(fd, text, strlen(text));
}

int main(int argc, char **argv) {
        bool launcher = argc > 0 && strcmp(argv[0], WIRE_LAUNCHER) == 0;        /* which may be the first of a namespace of processes, too */

        if (launcher && argc > 1 && argv[1][0] != '-')
                return launch_run(argc, argv);
        if (!launcher && getpid() == 1) {
                init_run();
                return EXIT_FAILED;     /* the kernel panics then, which ends the virtual machine as well */
        }
        if (argc == 2 && strcmp(argv[1], "--version") == 0)
                return say(STDOUT_FILENO, "init (inferno) " INFERNO_VERSION "\n") < 0 ? EXIT_FAILED : EXIT_OK;
        if (argc == 2 && strcmp(argv[1], "--help") == 0)
                return say(STDOUT_FILENO,
                                "Usage: init\n"
                                "PID 1 of Inferno's guests: sets up what /inferno/run.json of the initramfs says and runs it.\n"
                                "It is put into the initramfs by inferno-initramfs(8) and is not run on a host.\n") < 0
                               ? EXIT_FAILED
                               : EXIT_OK;
        (void) say(STDERR_FILENO, "init: this is PID 1 of a guest, not a program for a host; see --help\n");
        return EXIT_USAGE;
}
