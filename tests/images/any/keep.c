/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* keep DIRECTORY: says what is mounted there and how often it has been run with what is kept in it, and keeps that on the disk. Needs nothing but libc. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail(const char *what) {
        perror(what);
        return EXIT_FAILURE;
}

int main(int argc, char *argv[]) {
        char line[1024], source[256], target[256];
        FILE *f = fopen("/proc/mounts", "re");
        long n = 0;

        if (argc != 2 || !f || chdir(argv[1]) < 0)
                return fail("keep DIRECTORY");
        while (fgets(line, sizeof(line), f))
                if (sscanf(line, "%255s %255s", source, target) == 2 && strcmp(target, argv[1]) == 0)
                        printf("on %s\n", source);
        fclose(f);
        f = fopen("count", "re");
        if (f) {
                if (fscanf(f, "%ld", &n) != 1)
                        return fail("count");
                fclose(f);
        }
        printf("run %ld times before\n", n);
        f = fopen("count", "we");
        if (!f || fprintf(f, "%ld\n", n + 1) < 0 || fflush(f) != 0 || fsync(fileno(f)) < 0 || fclose(f) != 0)
                return fail("count");
        return EXIT_SUCCESS;
}
