/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kvm.h"
#include "base/log.h"
#include "base/str.h"
#include "vmm/api-server.h"
#include "vmm/ember.h"
#include "vmm/metrics.h"
#include "vmm/qemu-command.h"
#include "vmm/qemu-process.h"
#include "vmm/qmp.h"
#include "vmm/vhost-user.h"
#include "vmm/tsc.h"
#include "vmm/vmm-config.h"

enum {
        QEMU_QMP_FD = 3,
        QEMU_VHOST_FD = 4,
        WAITING_MAX = 10,               /* API clients that wait for metrics: as many as there can be */
};

#define TSC_INTERVAL_NSEC UINT64_C(1000000)
#define METRICS_PERIOD_USEC (60 * USEC_PER_SEC)         /* Firecracker's WRITE_METRICS_PERIOD_MS */

typedef struct Ember {
        const EmberOptions *options;
        VmmConfig *config;
        EventLoop *loop;
        ApiServer *api;                 /* NULL with --no-api */
        VsockDevice *vsock;             /* NULL without one, like vhost */
        VhostUser *vhost;
        Qmp *qmp;
        QemuAccelerator accelerator;
        QemuProcess qemu;
        EventSource qemu_source;

        Metrics *metrics;               /* NULL where there is no metrics_path */
        EventTimer metrics_timer;
        uint64_t waiting[WAITING_MAX];  /* clients whose FlushMetrics is under way */
        size_t n_waiting;

        TscSample begin;                /* when we started */
        bool guest_ended;               /* by itself, as it may */
} Ember;

static void ember_done(Ember *e) {
        event_source_remove(&e->qemu_source);
        event_timer_remove(&e->metrics_timer);
        qemu_process_done(&e->qemu);
        qmp_free(e->qmp);
        vhost_user_free(e->vhost);
        vsock_device_free(e->vsock);
        api_server_free(e->api);
        metrics_free(e->metrics);
        event_loop_free(e->loop);
        vmm_config_free(e->config);
}

/* --- set-up ----------------------------------------------------------------------------------------------------- */

/* Where a descriptor of the standard three is closed, what we open next would get its number. */
static int fill_standard_fds(void) {
        for (int fd = 0; fd <= 2; fd++)
                if (fcntl(fd, F_GETFD) < 0) {
                        /* /dev/null need not be in the jail: a pipe nobody is at the other end of does. */
                        int p[2];

                        if (pipe(p) < 0)
                                return negative_errno();
                        if (p[0] != fd && p[1] != fd)
                                return -EBADF;
                        safe_close(p[0] == fd ? p[1] : p[0]);
                }
        return 0;
}

/* Firecracker's way: not created where it is a FIFO, and never blocking, whether somebody reads it or not. */
static int open_output(const char *path) {
        int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);

        return fd < 0 ? negative_errno() : fd;
}

/* Messages go to standard error, QEMU's as well: so that is what becomes the log. */
static int set_up_log(const char *path, const char *level) {
        int l, r;

        if (path) {
                _cleanup_close_ int fd = open_output(path);

                if (fd < 0)
                        return log_error_errno(fd, "Cannot open the log \"%s\": %m", path);
                r = dup2(fd, STDERR_FILENO);
                if (r < 0)
                        return log_error_errno(errno, "Cannot write to the log \"%s\": %m", path);
        }
        if (level && vmm_log_level_from_string(level, &l) >= 0)
                log_set_max_level(l);
        return 0;
}

static int load_config(Ember *e) {
        char error[JSON_ERROR_MAX] = "out of memory";
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        r = read_file_at(AT_FDCWD, e->options->config_file, VMM_CONFIG_BYTES_MAX, &text, &n);
        if (r < 0)
                return log_error_errno(r, "Cannot read the configuration \"%s\": %m", e->options->config_file);
        r = vmm_config_parse(text, n, &e->config, error);
        if (r < 0)
                return log_error_errno(r, "%s: %s", e->options->config_file, error);
        return 0;
}

/* QEMU would say it too, in its own words. */
static int check_file(const char *what, const char *path, int flags) {
        _cleanup_close_ int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

        return fd < 0 ? log_error_errno(errno, "Cannot open the %s \"%s\": %m", what, path) : 0;
}

