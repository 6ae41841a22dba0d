/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* How it ended: from all that kiln has seen to one exit code, one message, and exit_status.json. No I/O. */

#include "kiln/status-line.h"

typedef struct EndFacts {
        const char *vmm;                /* "ember" */
        bool booted, started;
        bool exited;                    /* the guest said how its workload ended: */
        StatusLine status;

        uint64_t start_timeout_usec;    /* it has not booted, or not started the workload, within that; 0: it has, or had time left */
        bool stop_requested;
        unsigned stop_signal;
        bool stop_signal_sent;          /* to the workload, through the guest */
        uint64_t stop_timeout_usec;
        bool stop_timed_out;            /* the workload was told twice and killed */
        bool stop_hurried;              /* besides: because somebody had asked for it, before the time was over */
        bool watchdog, silent;          /* systemd lost its patience; the guest had not answered */

        bool killed;                    /* we killed the VMM */
        int vmm_code, vmm_status;       /* as siginfo_t has them; code 0: it never ended */
        const char *console;            /* its last lines */
} EndFacts;

typedef struct Outcome {
        int exit_code;
        int priority;                   /* of the message, syslog(3) */
        const char *reason;             /* a word for programs, see kiln(8) */
        bool oom_killed;
        unsigned signal;
        bool show_console, show_vmm;    /* their last lines tell more */
        char message[WIRE_MESSAGE_MAX + 128];
} Outcome;

void outcome_decide(const EndFacts *f, Outcome *ret);

/* The text of exit_status.json. finished_usec: the wall clock. */
int outcome_format(const Outcome *o, uint64_t finished_usec, char **ret);

/* "10 s", "1.5 s", for messages. The text is good until the next call but three. */
const char *format_seconds(uint64_t usec);
