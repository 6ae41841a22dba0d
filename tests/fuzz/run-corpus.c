/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a fuzz target over each file of the folder given, where libFuzzer is not linked in. An empty corpus is a failure. */

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv) {
        size_t n_run = 0;
        struct dirent *de;
        DIR *d;

        if (argc != 2 || !(d = opendir(argv[1]))) {
                fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
                return 2;
        }
        while ((de = readdir(d))) {
                struct stat st;
                uint8_t *buf;
                int fd = openat(dirfd(d), de->d_name, O_RDONLY | O_CLOEXEC);

                if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                        if (fd >= 0)
                                close(fd);
                        continue;
                }
                /* The exact size, so that a sanitizer sees the first byte read past the end. */
                buf = malloc(st.st_size ? st.st_size : 1);
                if (!buf || read(fd, buf, st.st_size) != st.st_size) {
                        fprintf(stderr, "cannot read %s/%s\n", argv[1], de->d_name);
                        return 1;
                }
                close(fd);
                (void) LLVMFuzzerTestOneInput(buf, st.st_size);
                free(buf);
                n_run++;
        }
        closedir(d);
        printf("%zu inputs\n", n_run);
        return n_run > 0 ? 0 : 1;
}