static int check_files(const VmmConfig *c) {
        int r;

        r = check_file("kernel", c->kernel_image_path, O_RDONLY);
        if (r >= 0 && c->initrd_path)
                r = check_file("initrd", c->initrd_path, O_RDONLY);
        for (size_t i = 0; i < c->n_drives && r >= 0; i++)
                r = check_file("drive", c->drives[i].path_on_host, c->drives[i].is_read_only ? O_RDONLY : O_RDWR);
        return r;
}

static QemuAccelerator choose_accelerator(EmberAccelerator wish) {
        int r;

        if (wish != EMBER_ACCEL_AUTO)
                return wish == EMBER_ACCEL_KVM ? QEMU_KVM : QEMU_TCG;
        r = kvm_probe();
        if (r == 0)
                return QEMU_KVM;
        log_info("Emulating, since KVM does not work here (%s).", strerror(-r));
        return QEMU_TCG;
}

/* What we have done since we started was long enough, as a rule. */
static unsigned measure_tsc(const TscSample *begin) {
        TscSample end;

        tsc_sample(&end);
        if (end.nsec - begin->nsec < TSC_INTERVAL_NSEC) {
                (void) nanosleep(&(struct timespec) { .tv_nsec = (long) (TSC_INTERVAL_NSEC - (end.nsec - begin->nsec)) }, NULL);
                tsc_sample(&end);
        }
        return tsc_khz(begin, &end);
}

/* --- API and metrics -------------------------------------------------------------------------------------------- */

static void answer_waiting(Ember *e, int error) {
        while (e->n_waiting > 0) {
                uint64_t client = e->waiting[--e->n_waiting];

                if (error < 0)
                        api_server_respond_fault(e->api, client, "Cannot write the metrics.");
                else
                        api_server_respond(e->api, client, 204, NULL);
        }
}

static void on_blockstats(json_t *result, void *userdata) {
        Ember *e = userdata;
        int r;

        metrics_set_blockstats(e->metrics, result);
        r = metrics_write(e->metrics, e->vsock ? vsock_muxer_counters(vsock_device_muxer(e->vsock)) : NULL);
        if (r < 0)
                log_warning_errno(r, "Cannot write the metrics: %m");
        answer_waiting(e, r);
}

static int flush_metrics(Ember *e) {
        return qmp_command(e->qmp, "query-blockstats", NULL, on_blockstats, e);
}

static int on_metrics_timer(EventTimer *timer) {
        Ember *e = (Ember *) ((char *) timer - offsetof(Ember, metrics_timer));

        (void) flush_metrics(e);
        event_timer_set(timer, e->loop, now_usec() + METRICS_PERIOD_USEC, on_metrics_timer);
        return 0;
}

/* Consumes j. */
static void respond_json(Ember *e, uint64_t client, json_t *j) {
        _cleanup_free_ char *body = j ? json_format(j) : NULL;

        json_decref(j);
        if (body)
                api_server_respond(e->api, client, 200, body);
        else
                api_server_respond_fault(e->api, client, "Out of memory.");
}

static int send_ctrl_alt_del(Ember *e) {
        json_t *keys = json_pack("{s:[{s:s,s:s},{s:s,s:s},{s:s,s:s}]}", "keys", "type", "qcode", "data", "ctrl", "type", "qcode",
                        "data", "alt", "type", "qcode", "data", "delete");

        return keys ? qmp_command(e->qmp, "send-key", keys, NULL, NULL) : -ENOMEM;
}

