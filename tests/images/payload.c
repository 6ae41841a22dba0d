/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program that the test images run: one verb per behaviour that a test wants of a workload. Static, so that it runs in
 * an image with nothing else in it. */

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <linux/vm_sockets.h>
#include <unistd.h>

extern char **environ;

static int fail(const char *what) {
        fprintf(stderr, "payload: %s: %s\n", what, strerror(errno));
        return EXIT_FAILURE;
}

static long number(char **args, long otherwise) {
        return args[0] ? strtol(args[0], NULL, 0) : otherwise;
}

/* Says hello and then waits, like a service, for the signal that ends it. */
static int verb_hello(char **args) {
        sigset_t set;
        int sig;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigprocmask(SIG_BLOCK, &set, NULL);
        printf("hello from %s\n", args[0] ? args[0] : "busybox");
        fflush(stdout);
        if (sigwait(&set, &sig) != 0)
                return fail("sigwait");
        printf("goodbye, %s\n", strsignal(sig));
        return EXIT_SUCCESS;
}

static int compare_longs(const void *a, const void *b) {
        long x = *(const long *) a, y = *(const long *) b;

        return x < y ? -1 : x > y;
}

/* FILE N: writes a block and has it on the disk, N times over; prints the median of how long that took, microseconds. */
static int verb_fsync(char **args) {
        static char block[4096];
        static long usec[10000];
        long n = args[0] ? number(args + 1, 100) : 0;
        int fd = n > 0 && n <= 10000 ? open(args[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;

        if (fd < 0)
                return fail("open");
        for (long i = 0; i < n; i++) {
                struct timespec a, b;

                clock_gettime(CLOCK_MONOTONIC, &a);
                if (write(fd, block, sizeof(block)) != sizeof(block) || fsync(fd) < 0)
                        return fail("fsync");
                clock_gettime(CLOCK_MONOTONIC, &b);
                usec[i] = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
        }
        qsort(usec, (size_t) n, sizeof(usec[0]), compare_longs);
        printf("%ld\n", usec[n / 2]);
        return EXIT_SUCCESS;
}

static int verb_exit(char **args) {
        return (int) number(args, 0);
}

static int verb_segv(char **args) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
        return EXIT_FAILURE;
}

static int verb_kill_self(char **args) {
        raise((int) number(args, SIGKILL));
        return EXIT_FAILURE;
}

/* print N [LENGTH]: N numbered lines, each filled up to LENGTH bytes. */
static int verb_print(char **args) {
        long n = number(args, 1), length = args[0] ? number(args + 1, 0) : 0;

        for (long i = 1; i <= n; i++) {
                int l = printf("line %ld", i);
                for (; l < length; l++)
                        putchar('x');
                putchar('\n');
        }
        return EXIT_SUCCESS;
}

/* print-both N: N lines on each stream, in turn. */
static int verb_print_both(char **args) {
        long n = number(args, 1);

        setlinebuf(stdout);
        for (long i = 1; i <= n; i++) {
                printf("out %ld\n", i);
                fprintf(stderr, "err %ld\n", i);
        }
        return EXIT_SUCCESS;
}

static int verb_print_forever(char **args) {
        for (unsigned long i = 1; printf("line %lu\n", i) > 0; i++)
                ;
        return EXIT_FAILURE;
}

/* bytes: each of the 256 bytes, then a line without its end. */
static int verb_bytes(char **args) {
        for (int i = 0; i < 256; i++)
                putchar(i);
        fputs("\nno newline at the end", stdout);
        return EXIT_SUCCESS;
}

static int verb_stderr(char **args) {
        fprintf(stderr, "%s\n", args[0] ? args[0] : "an error");
        return EXIT_SUCCESS;
}

static int verb_cat(char **args) {
        char buffer[65536];

        for (; *args; args++) {
                FILE *f = fopen(*args, "re");
                size_t n;

                if (!f)
                        return fail(*args);
                while ((n = fread(buffer, 1, sizeof(buffer), f)) > 0)
                        fwrite(buffer, 1, n, stdout);
                fclose(f);
        }
        return EXIT_SUCCESS;
}

static int verb_args(char **args) {
        for (; *args; args++)
                printf("[%s]\n", *args);
        return EXIT_SUCCESS;
}

static int verb_env(char **args) {
        for (char **e = environ; *e; e++)
                puts(*e);
        return EXIT_SUCCESS;
}

static int verb_id(char **args) {
        gid_t groups[64];
        int n = getgroups(64, groups);

        printf("uid=%u gid=%u groups=", getuid(), getgid());
        for (int i = 0; i < n; i++)
                printf("%s%u", i ? "," : "", groups[i]);
        printf("\n");
        return EXIT_SUCCESS;
}

static int verb_cwd(char **args) {
        char path[4096];

        if (!getcwd(path, sizeof(path)))
                return fail("getcwd");
        puts(path);
        return EXIT_SUCCESS;
}

static int verb_hostname(char **args) {
        char name[256];

        if (gethostname(name, sizeof(name)) < 0)
                return fail("gethostname");
        puts(name);
        return EXIT_SUCCESS;
}

static int verb_write(char **args) {
        FILE *f;

        if (!args[0] || !args[1]) {
                errno = EINVAL;
                return fail("write FILE TEXT");
        }
        f = fopen(args[0], "we");
        if (!f || fprintf(f, "%s\n", args[1]) < 0 || fflush(f) != 0 || fsync(fileno(f)) < 0)
                return fail(args[0]);
        return fclose(f) == 0 ? EXIT_SUCCESS : fail(args[0]);
}

static int verb_touch(char **args) {
        for (; *args; args++) {
                int fd = open(*args, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
                if (fd < 0)
                        return fail(*args);
                close(fd);
        }
        return EXIT_SUCCESS;
}

static int verb_exists(char **args) {
        for (; *args; args++)
                printf("%s: %s\n", *args, access(*args, F_OK) == 0 ? "there" : "not there");
        return EXIT_SUCCESS;
}

static int touch_memory(size_t size) {
        char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
                return -1;
        for (size_t i = 0; i < size; i += 4096)
                p[i] = 1;
        return 0;
}

static int verb_oom(char **args) {
        while (touch_memory(1 << 20) == 0)
                ;
        return fail("mmap");
}

/* memory MB: takes that much and keeps it. */
static int verb_memory(char **args) {
        if (touch_memory((size_t) number(args, 16) << 20) < 0)
                return fail("mmap");
        printf("holding\n");
        fflush(stdout);
        pause();
        return EXIT_SUCCESS;
}

static int from_hex(const char *hex, unsigned char *ret, size_t max) {
        size_t n = strlen(hex) / 2;

        if (n < 1 || n > max)
                return -1;
        for (size_t i = 0; i < n; i++) {
                unsigned byte;

                if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
                        return -1;
                ret[i] = (unsigned char) ~byte;
        }
        return (int) n;
}

/* init-memory HEX...: whether PID 1 has these bytes anywhere in its memory, each given as its complement, so that they are not there by being asked for. */
static int verb_init_memory(char **args) {
        static unsigned char buffer[1 << 20];
        int mem = open("/proc/1/mem", O_RDONLY | O_CLOEXEC);

        if (mem < 0)
                return fail("/proc/1/mem");
        for (; *args; args++) {
                FILE *maps = fopen("/proc/1/maps", "re");
                unsigned long from, to, searched = 0;
                unsigned char wanted[128];
                int n = from_hex(*args, wanted, sizeof(wanted)), found = 0;
                char line[512];

                if (n < 0 || !maps) {
                        errno = EINVAL;
                        return fail(*args);
                }
                while (fgets(line, sizeof(line), maps)) {
                        if (sscanf(line, "%lx-%lx", &from, &to) != 2)
                                continue;
                        while (to - from >= (size_t) n) {
                                ssize_t k = pread(mem, buffer, to - from < sizeof(buffer) ? to - from : sizeof(buffer), (off_t) from);

                                if (k < n)
                                        break;
                                found += memmem(buffer, (size_t) k, wanted, (size_t) n) != NULL;
                                searched += (unsigned long) k;
                                from += (unsigned long) (k - n + 1);
                        }
                }
                fclose(maps);
                printf("%s in %s\n", found > 0 ? "found" : "not found", searched > 300000 ? "all of it" : "too little");
        }
        close(mem);
        return EXIT_SUCCESS;
}

static int verb_spin(char **args) {
        for (volatile unsigned long i = 0;; i++)
                ;
        return EXIT_FAILURE;
}

static int verb_sleep(char **args) {
        sleep((unsigned) number(args, 1000000));
        return EXIT_SUCCESS;
}

/* Takes every signal that can be taken, prints its name, and goes on. */
static int verb_ignore_term(char **args) {
        sigset_t set;
        int sig;

        sigfillset(&set);
        sigprocmask(SIG_BLOCK, &set, NULL);
        printf("ignoring\n");
        fflush(stdout);
        while (sigwait(&set, &sig) == 0) {
                printf("ignored %s\n", strsignal(sig));
                fflush(stdout);
        }
        return EXIT_FAILURE;
}

/* term-exit N: at the first signal that asks for the end, prints its name and exits with N. */
static int verb_term_exit(char **args) {
        sigset_t set;
        int sig;

        sigfillset(&set);
        sigdelset(&set, SIGCHLD);
        sigprocmask(SIG_BLOCK, &set, NULL);
        printf("waiting\n");
        fflush(stdout);
        if (sigwait(&set, &sig) != 0)
                return fail("sigwait");
        printf("got %s\n", strsignal(sig));
        return (int) number(args, 0);
}

static long count_zombies(void) {
        DIR *d = opendir("/proc");
        struct dirent *entry;
        long n = 0;

        if (!d)
                return -1;
        while ((entry = readdir(d))) {
                char path[300], line[512] = "", *after_name;
                FILE *f;

                snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
                f = fopen(path, "re");
                if (!f)
                        continue;
                if (fgets(line, sizeof(line), f) && (after_name = strrchr(line, ')')) && after_name[2] == 'Z')
                        n++;
                fclose(f);
        }
        closedir(d);
        return n;
}

/* orphans N: leaves N processes behind for PID 1 to reap, and says how many of the dead are still there a second later. */
static int verb_orphans(char **args) {
        long n = number(args, 10);

        for (long i = 0; i < n; i++) {
                pid_t pid = fork();
                if (pid < 0)
                        return fail("fork");
                if (pid == 0) {
                        if (fork() == 0)
                                usleep(10000);
                        _exit(EXIT_SUCCESS);
                }
                waitpid(pid, NULL, 0);
        }
        sleep(1);
        printf("%ld zombies\n", count_zombies());
        return EXIT_SUCCESS;
}

static int write_file(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return -1;
        n = write(fd, text, strlen(text));
        close(fd);
        return n < 0 ? -1 : 0;
}

static int verb_panic(char **args) {
        if (write_file("/proc/sysrq-trigger", "c") < 0)
                return fail("/proc/sysrq-trigger");
        pause();
        return EXIT_FAILURE;
}

/* Leaves no time of any processor to anyone else, PID 1 and the kernel's threads included: the guest runs and does not answer. */
static int verb_hang(char **args) {
        long cpus = sysconf(_SC_NPROCESSORS_ONLN);

        if (write_file("/proc/sys/kernel/sched_rt_runtime_us", "-1") < 0)
                return fail("/proc/sys/kernel/sched_rt_runtime_us");
        printf("hanging\n");
        fflush(stdout);
        sleep(1);
        for (long i = 1; i < cpus; i++)
                if (fork() == 0)
                        break;
        if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param) { .sched_priority = 99 }) < 0)
                return fail("sched_setscheduler");
        return verb_spin(args);
}

