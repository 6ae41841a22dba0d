/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <signal.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/str.h"
#include "init/api.h"
#include "init/cgroup.h"
#include "init/console.h"
#include "init/etc.h"
#include "init/init.h"
#include "init/metrics.h"
#include "init/mounts.h"
#include "init/netlink.h"
#include "init/ssh.h"
#include "init/status.h"
#include "init/stream.h"
#include "init/workload.h"

#define KILL_USEC (10 * USEC_PER_SEC)           /* for SIGKILL to be obeyed, by processes that wait for a disk */
#define SYNC_USEC (90 * USEC_PER_SEC)           /* for what was written to reach the disk */

typedef enum InitState {
        INIT_CONNECTING,                /* all is set up (or has failed); the connections to the host are being made */
        INIT_RUNNING,                   /* the workload's main process lives */
        INIT_KILLING,                   /* what it has left behind is being ended */
        INIT_FLUSHING,                  /* no process of the image is left; streams and file systems are written back */
        INIT_REPORTING,                 /* all was said; the host reads and closes */
        INIT_DONE,
} InitState;

typedef struct Init {
        InitState state;
        Loop loop;
        LoopSource signals;
        LoopSource stalls;              /* cgroup_watch_stalls() */
        bool stalled;
        LoopTimer deadline;             /* of the state */

        RunSpec *spec;                  /* NULL: could not be read */
        Mounts mounts;
        Cgroup cgroup;
        Failure failure;
        bool failed;                    /* the workload will not be started */

        Channel status;
        Stream out, err;
        ApiBackend backend;
        ApiServer *api;
        Metrics metrics;
        int pts_fd;
        ExecServer *exec;
        SshServer *ssh, *ssh_tcp;       /* NULL: the VM has no SSHKey=; the host does not publish it */

        pid_t workload_pid;             /* 0: not started, or gone */
        int wait_status;
        uint64_t started_usec;
        bool stop_requested;

        pid_t sync_pid;                 /* 0: none is running, or not waited for any more */
        LoopTimer sync_deadline;
        bool streams_given_up;          /* the host does not read them */
} Init;

static void advance(Init *i);

static const char *state_name(const Init *i) {
        switch (i->state) {
        case INIT_CONNECTING:
                return WIRE_STATE_BOOTED;
        case INIT_RUNNING:
                return "running";
        default:
                return "ending";
        }
}

static char *backend_status(void *userdata) {
        Init *i = userdata;

        return strf("{\"oom_kills\":%llu,\"pid\":%d,\"running_usec\":%llu,\"state\":\"%s\",\"stderr_bytes\":%llu,\"stdout_bytes\":%llu,\"uptime_usec\":%llu}\n",
                (unsigned long long) cgroup_oom_kills(&i->cgroup), (int) i->workload_pid,
                (unsigned long long) (i->workload_pid > 0 ? now_usec() - i->started_usec : 0), state_name(i),
                (unsigned long long) i->err.n_bytes, (unsigned long long) i->out.n_bytes, (unsigned long long) now_usec());
}

static char *backend_metrics(void *userdata) {
        Init *i = userdata;

        return metrics_format(&i->metrics, &i->cgroup, &i->mounts);
}

/* To the main process alone, as docker does. It is not reaped before workload_pid is 0, so the number is still its own. */
static int signal_workload(Init *i, int signo) {
        if (i->workload_pid <= 0)
                return -ESRCH;
        return kill(i->workload_pid, signo) < 0 ? negative_errno() : 0;
}

static int backend_signal(void *userdata, int signo) {
        return signal_workload(userdata, signo);
}

static int backend_exec(void *userdata, const ExecRequest *request, int fd) {
        Init *i = userdata;

        return i->workload_pid > 0 ? exec_server_add(i->exec, request, fd) : -ESRCH;
}

static int spawn_beside(void *userdata, const ExecRequest *request, const int streams[static 3], pid_t *ret_pid, int *ret_report_fd) {
        Init *i = userdata;
        WorkloadJoin j = {
                .files = request->files,
                .argv = request->argv,
                .env = request->env,
                .cwd = request->cwd,
                .user = request->user,
                .terminal = request->terminal,
                .root_fd = i->mounts.root_fd,
                .programs = i->mounts.programs,
                .beside = i->workload_pid,
                .passed_fd = -EBADF,
        };

        memcpy(j.streams, streams, sizeof(j.streams));
        return workload_join(&j, i->spec, &i->cgroup, ret_pid, ret_report_fd);
}