static void on_request(ApiRequest request, uint64_t client, void *userdata) {
        Ember *e = userdata;
        const VmmConfig *c = e->config;
        int r = 0;

        switch (request) {
        case API_GET_INSTANCE:
                respond_json(e, client, json_pack("{s:s,s:s,s:s,s:s,s:s}", "app_name", "ember", "id", e->options->id, "state", "Running",
                                        "vmm_version", INFERNO_VERSION, "accelerator", e->accelerator == QEMU_KVM ? "kvm" : "tcg"));
                return;
        case API_GET_VERSION:
                respond_json(e, client, json_pack("{s:s}", "firecracker_version", INFERNO_VERSION));
                return;
        case API_GET_MACHINE_CONFIG:
                respond_json(e, client, json_pack("{s:i,s:I,s:b,s:b,s:s}", "vcpu_count", (int) c->vcpu_count, "mem_size_mib",
                                        (json_int_t) c->mem_size_mib, "smt", c->smt, "track_dirty_pages", 0, "huge_pages", "None"));
                return;
        case API_GET_VM_CONFIG:
                respond_json(e, client, json_incref(c->document));
                return;
        case API_FLUSH_METRICS:
                if (!e->metrics) {
                        api_server_respond_fault(e->api, client, "Logger was not initialized.");
                        return;
                }
                if (e->n_waiting == WAITING_MAX)
                        r = -EBUSY;
                if (r >= 0)
                        r = flush_metrics(e);
                if (r >= 0) {
                        e->waiting[e->n_waiting++] = client;
                        return;
                }
                break;
        case API_SEND_CTRL_ALT_DEL:
                r = send_ctrl_alt_del(e);
                break;
        }
        if (r < 0) {
                log_warning_errno(r, "Cannot pass an API request on to QEMU: %m");
                api_server_respond_fault(e->api, client, "QEMU does not take the request.");
        } else
                api_server_respond(e->api, client, 204, NULL);
}

/* --- QEMU ------------------------------------------------------------------------------------------------------- */

static int on_qemu_event(const char *event, json_t *data, void *userdata) {
        Ember *e = userdata;

        if (streq(event, "SHUTDOWN")) {
                const char *reason = json_string_value(json_object_get(data, "reason")) ?: "unknown";

                e->guest_ended = startswith(reason, "guest-");
                log_full_errno(e->guest_ended ? LOG_INFO : LOG_ERR, 0, "QEMU shuts down: %s.", reason);
        } else if (streq(event, "STOP")) {
                /* Nobody asked for it: an error of KVM, or one that QEMU would like somebody to look at. Firecracker ends then. */
                log_error("QEMU has stopped the guest after an internal error.");
                return -EIO;
        }
        return 0;
}

static int on_qemu_exit(EventSource *source, uint32_t events) {
        Ember *e = (Ember *) ((char *) source - offsetof(Ember, qemu_source));
        int status, r;

        event_source_remove(source);
        r = qemu_process_reap(&e->qemu, &status);
        if (r < 0)
                return log_error_errno(r, "Cannot learn how QEMU has ended: %m");
        r = qmp_drain(e->qmp);
        if (r < 0)
                return r;
        if (e->metrics)
                (void) metrics_write(e->metrics, e->vsock ? vsock_muxer_counters(vsock_device_muxer(e->vsock)) : NULL);

        if (WIFSIGNALED(status))
                log_error("QEMU was killed by signal %d (%s).", WTERMSIG(status), strsignal(WTERMSIG(status)));
        else if (WEXITSTATUS(status) != 0)
                log_error("QEMU failed with exit status %d.", WEXITSTATUS(status));
        else if (!e->guest_ended)
                log_error("QEMU ended, but not because the guest did.");
        else {
                event_loop_exit(e->loop, EMBER_EXIT_OK);
                return 0;
        }
        event_loop_exit(e->loop, EMBER_EXIT_GENERIC_ERROR);
        return 0;
}