static int address(const char *host, long port, struct sockaddr_in *ret) {
        *ret = (struct sockaddr_in) { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
        return inet_pton(AF_INET, host, &ret->sin_addr) == 1 ? 0 : -1;
}

/* listen PORT: answers each connection with one line. */
static int verb_listen(char **args) {
        struct sockaddr_in a;
        int fd, one = 1;

        if (address("0.0.0.0", number(args, 7000), &a) < 0)
                return fail("address");
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            bind(fd, (struct sockaddr *) &a, sizeof(a)) < 0 || listen(fd, 16) < 0)
                return fail("listen");
        printf("listening\n");
        fflush(stdout);
        for (;;) {
                int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
                if (c < 0)
                        return fail("accept");
                dprintf(c, "hello\n");
                close(c);
        }
}

/* peer PORT: tells each who connects, or sends a datagram, from which address that came. */
static int verb_peer(char **args) {
        struct pollfd p[2] = { { .events = POLLIN }, { .events = POLLIN } };
        struct sockaddr_in a;
        int one = 1;

        if (address("0.0.0.0", number(args, 7000), &a) < 0)
                return fail("address");
        for (int i = 0; i < 2; i++) {
                p[i].fd = socket(AF_INET, (i == 0 ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
                if (p[i].fd < 0 || setsockopt(p[i].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
                    bind(p[i].fd, (struct sockaddr *) &a, sizeof(a)) < 0 || (i == 0 && listen(p[i].fd, 16) < 0))
                        return fail("listen");
        }
        for (;;) {
                char text[INET_ADDRSTRLEN + 1] = {}, byte;
                struct sockaddr_in peer;
                socklen_t size = sizeof(peer);
                int c = -1;

                if (poll(p, 2, -1) < 0)
                        return fail("poll");
                if (p[0].revents)
                        c = accept4(p[0].fd, (struct sockaddr *) &peer, &size, SOCK_CLOEXEC);
                else if (recvfrom(p[1].fd, &byte, 1, 0, (struct sockaddr *) &peer, &size) < 0)
                        return fail("recvfrom");
                inet_ntop(AF_INET, &peer.sin_addr, text, sizeof(text));
                strcat(text, "\n");
                (void) sendto(c >= 0 ? c : p[1].fd, text, strlen(text), MSG_NOSIGNAL, c >= 0 ? NULL : (struct sockaddr *) &peer, c >= 0 ? 0 : size);
                if (c >= 0)
                        close(c);
        }
}

/* connect HOST PORT [SECONDS]: says whether a connection was made. */
static int verb_connect(char **args) {
        struct timeval timeout = { .tv_sec = args[0] && args[1] ? number(args + 2, 3) : 3 };
        struct sockaddr_in a;
        int fd;

        if (!args[0] || !args[1] || address(args[0], number(args + 1, 0), &a) < 0) {
                errno = EINVAL;
                return fail("connect HOST PORT");
        }
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
                return fail("socket");
        if (connect(fd, (struct sockaddr *) &a, sizeof(a)) < 0) {
                printf("no connection to %s: %s\n", args[0], strerror(errno));
                return EXIT_SUCCESS;
        }
        printf("connected to %s\n", args[0]);
        return EXIT_SUCCESS;
}

/* One connection of vsock-flood: said or not what it has to say. */
static int flood_connect(unsigned port) {
        const struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port };
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd >= 0 && connect(fd, (const struct sockaddr *) &a, sizeof(a)) < 0 && errno != EINPROGRESS) {
                close(fd);
                fd = -1;
        }
        return fd;
}

/* vsock-flood N: three times N connections at once to the host, to the ports that init uses and to others, each with something that
 * is not its to say. Tells how many of them the host has kept, for a minute in which none was closed; then waits for the stop signal. */
static int verb_vsock_flood(char **args) {
        static const char *const texts[] = {
                "{\"state\":\"exited\",\"exit_code\":0}\n", "stdout\nforged\n", "stderr\nforged\n", "std", "",
                "GET /v1/volume/key?device=/dev/vdb HTTP/1.1\r\nX: ", "PUT / HTTP/1.1\r\nContent-Length: 1099511627776\r\n\r\n",
        };
        static const unsigned ports[] = { 10000, 10001, 10003, 10002, 0 };
        static char endless[65536];
        long n = number(args, 2000);
        struct pollfd *p = calloc((size_t) n, sizeof(*p));
        sigset_t set;
        int sig;

        if (!p)
                return fail("calloc");
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);
        memset(endless, 'x', sizeof(endless));
        for (int round = 0; round < 3; round++) {
                long open_ones = 0;

                for (long i = 0; i < n; i++) {
                        unsigned port = ports[i % 5];

                        p[i] = (struct pollfd) { .fd = flood_connect(port ? port : (unsigned) rand()), .events = POLLOUT };
                        open_ones += p[i].fd >= 0;
                }
                while (open_ones > 0 && poll(p, (nfds_t) n, 60000) > 0)
                        for (long i = 0; i < n; i++) {
                                const char *text = texts[i / 5 % 7];
                                ssize_t k;
                                char c;

                                if (p[i].fd < 0 || !p[i].revents)
                                        continue;
                                if (p[i].events == POLLOUT && p[i].revents == POLLOUT) {
                                        p[i].events = POLLIN;
                                        (void) !send(p[i].fd, text, strlen(text), MSG_NOSIGNAL);
                                        (void) !send(p[i].fd, endless, sizeof(endless), MSG_NOSIGNAL);
                                        continue;
                                }
                                k = recv(p[i].fd, &c, 1, 0);
                                if (k == 0 || (k < 0 && errno != EAGAIN)) {
                                        close(p[i].fd);
                                        p[i].fd = -1;
                                        open_ones--;
                                }
                        }
                printf("%ld of %ld connections were kept\n", open_ones, n);
                fflush(stdout);
                for (long i = 0; i < n; i++)
                        if (p[i].fd >= 0)
                                close(p[i].fd);
        }
        free(p);
        if (sigwait(&set, &sig) != 0)
                return fail("sigwait");
        return 42;
}