static int spawn_ssh(void *userdata, int fd, int host_key_fd, pid_t *ret_pid, int *ret_report_fd) {
        Init *i = userdata;
        const WorkloadJoin j = {
                .argv = ssh_argv,
                .cwd = (char *) "/",
                .streams = { fd, fd, fd },
                .root_fd = i->mounts.root_fd,
                .beside = i->workload_pid,
                .passed_fd = host_key_fd,
                .make_environment = ssh_make_environment,
        };

        return i->workload_pid > 0 ? workload_join(&j, i->spec, &i->cgroup, ret_pid, ret_report_fd) : -ESRCH;
}

static void say(Init *i, char *line_consume) {
        if (line_consume)
                (void) channel_write(&i->status, line_consume, strlen(line_consume));
        free(line_consume);
}

static void start_workload(Init *i) {
        Workload w;

        if (workload_start(i->spec, i->mounts.root_fd, i->mounts.programs, &i->cgroup, &w, &i->failure) < 0) {
                i->failed = true;
                return;
        }
        i->workload_pid = w.pid;
        i->started_usec = now_usec();
        say(i, status_format_started(w.pid));
        console_debug("\"%s\" runs as process %d", i->spec->command, (int) w.pid);
        (void) stream_attach(&i->out, w.stdout_fd);
        (void) stream_attach(&i->err, w.stderr_fd);
}