static int start_qemu(Ember *e) {
        _cleanup_close_ int qmp_ours = -EBADF, qmp_theirs = -EBADF, vhost_ours = -EBADF, vhost_theirs = -EBADF;
        char error[JSON_ERROR_MAX] = "out of memory";
        _cleanup_strv_ char **argv = NULL;
        int pair[2], r;

        e->accelerator = choose_accelerator(e->options->accelerator);
        r = qemu_command(e->config,
                        &(QemuOptions) {
                                .program = e->options->qemu,
                                .id = e->options->id,
                                .accelerator = e->accelerator,
                                .tsc_khz = e->accelerator == QEMU_TCG ? measure_tsc(&e->begin) : 0,
                                .sandbox = !e->options->no_seccomp,
                                .qmp_fd = QEMU_QMP_FD,
                                .vhost_fd = QEMU_VHOST_FD,
                        },
                        &argv, error);
        if (r < 0)
                return log_error_errno(r, "%s: %s", e->options->config_file, error);

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return log_error_errno(errno, "Cannot make a socket for QEMU's monitor: %m");
        qmp_ours = pair[0];
        qmp_theirs = pair[1];
        if (e->vsock) {
                if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                        return log_error_errno(errno, "Cannot make a socket for the vsock device: %m");
                vhost_ours = pair[0];
                vhost_theirs = pair[1];
        }

        r = qemu_process_start(argv, (const int[]) { qmp_theirs, vhost_theirs }, e->vsock ? 2 : 1, QEMU_QMP_FD, &e->qemu);
        if (r < 0)
                return log_error_errno(r, "Cannot start \"%s\": %m", e->options->qemu);
        r = event_source_add(&e->qemu_source, e->loop, e->qemu.pid_fd, EPOLLIN, on_qemu_exit);
        if (r >= 0)
                r = qmp_new(e->loop, TAKE_FD(qmp_ours), on_qemu_event, e, &e->qmp);
        if (r >= 0 && e->vsock)
                r = vhost_user_new(e->loop, e->vsock, TAKE_FD(vhost_ours), &e->vhost);
        if (r >= 0 && e->config->balloon_mib > 0)
                r = qmp_command(e->qmp, "balloon",
                                json_pack("{s:I}", "value", (json_int_t) MIB(e->config->mem_size_mib - e->config->balloon_mib)),
                                NULL, NULL);
        /* Only now, since QEMU tells nobody of the end of a guest that is faster than the monitor's greeting. */
        if (r >= 0)
                r = qmp_command(e->qmp, "cont", NULL, NULL, NULL);
        if (r < 0)
                return log_error_errno(r, "Cannot talk to QEMU: %m");
        return 0;
}

static int ember_set_up(Ember *e) {
        const EmberOptions *o = e->options;
        const char *metrics_path;
        int r;

        (void) signal(SIGPIPE, SIG_IGN);
        (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

        r = fill_standard_fds();
        if (r < 0)
                return log_error_errno(r, "Cannot open standard streams: %m");
        r = set_up_log(o->log_path, o->level);
        if (r < 0)
                return r;
        r = load_config(e);
        if (r < 0)
                return r;
        r = set_up_log(e->config->log_path, e->config->log_level);
        if (r < 0)
                return r;
        metrics_path = e->config->metrics_path ?: o->metrics_path;
        if (metrics_path) {
                int fd = open_output(metrics_path);

                if (fd < 0)
                        return log_error_errno(fd, "Cannot open \"%s\" for metrics: %m", metrics_path);
                r = metrics_new(fd, e->config, o->id, &e->metrics);
                if (r < 0)
                        return log_error_errno(r, "Cannot prepare metrics: %m");
        }
        r = check_files(e->config);
        if (r < 0)
                return r;

        r = event_loop_new(&e->loop);
        if (r < 0)
                return log_error_errno(r, "Cannot make an event loop: %m");
        if (!o->no_api) {
                r = api_server_new(e->loop, o->api_sock, o->api_payload_max, on_request, e, &e->api);
                if (r < 0)
                        return log_error_errno(r, "Failed to open the API socket at: %s. Check that it is not already used. (%m)",
                                        o->api_sock);
        }
        if (e->config->vsock) {
                r = vsock_device_new(e->loop, e->config->guest_cid, e->config->uds_path, &e->vsock);
                if (r < 0)
                        return log_error_errno(r, "Cannot listen at \"%s\" for the vsock: %m", e->config->uds_path);
        }
        r = start_qemu(e);
        if (r < 0)
                return r;
        if (e->metrics)
                event_timer_set(&e->metrics_timer, e->loop, now_usec() + METRICS_PERIOD_USEC, on_metrics_timer);
        return 0;
}

int ember_run(const EmberOptions *options) {
        _cleanup_(ember_done) Ember e = { .options = options, .qemu = { .pid_fd = -EBADF } };
        int r;

        tsc_sample(&e.begin);
        r = ember_set_up(&e);
        if (r >= 0)
                r = event_loop_run(e.loop);
        return r < 0 ? EMBER_EXIT_GENERIC_ERROR : r;
}
