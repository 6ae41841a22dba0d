/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <syslog.h>

#include "base/exit-codes.h"
#include "base/parse.h"
#include "base/str.h"
#include "json/json.h"
#include "kiln/outcome.h"

#define PANIC_TEXT "Kernel panic - not syncing: "

const char *format_seconds(uint64_t usec) {
        static char bufs[4][32];
        static unsigned next;
        char *buf = bufs[next++ % ELEMENTSOF(bufs)];

        if (usec == UINT64_MAX)
                snprintf(buf, sizeof(bufs[0]), "ever");
        else if (usec % USEC_PER_SEC == 0 || usec >= 100 * USEC_PER_SEC)
                snprintf(buf, sizeof(bufs[0]), "%" PRIu64 " s", usec / USEC_PER_SEC);
        else
                snprintf(buf, sizeof(bufs[0]), "%.*f s", usec < USEC_PER_SEC ? 2 : 1, (double) usec / (double) USEC_PER_SEC);
        return buf;
}

static _printf_(5, 6) void outcome_set(Outcome *o, int exit_code, const char *reason, int priority, const char *format, ...) {
        va_list ap;

        o->exit_code = exit_code;
        o->reason = reason;
        o->priority = priority;
        va_start(ap, format);
        (void) vsnprintf(o->message, sizeof(o->message), format, ap);
        va_end(ap);
}

static const char *signal_name(unsigned signo) {
        return signal_to_string((int) signo) ?: "an unknown signal";
}

static void outcome_of_timeout(const EndFacts *f, int exit_code, Outcome *o) {
        if (f->stop_hurried)
                outcome_set(o, exit_code, "killed", LOG_NOTICE, "The workload was killed, as asked.");
        else
                outcome_set(o, exit_code, "stop-timeout", LOG_WARNING, "The workload did not stop within %s, killed.",
                            format_seconds(f->stop_timeout_usec));
}

static void outcome_of_workload(const EndFacts *f, Outcome *o) {
        const StatusLine *s = &f->status;
        const char *colon = s->message[0] ? ": " : "";

        o->oom_killed = s->oom_killed;
        o->signal = s->signal;

        if (f->stop_timed_out && s->exit_code == EXIT_SIGNAL_BASE + SIGKILL)
                outcome_of_timeout(f, (int) s->exit_code, o);
        else if (s->oom_killed && s->signal == SIGKILL)
                outcome_set(o, (int) s->exit_code, "oom-killed", LOG_ERR, "The workload was killed: %s (see Memory= of the definition)",
                            s->message[0] ? s->message : "the guest ran out of memory");
        else if (!f->started && s->exit_code != 0)
                outcome_set(o, (int) s->exit_code, "setup-failed", LOG_ERR, "The workload could not be started: %s",
                            s->message[0] ? s->message : "the guest does not say why");
        else if (f->stop_signal_sent && s->exit_code == EXIT_SIGNAL_BASE + f->stop_signal)
                /* It obeyed, be it that the signal killed it, or that it says so itself, as a shell or a JVM does. systemd takes that for a
                 * clean end of a process of the host. */
                outcome_set(o, EXIT_OK, "stopped", LOG_INFO, "The workload ended by %s as asked.", signal_name(f->stop_signal));
        else if (s->signal > 0)
                outcome_set(o, (int) s->exit_code, "signal", LOG_ERR, "The workload was killed by %s%s%s", signal_name(s->signal), colon,
                            s->message);
        else
                outcome_set(o, (int) s->exit_code, f->stop_requested ? "stopped" : "exited", s->exit_code == 0 ? LOG_INFO : LOG_NOTICE,
                            "The workload exited with %u%s%s", s->exit_code, colon, s->message);
}

static void outcome_of_vmm(const EndFacts *f, Outcome *o) {
        const char *panic = strstr(f->console, PANIC_TEXT);

        o->show_console = true;
        o->show_vmm = !panic;
        if (panic) {
                panic += strlen(PANIC_TEXT);
                outcome_set(o, EXIT_GUEST_PANIC, "guest-panic", LOG_ERR, "The guest's kernel panicked: %.*s",
                            (int) MIN(strcspn(panic, "\n"), (size_t) 200), panic);
        } else if (f->vmm_code == CLD_EXITED && f->vmm_status != 0)
                outcome_set(o, EXIT_VMM_FAILED, "vmm-failed", LOG_ERR, "%s failed with exit code %d.", f->vmm, f->vmm_status);
        else if (f->vmm_code != CLD_EXITED && f->vmm_status == SIGKILL)
                outcome_set(o, EXIT_VMM_FAILED, "vmm-failed", LOG_ERR,
                            "%s was killed by SIGKILL, as the host's out-of-memory killer does it: see MemoryMax= of the unit's slice.", f->vmm);
        else if (f->vmm_code != CLD_EXITED)
                outcome_set(o, EXIT_VMM_FAILED, "vmm-failed", LOG_ERR, "%s was killed by %s.", f->vmm, signal_name((unsigned) f->vmm_status));
        else
                outcome_set(o, EXIT_GUEST_LOST, "guest-lost", LOG_ERR, "The guest ended without saying how its workload ended%s.",
                            f->started ? "" : f->booted ? ", before that was started" : ", before it had booted");
}

void outcome_decide(const EndFacts *f, Outcome *ret) {
        Outcome o = {};

        if (f->exited)
                outcome_of_workload(f, &o);
        else if (f->watchdog)
                outcome_set(&o, EXIT_GUEST_LOST, "watchdog", LOG_ERR, "%s",
                            f->silent ? "The guest did not answer any more and was killed, as the watchdog asked."
                                      : "Killed by the watchdog, though the guest has answered: kiln itself was held up.");
        else if (f->start_timeout_usec > 0) {
                o.show_console = true;
                outcome_set(&o, EXIT_GUEST_LOST, "start-timeout", LOG_ERR, "The guest has not %s within %s and was killed.",
                            f->booted ? "started the workload" : "booted", format_seconds(f->start_timeout_usec));
        } else if (f->stop_timed_out) {
                o.signal = SIGKILL;
                outcome_of_timeout(f, EXIT_SIGNAL_BASE + SIGKILL, &o);
        } else if (f->stop_requested && f->killed && !f->booted)
                outcome_set(&o, EXIT_OK, "stopped", LOG_INFO, "Stopped before the guest had booted.");
        else
                outcome_of_vmm(f, &o);
        *ret = o;
}

int outcome_format(const Outcome *o, uint64_t finished_usec, char **ret) {
        _cleanup_json_ json_t *j = NULL;
        json_t *message = json_string_lossy(o->message, strlen(o->message));
        char *s;

        if (!message)
                return -ENOMEM;
        j = json_pack("{s:i,s:b,s:I,s:o,s:s,s:I}", "exit_code", o->exit_code, "oom_killed", (int) o->oom_killed,
                      "signal", (json_int_t) o->signal, "message", message, "reason", o->reason,
                      "finished_usec", (json_int_t) finished_usec);
        s = j ? json_format(j) : NULL;
        if (!s)
                return -ENOMEM;
        *ret = s;
        return 0;
}