/* In a process of its own, so that a slow disk does not make the guest look dead. The exit status is not reported before it has ended. */
static void start_sync(Init *i) {
        bool with_layer = i->mounts.upper_fd >= 0 && !i->spec->upper_ephemeral;

        if (!with_layer && i->mounts.volumes.n == 0)
                return;
        i->sync_pid = fork();
        if (i->sync_pid == 0)
                _exit(mounts_make_clean(&i->mounts, with_layer) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
        if (i->sync_pid > 0) {
                volumes_forget(&i->mounts.volumes);
                loop_arm(&i->loop, &i->sync_deadline, SYNC_USEC);
        } else {
                i->sync_pid = 0;
                sync();
        }
}

static void say_exited(Init *i) {
        ExitStatus s = { .stdout_bytes = i->out.n_bytes, .stderr_bytes = i->err.n_bytes, .message = "" };
        char text[256];

        if (i->failed) {
                s.exit_code = i->failure.exit_code;
                s.message = i->failure.message;
        } else {
                if (WIFSIGNALED(i->wait_status)) {
                        s.signal = WTERMSIG(i->wait_status);
                        s.exit_code = EXIT_SIGNAL_BASE + s.signal;
                } else
                        s.exit_code = WEXITSTATUS(i->wait_status);
                if (i->stalled || cgroup_oom_kills(&i->cgroup) > 0) {
                        s.oom_killed = true;
                        snprintf(text, sizeof(text), "out of memory: the workload may use %llu MiB of the guest's memory; %s",
                                (unsigned long long) (i->cgroup.memory_limit / MIB(1)),
                                i->stalled ? "it was killed because it only waited for memory" : "the guest's kernel killed it");
                        s.message = text;
                }
        }
        say(i, status_format_exited(&s));
}

static void enter(Init *i, InitState state, uint64_t deadline_usec) {
        i->state = state;
        if (deadline_usec > 0)
                loop_arm(&i->loop, &i->deadline, deadline_usec);
        else
                loop_disarm(&i->loop, &i->deadline);
}

static bool is_closed(const Channel *c) {
        return c->state == CHANNEL_CLOSED;
}

/* Goes as far as what is known allows; called whenever something has become known. */
static void advance(Init *i) {
        if (i->state == INIT_CONNECTING) {
                if (is_closed(&i->status)) {
                        console_fatal("cannot connect to the host (vsock port %u): %s%s%s", i->spec ? i->spec->vsock_exit_port : WIRE_PORT_STATUS,
                                strerror(i->status.error), i->failed ? "; " : "", i->failed ? i->failure.message : "");
                        enter(i, INIT_DONE, 0);
                        return;
                }
                if (i->status.state == CHANNEL_CONNECTING || i->out.channel.state == CHANNEL_CONNECTING ||
                    i->err.channel.state == CHANNEL_CONNECTING)
                        return;
                if (!i->failed && (is_closed(&i->out.channel) || is_closed(&i->err.channel))) {
                        (void) failure_set(&i->failure, i->out.channel.error ?: i->err.channel.error,
                                "cannot connect the workload's streams to the host (vsock port %u): %m", i->spec->vsock_stdout_port);
                        i->failed = true;
                }
                if (!i->failed && i->stop_requested) {
                        (void) failure_set(&i->failure, ECANCELED, "stopped before the workload was started");
                        i->failed = true;
                }
                if (!i->failed)
                        start_workload(i);
                if (i->workload_pid > 0)
                        enter(i, INIT_RUNNING, 0);
                else {
                        enter(i, INIT_FLUSHING, WIRE_DRAIN_USEC);
                        start_sync(i);
                }
        }
        if (i->state == INIT_FLUSHING && i->sync_pid == 0 &&
            (i->streams_given_up || (stream_is_flushed(&i->out) && stream_is_flushed(&i->err)))) {
                say_exited(i);
                enter(i, INIT_REPORTING, WIRE_DRAIN_USEC);
        }
        /* The streams are the host's to close when it has read as many bytes as the last line says. */
        if (i->state == INIT_REPORTING && is_closed(&i->status) && is_closed(&i->out.channel) && is_closed(&i->err.channel))
                enter(i, INIT_DONE, 0);
}

/* The main process has ended: nothing of the image survives it. SIGKILL to all but init is atomic against fork(2). */
static void on_workload_ended(Init *i, int wait_status) {
        i->workload_pid = 0;
        i->wait_status = wait_status;
        console_debug("the workload has ended, wait status 0x%x", (unsigned) wait_status);
        (void) kill(-1, SIGKILL);
        enter(i, INIT_KILLING, KILL_USEC);
}

static void on_all_reaped(Init *i) {
        enter(i, INIT_FLUSHING, WIRE_DRAIN_USEC);
        start_sync(i);
        advance(i);
}

static void reap(Init *i) {
        for (;;) {
                int status;
                pid_t pid = waitpid(-1, &status, WNOHANG);

                if (pid < 0 && errno == EINTR)
                        continue;
                if (pid < 0 && i->state == INIT_KILLING)
                        on_all_reaped(i);
                if (pid <= 0)
                        return;
                if (pid == i->workload_pid)
                        on_workload_ended(i, status);
                else if (pid == i->sync_pid) {
                        i->sync_pid = 0;
                        loop_disarm(&i->loop, &i->sync_deadline);
                        if (status != 0)
                                console_fatal("the writable layer or a volume could not be made clean; its journal will be replayed");
                        advance(i);
                } else {
                        exec_server_reaped(i->exec, pid, status);
                        ssh_server_reaped(i->ssh, pid);
                        ssh_server_reaped(i->ssh_tcp, pid);
                }
        }
}

static void on_stall(LoopSource *s, uint32_t events) {
        Init *i = s->userdata;

        if (!(events & EPOLLPRI)) {
                loop_remove(&i->loop, s);
                return;
        }
        if (cgroup_is_exhausted(&i->cgroup) && signal_workload(i, SIGKILL) >= 0)
                i->stalled = true;
}

static void on_signal(LoopSource *s, uint32_t events) {
        Init *i = s->userdata;
        struct signalfd_siginfo si;

        if (read(s->fd, &si, sizeof(si)) != sizeof(si))
                return;
        switch (si.ssi_signo) {
        case SIGCHLD:
                reap(i);
                break;
        case SIGINT:                    /* of the kernel: Ctrl-Alt-Del, the host's last word before it kills the machine */
                i->stop_requested = true;
                (void) signal_workload(i, SIGKILL);
                break;
        case SIGTERM:                   /* of the guest's own root: reboot(8), poweroff(8) and the like of small images */
        case SIGUSR1:
        case SIGUSR2:
                i->stop_requested = true;
                if (i->spec)
                        (void) signal_workload(i, (int) i->spec->stop_signal);
                break;
        }
}

static void on_deadline(LoopTimer *t) {
        Init *i = t->userdata;

        switch (i->state) {
        case INIT_KILLING:
                console_fatal("processes of the workload did not obey SIGKILL");
                on_all_reaped(i);
                break;
        case INIT_FLUSHING:
                i->streams_given_up = true;
                advance(i);
                break;
        case INIT_REPORTING:
                enter(i, INIT_DONE, 0);
                break;
        default:
                break;
        }
}

/* The exit status is worth more than what a disk does not take. */
static void on_sync_deadline(LoopTimer *t) {
        Init *i = t->userdata;

        console_fatal("the writable layer or a volume could not be written back in time");
        i->sync_pid = 0;
        advance(i);
}

static void on_status(Channel *c) {
        advance(c->userdata);
}

static void on_stream(Stream *s) {
        Init *i = s->userdata;

        if (i->state == INIT_FLUSHING)  /* it moves */
                loop_arm(&i->loop, &i->deadline, WIRE_DRAIN_USEC);
        advance(i);
}

static int read_spec(RunSpec **ret, Failure *failure) {
        _cleanup_free_ char *text = NULL;
        char error[JSON_ERROR_MAX];
        size_t n;
        int r;

        r = read_file_at(AT_FDCWD, WIRE_RUN_JSON, RUN_SPEC_BYTES_MAX, &text, &n);
        if (r < 0)
                return failure_set(failure, r, "cannot read " WIRE_RUN_JSON " in the initramfs: %m");
        r = run_spec_parse(text, n, ret, error);
        if (r == -ENOMEM)
                return failure_set(failure, r, WIRE_RUN_JSON ": %m");
        return r < 0 ? failure_set(failure, r, WIRE_RUN_JSON " in the initramfs: %s", error) : 0;
}

static void connect_channel(Init *i, Channel *c, unsigned port) {
        int fd = channel_socket(port);

        c->changed = on_status;
        c->userdata = i;
        if (fd >= 0)
                (void) channel_start(c, &i->loop, fd);
        else {
                c->state = CHANNEL_CLOSED;
                c->error = -fd;
        }
}

static void connect_stream(Init *i, Stream *s, unsigned port, const char *header) {
        int fd = channel_socket(port);

        s->changed = on_stream;
        s->userdata = i;
        if (fd >= 0)
                (void) stream_start(s, &i->loop, fd, header);
        else {
                s->channel.state = CHANNEL_CLOSED;
                s->channel.error = -fd;
        }
}

/* The status connection is the first one, before anything of the image runs: wire.h says why. The three are under way while the rest is
 * set up. */
static void connect_to_host(Init *i) {
        unsigned exit_port = i->spec ? i->spec->vsock_exit_port : WIRE_PORT_STATUS;
        unsigned stream_port = i->spec ? i->spec->vsock_stdout_port : WIRE_PORT_STREAM;

        connect_channel(i, &i->status, exit_port);
        say(i, status_format_booted());
        connect_stream(i, &i->out, stream_port, WIRE_STREAM_STDOUT);
        connect_stream(i, &i->err, stream_port, WIRE_STREAM_STDERR);
}

static void write_setting(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd >= 0)
                (void) write_full(fd, text, strlen(text));
}

