/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The states of a VM, and what leads from one to the next:
 *
 *   STARTING --booted--> BOOTED --started--> RUNNING
 *   BOOTED, RUNNING --SIGTERM--> STOPPING_SIGNAL --stop timeout--> STOPPING_CAD --grace--> KILLING
 *   STOPPING_SIGNAL --SIGINT--> STOPPING_CAD
 *   STARTING --SIGTERM--> KILLING           STARTING, BOOTED --too long--> KILLING
 *   any of these --SIGABRT (systemd's watchdog)--> KILLING
 *   any of these --exited--> FINISHING --too long--> KILLING
 *   any state --the VMM has ended--> ENDED --all it left is read and in the journal--> kiln exits
 */

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <syslog.h>
#include <unistd.h>

#include "base/exit-codes.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "base/wire.h"
#include "kiln/clock.h"
#include "kiln/guest-link.h"
#include "kiln/http-call.h"
#include "kiln/journal.h"
#include "kiln/key-server.h"
#include "kiln/outcome.h"
#include "kiln/vm.h"
#include "kiln/vmm-info.h"
#include "kiln/vmm-output.h"
#include "kiln/vmm-process.h"

/* Where the unit binds systemd's socket into the jail; the environment is empty there. */
#define NOTIFY_SOCKET_DEFAULT "/run/systemd/notify"

#define BOOT_USEC (180 * USEC_PER_SEC)                          /* from the start of the VMM to "booted": twenty at once in emulation take long */
#define SETUP_USEC (300 * USEC_PER_SEC)                         /* from there to "started" */
#define CAD_GRACE_USEC (5 * USEC_PER_SEC)                       /* from "power off now" to SIGKILL for the VMM */
#define FINISH_USEC (WIRE_DRAIN_USEC + 5 * USEC_PER_SEC)        /* from "exited" to the end of the VMM */
#define FINISH_LATE_USEC (5 * USEC_PER_SEC)                     /* likewise, where the stop timeout has passed before */
#define KILL_USEC (10 * USEC_PER_SEC)                           /* from SIGKILL to the end of the VMM */
#define END_USEC (10 * USEC_PER_SEC)                            /* from there to the last line in the journal */
#define SIGNAL_RETRY_USEC (1 * USEC_PER_SEC)
#define VMM_API_USEC (2 * USEC_PER_SEC)
#define TIMER_ACCURACY_USEC (10 * USEC_PER_MSEC)

typedef enum VmState {
        VM_STARTING,            /* the VMM runs, nothing has come from its guest yet */
        VM_BOOTED,              /* init sets the workload up */
        VM_RUNNING,
        VM_STOPPING_SIGNAL,     /* the workload has been (or, once it runs, will be) asked to end */
        VM_STOPPING_CAD,        /* init has been told to end it and power off */
        VM_FINISHING,           /* the workload has ended, its output is read, the guest powers off */
        VM_KILLING,             /* SIGKILL for the VMM */
        VM_ENDED,               /* the VMM has ended, what it left is read */
} VmState;

typedef struct Sources {
        JournalSource kiln, out, err, console, vmm, metrics;
} Sources;

struct Vm {
        const KilnConfig *config;       /* borrowed */
        VmOptions options;
        sd_event *event;
        Journal *journal;
        Sources sources;
        JournalWaiter idle_waiter;

        VmState state;
        sd_event_source *deadline;      /* of the state */

        GuestLink *link;
        KeyServer *keys;
        VmmOutput *output;
        VmmProcess process;
        sd_event_source *process_source;
        bool process_gone;

        char *vmm_text;                 /* "ember (emulation)" */
        HttpCall *ping, *signal, *vmm_call;
        sd_event_source *ping_timer, *signal_timer;
        uint64_t answered_usec, silence_told_usec;

        EndFacts facts;
        unsigned guest_pid;
        bool concluded;
        int exit_code;
};

static _printf_(2, 3) void vm_notify(Vm *vm, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&text, format, ap);
        va_end(ap);
        if (r < 0) {
                text = NULL;
                return;
        }
        r = sd_notify(0, text);
        if (r < 0)
                log_debug_errno(r, "Cannot notify systemd: %m");
}

