/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Measures one command against another: both run in turn, so that a noisy machine is noisy for both, and the medians count. CPU is that of
 * all processes that a command has made, also of those that it does not wait for; wall time ends with the command itself. */

#include <fcntl.h>
#include <getopt.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/exit-codes.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"

enum {
        RUNS_MAX = 1000,
        WORDS_MAX = 100,
};

typedef struct Sample {
        double wall_ms, cpu_ms;
} Sample;

static void usage(void) {
        printf("Usage: measure [OPTION…] OURS PEER\n"
               "\n"
               "Runs two commands in turn and prints the medians as a line of JSON. What is more than plain words a shell runs.\n"
               "\n"
               "  --name=NAME         name of the benchmark\n"
               "  --metric=wall|cpu   what is compared (wall)\n"
               "  --runs=N            how often each runs (15)\n"
               "  --prepare=CMD       run, unmeasured, before each run of either\n"
               "  --at-most=RATIO     the limit of ours / peer\n"
               "  --peer-name=TEXT    how the peer's command is named in the result\n"
               "  --help\n");
}

static double now_ms(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static double timeval_ms(struct timeval t) {
        return (double) t.tv_sec * 1e3 + (double) t.tv_usec / 1e3;
}

static _noreturn_ void execute(const char *command) {
        char *argv[WORDS_MAX + 1], *copy = strdup(command), *word;
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        size_t n = 0;

        (void) dup2(fd, STDIN_FILENO);
        (void) dup2(fd, STDOUT_FILENO);
        if (strpbrk(command, "|&;<>()$`\\\"'*?[#~\n"))
                (void) execl("/bin/sh", "sh", "-c", command, (char *) NULL);
        else if (copy) {
                while (n < WORDS_MAX && (word = strsep(&copy, " ")))
                        if (!isempty(word))
                                argv[n++] = word;
                argv[n] = NULL;
                if (n > 0)
                        (void) execvp(argv[0], argv);
        }
        _exit(127);
}

/* A command's standard output is dropped, and a failure ends the program: a figure of a failed run is no figure. */
static int run(const char *command, Sample *ret) {
        double start = now_ms(), end, cpu = 0;
        int status = 0, s;
        struct rusage u;
        pid_t pid, p;

        pid = fork();
        if (pid < 0)
                return log_error_errno(errno, "Cannot fork: %m");
        if (pid == 0)
                execute(command);
        end = start;
        /* Those whose parent has died are ours to wait for. */
        while ((p = wait4(-1, &s, 0, &u)) >= 0 || errno == EINTR) {
                if (p < 0)
                        continue;
                cpu += timeval_ms(u.ru_utime) + timeval_ms(u.ru_stime);
                if (p == pid) {
                        end = now_ms();
                        status = s;
                }
        }
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
                log_error("Failed with status %d: %s", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), command);
                return -EIO;
        }
        if (ret)
                *ret = (Sample) { end - start, cpu };
        return 0;
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return x < y ? -1 : x > y;
}

static double median(const Sample *s, unsigned n, bool cpu) {
        double v[RUNS_MAX];

        for (unsigned i = 0; i < n; i++)
                v[i] = cpu ? s[i].cpu_ms : s[i].wall_ms;
        qsort(v, n, sizeof(v[0]), compare);
        return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void print_json_string(const char *s) {
        putchar('"');
        for (; *s; s++)
                if (*s == '"' || *s == '\\')
                        printf("\\%c", *s);
                else if ((unsigned char) *s < ' ')
                        printf("\\u%04x", *s);
                else
                        putchar(*s);
        putchar('"');
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "name", required_argument, NULL, 'n' },
                { "metric", required_argument, NULL, 'm' },
                { "runs", required_argument, NULL, 'r' },
                { "prepare", required_argument, NULL, 'p' },
                { "at-most", required_argument, NULL, 'a' },
                { "peer-name", required_argument, NULL, 'P' },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        const char *name = "", *prepare = NULL, *at_most = NULL, *peer_name = NULL;
        static Sample ours[RUNS_MAX], peer[RUNS_MAX];
        unsigned runs = 15;
        bool cpu = false;
        double o, p;
        int c;

        log_setup(argv[0], LOG_TARGET_STDERR);
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 'n':
                        name = optarg;
                        break;
                case 'm':
                        cpu = streq(optarg, "cpu");
                        break;
                case 'r':
                        if (parse_uint(optarg, &runs) < 0 || runs < 1 || runs > RUNS_MAX)
                                return log_error("--runs= takes 1 to %d.", RUNS_MAX), EXIT_USAGE;
                        break;
                case 'p':
                        prepare = optarg;
                        break;
                case 'a':
                        at_most = optarg;
                        break;
                case 'P':
                        peer_name = optarg;
                        break;
                case 'h':
                        usage();
                        return EXIT_OK;
                default:
                        return EXIT_USAGE;
                }
        if (argc - optind != 2)
                return log_error("Two commands are needed. See --help."), EXIT_USAGE;

        (void) prctl(PR_SET_CHILD_SUBREAPER, 1);
        for (unsigned i = 0; i < runs; i++)
                if ((prepare && run(prepare, NULL) < 0) || run(argv[optind], &ours[i]) < 0 ||
                    (prepare && run(prepare, NULL) < 0) || run(argv[optind + 1], &peer[i]) < 0)
                        return EXIT_FAILED;

        o = median(ours, runs, cpu);
        p = median(peer, runs, cpu);
        printf("{\"name\":");
        print_json_string(name);
        printf(",\"unit\":\"%s\",\"ours\":%.3f,\"peer\":%.3f,\"peer_command\":", cpu ? "ms cpu" : "ms", o, p);
        print_json_string(peer_name ?: argv[optind + 1]);
        printf(",\"ratio\":%.4f,\"at_most\":%s,\"ok\":%s,\"ours_wall\":%.3f,\"peer_wall\":%.3f,\"ours_cpu\":%.3f,\"peer_cpu\":%.3f}\n", o / p,
               at_most ?: "null", at_most ? (o / p <= atof(at_most) ? "true" : "false") : "null",
               median(ours, runs, false), median(peer, runs, false), median(ours, runs, true), median(peer, runs, true));
        return EXIT_OK;
}