/* As docker has them: ports below 1024 and ICMP echo for every user. Kernels without them are fine. */
static void set_sysctls(void) {
        write_setting("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0\n");
        write_setting("/proc/sys/net/ipv4/ping_group_range", "0\t2147483647\n");
        /* As distributions have them: what init does in directories of the workload's users must not be turned against root by a link. */
        write_setting("/proc/sys/fs/protected_hardlinks", "1\n");
        write_setting("/proc/sys/fs/protected_symlinks", "1\n");
}

static int serve_ssh(Init *i, Failure *failure) {
        _cleanup_close_ int host_key_fd = -EBADF;
        int r, fd;

        host_key_fd = ssh_open_host_key(i->spec);
        if (host_key_fd < 0)
                return failure_set(failure, host_key_fd, "cannot have the host key of SSH: %m");
        fd = api_listen(i->spec->vsock_ssh_port);
        if (fd < 0)
                return failure_set(failure, fd, "cannot listen on vsock port %u: %m", i->spec->vsock_ssh_port);
        r = ssh_server_new(&i->loop, host_key_fd, fd, spawn_ssh, i, &i->ssh);
        if (r >= 0 && i->spec->ssh_tcp_port > 0) {
                fd = ssh_listen_tcp(i->spec->ssh_tcp_port);
                if (fd < 0)
                        return failure_set(failure, fd, "cannot listen on TCP port %u: %m", i->spec->ssh_tcp_port);
                r = ssh_server_new(&i->loop, host_key_fd, fd, spawn_ssh, i, &i->ssh_tcp);
        }
        return r < 0 ? failure_set(failure, r, "cannot serve SSH: %m") : 0;
}