/* Asks the host for a volume's key, with `filler` bytes of headers before the request's end; prints how the answer begins. */
static int steal(const char *what, const char *request, size_t filler) {
        const struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = 10003 };
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char answer[2048], header[] = "X-Filler: yyyyyyyyyyyyyyyyyyyy\r\n";
        size_t n = 0;
        ssize_t k;

        if (fd < 0 || connect(fd, (const struct sockaddr *) &a, sizeof(a)) < 0)
                return fail(what);
        k = send(fd, request, strlen(request), MSG_NOSIGNAL);
        for (size_t i = 0; i < filler && k >= 0; i += sizeof(header) - 1)
                k = send(fd, header, sizeof(header) - 1, MSG_NOSIGNAL);
        if (filler > 0 && k >= 0)
                (void) !send(fd, "\r\n", 2, MSG_NOSIGNAL);
        while (n < sizeof(answer) - 1 && (k = recv(fd, answer + n, sizeof(answer) - 1 - n, 0)) > 0)
                n += (size_t) k;
        close(fd);
        answer[n] = 0;
        if (strstr(answer, "\"key\""))
                printf("%s: stolen\n", what);
        else if (n == 0)
                printf("%s: closed\n", what);
        else
                printf("%s: %.*s\n", what, (int) strcspn(answer, "\r\n"), answer);
        fflush(stdout);
        return EXIT_SUCCESS;
}