static void vm_notify_running(Vm *vm) {
        const KilnConfig *c = vm->config;
        char resources[64] = "";

        if (c->cpu_count > 0 && c->memory_mb > 0)
                snprintf(resources, sizeof(resources), ", %u CPU%s, %u MiB", c->cpu_count, c->cpu_count > 1 ? "s" : "", c->memory_mb);
        vm_notify(vm, "READY=1\nSTATUS=Running %s on %s%s%s%s, guest pid %u", c->image, vm->vmm_text, c->address ? ", " : "",
                  c->address ?: "", resources, vm->guest_pid);
}

static void vm_enter(Vm *vm, VmState state);
static void vm_check_end(Vm *vm);

/* --- the end --- */

static void vm_log_tail(Vm *vm, const char *what, const Tail *tail) {
        char text[TAIL_TEXT_MAX];
        _cleanup_free_ char *message = NULL;

        tail_text(tail, text);
        message = text[0] ? strf("Last lines of %s:\n%s", what, text) : NULL;
        if (message)
                journal_queue(vm->journal, &vm->sources.kiln, LOG_ERR, message);
}

static void vm_write_exit_status(Vm *vm, const Outcome *o) {
        _cleanup_free_ char *text = NULL;
        struct timespec ts;
        int r;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        r = outcome_format(o, (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC, &text);
        if (r >= 0)
                r = write_file_atomic_at(AT_FDCWD, vm->config->exit_status_path, text, strlen(text), 0644, 0);
        if (r < 0)
                log_warning_errno(r, "Cannot write \"%s\": %m", vm->config->exit_status_path);
}

static void vm_conclude(Vm *vm) {
        char console[TAIL_TEXT_MAX];
        Outcome o;

        vm->concluded = true;
        tail_text(vmm_output_console_tail(vm->output), console);
        vm->facts.console = console;
        outcome_decide(&vm->facts, &o);
        vm->facts.console = NULL;
        vm->exit_code = o.exit_code;

        if (o.show_vmm)
                vm_log_tail(vm, "the VMM's messages", vmm_output_vmm_tail(vm->output));
        if (o.show_console)
                vm_log_tail(vm, "the guest's console", vmm_output_console_tail(vm->output));
        if (vm->facts.exited && !vm->facts.killed && (vm->facts.vmm_code != CLD_EXITED || vm->facts.vmm_status != 0))
                log_warning("%s ended with %s %d after its guest had finished.", vm->config->vmm,
                            vm->facts.vmm_code == CLD_EXITED ? "exit code" : "signal", vm->facts.vmm_status);
        log_full_errno(o.priority, 0, "%s", o.message);
        vm_notify(vm, "STATUS=%s", o.message);
        vm_write_exit_status(vm, &o);
}

/* Goes on with whatever the end still waits for. Called when any part of it may have become true. */
static void vm_check_end(Vm *vm) {
        if (vm->state == VM_FINISHING && guest_link_streams_ended(vm->link)) {
                /* All of the workload's output is in the journal: now init may power off. */
                guest_link_close(vm->link);
                return;
        }
        if (vm->state != VM_ENDED)
                return;
        if (!vm->concluded) {
                if (!guest_link_is_idle(vm->link) || !vmm_output_is_idle(vm->output))
                        return;
                vm_conclude(vm);
        }
        if (!journal_is_idle(vm->journal)) {
                journal_wait(vm->journal, &vm->idle_waiter);
                return;
        }
        (void) sd_event_exit(vm->event, vm->exit_code);
}

static void on_journal_idle(void *userdata) {
        vm_check_end(userdata);
}

static void on_part_ended(void *userdata) {
        vm_check_end(userdata);
}

/* --- the VMM's process --- */

static int on_process_ended(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Vm *vm = userdata;
        int r;

        r = vmm_process_reap(&vm->process, &vm->facts.vmm_code, &vm->facts.vmm_status);
        if (r == -EAGAIN)
                return 0;
        if (r < 0)
                log_error_errno(r, "Cannot learn how %s ended: %m", vm->config->vmm);
        vm->process_source = sd_event_source_disable_unref(vm->process_source);
        vm_enter(vm, VM_ENDED);
        return 0;
}

/* --- the VMM's API --- */

static int vm_call_vmm(Vm *vm, const char *method, const char *target, const char *body, HttpCallFunc func) {
        vm->vmm_call = http_call_free(vm->vmm_call);
        return http_call_new(vm->event, &(HttpCallOptions) {
                .socket_path = vm->config->firecracker_socket_path,
                .method = method,
                .target = target,
                .body = body,
                .timeout_usec = VMM_API_USEC,
                .func = func,
                .userdata = vm,
        }, &vm->vmm_call);
}

static void on_info_answer(HttpCall *c, int error, unsigned status, const char *body, void *userdata) {
        Vm *vm = userdata;
        _cleanup_(vmm_info_done) VmmInfo info = {};
        char reason[JSON_ERROR_MAX] = "", *text;
        int r = error;

        if (r == 0 && status == 200)
                r = vmm_info_parse(body, &info, reason);
        text = r == 0 && info.name ? vmm_info_format(&info) : NULL;
        vm->vmm_call = http_call_free(vm->vmm_call);
        if (!text) {
                log_debug("%s does not say what it is: %s", vm->config->vmm, reason[0] ? reason : strerror(-r));
                return;
        }
        free(vm->vmm_text);
        vm->vmm_text = text;
        log_debug("The VMM is %s.", text);
        if (vm->state == VM_RUNNING)
                vm_notify_running(vm);
}

static void on_cad_answer(HttpCall *c, int error, unsigned status, const char *body, void *userdata) {
        Vm *vm = userdata;

        vm->vmm_call = http_call_free(vm->vmm_call);
        if (error == 0 && status >= 200 && status <= 299)
                return;
        if (error < 0)
                log_warning_errno(error, "Cannot send Ctrl-Alt-Del through the API of %s: %m", vm->config->vmm);
        else
                log_warning("%s refuses to send Ctrl-Alt-Del: HTTP status %u: %.200s", vm->config->vmm, status, body);
        if (vm->state == VM_STOPPING_CAD)
                vm_enter(vm, VM_KILLING);
}

static void on_flush_answer(HttpCall *c, int error, unsigned status, const char *body, void *userdata) {
        Vm *vm = userdata;

        vm->vmm_call = http_call_free(vm->vmm_call);
        if (error < 0)
                log_debug_errno(error, "Cannot have the metrics of %s flushed: %m", vm->config->vmm);
        else if (status > 299)
                log_debug("%s does not flush its metrics: HTTP status %u", vm->config->vmm, status);
}

/* --- the stop sequence --- */

static void vm_send_signal(Vm *vm);

static int on_signal_retry(sd_event_source *s, uint64_t usec, void *userdata) {
        vm_send_signal(userdata);
        return 0;
}

static void vm_retry_signal(Vm *vm) {
        int r;

        if (vm->signal_timer) {
                r = sd_event_source_set_time_relative(vm->signal_timer, SIGNAL_RETRY_USEC);
                if (r >= 0)
                        r = sd_event_source_set_enabled(vm->signal_timer, SD_EVENT_ONESHOT);
        } else
                r = sd_event_add_time_relative(vm->event, &vm->signal_timer, CLOCK_MONOTONIC, SIGNAL_RETRY_USEC, TIMER_ACCURACY_USEC,
                                               on_signal_retry, vm);
        if (r < 0)
                log_warning_errno(r, "Cannot set a timer: %m");
}

static void on_signal_answer(HttpCall *c, int error, unsigned status, const char *body, void *userdata) {
        Vm *vm = userdata;

        vm->signal = http_call_free(vm->signal);
        if (vm->state != VM_STOPPING_SIGNAL)
                return;
        if (error < 0) {
                log_warning_errno(error, "The guest did not take the stop signal, trying again: %m");
                vm_retry_signal(vm);
        } else if (status > 299)
                log_warning("The guest refuses the stop signal: HTTP status %u: %.200s", status, body);
        else
                log_debug("The guest has sent %s to the workload.", signal_to_string((int) vm->config->stop_signal));
}

static void vm_send_signal(Vm *vm) {
        char body[32];
        int r;

        if (vm->state != VM_STOPPING_SIGNAL || vm->signal)
                return;
        snprintf(body, sizeof(body), "{\"signal\":%u}", vm->config->stop_signal);
        r = http_call_new(vm->event, &(HttpCallOptions) {
                .socket_path = vm->config->firecracker_vsock_uds_path,
                .vsock_port = vm->config->vsock_api_port,
                .method = "POST",
                .target = "/v1/signal",
                .body = body,
                .timeout_usec = vm->config->stop_timeout_usec,
                .func = on_signal_answer,
                .userdata = vm,
        }, &vm->signal);
        if (r < 0) {
                log_warning_errno(r, "Cannot send the stop signal to the guest: %m");
                vm_retry_signal(vm);
        } else
                vm->facts.stop_signal_sent = true;      /* its effect may be told before the answer */
}

static int on_stop_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        Vm *vm = userdata;

        if (vm->facts.stop_requested && si->ssi_signo == SIGINT && vm->state == VM_STOPPING_SIGNAL) {
                log_info("Asked to wait no longer for the workload, telling the guest to kill it (Ctrl-Alt-Del).");
                vm->facts.stop_timed_out = vm->facts.stop_hurried = true;
                vm_enter(vm, VM_STOPPING_CAD);
                return 0;
        }
        if (vm->facts.stop_requested) {
                log_info("Asked to stop once more; that changes nothing.");
                return 0;
        }
        vm->facts.stop_requested = true;
        vm_notify(vm, "STOPPING=1");
        switch (vm->state) {
        case VM_STARTING:
                log_info("Asked to stop before the guest has booted, ending %s.", vm->config->vmm);
                vm_enter(vm, VM_KILLING);
                break;
        case VM_BOOTED:
        case VM_RUNNING:
                if (vm->config->vmm_metrics_fifo_path && log_get_max_level() >= LOG_DEBUG)
                        (void) vm_call_vmm(vm, "PUT", "/actions", "{\"action_type\":\"FlushMetrics\"}", on_flush_answer);
                vm_enter(vm, VM_STOPPING_SIGNAL);
                break;
        case VM_STOPPING_SIGNAL:
        case VM_STOPPING_CAD:
        case VM_FINISHING:
        case VM_KILLING:
        case VM_ENDED:
                break;          /* it is ending already */
        }
        return 0;
}