static int set_up(Init *i, Failure *failure) {
        _cleanup_close_ int dev_fd = -EBADF, api_fd = -EBADF, stalls_fd = -EBADF;
        int r;

        dev_fd = mounts_open_dev(failure);
        if (dev_fd < 0)
                return dev_fd;
        console_open();
        if (!i->spec)
                return -EBADMSG;        /* read_spec() has said why */
        console_set_debug(i->spec->debug);

        r = mounts_set_up(i->spec, dev_fd, &i->mounts, failure);
        if (r < 0)
                return r;
        console_debug("mounts are there");
        write_setting("/proc/self/oom_score_adj", "-1000\n");
        r = cgroup_set_up(&i->cgroup);
        if (r < 0)
                console_debug("no cgroups: %s", strerror(-r));
        stalls_fd = cgroup_watch_stalls(&i->cgroup);
        if (stalls_fd >= 0) {
                i->stalls = (LoopSource) { .fd = TAKE_FD(stalls_fd), .func = on_stall, .userdata = i };
                (void) loop_set(&i->loop, &i->stalls, EPOLLPRI);
        } else
                console_debug("stalls for memory cannot be watched: %s", strerror(-stalls_fd));
        if (sethostname(i->spec->hostname, strlen(i->spec->hostname)) < 0)
                return failure_set(failure, errno, "cannot set the host name \"%s\": %m", i->spec->hostname);
        r = etc_set_up(i->spec, i->mounts.root_fd, failure);
        if (r < 0)
                return r;
        if (i->spec->ssh_host_key) {
                r = ssh_set_up(i->spec, i->mounts.root_fd, failure);
                if (r < 0)
                        return r;
        }
        r = network_set_up(i->spec, failure);
        if (r < 0)
                return r;
        set_sysctls();

        metrics_open(&i->metrics);
        i->pts_fd = open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = exec_server_new(&i->loop, i->pts_fd, spawn_beside, i, &i->exec);
        if (r < 0)
                return failure_set(failure, r, "cannot serve the API: %m");
        api_fd = api_listen(i->spec->vsock_api_port);
        if (api_fd < 0)
                return failure_set(failure, api_fd, "cannot listen on vsock port %u: %m", i->spec->vsock_api_port);
        r = api_server_new(&i->loop, &i->backend, TAKE_FD(api_fd), &i->api);
        if (r < 0)
                return failure_set(failure, r, "cannot serve the API: %m");
        if (i->spec->ssh_host_key) {
                r = serve_ssh(i, failure);
                if (r < 0)
                        return r;
        }
        console_debug("all is set up");
        return 0;
}

/* Without them a socket of ours could become somebody's standard output. */
static void claim_standard_streams(void) {
        int fd;

        do
                fd = open("/", O_RDONLY | O_DIRECTORY);
        while (fd >= 0 && fd <= STDERR_FILENO);
        safe_close(fd);
}

static int open_signals(Init *i) {
        sigset_t all;
        int fd;

        (void) sigfillset(&all);
        if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
                return negative_errno();
        fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
        if (fd < 0)
                return negative_errno();
        i->signals = (LoopSource) { .fd = fd, .func = on_signal, .userdata = i };
        return loop_set(&i->loop, &i->signals, EPOLLIN);
}

void init_run(void) {
        static Init init;       /* large, and all zero, so that the file does not hold it */
        Init *i = &init;
        int r;

        i->mounts = (Mounts) MOUNTS_NULL;
        i->cgroup = (Cgroup) CGROUP_NULL;
        i->metrics = (Metrics) METRICS_NULL;
        i->pts_fd = -EBADF;
        i->deadline = (LoopTimer) { .func = on_deadline, .userdata = i };
        i->sync_deadline = (LoopTimer) { .func = on_sync_deadline, .userdata = i };
        i->backend = (ApiBackend) { .status = backend_status, .metrics = backend_metrics, .signal = backend_signal, .exec = backend_exec, .userdata = i };
        claim_standard_streams();
        (void) umask(0);
        (void) reboot(RB_DISABLE_CAD);

        r = loop_open(&i->loop);
        if (r >= 0)
                r = open_signals(i);
        if (r < 0) {
                console_fatal("cannot start: %s", strerror(-r));
                enter(i, INIT_DONE, 0);
        } else {
                i->failed = read_spec(&i->spec, &i->failure) < 0;
                connect_to_host(i);
                if (set_up(i, &i->failure) < 0)
                        i->failed = true;
                advance(i);
        }
        while (i->state != INIT_DONE) {
                r = loop_turn(&i->loop);
                if (r < 0) {
                        console_fatal("cannot wait for events: %s", strerror(-r));
                        break;
                }
        }
        (void) reboot(RB_AUTOBOOT);
}