/* steal-keys DEVICE…: asks for their keys, in orderly and other ways; then connects 500 times without a word and waits until the host has
 * closed all of them, asks once more, and waits for the stop signal. */
static int verb_steal_keys(char **args) {
        static const char *const others[][2] = {
                { "no path",       "GET /v1/volume/key HTTP/1.1\r\nHost: h\r\n\r\n" },
                { "two requests",  "GET /v1/volume/key?device=/dev/vdc HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\n\r\n" },
                { "post",          "POST /v1/volume/key?device=/dev/vdc HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" },
                { "long body",     "GET /v1/volume/key?device=/dev/vdc HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n" },
                { "no http",       "\x16\x03\x01\x02 give me the key\r\n\r\n" },
        };
        char request[256];
        sigset_t set;
        int sig, r = EXIT_SUCCESS, fds[500];

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);
        for (char **device = args; *device && r == EXIT_SUCCESS; device++) {
                snprintf(request, sizeof(request), "GET /v1/volume/key?device=%s HTTP/1.1\r\nHost: h\r\n\r\n", *device);
                r = steal(*device, request, 0);
        }
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]) && r == EXIT_SUCCESS; i++)
                r = steal(others[i][0], others[i][1], 0);
        if (r == EXIT_SUCCESS)
                r = steal("1 MB", "GET /v1/volume/key?device=/dev/vdc HTTP/1.1\r\nHost: h\r\n", 1 << 20);
        if (r != EXIT_SUCCESS)
                return r;
        for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
                fds[i] = flood_connect(10003);
        for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
                if (fds[i] >= 0) {
                        char c;

                        (void) poll(&(struct pollfd) { .fd = fds[i], .events = POLLOUT }, 1, -1);
                        fcntl(fds[i], F_SETFL, 0);
                        (void) !recv(fds[i], &c, 1, 0);
                        close(fds[i]);
                }
        printf("silence: closed\n");
        r = steal("after all", "GET /v1/volume/key?device=/dev/vdc HTTP/1.1\r\nHost: h\r\n\r\n", 0);
        if (r != EXIT_SUCCESS || sigwait(&set, &sig) != 0)
                return EXIT_FAILURE;
        return 42;
}

