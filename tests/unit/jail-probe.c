/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What test-jailer runs in its jails: static, prints one fact a line about the process that it has become, and exits with what --exit=N says. */

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void print_file(const char *path) {
        struct stat st;

        if (lstat(path, &st) < 0)
                printf("file %s missing\n", path);
        else
                printf("file %s mode %o owner %u:%u device %u:%u\n", path, (unsigned) st.st_mode, (unsigned) st.st_uid, (unsigned) st.st_gid,
                       S_ISCHR(st.st_mode) ? major(st.st_rdev) : 0, S_ISCHR(st.st_mode) ? minor(st.st_rdev) : 0);
}

static void print_limit(const char *name, int resource) {
        struct rlimit l;

        (void) getrlimit(resource, &l);
        printf("limit %s %lld %lld\n", name, (long long) l.rlim_cur, (long long) l.rlim_max);
}

int main(int argc, char **argv) {
        static const char *const files[] = { "/", "/dev", "/dev/net", "/dev/net/tun", "/dev/kvm", "/dev/urandom", "/dev/userfaultfd", "/run", "/etc", "/proc" };
        unsigned uids[3], gids[3];
        unsigned long long cookie = 0;
        sigset_t blocked;
        int code = 0, fd;
        char cwd[256];

        for (int i = 0; i < argc; i++) {
                printf("argument %s\n", argv[i]);
                if (strncmp(argv[i], "--exit=", 7) == 0)
                        code = atoi(argv[i] + 7);
        }
        for (char **e = environ; *e; e++)
                printf("environment %s\n", *e);
        (void) getresuid(&uids[0], &uids[1], &uids[2]);
        (void) getresgid(&gids[0], &gids[1], &gids[2]);
        printf("uid %u %u %u\ngid %u %u %u\ngroups %d\n", uids[0], uids[1], uids[2], gids[0], gids[1], gids[2], getgroups(0, NULL));
        printf("pid %d session %d\n", (int) getpid(), (int) getsid(0));
        printf("cwd %s\n", getcwd(cwd, sizeof(cwd)) ? cwd : "?");
        for (fd = 0; fd < 4096; fd++)
                if (fcntl(fd, F_GETFD) >= 0)
                        printf("descriptor %d\n", fd);
        fd = socket(AF_INET, SOCK_DGRAM, 0);
        (void) getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &(socklen_t) { sizeof(cookie) });
        printf("netns %llu\n", cookie);
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
                print_file(files[i]);
        print_limit("no-file", RLIMIT_NOFILE);
        print_limit("fsize", RLIMIT_FSIZE);
        (void) sigprocmask(SIG_SETMASK, NULL, &blocked);
        printf("blocked SIGTERM %d\n", sigismember(&blocked, SIGTERM));
        printf("random %s\n", open("/dev/urandom", O_RDONLY) >= 0 ? "opens" : "does not open");

        DIR *d = opendir("/");
        for (struct dirent *de; d && (de = readdir(d));)
                printf("entry %s\n", de->d_name);
        fflush(stdout);

        /* Where standard output leads nowhere, the same to a file. */
        if (argc > 1 && strcmp(argv[argc - 1], "--mark") == 0) {
                FILE *f = fopen("/run/mark", "we");

                if (f) {
                        fprintf(f, "pid %d session %d parent %d\n", (int) getpid(), (int) getsid(0), (int) getppid());
                        (void) fclose(f);
                }
        }
        return code;
}