static int on_abort_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        Vm *vm = userdata;

        vm->facts.watchdog = true;
        if (vm->facts.silent)
                log_error("SIGABRT, as systemd's watchdog sends it: the guest has not answered for %s, ending %s.",
                          format_seconds(now_usec() - vm->answered_usec), vm->config->vmm);
        else
                log_error("SIGABRT, as systemd's watchdog sends it: ending %s.", vm->config->vmm);
        if (vm->state < VM_KILLING)
                vm_enter(vm, VM_KILLING);
        return 0;
}

/* --- the watchdog: fed while the guest answers --- */

static void vm_schedule_ping(Vm *vm, uint64_t usec);

static void on_ping_answer(HttpCall *c, int error, unsigned status, const char *body, void *userdata) {
        Vm *vm = userdata;
        uint64_t now = now_usec(), watchdog = vm->options.watchdog_usec;

        vm->ping = http_call_free(vm->ping);
        if (error == 0 && status == 200) {
                if (vm->facts.silent)
                        log_info("The guest answers again, after %s.", format_seconds(now - vm->answered_usec));
                vm->facts.silent = false;
                vm->answered_usec = now;
                vm_notify(vm, "WATCHDOG=1");
                vm_schedule_ping(vm, watchdog / 4);
                return;
        }
        if (vm->state == VM_RUNNING && (!vm->facts.silent || now >= vm->silence_told_usec + watchdog / 4)) {
                const char *silence = format_seconds(now - vm->answered_usec), *limit = format_seconds(watchdog);

                if (error < 0)
                        log_warning_errno(error, "The guest has not answered for %s (the watchdog's limit: %s): %m", silence, limit);
                else
                        log_warning("The guest has not answered well for %s (the watchdog's limit: %s): HTTP status %u", silence, limit,
                                    status);
                vm->facts.silent = true;
                vm->silence_told_usec = now;
        }
        vm_schedule_ping(vm, watchdog / 16);
}

