/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest of ember's tests: a static PID 1 that does over vsock what the host's side tells it on port 52, one command per line, one
 * line of answer each. Port 53 echoes. */

#include <errno.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <fcntl.h>
#include <unistd.h>

#include "pattern.h"

enum { CHUNK = 65536, FLOOD_MAX = 4096 };

static char chunk[CHUNK];

static int connect_host(unsigned cid, unsigned port) {
        struct sockaddr_vm sa = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0) {
                int e = errno;

                close(fd);
                return -e;
        }
        return fd;
}

/* Returns how many bytes went. */
static uint64_t send_pattern(int fd, uint64_t seed, uint64_t size) {
        uint64_t done = 0;

        while (done < size) {
                size_t n = size - done < CHUNK ? size - done : CHUNK;
                ssize_t k;

                pattern_fill(chunk, seed, done, n);
                for (size_t at = 0; at < n; at += (size_t) k) {
                        k = send(fd, chunk + at, n - at, MSG_NOSIGNAL);
                        if (k <= 0)
                                return done + at;
                }
                done += n;
        }
        return done;
}

/* Until EOF; UINT64_MAX where a byte is wrong. */
static uint64_t receive_pattern(int fd, uint64_t seed) {
        uint64_t done = 0;

        for (;;) {
                ssize_t n = read(fd, chunk, CHUNK);

                if (n <= 0)
                        return done;
                if (!pattern_matches(chunk, seed, done, (size_t) n))
                        return UINT64_MAX;
                done += (uint64_t) n;
        }
}

static unsigned flood(unsigned cid, unsigned port, unsigned count, unsigned *ret_reset, int hold) {
        static int fds[FLOOD_MAX];
        unsigned n = 0;

        *ret_reset = 0;
        for (unsigned i = 0; i < count; i++) {
                int fd = connect_host(cid, port);

                if (fd == -ECONNRESET)
                        (*ret_reset)++;
                if (fd < 0)
                        continue;
                if (hold && n < FLOOD_MAX)
                        fds[n] = fd;
                else
                        close(fd);
                n++;
        }
        for (unsigned i = 0; hold && i < n; i++)
                close(fds[i]);
        return n;
}

static void command(FILE *f, char *line) {
        unsigned long long a = 0, b = 0, c = 0;
        unsigned reset;
        char verb[32] = "";
        int fd;

        if (sscanf(line, "%31s %llu %llu %llu", verb, &a, &b, &c) < 1)
                return;
        if (strcmp(verb, "connect") == 0) {             /* connect CID PORT */
                fd = connect_host((unsigned) a, (unsigned) b);
                fprintf(f, "%s\n", fd < 0 ? strerrorname_np(-fd) : "ok");
                if (fd >= 0)
                        close(fd);
        } else if (strcmp(verb, "send") == 0) {         /* send PORT SEED SIZE, then wait for the host to close */
                uint64_t n = 0;

                fd = connect_host(2, (unsigned) a);
                if (fd >= 0) {
                        n = send_pattern(fd, b, c);
                        (void) !read(fd, chunk, 1);
                        close(fd);
                }
                fprintf(f, "%llu\n", (unsigned long long) n);
        } else if (strcmp(verb, "sendclose") == 0) {    /* the same, and close at once */
                fd = connect_host(2, (unsigned) a);
                fprintf(f, "%llu\n", fd < 0 ? 0 : (unsigned long long) send_pattern(fd, b, c));
                close(fd);
        } else if (strcmp(verb, "receive") == 0) {      /* receive PORT SEED */
                fd = connect_host(2, (unsigned) a);
                fprintf(f, "%lld\n", fd < 0 ? -2LL : (long long) receive_pattern(fd, b));
                close(fd);
        } else if (strcmp(verb, "hold") == 0) {         /* hold PORT SEED SECONDS: does not read for so long */
                fd = connect_host(2, (unsigned) a);
                sleep((unsigned) c);
                fprintf(f, "%lld\n", fd < 0 ? -2LL : (long long) receive_pattern(fd, b));
                close(fd);
        } else if (strcmp(verb, "halfclose") == 0) {    /* halfclose PORT SEED: send 3 bytes, shut down, receive */
                fd = connect_host(2, (unsigned) a);
                (void) !write(fd, "abc", 3);
                (void) shutdown(fd, SHUT_WR);
                fprintf(f, "%lld\n", (long long) receive_pattern(fd, b));
                close(fd);
        } else if (strcmp(verb, "flood") == 0 || strcmp(verb, "floodhold") == 0) {      /* flood CID PORT COUNT */
                unsigned n = flood((unsigned) a, (unsigned) b, (unsigned) c, &reset, strcmp(verb, "floodhold") == 0);

                fprintf(f, "%u %u\n", n, reset);
        } else if (strcmp(verb, "disk") == 0) {         /* the first bytes of /dev/vda, vdb ... */
                char path[] = "/dev/vda", text[9];

                path[7] = (char) ('a' + a);
                fd = open(path, b ? O_RDWR : O_RDONLY);
                memset(text, 0, sizeof(text));
                if (fd < 0 || read(fd, text, 8) != 8)
                        strcpy(text, "-");
                if (b && fd >= 0 && (pwrite(fd, "written!", 8, 4096) != 8 || fsync(fd) < 0))
                        strcpy(text, "readonly");
                fprintf(f, "%s\n", text);
                close(fd);
        } else if (strcmp(verb, "print") == 0) {        /* print BYTES: on the console, from a process of its own */
                if (fork() == 0) {
                        memset(chunk, '.', sizeof(chunk));
                        for (unsigned long long n = 0; n < a; n += 64)
                                (void) !write(1, chunk, 64);
                        _exit(0);
                }
                fprintf(f, "ok\n");
        } else if (strcmp(verb, "clock") == 0) {        /* how fine the clock is: nanoseconds between two different readings */
                struct timespec x, y;

                clock_gettime(CLOCK_MONOTONIC, &x);
                do
                        clock_gettime(CLOCK_MONOTONIC, &y);
                while (x.tv_sec == y.tv_sec && x.tv_nsec == y.tv_nsec);
                fprintf(f, "%lld\n", (y.tv_sec - x.tv_sec) * 1000000000LL + y.tv_nsec - x.tv_nsec);
        } else if (strcmp(verb, "cpus") == 0)
                fprintf(f, "%ld\n", sysconf(_SC_NPROCESSORS_ONLN));
        else
                fprintf(f, "what?\n");
}

