/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What nobody but the image itself may run: a program, or with -DLIBRARY a library, that says on the guest's console that it was used, and fails. */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void say(const char *name) {
        int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
        char line[256];
        int n = snprintf(line, sizeof(line), "<2>the image's own %s was used\n", name);

        (void) !write(fd >= 0 ? fd : STDERR_FILENO, line, (size_t) n);
}

#ifdef LIBRARY
__attribute__((constructor)) static void on_load(void) {
        say(LIBRARY);
        _exit(42);
}

void needed(void);
void needed(void) {
}
#else
#ifdef LINKED
void needed(void);
#endif

int main(int argc, char *argv[]) {
#ifdef LINKED
        needed();
#endif
        say(argv[0]);
        return 42;
}
#endif