static int on_ping_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Vm *vm = userdata;
        int r;

        /* All later states end by their own deadlines, whatever the guest does. */
        if (vm->state != VM_RUNNING) {
                vm_notify(vm, "WATCHDOG=1");
                vm_schedule_ping(vm, vm->options.watchdog_usec / 4);
                return 0;
        }
        r = http_call_new(vm->event, &(HttpCallOptions) {
                .socket_path = vm->config->firecracker_vsock_uds_path,
                .vsock_port = vm->config->vsock_api_port,
                .method = "GET",
                .target = "/v1/ping",
                .timeout_usec = vm->options.watchdog_usec / 3,
                .func = on_ping_answer,
                .userdata = vm,
        }, &vm->ping);
        if (r < 0) {
                log_warning_errno(r, "Cannot ask the guest whether it lives: %m");
                vm_schedule_ping(vm, vm->options.watchdog_usec / 16);
        }
        return 0;
}

static void vm_schedule_ping(Vm *vm, uint64_t usec) {
        int r;

        if (!vm->ping_timer)
                r = sd_event_add_time_relative(vm->event, &vm->ping_timer, CLOCK_MONOTONIC, usec, TIMER_ACCURACY_USEC, on_ping_timer, vm);
        else {
                r = sd_event_source_set_time_relative(vm->ping_timer, usec);
                if (r >= 0)
                        r = sd_event_source_set_enabled(vm->ping_timer, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_error_errno(r, "Cannot set the watchdog's timer: %m");
}

/* --- what the guest says --- */

static void vm_guest_started(Vm *vm, unsigned pid) {
        uint64_t since = vm->options.start_time_usec;

        vm->guest_pid = pid;
        vm->facts.started = true;
        log_info("The workload runs as pid %u of the guest, %s after the start.", pid, format_seconds(now_usec() - since));
        if (vm->state == VM_STOPPING_SIGNAL)    /* asked to stop while it was being set up */
                vm_send_signal(vm);
        else if (vm->state < VM_RUNNING)        /* what is ending goes on to end */
                vm_enter(vm, VM_RUNNING);
}

static void on_guest_status(const StatusLine *line, void *userdata) {
        Vm *vm = userdata;

        vm->facts.booted = true;
        switch (line->state) {
        case GUEST_BOOTED:
                if (vm->state == VM_STARTING)
                        vm_enter(vm, VM_BOOTED);
                break;
        case GUEST_STARTED:
                vm_guest_started(vm, line->pid);
                break;
        case GUEST_EXITED:
                vm->facts.exited = true;
                vm->facts.status = *line;
                if (vm->state < VM_FINISHING)
                        vm_enter(vm, VM_FINISHING);
                /* The last: it may find that both streams have ended already. */
                guest_link_set_sizes(vm->link, line->stdout_bytes, line->stderr_bytes);
                vm_check_end(vm);
                break;
        }
}

/* --- states --- */

static uint64_t vm_finish_usec(const Vm *vm) {
        return vm->facts.stop_timed_out ? FINISH_LATE_USEC : FINISH_USEC;
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata) {
        Vm *vm = userdata;

        switch (vm->state) {
        case VM_STOPPING_SIGNAL:
                vm->facts.stop_timed_out = true;
                log_warning("The workload has not stopped within %s, telling the guest to kill it (Ctrl-Alt-Del).",
                            format_seconds(vm->config->stop_timeout_usec));
                vm_enter(vm, VM_STOPPING_CAD);
                break;
        case VM_STOPPING_CAD:
                log_warning("The guest has not ended %s after Ctrl-Alt-Del, killing %s.", format_seconds(CAD_GRACE_USEC), vm->config->vmm);
                vm_enter(vm, VM_KILLING);
                break;
        case VM_FINISHING:
                log_warning("The guest has not powered off %s after the end of its workload, killing %s.", format_seconds(vm_finish_usec(vm)),
                            vm->config->vmm);
                vm_enter(vm, VM_KILLING);
                break;
        case VM_KILLING:
                log_error("%s has not ended %s after SIGKILL, leaving it to systemd.", vm->config->vmm, format_seconds(KILL_USEC));
                vm->process.pid = 0;
                vm_enter(vm, VM_ENDED);
                break;
        case VM_ENDED:
                log_warning("Gave up on the rest of the output after %s%s.", format_seconds(END_USEC),
                            journal_blocked_usec(vm->journal) > 0 ? ", since the journal does not take it" : "");
                if (!vm->concluded)
                        vm_conclude(vm);
                (void) sd_event_exit(vm->event, vm->exit_code);
                break;
        case VM_STARTING:
        case VM_BOOTED:
                vm->facts.start_timeout_usec = vm->state == VM_STARTING ? BOOT_USEC : SETUP_USEC;
                vm_enter(vm, VM_KILLING);
                break;
        case VM_RUNNING:
                break;
        }
        return 0;
}

static void vm_set_deadline(Vm *vm, uint64_t usec) {
        int r;

        vm->deadline = sd_event_source_disable_unref(vm->deadline);
        if (usec == UINT64_MAX)
                return;
        r = sd_event_add_time_relative(vm->event, &vm->deadline, CLOCK_MONOTONIC, usec, TIMER_ACCURACY_USEC, on_deadline, vm);
        if (r < 0)
                log_error_errno(r, "Cannot set a timer: %m");
}

static void vm_enter(Vm *vm, VmState state) {
        const KilnConfig *c = vm->config;
        int r;

        vm->state = state;
        switch (state) {
        case VM_STARTING:
                vm_notify(vm, "STATUS=Starting %s on %s", c->image, vm->vmm_text);
                vm_set_deadline(vm, BOOT_USEC);
                break;
        case VM_BOOTED:
                log_info("The guest has booted.");
                vm_notify(vm, "STATUS=The guest has booted, setting up %s", c->image);
                vm_set_deadline(vm, SETUP_USEC);
                (void) vm_call_vmm(vm, "GET", "/", NULL, on_info_answer);
                break;
        case VM_RUNNING:
                key_server_wipe(vm->keys);
                vm_set_deadline(vm, UINT64_MAX);
                vm_notify_running(vm);
                if (vm->options.watchdog_usec > 0) {
                        vm->answered_usec = now_usec();
                        vm_schedule_ping(vm, vm->options.watchdog_usec / 4);
                }
                break;
        case VM_STOPPING_SIGNAL:
                log_info("Stopping: %s to the workload, which has %s to end.", signal_to_string((int) c->stop_signal),
                         format_seconds(c->stop_timeout_usec));
                vm_notify(vm, "STATUS=Stopping: %s sent to the workload, which has %s to end", signal_to_string((int) c->stop_signal),
                          format_seconds(c->stop_timeout_usec));
                vm_set_deadline(vm, c->stop_timeout_usec);
                if (vm->facts.started)
                        vm_send_signal(vm);
                break;
        case VM_STOPPING_CAD:
                vm_notify(vm, "STATUS=Stopping: the workload did not end in time, the guest is told to kill it");
                vm->signal = http_call_free(vm->signal);
                vm_set_deadline(vm, CAD_GRACE_USEC);
                r = vm_call_vmm(vm, "PUT", "/actions", "{\"action_type\":\"SendCtrlAltDel\"}", on_cad_answer);
                if (r < 0) {
                        log_warning_errno(r, "Cannot call the API of %s: %m", c->vmm);
                        vm_enter(vm, VM_KILLING);
                }
                break;
        case VM_FINISHING:
                log_debug("The workload has ended, waiting for the rest of its output and for the guest to power off.");
                vm->signal = http_call_free(vm->signal);
                vm_set_deadline(vm, vm_finish_usec(vm));
                break;
        case VM_KILLING:
                vm->facts.killed = true;
                vmm_process_kill(&vm->process);
                vm_set_deadline(vm, KILL_USEC);
                break;
        case VM_ENDED:
                vm_set_deadline(vm, END_USEC);
                guest_link_stop_listening(vm->link);
                key_server_stop(vm->keys);
                vmm_output_drain(vm->output);
                vm_check_end(vm);
                break;
        }
}

/* --- making and ending it --- */

static void vm_log(int level, const char *line, void *userdata) {
        Vm *vm = userdata;

        journal_queue(vm->journal, &vm->sources.kiln, level, line);
}

static int vm_make_source(const Vm *vm, const char *identifier, const char *stream, const char *prefix, int fd, JournalSource *ret) {
        const KilnConfig *c = vm->config;
        _cleanup_free_ char *fields = strf("SYSLOG_IDENTIFIER=%s\nINFERNO_VM=%s\nINFERNO_STREAM=%s\nINFERNO_IMAGE=%s\nINFERNO_VERSION=%s\n",
                                           identifier, c->name, stream, c->image, c->version);

        return fields ? journal_source_init(ret, fields, prefix, fd) : -ENOMEM;
}

static int vm_make_sources(Vm *vm) {
        const KilnConfig *c = vm->config;
        _cleanup_free_ char *console = strf("%s/console", c->name), *prefix = strf("%s: ", c->vmm);
        const struct {
                JournalSource *source;
                const char *identifier, *stream, *prefix;
                int fd;
        } table[] = {
                { &vm->sources.kiln, "kiln", "kiln", "kiln: ", STDERR_FILENO },
                { &vm->sources.out, c->name, "stdout", "", STDOUT_FILENO },
                { &vm->sources.err, c->name, "stderr", "", STDERR_FILENO },
                { &vm->sources.console, console, "console", "console: ", STDERR_FILENO },
                { &vm->sources.vmm, c->vmm, "vmm", prefix, STDERR_FILENO },
                { &vm->sources.metrics, c->vmm, "metrics", "metrics: ", STDERR_FILENO },
        };

        if (!console || !prefix)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                int r = vm_make_source(vm, table[i].identifier, table[i].stream, table[i].prefix, table[i].fd, table[i].source);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int vm_watch_signals(Vm *vm) {
        sigset_t mask;
        int r;

        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGHUP, SIG_IGN);
        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGABRT);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return negative_errno();
        r = sd_event_add_signal(vm->event, NULL, SIGTERM, on_stop_signal, vm);
        if (r < 0)
                return r;
        r = sd_event_add_signal(vm->event, NULL, SIGINT, on_stop_signal, vm);
        if (r < 0)
                return r;
        return sd_event_add_signal(vm->event, NULL, SIGABRT, on_abort_signal, vm);
}

/* What an earlier run left is in the way: the VMM fails to bind where a socket is. */
static int vm_remove_stale(const Vm *vm) {
        const char *const paths[] = {
                vm->config->firecracker_socket_path,
                vm->config->firecracker_vsock_uds_path,
                vm->config->exit_status_path,
        };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                if (unlink(paths[i]) < 0 && errno != ENOENT)
                        return log_error_errno(negative_errno(), "Cannot remove the old \"%s\": %m", paths[i]);
        return 0;
}

int vm_new(const KilnConfig *config, const VmOptions *options, Vm **ret) {
        _cleanup_(vm_freep) Vm *vm = calloc(1, sizeof(Vm));
        int r;

        if (!vm)
                return log_oom();
        vm->config = config;
        vm->options = *options;
        if (vm->options.start_time_usec == 0 || vm->options.start_time_usec > now_usec())
                vm->options.start_time_usec = now_usec();
        vm->process = VMM_PROCESS_NULL;
        vm->idle_waiter = (JournalWaiter) { .func = on_journal_idle, .userdata = vm };
        vm->facts = (EndFacts) {
                .vmm = config->vmm,
                .stop_signal = config->stop_signal,
                .stop_timeout_usec = config->stop_timeout_usec,
        };

        vm->vmm_text = strdup(streq(config->vmm, "firecracker") ? "Firecracker" : config->vmm);
        if (!vm->vmm_text)
                return log_oom();

        if (!getenv("NOTIFY_SOCKET") && access(NOTIFY_SOCKET_DEFAULT, W_OK) >= 0 && setenv("NOTIFY_SOCKET", NOTIFY_SOCKET_DEFAULT, 0) < 0)
                return log_oom();       /* elsewhere it stays unset: nobody to notify, as by hand */
        r = sd_event_new(&vm->event);
        if (r < 0)
                return log_error_errno(r, "Cannot make an event loop: %m");
        r = vm_watch_signals(vm);
        if (r < 0)
                return log_error_errno(r, "Cannot watch signals: %m");

        r = vm_make_sources(vm);
        if (r < 0)
                return log_oom();
        r = journal_new(vm->event, config->vm_logs_socket_path, &vm->journal);
        if (r < 0)
                return log_error_errno(r, "Cannot use the journal's socket \"%s\": %m", config->vm_logs_socket_path);
        log_set_function(vm_log, vm);

        r = vm_remove_stale(vm);
        if (r < 0)
                return r;
        r = guest_link_new(vm->event, vm->journal, &(GuestLinkOptions) {
                .uds_path = config->firecracker_vsock_uds_path,
                .stream_port = config->vsock_stdout_port,
                .status_port = config->vsock_exit_port,
                .stdout_source = &vm->sources.out,
                .stderr_source = &vm->sources.err,
                .on_status = on_guest_status,
                .on_end = on_part_ended,
                .userdata = vm,
        }, &vm->link);
        if (r < 0)
                return log_error_errno(r, "Cannot listen on \"%s_%u\" and \"%s_%u\": %m", config->firecracker_vsock_uds_path,
                                       config->vsock_stdout_port, config->firecracker_vsock_uds_path, config->vsock_exit_port);
        r = key_server_new(vm->event, config, &vm->keys);
        if (r < 0)
                return r;
        r = vmm_output_new(vm->event, vm->journal, &(VmmOutputOptions) {
                .console_source = &vm->sources.console,
                .vmm_source = &vm->sources.vmm,
                .metrics_source = &vm->sources.metrics,
                .log_fifo_path = config->vmm_log_fifo_path,
                .metrics_fifo_path = config->vmm_metrics_fifo_path,
                .log_metrics = log_get_max_level() >= LOG_DEBUG,
                .on_end = on_part_ended,
                .userdata = vm,
        }, &vm->output);
        if (r < 0)
                return log_error_errno(r, "Cannot make the FIFOs of the VMM's log and metrics: %m");
        *ret = TAKE_PTR(vm);
        return 0;
}

static int vm_spawn(Vm *vm) {
        const KilnConfig *c = vm->config;
        char *const argv[] = {
                c->firecracker_exec_path,
                (char *) "--id", c->jail_id,
                (char *) "--api-sock", c->firecracker_socket_path,
                (char *) "--config-file", c->firecracker_config_path,
                NULL,
        };
        int r;

        r = vmm_process_spawn(argv, &vm->process);
        if (r < 0)
                return log_error_errno(r, "Cannot run the VMM \"%s\" (%s): %m", c->firecracker_exec_path, c->vmm);
        r = vmm_output_attach(vm->output, TAKE_FD(vm->process.stdout_fd), TAKE_FD(vm->process.stderr_fd));
        if (r < 0)
                return log_error_errno(r, "Cannot read what the VMM prints: %m");
        r = sd_event_add_io(vm->event, &vm->process_source, vm->process.pidfd, EPOLLIN, on_process_ended, vm);
        if (r < 0)
                return log_error_errno(r, "Cannot watch the VMM's process: %m");
        /* What it has said before it ended is looked at first. */
        (void) sd_event_source_set_priority(vm->process_source, SD_EVENT_PRIORITY_IDLE);
        return 0;
}

int vm_run(Vm *vm) {
        int r;

        r = vm_spawn(vm);
        if (r < 0) {
                Outcome o = { .exit_code = EXIT_VMM_FAILED, .reason = "vmm-failed" };

                snprintf(o.message, sizeof(o.message), "Cannot run the VMM \"%.500s\".", vm->config->firecracker_exec_path);
                vm_notify(vm, "STATUS=%s", o.message);
                vm_write_exit_status(vm, &o);
                return o.exit_code;
        }
        log_info("%s runs as pid %d, booting %s.", vm->vmm_text, (int) vm->process.pid, vm->config->image);
        vm_enter(vm, VM_STARTING);
        r = sd_event_loop(vm->event);
        if (r < 0)
                return log_error_errno(r, "The event loop failed: %m");
        return r;
}

Vm *vm_free(Vm *vm) {
        if (!vm)
                return NULL;
        vmm_process_done(&vm->process);
        http_call_free(vm->ping);
        http_call_free(vm->signal);
        http_call_free(vm->vmm_call);
        guest_link_free(vm->link);
        key_server_free(vm->keys);
        vmm_output_free(vm->output);
        sd_event_source_disable_unref(vm->process_source);
        sd_event_source_disable_unref(vm->deadline);
        sd_event_source_disable_unref(vm->ping_timer);
        sd_event_source_disable_unref(vm->signal_timer);
        log_set_function(NULL, NULL);
        if (vm->journal)
                journal_unwait(vm->journal, &vm->idle_waiter);
        journal_free(vm->journal);
        free(vm->vmm_text);
        journal_source_done(&vm->sources.kiln);
        journal_source_done(&vm->sources.out);
        journal_source_done(&vm->sources.err);
        journal_source_done(&vm->sources.console);
        journal_source_done(&vm->sources.vmm);
        journal_source_done(&vm->sources.metrics);
        sd_event_unref(vm->event);
        free(vm);
        return NULL;
}