static void control(int fd) {
        FILE *f = fdopen(fd, "r+");
        char line[256];

        setvbuf(f, NULL, _IONBF, 0);
        while (fgets(line, sizeof(line), f)) {
                if (strcmp(line, "reboot\n") == 0)
                        kill(1, SIGUSR1);
                else if (strcmp(line, "panic\n") == 0)
                        kill(1, SIGUSR2);
                else
                        command(f, line);
        }
}

static void echo(int fd) {
        for (;;) {
                ssize_t n = read(fd, chunk, CHUNK), k;

                if (n <= 0)
                        return;
                for (ssize_t at = 0; at < n; at += k) {
                        k = send(fd, chunk + at, (size_t) (n - at), MSG_NOSIGNAL);
                        if (k <= 0)
                                return;
                }
        }
}

static int serve(unsigned port, void (*func)(int)) {
        struct sockaddr_vm sa = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port };
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(fd, 1024) < 0) {
                printf("cannot listen at %u: %m\n", port);
                return 1;
        }
        if (fork() != 0)
                return 0;
        signal(SIGCHLD, SIG_IGN);
        for (;;) {
                int c = accept(fd, NULL, NULL);

                if (c < 0)
                        continue;
                if (fork() == 0) {
                        func(c);
                        _exit(0);
                }
                close(c);
        }
}

static void on_reboot(int signo) {
        reboot(RB_AUTOBOOT);
}

static void on_panic(int signo) {
        _exit(1);                       /* PID 1 that ends is a panic */
}

/* Ctrl-Alt-Del: the kernel asks PID 1, since we have told it to. */
static void on_ctrl_alt_del(int signo) {
        (void) !write(1, "ctrl-alt-del\n", 13);
        reboot(RB_AUTOBOOT);
}

int main(void) {
        struct rlimit files = { FLOOD_MAX + 64, FLOOD_MAX + 64 };

        setrlimit(RLIMIT_NOFILE, &files);
        mkdir("/dev", 0755);
        mount("dev", "/dev", "devtmpfs", 0, NULL);
        signal(SIGUSR1, on_reboot);
        signal(SIGUSR2, on_panic);
        signal(SIGINT, on_ctrl_alt_del);
        reboot(RB_DISABLE_CAD);
        serve(53, echo);
        serve(52, control);
        puts("ready");
        fflush(stdout);
        for (;;)
                pause();
}