static const struct {
        const char *name;
        int (*run)(char **args);
} verbs[] = {
        { "args",          verb_args          },
        { "bytes",         verb_bytes         },
        { "cat",           verb_cat           },
        { "connect",       verb_connect       },
        { "cwd",           verb_cwd           },
        { "env",           verb_env           },
        { "exists",        verb_exists        },
        { "exit",          verb_exit          },
        { "fsync",         verb_fsync         },
        { "hang",          verb_hang          },
        { "hello",         verb_hello         },
        { "hostname",      verb_hostname      },
        { "id",            verb_id            },
        { "ignore-term",   verb_ignore_term   },
        { "init-memory",   verb_init_memory   },
        { "kill-self",     verb_kill_self     },
        { "listen",        verb_listen        },
        { "memory",        verb_memory        },
        { "oom",           verb_oom           },
        { "orphans",       verb_orphans       },
        { "panic",         verb_panic         },
        { "peer",          verb_peer          },
        { "print",         verb_print         },
        { "print-both",    verb_print_both    },
        { "print-forever", verb_print_forever },
        { "segv",          verb_segv          },
        { "sleep",         verb_sleep         },
        { "spin",          verb_spin          },
        { "steal-keys",    verb_steal_keys    },
        { "stderr",        verb_stderr        },
        { "term-exit",     verb_term_exit     },
        { "touch",         verb_touch         },
        { "vsock-flood",   verb_vsock_flood   },
        { "write",         verb_write         },
};

int main(int argc, char *argv[]) {
        if (argc >= 2)
                for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
                        if (strcmp(argv[1], verbs[i].name) == 0)
                                return verbs[i].run(argv + 2);

        fprintf(stderr, "usage: payload VERB [ARGUMENT…], where VERB is one of:");
        for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
                fprintf(stderr, " %s", verbs[i].name);
        fprintf(stderr, "\n");
        return 2;
}
